"""Where the agent's settings come from: skadi.yml, then the environment, then the command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from . import duration, template
from .bundle import archive, me
from .errors import ConfigError
from .secret import read_text, read_token
from .shell import ANYTHING, Command, Menu, Shortcut, Template
from .yml import Fields, Grammar, Item, Reader, Value

Parsed = TypeVar("Parsed")

FILES = ("skadi.yml", "/etc/skadi/skadi.yml")
GRAMMAR = Grammar(
    scalars=(
        "debug",
        "token",
        "server",
        "time_limit",
        "slots",
        "output_limit",
        "interval",
        "state",
        "kill_grace",
    ),
    lists={
        "shortcuts": Fields(("short", "cmd"), ("dir", "help")),
        "commands": Fields(("prefix",), ("dir", "help", "params")),
        "templates": Fields(("name", "temp"), ("dir", "help", "params")),
    },
)
SIZE = re.compile(r"([1-9]\d*) ?(KiB|MiB)?")
# Seconds: the service manager is told to wait so long for an agent that ends, and no longer.
LONGEST_KILL_GRACE = 300.0
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, None: 1}


@dataclass(frozen=True)
class Settings:
    file: Path | None = None
    debug: bool = False
    server: str = ""
    token: str = field(default="", repr=False)
    # Which file or variable the token was found in.
    origin: str = ""
    # Seconds; None lets a command run for ever.
    time_limit: float | None = 3600.0
    # Between asking a job's processes to end and making them.
    kill_grace: float = 10.0
    slots: int = 1
    output_limit: int = 1 << 20
    interval: float = 10.0
    state: Path = Path()
    menu: Menu = field(default_factory=Menu)

    def require_server_and_token(self) -> None:
        if not self.server:
            raise ConfigError(
                "no server: write `server: https://…` into skadi.yml, "
                "or set SKADI_SERVER or --server"
            )
        if not self.token:
            raise ConfigError(
                f"no token: `{me()} TOKEN` writes it into skadi.yml; "
                "or set SKADI_TOKEN, SKADI_TOKEN_FILE or --token-file"
            )


def find(named: str | None = None) -> Path | None:
    """The file to read; one that was named must be there."""
    if named and not Path(named).is_file():
        raise ConfigError(f"{named}: there is no such file")
    return next((Path(each) for each in places(named) if Path(each).is_file()), None)


def places(named: str | None) -> list[str]:
    """This folder comes first, then the one that the agent was installed in."""
    program = archive()
    beside = [str(program.with_name("skadi.yml"))] if program else []
    return [named] if named else [FILES[0], *beside, *FILES[1:]]


def load(
    file: Path | None,
    environ: Mapping[str, str] = os.environ,
    server: str | None = None,
    token_file: str | None = None,
) -> Settings:
    settings = replace(Settings(), state=default_state(environ))
    if file:
        settings = from_file(file, settings)
    server = server or environ.get("SKADI_SERVER")
    if server:
        settings = replace(settings, server=server)
    return with_token(settings, environ, token_file)


def with_token(settings: Settings, environ: Mapping[str, str], token_file: str | None) -> Settings:
    if token_file:
        return replace(settings, token=read_token(token_file), origin=token_file)
    if environ.get("SKADI_TOKEN"):
        return replace(settings, token=environ["SKADI_TOKEN"], origin="SKADI_TOKEN")
    named = environ.get("SKADI_TOKEN_FILE")
    if named:
        return replace(settings, token=read_token(named), origin=named)
    return settings


def default_state(environ: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/skadi")
    base = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "/"), ".local", "state")
    return Path(base, "skadi")


def from_file(file: Path, defaults: Settings) -> Settings:
    read = Reader(str(file), GRAMMAR).read(read_text(file))
    found = Finder(read)
    token = found.scalar("token", str, "")
    return Settings(
        file=file,
        debug=found.scalar("debug", boolean, defaults.debug),
        server=found.scalar("server", str, defaults.server),
        token=token,
        origin=str(file) if token else "",
        time_limit=found.scalar("time_limit", limit, defaults.time_limit),
        kill_grace=found.scalar("kill_grace", kill_grace, defaults.kill_grace),
        slots=found.scalar("slots", count, defaults.slots),
        output_limit=found.scalar("output_limit", size, defaults.output_limit),
        interval=found.scalar("interval", positive, defaults.interval),
        state=found.scalar("state", Path, defaults.state),
        menu=Menu(
            found.all("shortcuts", shortcut, "short"),
            found.all("commands", command, "prefix"),
            found.all("templates", make_template, "name"),
        ),
    )


class Finder:
    """Turns what was read into values, naming the line of one that cannot be."""

    def __init__(self, read: Reader) -> None:
        self._read = read

    def scalar(self, key: str, parse: Callable[[str], Parsed], default: Parsed) -> Parsed:
        value = self._read.scalars.get(key)
        if value is None or not value.text:
            return default
        try:
            return parse(value.text)
        except ValueError as error:
            self._read.wrong(value.line, f"{key}: {error}")

    def all(self, name: str, parse: Callable[[Item], Parsed], key: str) -> tuple[Parsed, ...]:
        items = self._read.lists.get(name, [])
        self._refuse_twins(items, key)
        return tuple(self._item(item, parse) for item in items)

    def _item(self, item: Item, parse: Callable[[Item], Parsed]) -> Parsed:
        try:
            return parse(item)
        except BadValue as error:
            self._read.wrong(error.value.line, str(error))

    def _refuse_twins(self, items: Iterable[Item], key: str) -> None:
        lines: dict[str, int] = {}
        for item in items:
            value = item.values[key]
            if value.text in lines:
                self._read.wrong(
                    value.line, f"{value.text!r} stands already in line {lines[value.text]}"
                )
            lines[value.text] = value.line


class BadValue(ValueError):
    def __init__(self, value: Value, what: str) -> None:
        super().__init__(what)
        self.value = value


def optional(item: Item, key: str) -> str:
    return item.values[key].text if key in item.values else ""


def params(item: Item) -> tuple[str, ...]:
    return tuple(optional(item, "params").split())


def shortcut(item: Item) -> Shortcut:
    short = item.values["short"]
    if short.text != short.text.strip():
        raise BadValue(short, "short: a message has no blanks at its ends, so this never fits")
    return Shortcut(
        short.text, item.values["cmd"].text, optional(item, "dir"), optional(item, "help")
    )


def command(item: Item) -> Command:
    prefix = item.values["prefix"]
    words = words_of(prefix, "prefix")
    for word in words:
        if set(word) <= set("|&;<>"):
            raise BadValue(
                prefix,
                f"prefix: a command is started without a shell, {word!r} means nothing to it",
            )
    return Command(
        prefix.text, words, optional(item, "dir"), optional(item, "help"), params(item) or ANYTHING
    )


def make_template(item: Item) -> Template:
    name, temp = item.values["name"], item.values["temp"]
    if words_of(name, "name") != (name.text,):
        raise BadValue(name, "name: one word without quotes")
    try:
        script = template.prepare(temp.text)
    except ValueError as error:
        raise BadValue(temp, f"temp: {error}") from error
    if params(item) and len(params(item)) != script.arguments:
        raise BadValue(item.values["params"], f"params: name all {script.arguments} of them")
    return Template(
        name.text, temp.text, script, optional(item, "dir"), optional(item, "help"), params(item)
    )


def words_of(value: Value, key: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(value.text))
    except ValueError as error:
        raise BadValue(value, f"{key}: its quotes do not match ({error})") from error
    if not all(words) or not words:
        raise BadValue(value, f"{key}: an empty word never fits")
    return words


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,2}", text):
        raise ValueError(f"{text!r} is no number from 1 to 999")
    return int(text)


def size(text: str) -> int:
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size: write 65536, 64KiB or 1MiB")
    return int(match[1]) * UNITS[match[2]]


def positive(text: str) -> float:
    seconds = duration.parse(text)
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def kill_grace(text: str) -> float:
    seconds = duration.parse(text)
    if seconds > LONGEST_KILL_GRACE:
        raise ValueError(f"at most {duration.spell(LONGEST_KILL_GRACE)}")
    return seconds


def limit(text: str) -> float | None:
    return duration.parse(text) or None


def line_of(key: str, file: Path) -> int:
    """Where skadi.yml has its token, or another scalar; 0: nowhere."""
    value = Reader(str(file), GRAMMAR).read(read_text(file)).scalars.get(key)
    return value.line if value else 0
