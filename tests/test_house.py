"""The house rules: who may import whom, and what every file owes its reader."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("app", "cli", "bots", "web", "adapters", "core", "agent")
OURS = (*PARTS, "tests", "bench", "chaos")

# Who of ours may import whom of ours. A name stands for itself and all below it; the most exact
# row counts. `{adapter}` is the adapter the importing file belongs to.
PLAIN = (
    *("core.chat", "core.model", "core.errors", "core.settings", "core.durations"),
    "core.metrics",
)
"""The values everybody speaks in: they rest on the standard library alone."""

PORT = ("Platform", "find_module", "read_options")

MAY_IMPORT = {
    "app": ("cli", "bots", "web", "adapters", "core", "agent.bundle"),
    # Of adapters it knows what all of them have, and none by its name.
    "cli": ("cli", "web", *(f"adapters.{name}" for name in PORT), "core", "agent.bundle"),
    "bots": ("bots", "core"),
    "web": ("web", "core"),
    "adapters": ("core.chat", "core.settings", "core.errors", "adapters.Surroundings", "{adapter}"),
    "core": ("core",),
    "core.chat": PLAIN,
    "core.model": PLAIN,
    "core.errors": PLAIN,
    "core.settings": PLAIN,
    "core.durations": PLAIN,
    "core.metrics": PLAIN,
    # What the nouns rest on knows none of them.
    "core.store": ("core.store", "core.schema", "core.broker", "core.events", *PLAIN),
    "core.broker": ("core.broker", *PLAIN),
    "core.schema": PLAIN,
    "core.migrations": ("core.migrations", "core.schema", *PLAIN),
    "core.events": ("core.broker", *PLAIN),
    "agent": ("agent",),
}

STORE = ("core.store", "core.schema", "core.migrations")
BROKER = ("core.broker",)
BY_NAME = ("adapters.__init__",)
"""Who may import what it knows only the name of, which no rule here sees."""

# Which libraries are at home in one place only, and in what lies below it.
ONLY_IN = {
    "sqlalchemy": STORE,
    "alembic": STORE,
    "aiomysql": STORE,
    "aiosqlite": STORE,
    "pymysql": STORE,
    "sqlite3": STORE,
    "redis": BROKER,
    "hiredis": BROKER,
    "starlette": ("app", "cli", "web", "adapters"),
    "uvicorn": ("app", "cli", "web"),
    "slack_bolt": ("adapters.slack",),
    "slack_sdk": ("adapters.slack",),
    "botbuilder": ("adapters.teams",),
    "botframework": ("adapters.teams",),
    "wechatpy": ("adapters.wechat",),
    "aiosmtpd": ("adapters.smtp",),
    "prometheus_client": ("web.metrics",),
    "importlib": BY_NAME,
    "pkgutil": BY_NAME,
    "runpy": BY_NAME,
}

# These import the standard library and ours, and of all other libraries only what is named.
LIBRARIES = {
    "core": {
        **{name: homes for name, homes in ONLY_IN.items() if homes in (STORE, BROKER)},
        "orjson": ("core.store", "core.broker", "core.events"),
        "cryptography": ("core.store", "core.notebook"),
    },
    "agent": {},
}


# The tree, read.


def sources(*names: str) -> list[Path]:
    """The Python files of these parts, of those that exist."""
    files = [ROOT / f"{name}.py" for name in names]
    packages = [path for name in names for path in (ROOT / name).rglob("*.py")]
    return sorted(path for path in (*files, *packages) if path.is_file())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: str) -> str:
    """`core/store/__init__.py` is the module core.store."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Each line and name that the file imports, wherever in it and whether or not by name."""
    for node in ast.walk(ast.parse(source, path)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                origin = absolute(path, module or "", level)
                yield from ((node.lineno, f"{origin}.{each.name}") for each in names)
            case ast.Name(id="__import__"):
                yield node.lineno, "importlib.__import__"


def absolute(path: str, module: str, level: int) -> str:
    """What `from ..module import` means in this file."""
    if level == 0:
        return module
    package = path.split("/")[:-1]
    return ".".join([*package[: len(package) - level + 1], *filter(None, [module])])


# The rules, asked.


def complaints(path: str, source: str) -> list[str]:
    """Every import of the file that the house forbids, each as `file:line: what and why`."""
    importer = module_name(path)
    return [
        f"{path}:{line}: {path} imports {name}, {reason}"
        for line, name in imports(path, source)
        for reason in objections(importer, name)
    ]


def objections(importer: str, name: str) -> Iterator[str]:
    library = name.partition(".")[0]
    if library in OURS:
        yield from objections_to_ours(importer, name)
    else:
        yield from objections_to_library(importer, library)


def objections_to_ours(importer: str, name: str) -> Iterator[str]:
    allowed = friends(importer)
    if not any(within(name, friend) for friend in allowed):
        yield f"and of ours it may import only {', '.join(allowed)}"


def friends(importer: str) -> list[str]:
    row = max((name for name in MAY_IMPORT if within(importer, name)), key=len)
    adapter = ".".join(importer.split(".")[:2])
    return [friend.format(adapter=adapter) for friend in MAY_IMPORT[row]]


def within(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def objections_to_library(importer: str, library: str) -> Iterator[str]:
    part = importer.partition(".")[0]
    homes = LIBRARIES.get(part, {}).get(library) or ONLY_IN.get(library)
    if homes is not None and not any(at_home(importer, home) for home in homes):
        yield f"which only {', '.join(homes)} may"
    elif part in LIBRARIES and library not in LIBRARIES[part] and not is_standard(library):
        yield f"and beside the standard library {part} may import only what its row names"


def at_home(importer: str, home: str) -> bool:
    """`adapters.__init__` is the file alone, any other home its whole folder."""
    whole, dot, _ = home.partition(".__init__")
    return importer == whole if dot else within(importer, home)


def is_standard(library: str) -> bool:
    return library in sys.stdlib_module_names


@pytest.mark.parametrize("path", sources(*PARTS), ids=relative)
def test_nobody_imports_what_the_house_forbids(path: Path) -> None:
    assert complaints(relative(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "line", "reason"),
    [
        ("core/jobs.py", "import redis", "which only core.broker may"),
        ("core/jobs.py", "from sqlalchemy import select", "which only core.store"),
        ("core/jobs.py", "import orjson", "which only core.store"),
        ("core/jobs.py", "import httpx", "beside the standard library core"),
        ("core/jobs.py", "from bots.notices import phrase", "of ours it may import only core"),
        ("core/jobs.py", "from starlette.routing import Route", "which only app"),
        ("core/model.py", "from core import jobs", "of ours it may import only core.chat"),
        ("core/model.py", "from . import jobs", "of ours it may import only core.chat"),
        ("core/model.py", "from .store import Store", "of ours it may import only core.chat"),
        ("core/chat.py", "import orjson", "which only core.store"),
        ("core/store/jobs.py", "from ..model import Job\nimport app", "only core"),
        ("bots/bot.py", "from adapters.slack import Slack", "of ours it may import only bots"),
        ("bots/bot.py", "import sqlite3", "which only core.store"),
        ("web/api.py", "import bots.bot", "of ours it may import only web, core"),
        ("web/api.py", "def late():\n    from adapters import load", "only web, core"),
        ("adapters/slack.py", "from core.jobs import Jobs", "only core.chat, core.settings"),
        ("adapters/slack.py", "import core", "only core.chat, core.settings"),
        ("adapters/slack.py", "from . import teams", "only core.chat, core.settings"),
        ("adapters/slack.py", "from importlib import import_module as load", "only adapters.__i"),
        ("adapters/slack.py", "import pkgutil", "which only adapters.__init__ may"),
        ("adapters/slack.py", "__import__(name='core.jobs')", "which only adapters.__init__ may"),
        ("bots/bot.py", "import importlib.util", "which only adapters.__init__ may"),
        ("core/store/jobs.py", "from core.jobs import Jobs", "of ours it may import only core.st"),
        (
            "core/broker/redis.py",
            "from core.store import Store",
            "of ours it may import only core.b",
        ),
        ("core/schema.py", "from core.agents import Agents", "of ours it may import only core.c"),
        ("core/storefront.py", "import sqlalchemy", "which only core.store"),
        ("core/brokerage.py", "import redis", "which only core.broker may"),
        ("adapters/smtp/inbox.py", "from adapters.slack import Slack", "adapters.smtp"),
        ("adapters/slack.py", "from botbuilder.core import Bot", "which only adapters.teams"),
        ("adapters/slack.py", "import uvicorn", "which only app"),
        ("agent/loop.py", "import httpx", "beside the standard library agent"),
        ("agent/loop.py", "from core.model import Job", "of ours it may import only agent"),
        ("app.py", "from agent import main", "of ours it may import only cli"),
        (
            "cli/inbox.py",
            "from adapters.smtp.options import Options",
            "of ours it may import only cl",
        ),
        ("cli/inbox.py", "from adapters import smtp", "of ours it may import only cli"),
        ("cli/jobs.py", "import app", "of ours it may import only cli"),
        ("cli/jobs.py", "import tests.servers", "of ours it may import only cli"),
    ],
)
def test_a_forbidden_import_is_named_with_its_line(path: str, line: str, reason: str) -> None:
    [complaint] = complaints(path, f'"""A module."""\n\n{line}\n')
    assert complaint.startswith(f"{path}:{3 + line.count(chr(10))}: {path} imports ")
    assert reason in complaint


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("core/store.py", "from sqlalchemy import select"),
        ("core/store/jobs.py", "from sqlalchemy.ext.asyncio import AsyncEngine"),
        ("core/migrations/versions/one.py", "from alembic import op"),
        ("core/broker/redis.py", "from redis.asyncio import Redis"),
        ("core/jobs.py", "from core.store import Store"),
        ("core/jobs.py", "from . import store"),
        ("core/model.py", "from core.chat import Thread"),
        ("adapters/__init__.py", "from importlib import import_module"),
        ("adapters/smtp/__init__.py", "from aiosmtpd.smtp import SMTP"),
        ("adapters/smtp/inbox.py", "from .proof import prove"),
        ("adapters/slack.py", "from core import chat, settings"),
        ("web/__init__.py", "from .api import routes"),
        ("agent/__main__.py", "from agent.loop import run"),
        ("app.py", "from agent.bundle import bundle"),
        ("app.py", "import uvicorn, bots.bot, adapters, core.store, web.api, cli"),
    ],
)
def test_what_the_house_allows_is_not_complained_of(path: str, line: str) -> None:
    assert complaints(path, line) == []


