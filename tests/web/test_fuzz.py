"""Whatever is sent, the answer is a yes or a no: never a bug of ours, never silence."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model import new_id
from tests.clock import Clock
from tests.web.conftest import House, open_house
from tests.web.wire import Said, request
from web.settings import WebSettings

FUZZ = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

AGENT_PATHS = [
    ("POST", "/agent/job/add"),
    ("POST", "/agent/job/delayed"),
    ("POST", "/agent/message/info"),
    ("PUT", "/agent/jobs/{id}/running"),
    ("PUT", "/agent/jobs/{id}/succeed"),
]
OTHER_PATHS = [("POST", "/sys/jobs"), ("POST", "/sys/users/{id}/agents"), ("POST", "/api/jobs")]
NAMES = [
    *("message", "result", "agent", "agent_id", "user_id", "name", "alias", "remark"),
    *("source", "callback", "channel", "duration", "days", "hours", "minutes"),
]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
durations = st.from_regex(r"-?([0-9]{1,9}(\.[0-9]{1,9})?(h|m|s|ms|us|µs|ns)){1,3}", fullmatch=True)
fields = st.dictionaries(st.sampled_from(NAMES), values | durations | st.just("web-1 uptime"))
bodies = st.binary(max_size=200) | (fields | values).map(lambda value: json.dumps(value).encode())


class Fuzzed:
    """A server under fire, with a token of every kind."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ids = [new_id(), house.owner.id]

    async def prepare(self) -> "Fuzzed":
        machine = await self.house.enrol("web-1")
        job = await self.house.submit(machine)
        self.agent = machine.token
        self.tokens = [await self.house.system_token(), await self.house.account_token()]
        self.ids += [machine.agent.id, job.id]
        return self

    async def call(self, method: str, path: str, token: str, body: bytes | None = None) -> Said:
        async with self.house.line() as line:
            return await line.ask(request(method, path, token, body))


@pytest.fixture
async def fuzzed(database_url: str, clock: Clock) -> AsyncIterator[Fuzzed]:
    async with (
        open_house(database_url, clock) as house,
        house.serving(WebSettings(longest_wait=0.01)),
    ):
        yield await Fuzzed(house).prepare()


def assert_decided(said: Said) -> None:
    assert 200 <= said.status < 500, said.body
    if said.status >= 400:
        assert set(said.json) == {"error", "message"}


@FUZZ
@given(path=st.sampled_from(AGENT_PATHS), which=st.integers(0, 3), body=bodies)
async def test_any_body_from_an_agent(
    fuzzed: Fuzzed, path: tuple[str, str], which: int, body: bytes
) -> None:
    method, target = path
    target = target.format(id=fuzzed.ids[which])
    assert_decided(await fuzzed.call(method, target, fuzzed.agent, body))


@FUZZ
@given(
    path=st.sampled_from(OTHER_PATHS),
    token=st.integers(0, 1),
    given_fields=st.dictionaries(st.sampled_from(NAMES), values | st.just("web-1")),
    valid=st.sets(st.sampled_from(["user_id", "agent_id", "agent", "message"])),
)
async def test_any_fields_from_a_system(
    fuzzed: Fuzzed, path: tuple[str, str], token: int, given_fields: dict[str, Any], valid: set[str]
) -> None:
    method, target = path
    right = {"user_id": fuzzed.ids[1], "agent_id": fuzzed.ids[2], "agent": "web-1", "message": "ls"}
    body = json.dumps(given_fields | {name: right[name] for name in valid}).encode()
    target = target.format(id=fuzzed.ids[1])
    assert_decided(await fuzzed.call(method, target, fuzzed.tokens[token], body))


@FUZZ
@given(
    method=st.sampled_from(["GET", "PUT", "POST"]),
    start=st.sampled_from(["/agent/jobs/", "/sys/jobs/", "/sys/users/", "/api/jobs/", "/"]),
    middle=st.text(max_size=30),
    end=st.sampled_from(["", "/succeed", "/expire", "/agents"]),
    token=st.integers(0, 2),
)
async def test_any_path(
    fuzzed: Fuzzed, method: str, start: str, middle: str, end: str, token: int
) -> None:
    secret = [*fuzzed.tokens, fuzzed.agent][token]
    assert_decided(await fuzzed.call(method, start + quote(middle) + end, secret))


@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(["wait", "slots", "journal", "holding", "other"]), st.text(max_size=40)
    ),
    raw=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
async def test_any_query(fuzzed: Fuzzed, query: dict[str, str], raw: str) -> None:
    words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    for text in (words, raw.replace("#", "")):
        assert_decided(await fuzzed.call("GET", f"/agent/job?{text}", fuzzed.agent))
