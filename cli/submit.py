"""The operator's and the pipeline's commands that run something: the exit status follows the job."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Protocol

import httpx
import orjson
import typer

from cli.desk import REFUSED, Json, duration, program
from cli.local import Local
from cli.remote import Remote, Unreached
from core.errors import SettingsError, SkadiError, Unavailable

STATUS = {"succeeded": 0, "failed": 1, "expired": 3, "canceled": 4}
"""The exit status for each end; 2 is misuse."""
GOES_ON = 5
INTERRUPTED = 130
LONGEST_KEY = 255
STATES = {
    "delayed": "waits for its time",
    "queuing": "waits for {agent}",
    "sent": "{agent} has it",
    "running": "{agent} is at it",
    "succeeded": "succeeded",
    "failed": "failed",
    "expired": "expired: nobody knows what became of it",
    "canceled": "canceled",
}
PASS_ON = {"ignore_unknown_options": True}
"""An option that is not ours is the command's."""

Fields = dict[str, Any]

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="Its name or alias.")]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        help="What it is to run: one word as it is, of several each quoted as the shell had it.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]
Wait = Annotated[
    str | None,
    typer.Option(metavar="[10m]", help="Wait for the end: so long, or as long as it takes."),
]
Url = Annotated[str, typer.Option(envvar="SKADI_URL", help="A server; else it is done here.")]
Secret = Annotated[
    str, typer.Option(envvar="SKADI_TOKEN", help="The account's token for that server.")
]
Owner = Annotated[str, typer.Option(metavar="ACCOUNT", help="Whose agent, where it is done here.")]
Key = Annotated[
    str,
    typer.Option(
        metavar="KEY",
        help="With the same key it is the same job, however often it is said (--url).",
    ),
]


class Skadi(Protocol):
    """`submit` raises Unavailable where there may be a job all the same."""

    async def submit(self, agent: str, command: str) -> Fields: ...
    async def job(self, job_id: str) -> Fields: ...
    def events(self, job_id: str) -> AsyncIterator[Fields]: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class Screen:
    """What is shown meanwhile, to people: on standard error, and only where that is a terminal."""

    shows: bool = field(default_factory=lambda: sys.stderr.isatty())
    shown: bool = False
    """Whether the output went over this screen already."""
    _said: str = ""

    def show(self, event: Fields) -> None:
        if "text" in event:
            return self.pass_on(event["text"])
        self.say(STATES[event["status"]].format(agent=event["agent_name"]))

    def say(self, words: str) -> None:
        if self.shows and words != self._said:
            print(f"skadi: {words}", file=sys.stderr, flush=True)
        self._said = words

    def pass_on(self, output: str) -> None:
        if self.shows:
            print(output, end="", file=sys.stderr, flush=True)
            self.shown = sys.stdout.isatty()


@dataclass(frozen=True, slots=True)
class Place:
    """Which Skadi is meant: the one at `url`, else that of these settings. `key`: by which it knows
    that something was said before."""

    url: str
    token: str
    account: str = ""
    key: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Skadi]:
        if self.url:
            remote = Remote(self.url, self.token, self.key)
            try:
                yield remote
            finally:
                await remote.close()
            return
        skadi = program.get()
        async with skadi.open(skadi.settings()) as desk:
            local = Local(desk, self.account)
            try:
                yield local
            finally:
                await local.close()


def submit(
    agent: Agent,
    command: Words,
    wait: Wait = None,
    json: Json = False,
    url: Url = "",
    token: Secret = "",
    account: Owner = "",
    key: Key = "",
) -> None:
    """Let an agent run something. With --wait the exit status follows the job: 0 succeeded, 1 failed
    (or refused), 3 expired, 4 canceled, 5 still going after the wait, or nobody knows.

    Its output is on standard output, in UTF-8. Ctrl-C leaves the job as it is."""
    run = Run(seconds_of(wait), json)
    place = choose(url, token, account, key)
    finish(place, run, lambda skadi: run.submit(skadi, agent, command_of(command)))


def follow(
    job: JobId, wait: Wait = "", json: Json = False, url: Url = "", token: Secret = ""
) -> None:
    """Wait for the end of a job that exists; all else is as with submit."""
    run = Run(seconds_of(wait), json, job)
    finish(choose(url, token), run, lambda skadi: run.follow(skadi, job))


def command_of(words: Sequence[str]) -> str:
    """The shell took the quotes of several words, so they get theirs back; a single one is a command
    already."""
    return words[0] if len(words) == 1 else shlex.join(words)


