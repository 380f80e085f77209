"""What can be set, and what stops the start when it is set wrongly.

Defaults < settings.toml < environment. A setting `port` of section `web` is `SKADI_WEB__PORT` in
the environment, or `SKADI_WEB__PORT_FILE` naming a file that holds the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_type_hints
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from core.errors import SettingsError
from core.settings.hosts import reachable
from core.settings.sources import Section, Tree, read_all
from core.settings.values import (
    MIB,
    NOTHING,
    Age,
    Given,
    Port,
    PortOrOff,
    PublicUrl,
    Raw,
    Secret,
    Size,
    convert,
)

__all__ = ["Secret", "Settings", "load"]

ROLES = ("web", "worker", "watcher")
COMMANDS = (
    "account",
    "identity",
    "agent",
    "token",
    "jobs",
    "letters",
    "migrate",
    "check",
    "submit",
    "follow",
)
"""What `app.py` understands by itself; the section of an adapter adds such a word."""
MYSQL_WORDS = ("charset", "unix_socket")
"""What may stand behind the ? of a MySQL address; the driver fails over anything else."""


@dataclass(frozen=True, slots=True)
class Web:
    host: str = "127.0.0.1"
    port: Port = 8000
    url: PublicUrl = ""
    enrol_within: timedelta = timedelta(hours=1)
    trust_proxy: bool = False
    keep_alive: timedelta = timedelta(seconds=130)
    max_wait: timedelta = timedelta(seconds=60)
    max_job_wait: timedelta = timedelta(hours=1)
    look_again: timedelta = timedelta(seconds=5)
    heartbeat: timedelta = timedelta(seconds=5)
    body_limit: Size = MIB
    report_limit: Size = 16 * MIB
    body_time: timedelta = timedelta(seconds=60)

    @property
    def address(self) -> str:
        """Where agents reach us; without `url` only those on this machine do for certain."""
        return self.url or f"http://{reachable(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Database:
    url: Secret = NOTHING
    migrate: bool = True
    pool: int = 10


@dataclass(frozen=True, slots=True)
class Redis:
    url: Secret = NOTHING


@dataclass(frozen=True, slots=True)
class Jobs:
    offline_after: timedelta = timedelta(minutes=3)
    lease: timedelta = timedelta(minutes=10)
    command_limit: int = 4096
    result_limit: Size = MIB
    output_limit: Size = MIB


@dataclass(frozen=True, slots=True)
class Notifier:
    look: timedelta = timedelta(seconds=2)
    lease: timedelta = timedelta(minutes=1)
    first_pause: timedelta = timedelta(seconds=2)
    longest_pause: timedelta = timedelta(minutes=10)
    give_up: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Watcher:
    due: timedelta = timedelta(seconds=1)
    absent: timedelta = timedelta(seconds=5)
    remind: timedelta = timedelta(seconds=5)
    facts: timedelta = timedelta(seconds=1)
    tidy: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Keep:
    """How long after its end, or after it was said, something is kept; None is for ever."""

    jobs: Age = timedelta(days=90)
    output: Age = timedelta(days=30)
    events: Age = timedelta(days=30)
    letters: Age = timedelta(days=30)
    messages: Age = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Metrics:
    token: Secret = NOTHING
    host: str = "127.0.0.1"
    port: PortOrOff = 0


@dataclass(frozen=True, slots=True)
class Settings:
    data: Path = Path("data")
    demo: Literal["auto", "on", "off"] = "auto"
    log: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    web: Web = field(default_factory=Web)
    database: Database = field(default_factory=Database)
    redis: Redis = field(default_factory=Redis)
    jobs: Jobs = field(default_factory=Jobs)
    notifier: Notifier = field(default_factory=Notifier)
    watcher: Watcher = field(default_factory=Watcher)
    keep: Keep = field(default_factory=Keep)
    metrics: Metrics = field(default_factory=Metrics)
    adapters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Raw: what a platform can be told is its adapter's business."""

    @property
    def embedded(self) -> bool:
        """Nothing but this program is needed: SQLite in the data folder, the broker in here."""
        return not self.database.url and not self.redis.url

    @property
    def has_demo(self) -> bool:
        return self.demo == "on" or (self.demo == "auto" and self.embedded)

    @property
    def store_url(self) -> Secret:
        """The address of the database as the store wants it, with driver and character set."""
        return store_url(self.database.url, self.data)


SHORTEST_MEMORY = timedelta(days=1)
"""A mail server hands in a mail again for days, and must not start its job a second time."""

SECTIONS: Mapping[Section, type] = {
    ("web",): Web,
    ("database",): Database,
    ("redis",): Redis,
    ("jobs",): Jobs,
    ("notifier",): Notifier,
    ("watcher",): Watcher,
    ("keep",): Keep,
    ("metrics",): Metrics,
}


