"""docs/api.md tells of all that can be called and of every refusal."""

import re
from pathlib import Path

from starlette.routing import Route

from tests.web.conftest import House

ROOT = Path(__file__).parent.parent.parent
API = (ROOT / "docs" / "api.md").read_text()


async def test_every_route_is_described(quiet_house: House) -> None:
    async with quiet_house.serving() as door:
        routes = [route for route in door.routes if isinstance(route, Route)]
    called = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    called = {call for call in called if not call.startswith("HEAD ")}
    described = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /[^`?\s]*)", API))
    assert called - described == set()


def test_every_refusal_is_described() -> None:
    words = r'code(?: = |=)"([A-Z][A-Za-z]+)"'
    files = [*(ROOT / "web").glob("*.py"), *(ROOT / "core").glob("[aejm]*.py")]
    raised = {code for path in files for code in re.findall(words, path.read_text())}
    # Words between people and the bot, which no call gets.
    raised -= {"Error", "Conflict", "BadCode", "JobRunning"}
    assert {code for code in raised if f"`{code}`" not in API} == set()
