"""docs/api.md tells of all that can be called and of every refusal."""

import json
import re
from http import HTTPStatus
from pathlib import Path

from starlette.routing import Route

from tests.web.conftest import House
from web.errors import STATUS

ROOT = Path(__file__).parent.parent.parent
API = (ROOT / "docs" / "api.md").read_text()
CODE = r'code(?: = |=)"([A-Z][A-Za-z]+)"'


async def test_every_route_is_described(quiet_house: House) -> None:
    async with quiet_house.serving() as door:
        routes = [route for route in door.routes if isinstance(route, Route)]
    called = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    called = {call for call in called if not call.startswith("HEAD ")}
    described = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /[^`?\s]*)", API))
    assert called == described


def test_every_refusal_is_described() -> None:
    files = [*(ROOT / "web").glob("*.py"), ROOT / "core" / "agents.py", ROOT / "core" / "jobs.py"]
    words = {word for path in files for word in re.findall(CODE, path.read_text())}
    words |= {kind.code for kind in STATUS}
    # Between people and the bot; no call is refused like that.
    words -= {"Conflict", "JobRunning", "AgentOnline", "AgentOffline", "TwoJournals"}
    assert {word for word in words if f"`{word}`" not in API} == set()


def test_every_refusal_that_is_described_is_made_somewhere() -> None:
    rows = re.findall(r"^\| \d{3} \| (.*?) \|", API, re.MULTILINE)
    described = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    files = [path for part in ("web", "core") for path in (ROOT / part).rglob("*.py")]
    made = {word for path in files for word in re.findall(r'"(\w+)"', path.read_text())}
    made |= {phrase.phrase.title().replace(" ", "") for phrase in HTTPStatus}
    assert len(described) > 20
    assert described - made == set()


def test_the_transcripts_are_well_formed() -> None:
    blocks = re.findall(r"```http\n(.*?)\n```", API, re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        for head, body in re.findall(r"((?:\S.*\n)+)\n(\{.*?\})$", block, re.MULTILINE | re.DOTALL):
            whole = body.replace("\n ", "")
            assert isinstance(json.loads(whole), dict)
            assert f"content-length: {len(whole.encode())}\n" in head.lower()
