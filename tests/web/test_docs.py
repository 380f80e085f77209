"""docs/api.md tells of all that can be called and of every refusal."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from starlette.routing import Route

from tests.web.conftest import House
from web.contract import CONTRACT
from web.errors import STATUS, STATUS_OF_CODE
from web.openapi import document
from web.settings import WebSettings

ROOT = Path(__file__).parent.parent.parent
API = (ROOT / "docs" / "api.md").read_text()
DOCUMENT = document([(call.split()[0], call.split()[1]) for call in CONTRACT], WebSettings())

NOT_ANSWERED = {
    # No call is refused like that: these are between people, the operator and the bot, …
    *("AccountNotFound", "Ambiguous", "BadCode", "IdentityNotFound", "InvalidLanguage"),
    *("InvalidScope", "LetterNotFound", "LinkedElsewhere", "TokenNotFound"),
    # … or between parts of the program.
    *("Answered", "Conflict", "KeyTaken", "NotDue", "Taken"),
}


@dataclass(frozen=True)
class Exchange:
    """A call and its answer, as they are written down: without their first lines."""

    method: str
    target: str
    request: str
    status: int
    answer: str

    def __str__(self) -> str:
        return f"{self.method} {self.target} {self.status}"

    @property
    def sent(self) -> str:
        return body_of(self.request)

    @property
    def got(self) -> str:
        return body_of(self.answer)


def exchanges() -> Iterator[Exchange]:
    call = r"^(GET|PUT|POST) (\S+) HTTP/1\.1\n"
    for block in re.findall(r"```http\n(.*?)\n```", API, re.DOTALL):
        _, *pieces = re.split(call, block, flags=re.MULTILINE)
        for method, target, rest in zip(*[iter(pieces)] * 3, strict=True):
            request, status, answer = re.split(r"^HTTP/1\.1 (\d+) .*\n", rest, flags=re.MULTILINE)
            yield Exchange(method, target, request, int(status), answer)


def body_of(part: str) -> str:
    """What stands below the headers, unfolded."""
    return part.strip().partition("\n\n")[2].replace("\n ", "")


def operation_of(exchange: Exchange) -> tuple[str, dict[str, Any]]:
    """The most literal of the paths that it may be."""
    path = exchange.target.partition("?")[0]
    for call in sorted(CONTRACT, key=lambda call: call.count("{")):
        method, template = call.split()
        if method == exchange.method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            found: dict[str, Any] = DOCUMENT["paths"][template][method.lower()]
            return call, found
    raise AssertionError(f"{exchange} is nowhere described")


def demand_valid(text: str, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    OAS31Validator(json.loads(json.dumps(whole))).validate(json.loads(text))


@pytest.mark.parametrize("exchange", [each for each in exchanges() if each.status < 400], ids=str)
def test_a_transcript_is_as_the_document_says(exchange: Exchange) -> None:
    _, operation = operation_of(exchange)
    answers = operation["responses"][str(exchange.status)].get("content", {})
    assert bool(exchange.got) == bool(answers)
    if exchange.sent:
        [wanted] = operation["requestBody"]["content"].values()
        assert set(json.loads(exchange.sent)) <= set(wanted["schema"]["properties"])
        demand_valid(exchange.sent, wanted["schema"])
    if "application/json" in answers and "…" not in exchange.got:
        demand_valid(exchange.got, answers["application/json"]["schema"])


def test_a_transcript_says_how_long_its_bodies_are() -> None:
    said = []
    for each in exchanges():
        for part, body in ((each.request, each.sent), (each.answer, each.got)):
            length = re.search(r"^content-length: (\d+)$", part, re.MULTILINE | re.IGNORECASE)
            if length and (not body or body.startswith("{")):
                said.append((str(each), int(length[1]), len(body.encode())))
    assert len(said) > 30
    assert [each for each in said if each[1] != each[2]] == []


def test_every_route_has_a_transcript() -> None:
    shown = {operation_of(exchange)[0] for exchange in exchanges()}
    assert {call for call in CONTRACT if not CONTRACT[call].replaced} - shown == set()


async def test_every_route_is_in_the_contract_and_the_other_way_round(quiet_house: House) -> None:
    async with quiet_house.serving() as door:
        routes = [route for route in door.routes if isinstance(route, Route)]
    called = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    assert {call for call in called if not call.startswith("HEAD ")} == CONTRACT.keys()


async def test_every_route_is_described(quiet_house: House) -> None:
    async with quiet_house.serving() as door:
        routes = [route for route in door.routes if isinstance(route, Route)]
    called = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    called = {call for call in called if not call.startswith("HEAD ")}
    described = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /[^`?\s]*)", API))
    assert called == described


def test_every_refusal_is_described() -> None:
    words = raised_in("web", "core") | {kind.code for kind in STATUS} | STATUS_OF_CODE.keys()
    assert len(words) > 25
    assert {word for word in words - NOT_ANSWERED if word not in refusals()} == set()


def test_every_refusal_of_a_path_is_described() -> None:
    said = {word for described in CONTRACT.values() for word in sum(described.refused.values(), ())}
    assert len(said) > 15
    assert said - refusals() == set()


def refusals() -> set[str]:
    """The keys in the table."""
    rows = re.findall(r"^\| \d{3} \| (.*?) \|", API, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def raised_in(*parts: str) -> set[str]:
    """Every code that an error of these parts is given where it is made."""
    files = [path for part in parts for path in (ROOT / part).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    return {
        str(keyword.value.value)
        for node in nodes
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and keyword.value.value
    }


def test_every_refusal_that_is_described_is_made_somewhere() -> None:
    described = refusals()
    files = [path for part in ("web", "core") for path in (ROOT / part).rglob("*.py")]
    made = {word for path in files for word in re.findall(r'"(\w+)"', path.read_text())}
    made |= {phrase.phrase.title().replace(" ", "") for phrase in HTTPStatus}
    assert len(described) > 20
    assert described - made == set()
