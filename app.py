"""Skadi put together: settings → parts → roles; and the command line.

python app.py                  everything in one process
python app.py web worker       these roles only
python app.py agent add …      a command of the operator's
uvicorn app:app                the role web, served by another's hand
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from adapters import Surroundings
from adapters import load as load_adapter
from agent.bundle import bundle, script
from bots.bot import Bot
from bots.commands import RESERVED
from bots.notices import Notices
from bots.words import remark
from cli.demo import Demo
from cli.folder import held, make_folder, opening_sqlite
from cli.log import start_log
from cli.process import Role, attempt, keep_private, play, raise_limits, settle
from cli.roles import choose_roles, listen
from cli.server import Hosted, beat, serve
from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker, open_broker
from core.chat import Abilities, Adapter, Inbox, Listener, Webhook
from core.enrolment import Way
from core.errors import SkadiError
from core.following import Following
from core.history import History
from core.jobs import Jobs
from core.keeping import Keeping
from core.memory import Memory
from core.messages import Messages
from core.model import Times, utc_now
from core.notebook import Notes
from core.notifier import Letters, Notifier, Patience, Phrase
from core.settings import COMMANDS, Settings, load
from core.store import Store, migrate
from core.watcher import Timetable, Watcher
from web.door import Door, make_app, route
from web.enrol import Handout
from web.metrics import MetricsApi, metrics_app
from web.settings import WebSettings

FOLDER = Path(__file__).resolve().parent
VERSION: str = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["version"]

log = logging.getLogger("skadi")


# Settings → parts. Nothing is opened yet.


@dataclass(frozen=True, slots=True)
class Parts:
    """What every process is made of, whatever its roles."""

    settings: Settings
    times: Times
    store: Store
    broker: Broker
    accounts: Accounts
    agents: Agents
    jobs: Jobs
    following: Following
    letters: Letters
    history: History
    adapters: dict[str, Adapter]
    serving: asyncio.Event
    """Set when this process answers over HTTP."""


async def make_parts(settings: Settings) -> Parts:
    times = Times(settings.jobs.offline_after, settings.jobs.lease)
    store = await Store.open(settings.store_url, times=times, pool=settings.database.pool)
    broker = open_broker(settings.redis.url)
    memory, adapters = Memory(store.facts, broker), dict[str, Adapter]()
    accounts = Accounts(store, memory=memory)
    agents = Agents(
        store,
        broker,
        accounts,
        times=times,
        reserved=RESERVED,
        memory=memory,
        way=Way(settings.web.address, settings.web.enrol_within, local=not settings.web.url),
    )
    jobs = Jobs(
        store,
        broker,
        agents,
        accounts,
        times=times,
        adapters=adapters,
        command_limit=settings.jobs.command_limit,
        result_limit=settings.jobs.result_limit,
        output_limit=settings.jobs.output_limit,
    )
    return Parts(
        settings=settings,
        times=times,
        store=store,
        broker=broker,
        accounts=accounts,
        agents=agents,
        jobs=jobs,
        following=Following(store, broker, settings.web.look_again.total_seconds()),
        letters=Letters(store),
        history=History(store),
        adapters=adapters,
        serving=asyncio.Event(),
    )


def load_adapters(
    parts: Parts, notices: Notices, overhear: Callable[[Inbox], Inbox] = lambda inbox: inbox
) -> None:
    """Every process has all of them: who submits and who tells may be different ones."""
    platforms: dict[str, str] = {}
    abilities: dict[str, Abilities] = {}
    bot = Bot(
        accounts=parts.accounts,
        agents=parts.agents,
        jobs=parts.jobs,
        messages=Messages(parts.store, parts.broker),
        platforms=platforms,
        abilities=abilities,
        clock=utc_now,
        notices=notices,
    )
    inbox = overhear(bot.handle)
    for name, section in parts.settings.adapters.items():
        around = Surroundings(
            inbox=inbox,
            notebook=Notes(parts.store, name),
            keyring=parts.accounts,
            clock=utc_now,
            data=parts.settings.data,
            remark=remark,
        )
        adapter = parts.adapters[name] = load_adapter(name, section, around)
        platforms[name], abilities[name] = adapter.platform, adapter.abilities


@asynccontextmanager
async def opened(parts: Parts) -> AsyncIterator[Parts]:
    """The parts with their doors open, and closed again in the end."""
    try:
        if not parts.settings.database.url:
            make_folder(parts.settings)
        if parts.settings.database.migrate:
            await update_tables(parts.settings)
        await parts.broker.open()
        yield parts
    finally:
        for adapter in parts.adapters.values():
            await adapter.close()
        # What was committed last is still to be announced.
        await parts.store.close()
        await parts.broker.close()


async def update_tables(settings: Settings) -> None:
    if not settings.database.url:
        make_folder(settings)
    with opening_sqlite(settings):
        await migrate(settings.store_url)


# Parts → roles.


def make_roles(parts: Parts, phrase: Phrase) -> dict[str, Role]:
    """All that this program can play."""
    return {
        "web": partial(play_web, parts, make_door(parts)),
        "worker": make_notifier(parts, phrase).run,
        "watcher": make_watcher(parts).run,
        **{name: partial(listen, listener) for name, listener in listeners(parts).items()},
    }


def listeners(parts: Parts) -> Mapping[str, Listener]:
    return {
        name: cast(Listener, adapter)
        for name, adapter in parts.adapters.items()
        if hasattr(adapter, "listen")
    }


async def play_web(parts: Parts, door: Door) -> None:
    web = parts.settings.web
    async with asyncio.TaskGroup() as group:
        group.create_task(beat(parts.broker, web.heartbeat))
        group.create_task(serve(door, web, ready=parts.serving, stop=door.close))


def make_door(parts: Parts) -> Door:
    web = parts.settings.web
    routes = [
        path
        for adapter in parts.adapters.values()
        if hasattr(adapter, "routes")
        for path in cast(Webhook, adapter).routes
    ]
    return make_app(
        agents=parts.agents,
        jobs=parts.jobs,
        accounts=parts.accounts,
        broker=parts.broker,
        following=parts.following,
        ready=partial(ask_parts, parts),
        clock=utc_now,
        settings=WebSettings(
            trust_proxy=web.trust_proxy,
            longest_body=web.body_limit,
            longest_report=web.report_limit,
            body_seconds=web.body_time.total_seconds(),
            longest_wait=web.max_wait.total_seconds(),
            longest_follow=web.max_job_wait.total_seconds(),
            look_again=web.look_again.total_seconds(),
        ),
        handout=Handout(bundle, script, web.url),
        extra_routes=[route("GET", "/metrics", make_metrics(parts).show), *routes],
    )


def make_metrics(parts: Parts) -> MetricsApi:
    return MetricsApi(
        lambda: parts.store.depths.look(utc_now()), parts.settings.metrics.token, VERSION, utc_now
    )


async def show_metrics(parts: Parts) -> None:
    """Where they are shown by a process that serves nobody else."""
    chosen = parts.settings.metrics
    web = replace(parts.settings.web, host=chosen.host, port=chosen.port)
    app = metrics_app(route("GET", "/metrics", make_metrics(parts).show))
    await serve(app, web, ready=asyncio.Event(), stop=lambda: None, section="metrics")


async def ask_parts(parts: Parts) -> Mapping[str, str]:
    """What is away, for a load balancer and for people."""
    questions = {"database": parts.store.ping(), "broker": parts.broker.presence(())}
    answers = await asyncio.gather(*questions.values(), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, SkadiError):
            raise answer
    return {
        name: answer.message if isinstance(answer, SkadiError) else "ok"
        for name, answer in zip(questions, answers, strict=True)
    }


def make_notifier(parts: Parts, phrase: Phrase) -> Notifier:
    chosen = parts.settings.notifier
    patience = Patience(
        lease=chosen.lease,
        first_pause=chosen.first_pause,
        longest_pause=chosen.longest_pause,
        give_up_after=chosen.give_up,
        look=chosen.look.total_seconds(),
    )
    return Notifier(
        parts.store, parts.broker, parts.adapters, phrase, parts.accounts, patience=patience
    )


def make_watcher(parts: Parts) -> Watcher:
    chosen = parts.settings.watcher
    timetable = Timetable(
        due=chosen.due.total_seconds(),
        absent=chosen.absent.total_seconds(),
        remind=chosen.remind.total_seconds(),
        facts=chosen.facts.total_seconds(),
        tidy=chosen.tidy.total_seconds(),
    )
    keeping = Keeping(parts.store, parts.settings.keep)
    return Watcher(
        parts.store,
        parts.broker,
        parts.agents,
        parts.jobs,
        timetable=timetable,
        keeping=keeping,
    )


# The process.


async def live(settings: Settings, words: Sequence[str]) -> None:
    parts = await make_parts(settings)
    notices = Notices(parts.times)
    if not settings.has_demo:
        load_adapters(parts, notices)
        return await play_chosen(parts, make_roles(parts, notices), words)
    demo = Demo(parts.accounts, parts.agents, settings, FOLDER)
    load_adapters(parts, notices, demo.overhear)
    await play_chosen(parts, make_roles(parts, demo.read_aloud(notices)), words, demo)


async def play_chosen(
    parts: Parts, roles: Mapping[str, Role], words: Sequence[str], demo: Demo | None = None
) -> None:
    chosen = {name: roles[name] for name in choose_roles(words, roles, parts.settings)}
    if demo and "web" in chosen:
        chosen["demo"] = partial(demo.run, doors(parts, chosen))
    if parts.settings.metrics.port and "web" not in chosen:
        chosen["metrics"] = partial(show_metrics, parts)
    with held(parts.settings):
        async with opened(parts):
            settle()
            log.info("playing %s", ", ".join(chosen))
            await play(chosen)


def doors(parts: Parts, chosen: Mapping[str, Role]) -> list[asyncio.Event]:
    """What must be open before people are sent there."""
    here = [listener for name, listener in listeners(parts).items() if name in chosen]
    return [parts.serving, *(listener.ready for listener in here)]


@asynccontextmanager
async def hosted() -> AsyncIterator[Door]:
    """The role web, its server being another's."""
    settings = load(FOLDER)
    start_log(settings.log, settings.log_format)
    keep_private()
    parts = await make_parts(settings)
    notices = Notices(parts.times)
    load_adapters(parts, notices)
    choose_roles(["web"], make_roles(parts, notices), settings)
    async with opened(parts), asyncio.TaskGroup() as group:
        beating = group.create_task(beat(parts.broker, settings.web.heartbeat))
        yield make_door(parts)
        beating.cancel()


app = Hosted(hosted)


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[Parts]:
    """What the operator's commands work with."""
    parts = await make_parts(settings)
    async with opened(parts):
        yield parts


def main(words: Sequence[str]) -> None:
    keep_private()
    if words and (words[0] in COMMANDS or words[0].startswith("-")):
        # Commands have libraries of their own, which a server need not load.
        from cli.commands import run
        from cli.desk import Program

        run(words, Program(partial(load, FOLDER), desk, update_tables))
    settings = load(FOLDER)
    start_log(settings.log, settings.log_format)
    raise_limits()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live(settings, words))


if __name__ == "__main__":
    attempt(partial(main, sys.argv[1:]))
