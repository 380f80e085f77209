"""How the server says no, and what it keeps to itself."""

import logging
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agent.bundle import bundle, script
from core import errors
from core.errors import Conflict, SkadiError, TooMany, Unavailable
from core.following import Following
from core.model import Agent
from tests.web.conftest import House, serving
from web.door import make_app
from web.enrol import Handout
from web.errors import refusal
from web.settings import WebSettings


class Failing:
    """Agents behind which something is wrong."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.addresses: list[str] = []

    async def authenticate(self, token: str, address: str = "") -> Agent:
        self.addresses.append(address)
        raise self.error

    async def greet(self, token: str, address: str = "", **asked: object) -> Agent:
        return await self.authenticate(token, address)


def foreign(module: str) -> Exception:
    """An error as a library raises it."""
    kind = type("OperationalError", (Exception,), {"__module__": module})
    error: Exception = kind("gone away: root@db")
    return error


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("The database is away."),
        OSError("no route to db.internal"),
        ConnectionResetError("by peer"),
        TimeoutError(),
        foreign("sqlalchemy.exc"),
        foreign("redis.exceptions"),
        foreign("pymysql.err"),
        foreign("sqlite3"),
    ],
)
async def test_a_passing_fault_never_looks_like_a_bad_token(
    quiet_house: House, error: Exception
) -> None:
    house = quiet_house
    async with house.serving(agents=Failing(error)):
        for method, path in [
            ("GET", "/agent/job"),
            ("GET", "/agent/job?wait=9"),
            ("POST", "/agent/kf"),
        ]:
            said = await house.ask(method, path, "whatever")
            assert said.error == (503, "Unavailable")
            assert b"root" not in said.body and b"internal" not in said.body


async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(
    quiet_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = quiet_house
    async with house.serving(agents=Failing(KeyError("hunter2"))):
        said = await house.ask("GET", "/agent/job", "whatever")
    assert said.error == (500, "Internal")
    assert b"hunter2" not in said.body
    assert "hunter2" in caplog.text and "Traceback" in caplog.text


async def test_a_refusal_is_not_worth_a_line_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.ask("GET", "/agent/job", "unknown")
    await house.ask("GET", "/nowhere")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/agent/job/", "/agent", "/agent/jobs/1", "/x/%2e%2e"]
)
async def test_a_path_that_leads_nowhere_says_so_in_json(house: House, path: str) -> None:
    said = await house.ask("GET", path)
    assert said.error == (404, "NotFound")
    assert said.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/agent/job", {"get", "head"}),
        ("POST", "/agent/job", {"get", "head"}),
        ("GET", "/sys/jobs", {"post"}),
        ("DELETE", "/api/jobs", {"get", "head", "post"}),
        ("GET", "/agent/jobs/0123456789abcdefghij/succeed", {"put"}),
    ],
)
async def test_a_method_that_is_not_taken_is_told_in_json(
    house: House, method: str, path: str, allowed: set[str]
) -> None:
    said = await house.ask(method, path)
    assert said.error == (405, "MethodNotAllowed")
    assert set(said.headers["allow"].split(", ")) == allowed


def test_every_error_of_core_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if is_ours(kind)]
    assert len(kinds) == 8
    for kind in kinds:
        status = refusal(kind("No.")).status
        assert 400 <= status < 600
        assert status != 500


def is_ours(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, SkadiError) and kind is not SkadiError


async def test_what_adapters_bring_is_served_and_its_errors_are_told_alike(
    quiet_house: House,
) -> None:
    house = quiet_house

    async def hook(request: Request) -> PlainTextResponse:
        problems: dict[str, Exception] = {
            "slow": TooMany("Slower, please."),
            "late": Conflict("Somebody was first.", code="JobFinished"),
            "teapot": HTTPException(418, "No coffee."),
            "away": OSError("no route"),
        }
        if problem := problems.get(request.query_params.get("say", "")):
            raise problem
        return PlainTextResponse("heard")

    app = make_app(
        agents=house.agents,
        jobs=house.jobs,
        accounts=house.accounts,
        broker=house.broker,
        following=Following(house.store, house.broker),
        ready=house._ready,
        clock=house.clock,
        settings=WebSettings(),
        handout=Handout(bundle, script),
        extra_routes=[Route("/hooks/chat", hook, methods=["POST"])],
    )
    async with serving(app) as house.server:
        assert (await house.ask("POST", "/hooks/chat")).body == b"heard"
        for say, error in {
            "slow": (429, "TooMany"),
            "late": (409, "JobFinished"),
            "teapot": (418, "IMATeapot"),
            "away": (503, "Unavailable"),
        }.items():
            assert (await house.ask("POST", f"/hooks/chat?say={say}")).error == error


async def test_the_server_says_whether_it_is_up_and_whether_all_is_there(house: House) -> None:
    up = await house.ask("GET", "/status")
    assert (up.status, up.body, up.headers["content-length"]) == (204, b"", "0")
    alive = await house.ask("GET", "/healthz")
    assert (alive.status, alive.json) == (200, {"status": "ok", "time": "2026-03-02T09:00:00Z"})
    ready = await house.ask("GET", "/readyz")
    assert (ready.status, ready.json["parts"]) == (200, {"database": "ok"})

    house.parts["broker"] = "away"
    ready = await house.ask("GET", "/readyz")
    assert ready.status == 503
    assert ready.json == {"status": "away", "parts": {"database": "ok", "broker": "away"}}
    assert (await house.ask("GET", "/status")).status == 204
    assert (await house.ask("HEAD", "/healthz")).status == 200


async def test_only_a_trusted_proxy_says_where_a_call_comes_from(quiet_house: House) -> None:
    house = quiet_house
    agents = Failing(Unavailable("Enough."))
    for trust in (False, True):
        async with house.serving(WebSettings(trust_proxy=trust), agents=agents):
            for claimed in ("1.2.3.4, 203.0.113.7", "2001:DB8::1", "nonsense", ""):
                await house.ask("GET", "/agent/job", "x", X_Forwarded_For=claimed)
    peer = "127.0.0.1"
    assert agents.addresses == [peer] * 4 + ["203.0.113.7", "2001:db8::1", peer, peer]


async def test_of_two_lines_about_where_a_call_comes_from_the_proxys_is_the_last(
    quiet_house: House,
) -> None:
    agents = Failing(Unavailable("Enough."))
    async with quiet_house.serving(WebSettings(trust_proxy=True), agents=agents):
        lines = {"X_Forwarded_For": "6.6.6.6", "x_forwarded_for": "203.0.113.9"}
        await quiet_house.ask("GET", "/agent/job", "x", **lines)
    assert agents.addresses == ["203.0.113.9"]
