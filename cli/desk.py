"""How a command of the operator's is done: open what it needs, do it, say what came of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar, get_type_hints

import orjson
import typer

from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker
from core.durations import parse_period
from core.errors import SettingsError, SkadiError, Unavailable
from core.history import History
from core.jobs import Jobs
from core.notifier import Letters
from core.settings import Settings
from core.store import Store

REFUSED = 1
UNSEEN = "\ufffd"
Json = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]
Row = Mapping[str, object]

log = logging.getLogger(__name__)


class Desk(Protocol):
    """What the operator works with; the same database and broker as the running server."""

    @property
    def settings(self) -> Settings: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def agents(self) -> Agents: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def letters(self) -> Letters: ...
    @property
    def history(self) -> History: ...
    @property
    def store(self) -> Store: ...
    @property
    def broker(self) -> Broker: ...


@dataclass(frozen=True, slots=True)
class Program:
    """How the composition root lets the commands in."""

    settings: Callable[[], Settings]
    open: Callable[[Settings], AbstractAsyncContextManager[Desk]]
    migrate: Callable[[Settings], Awaitable[None]]


program: ContextVar[Program] = ContextVar("program")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found or did: for programs and for people. `refused`: it did nothing."""

    data: object
    text: str
    failed: bool = False
    refused: bool = False


Verb = TypeVar("Verb", bound=Callable[..., Awaitable[Answer]])


def command(group: typer.Typer, name: str, **how: Any) -> Callable[[Verb], Verb]:
    """Make a coroutine of a desk a command of a group; it gets `--json` like all the others."""

    def add(verb: Verb) -> Verb:
        def run(json: bool, **given: Any) -> None:
            finish(partial(verb, **given), json)

        group.command(name, **how)(wear(run, verb))
        return verb

    return add


def wear(run: Callable[..., None], verb: Callable[..., object]) -> Callable[..., None]:
    """Give `run` the parameters of `verb` without its desk and with `--json`, for typer to read."""
    hints = get_type_hints(verb, include_extras=True)
    _desk, *parameters = inspect.signature(verb).parameters.values()
    shown = [parameter.replace(annotation=hints[parameter.name]) for parameter in parameters]
    shown.append(
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    )
    run.__doc__ = verb.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return run


def finish(verb: Callable[[Desk], Awaitable[Answer]], as_json: bool) -> None:
    say(asyncio.run(ask(verb)), as_json)


def say(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(orjson.dumps(answer.data, default=str, option=orjson.OPT_INDENT_2).decode())
    else:
        print(shown(answer.text), file=sys.stderr if answer.refused else sys.stdout)
    if answer.failed:
        raise typer.Exit(REFUSED)


async def ask(verb: Callable[[Desk], Awaitable[Answer]]) -> Answer:
    try:
        skadi = program.get()
        async with skadi.open(skadi.settings()) as desk:
            answer = await verb(desk)
            await announce(desk)
            return answer
    except SkadiError as error:
        return refusal(error.code, error.message)
    except SettingsError as error:
        return refusal("Settings", str(error))


async def announce(desk: Desk) -> None:
    """Servers that remember what was just changed are to ask again."""
    try:
        await desk.broker.set_epoch(await desk.store.facts.epoch())
    except Unavailable:
        log.warning("Redis is away. The servers learn of a change when it is back.")


def refusal(code: str, message: str) -> Answer:
    return Answer({"error": code, "message": message}, message, failed=True, refused=True)


def listing(rows: Sequence[Row], nothing: str) -> Answer:
    """Rows as a table; `nothing` is said when there are none."""
    return Answer(list(rows), table(rows) if rows else nothing)


def table(rows: Sequence[Row]) -> str:
    names = list(rows[0])
    lines = [[name.upper().replace("_", " ") for name in names]]
    lines += [[spell(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def spell(value: object) -> str:
    """A value as a cell of a table, on one line; moments in UTC, to the second."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
    return shown(str(value)).replace("\n", UNSEEN)


def shown(text: str) -> str:
    """Without what would command a terminal: names and remarks are written by strangers."""
    return "".join(c if c.isprintable() or c == "\n" else UNSEEN for c in text)


def duration(text: str) -> timedelta:
    """For an option: `720h`, or `30d`; nought or less is none."""
    try:
        length = parse_period(text)
    except ValueError:
        length = timedelta()
    if length <= timedelta():
        raise typer.BadParameter('a duration like "30d", "720h" or "90m"')
    return length