def load(folder: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the program that lives in `folder`, where relative paths begin as well.

    Raises SettingsError, which names the key and what is allowed."""
    tree = read_all(folder, environment)
    for section, values in tree.items():
        demand_section(section, values)
    built = {section[0]: kind(**fill(section, kind, tree)) for section, kind in SECTIONS.items()}
    settings = Settings(**fill((), Settings, tree), **built, adapters=dict(read_adapters(tree)))
    return finish(settings, folder)


def demand_section(section: Section, values: Mapping[str, Given]) -> None:
    if not section or section in SECTIONS or (section[0] == "adapters" and len(section) == 2):
        return
    origin = next((given.origin for given in values.values()), "settings.toml")
    names = [*(name for (name,) in SECTIONS), "adapters.<name>"]
    raise SettingsError(unknown(origin, "section", ".".join(section), names))


def fill(section: Section, kind: type, tree: Tree) -> dict[str, Any]:
    """The arguments for a section's dataclass."""
    kinds = settable(kind)
    values = tree.get(section, {})
    for key, given in values.items():
        if key not in kinds:
            raise SettingsError(unknown(given.origin, "setting", key, kinds))
    return {key: convert(kinds[key], given) for key, given in values.items()}


def settable(kind: type) -> dict[str, Any]:
    """The settings of a section by name, with the kind of each."""
    kinds = get_type_hints(kind, include_extras=True)
    inner = {section[0] for section in SECTIONS} | {"adapters"} if kind is Settings else ()
    return {key: value for key, value in kinds.items() if key not in inner}


def unknown(origin: str, what: str, name: str, allowed: Iterable[str]) -> str:
    names = sorted(allowed)
    near = get_close_matches(name, names, 1)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    return f'{origin}: there is no {what} "{name}"{hint} Allowed: {", ".join(names)}.'


def read_adapters(tree: Tree) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for section, values in tree.items():
        if section[:1] == ("adapters",):
            demand_name(section[1])
            options = dict(values)
            if convert(bool, options.pop("enabled", Given(True, ""))):
                yield section[1], Raw(options)


def demand_name(name: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise SettingsError(f"[adapters.{name}]: a name is lower-case letters, digits and _.")
    if name in (*ROLES, *COMMANDS):
        raise SettingsError(f"[adapters.{name}]: app.py knows this word already; choose another.")


def finish(settings: Settings, folder: Path) -> Settings:
    """What no value tells alone: where a relative path begins, whether addresses lead anywhere."""
    settings = replace(settings, data=(folder / settings.data).resolve())
    store_url(settings.database.url, settings.data)
    demand_memory(settings.keep)
    scheme = read_url("redis", settings.redis.url).scheme
    if settings.redis.url and scheme not in ("redis", "rediss", "unix"):
        raise SettingsError("[redis] url begins with redis://, rediss:// or unix://, or is empty.")
    return settings


def demand_memory(keep: Keep) -> None:
    """A repeated message leads to its job, which therefore has to be there."""
    if keep.messages is not None and keep.messages < SHORTEST_MEMORY:
        raise SettingsError("[keep] messages is at least 1d: what is sent again must be known.")
    if keep.jobs is not None and (keep.messages is None or keep.jobs < keep.messages):
        raise SettingsError("[keep] jobs is at least as long as messages, which lead to them.")


def read_url(section: str, url: str) -> SplitResult:
    """Its parts. Raises SettingsError, and does not repeat what may hold a password."""
    try:
        parts = urlsplit(url)
        demand_port(parts.port)
    except ValueError as error:
        raise SettingsError(
            f"[{section}] url is no address: its port is a number from 1 to 65535, and a host "
            "with colons stands in []."
        ) from error
    return parts


def demand_port(port: int | None) -> None:
    if port == 0:
        raise ValueError("nothing listens at 0")


def store_url(url: str, data: Path) -> Secret:
    """Lead mysql://, mariadb:// and sqlite://, with or without a driver, to the drivers we have."""
    if not url:
        return Secret(f"sqlite+aiosqlite:///{data / 'skadi.db'}")
    parts = read_url("database", url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    match parts.scheme.partition("+")[0]:
        case "sqlite":
            demand_words(query, ())
            return Secret("sqlite+aiosqlite" + url[len(parts.scheme) :])
        case "mysql" | "mariadb" if parts.path.strip("/"):
            demand_words(query, MYSQL_WORDS)
            # Anything less than utf8mb4 loses what people type.
            asked = urlencode({**query, "charset": "utf8mb4"})
            return Secret(urlunsplit(parts._replace(scheme="mysql+aiomysql", query=asked)))
        case "mysql" | "mariadb":
            raise SettingsError(
                "[database] url names no database, as mysql://user@host/skadi does."
            )
    raise SettingsError(
        "[database] url begins with mysql://, mariadb:// or sqlite://, or is empty."
    )


def demand_words(query: Mapping[str, str], allowed: Sequence[str]) -> None:
    for word in query:
        if word not in allowed:
            known = f"may stand {' and '.join(allowed)}" if allowed else "stands nothing here"
            raise SettingsError(f'[database] url: "{word}" is not known; behind the ? {known}.')