# What every file owes its reader.

LONGEST_FUNCTION = 60
NOT_WRITTEN = {"data", "build", "dist"}
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME)\b")


@pytest.mark.parametrize("path", sources(*OURS), ids=relative)
def test_every_module_says_what_it_knows(path: Path) -> None:
    tree = ast.parse(path.read_text(), relative(path))
    assert ast.get_docstring(tree) or not tree.body, f"{relative(path)}:1: no docstring"


@pytest.mark.parametrize("path", sources(*PARTS), ids=relative)
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    assert long_functions(relative(path), path.read_text()) == []


def long_functions(path: str, source: str) -> list[str]:
    """A migration is a record of what was done, and may be as long as that."""
    if path.startswith("core/migrations/"):
        return []
    return [
        f"{path}:{node.lineno}: {node.name} has {lines} lines, {LONGEST_FUNCTION} are the most"
        for node in ast.walk(ast.parse(source, path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def test_a_function_longer_than_a_page_is_named() -> None:
    source = "async def submit():\n" + "    pass\n" * LONGEST_FUNCTION
    [complaint] = long_functions("core/jobs.py", source)
    assert complaint == "core/jobs.py:1: submit has 61 lines, 60 are the most"


def test_nothing_is_left_for_later() -> None:
    assert [place for path in written_files() for place in unfinished(path)] == []


def written_files() -> Iterator[Path]:
    """All that was written by hand, the lock files and the like left out."""
    kinds = {".py", ".sh", ".toml", ".md", ".html", ".js", ".css", ""}
    for path in ROOT.rglob("*"):
        top = path.relative_to(ROOT).parts[0]
        hidden = top.startswith(".") and top != ".ci"
        if not hidden and top not in NOT_WRITTEN and path.suffix in kinds and path.is_file():
            yield path


def unfinished(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [f"{relative(path)}:{n}: {s}" for n, s in enumerate(lines, 1) if UNFINISHED.search(s)]


# What the project says of itself.


def project() -> dict[str, object]:
    described: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return described


def test_the_changelog_opens_with_the_version_of_the_project() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)
    assert released[0] == project()["version"]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_holds_every_dependency_and_says_nothing_of_where_it_came_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    locked = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    declared = project()["dependencies"]
    assert isinstance(declared, list)
    assert {re.split(r"[\[<>=~;! ]", name)[0] for name in declared} - locked == set()
    assert "://" not in text
