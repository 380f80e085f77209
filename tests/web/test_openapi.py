"""The OpenAPI document is valid, tells of every route, and no answer is other than it says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from core.model import new_id
from tests.clock import Clock
from tests.web.conftest import METRICS_TOKEN, House, open_house
from web.contract import CONTRACT
from web.openapi import document
from web.settings import WebSettings

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]

FUZZ = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SETTINGS = WebSettings(longest_wait=0.02, longest_follow=0.02)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = json.loads(
    json.dumps(document([tuple(call.split()) for call in CONTRACT], SETTINGS))  # type: ignore[misc]
)


def closed(schema: Any) -> Any:
    """The same with nothing beside what is described, so that a field nobody told of is noticed."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


SCHEMA = schemathesis.openapi.from_dict(closed(DOCUMENT))
OPERATIONS: dict[str, Operation] = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}


class Town:
    """A server, with a token of every kind and a job at every stage."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.tokens = {"nobody": "nobody", "": "", "metrics": METRICS_TOKEN}
        self.known: dict[str, list[Any]] = {}

    async def prepare(self) -> "Town":
        house = self.house
        machine, other = await house.enrol("web-1"), await house.enrol("db-1")
        _, narrow = await house.accounts.add_token(
            "account", house.owner.id, "ci", scopes=("submit",)
        )
        self.tokens |= {
            "agent": machine.token,
            "account": await house.account_token(),
            "stranger": await house.account_token(house.stranger),
            "system": await house.system_token(),
            "narrow": narrow,
        }
        ended, sent = await house.submit(machine), await house.submit(machine)
        running = await house.submit(machine)
        for _ in range(3):
            assert await house.jobs.claim(machine.agent)
        await house.jobs.report(machine.agent, ended.id, "succeed", "3 services restarted")
        await house.jobs.report(machine.agent, running.id, "running", "1 of 3")
        waiting, elsewhere = await house.submit(machine), await house.submit(other)
        line = await house.agents.enrolment.new_line((await house.enrol("web-2")).agent)
        jobs = [
            sent.id,
            running.id,
            *(job.id for job in (ended, sent, running, waiting, elsewhere)),
        ]
        self.known = {
            "id": [*jobs, new_id()],
            "ended": [ended.id, ended.id, new_id()],
            "code": [line.split()[-1]],
            "message": ["db-1 uptime"],
            "offset": [0],
            "callback": ["", "disable"],
            "duration": ["1h30m"],
            "agent": ["web-1", "db-1", machine.agent.id],
            "agent_id": [machine.agent.id, house.owner.id],
            "user_id": ["", house.owner.id, "u-4711"],
            "uid": [house.owner.id, "u-4711"],
        }
        return self


@pytest.fixture
async def town(sqlite_url: str, clock: Clock) -> AsyncIterator[Town]:
    async with open_house(sqlite_url, clock) as house, house.serving(SETTINGS):
        yield await Town(house).prepare()


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


async def test_the_server_hands_out_the_document_of_what_it_serves(quiet_house: House) -> None:
    async with quiet_house.serving(SETTINGS):
        said = await quiet_house.ask("GET", "/openapi.json")
    assert said.status == 200
    assert said.headers["content-type"] == "application/json"
    assert said.json["paths"] == DOCUMENT["paths"]


def test_the_longest_waits_are_those_of_the_settings() -> None:
    longest = WebSettings(longest_wait=7, longest_follow=77)
    written = document([("GET", "/agent/job"), ("GET", "/api/jobs/{id}")], longest)
    waits = {
        path: parameter["schema"]["maximum"]
        for path, called in written["paths"].items()
        for parameter in called["get"]["parameters"]
        if parameter["name"] == "wait"
    }
    assert waits == {"/agent/job": 7, "/api/jobs/{id}": 77}


@pytest.mark.parametrize("label", OPERATIONS)
async def test_no_answer_is_other_than_described(town: Town, label: str) -> None:
    seen: set[int] = set()

    @FUZZ
    @given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        case, headers = data.draw(any_case(OPERATIONS[label])), {}
        meet(case, town, data)
        often = data.draw(st.integers(0, 3)) < 3
        callers = CONTRACT[label].callers if often else sorted(town.tokens)
        if callers and (token := town.tokens[data.draw(st.sampled_from(callers))]):
            headers["Authorization"] = f"Bearer {token}"
        headers["Accept"] = data.draw(st.sampled_from(["*/*", "application/json"]))
        base = f"http://127.0.0.1:{town.house.port}"
        answer = case.call(base_url=base, headers=headers, timeout=10)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    await asyncio.to_thread(fuzz)
    assert any(status < 300 for status in seen), seen


def any_case(operation: Operation) -> st.SearchStrategy[AnyCase]:
    """Calls as they should be, and calls as they should not."""
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or operation.path_parameters or operation.query):
        return right
    return right | right | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def meet(case: AnyCase, town: Town, data: st.DataObject) -> None:
    """Let a call made by chance name what exists, most of the time."""
    for place in (case.path_parameters, case.body):
        if not isinstance(place, dict):
            continue
        for name in sorted(place.keys() & town.known.keys()):
            known = "ended" if case.path.endswith("/events") else name
            if data.draw(st.integers(0, 3)) < 3:
                place[name] = data.draw(st.sampled_from(town.known[known]))