@dataclass(slots=True)
class Run:
    """One job of ours. `seconds`: how long to wait, None as long as it takes, 0 not at all."""

    seconds: float | None
    as_json: bool
    job_id: str = ""
    screen: Screen = field(default_factory=Screen)
    found: bool = False
    """Whether there is this job."""
    unheard: bool = False
    """Whether there may be one of which we do not know the id."""

    async def submit(self, skadi: Skadi, agent: str, command: str) -> int:
        try:
            job = await skadi.submit(agent, command)
        except Unavailable as error:
            self.unheard = not isinstance(error, Unreached)
            raise
        self.job_id, self.found = job["id"], True
        if self.seconds == 0:
            self.tell(job, f"Job {self.job_id} is on its way to {job['agent_name']}.")
            return 0
        return await self.follow(skadi, self.job_id)

    async def follow(self, skadi: Skadi, job_id: str) -> int:
        try:
            async with asyncio.timeout(self.seconds):
                async for event in skadi.events(job_id):
                    self.found = True
                    self.screen.show(event)
        except TimeoutError:
            self.screen.say(f"Job {job_id} is still going.")
        job = await skadi.job(job_id)
        self.tell(job, "" if self.screen.shown else job["result"])
        return STATUS.get(job["status"], GOES_ON)

    def tell(self, job: Fields, words: str) -> None:
        if self.as_json:
            print(orjson.dumps(job, option=orjson.OPT_INDENT_2).decode())
        elif words:
            print(words, end="" if words.endswith("\n") else "\n")
        sys.stdout.flush()

    def may_exist(self, code: str) -> bool:
        """Whether there may be a job that goes its own way, after an error of this code."""
        if self.job_id:
            return self.found or code != "JobNotFound"
        return self.unheard


def finish(place: Place, run: Run, deed: Callable[[Skadi], Awaitable[int]]) -> None:
    speak_utf8()
    try:
        status = asyncio.run(attempt(place, deed))
    except KeyboardInterrupt:
        if run.job_id:
            print(f"\nJob {run.job_id} goes on. {how_to_go_on(place, run)}", file=sys.stderr)
        status = INTERRUPTED
    except SkadiError as error:
        status = refuse(place, run, error.code, error.message)
    except SettingsError as error:
        status = refuse(place, run, "Settings", str(error))
    except BrokenPipeError:
        status = leave_quietly()
    except Exception as error:
        if not run.may_exist("Error"):
            raise
        status = refuse(place, run, "Error", f"{type(error).__name__}: {error}")
    raise typer.Exit(status)


async def attempt(place: Place, deed: Callable[[Skadi], Awaitable[int]]) -> int:
    async with place.open() as skadi:
        return await deed(skadi)


def speak_utf8() -> None:
    """Output is what a command said, and a runner's locale is no reason to lose it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def leave_quietly() -> int:
    """Nobody reads on; nor may Python's own last flush fail, as it would set a status of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return GOES_ON


def refuse(place: Place, run: Run, code: str, message: str) -> int:
    """Refused before there was a job: it failed. After that nobody knows: it goes on, for all we know."""
    goes_on = run.may_exist(code)
    if run.as_json:
        known = {"job": run.job_id} if goes_on and run.job_id else {}
        print(orjson.dumps({"error": code, "message": message} | known).decode())
    else:
        print(message, file=sys.stderr)
    if goes_on:
        print(f"What becomes of it is not known. {how_to_go_on(place, run)}", file=sys.stderr)
    return GOES_ON if goes_on else REFUSED


def how_to_go_on(place: Place, run: Run) -> str:
    if not run.job_id:
        return f"With --key {shlex.quote(place.key)} the same call finds the job, if there is one."
    there = f" --url {place.url}" if place.url else ""
    return f"To follow it: python app.py follow {run.job_id}{there}"


def choose(url: str, token: str, account: str = "", key: str = "") -> Place:
    """What is wrong with a token is said without it: runners keep what we print."""
    url, token = url.strip(), token.strip()
    if url and not is_address(url):
        raise typer.BadParameter("a server's address begins with http:// or https://")
    if url and not token:
        raise typer.BadParameter("a server wants a token: set SKADI_TOKEN")
    if url and not is_plain(token):
        raise typer.BadParameter("the token holds what no token does: copy it again")
    if url and account:
        raise typer.BadParameter("a token speaks for its own account; leave --account out")
    if key and not url:
        raise typer.BadParameter("a key is for a server: say which with --url or SKADI_URL")
    if len(key) > LONGEST_KEY or (key and not is_plain(key)):
        raise typer.BadParameter(f"a key has up to {LONGEST_KEY} ASCII characters, no spaces")
    return Place(url.rstrip("/"), token, account, key or uuid.uuid4().hex)


def is_plain(text: str) -> bool:
    """Whether it is visible ASCII, as a header can hold it."""
    return all("!" <= character <= "~" for character in text)


def is_address(url: str) -> bool:
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return read.scheme in ("http", "https") and bool(read.host)


def seconds_of(wait: str | None) -> float | None:
    """Not said: not at all. Said without a duration: as long as it takes."""
    if wait is None:
        return 0
    return duration(wait).total_seconds() if wait else None


def settle_wait(arguments: Sequence[str]) -> list[str]:
    """`--wait` and `--wait 10m` as `--wait=` and `--wait=10m`, so that what follows it is understood."""
    if not arguments or arguments[0] not in ("submit", "follow"):
        return list(arguments)
    settled: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*settled, word, *rest]
        if word == "--wait":
            word = f"--wait={rest.pop(0) if rest and is_duration(rest[0]) else ''}"
        settled.append(word)
    return settled


def is_duration(word: str) -> bool:
    try:
        return duration(word) > timedelta()
    except typer.BadParameter:
        return False
