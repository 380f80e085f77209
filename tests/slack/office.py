"""A whole Skadi at work with a Slack: every part real, every word between them on a socket."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp

from adapters import Surroundings
from adapters import load as load_adapter
from agent.bundle import bundle, script
from bots.bot import Bot
from bots.notices import Notices
from bots.words import remark
from core.chat import Abilities, Adapter, Inbox, Listener, Webhook
from core.following import Following
from core.model import Account, Job
from core.notebook import Notes
from core.notifier import Notifier, Patience
from tests.clock import Clock
from tests.house import House, open_house
from tests.slack.fake import Person, Post, Room, Server, Slack, Team, open_slack
from tests.slack.machine import Machine, end
from tests.web.conftest import serving
from web.door import Door, make_app
from web.enrol import Handout
from web.settings import WebSettings

NAME = "slack"
PATIENCE = 20.0
"""Seconds of real time for what happens within one where nothing else is going on."""
LOOK = 0.5
"""Seconds between two looks of the notifier at what is due."""


@dataclass
class Office:
    """Ada owns the account and Ben is linked to it as well; Eve is nobody we know."""

    house: House
    server: Server
    account: Account
    url: str
    session: aiohttp.ClientSession
    adapters: dict[str, Adapter]
    notifier: Notifier
    machines: dict[str, Machine] = field(default_factory=dict)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def slack(self) -> Slack:
        return self.server.slack

    @property
    def team(self) -> Team:
        return self.slack.teams["T1"]

    @property
    def clock(self) -> Clock:
        return self.house.clock

    # Who is there.

    async def enrol(self, name: str = "web-1", **facts: Any) -> Machine:
        """A server whose agent is at work."""
        _agent, token = await self.house.agents.enrol(self.account.id, name)
        machine = self.machines[name] = Machine(self.url, token, self.session, **facts)
        self.tasks.append(asyncio.create_task(machine.run()))
        return machine

    async def link(self, person: Person, home: str = "") -> Person:
        """As if they had sent a code. `home`: the organization, where there is one."""
        subject = f"{home or person.team}/{person.id}"
        await self.house.accounts.add_identity(self.account.id, "slack", subject, person.name)
        return person

    # What came of it.

    async def jobs(self) -> list[Job]:
        return list(await self.house.jobs.recent(self.account.id, limit=1000))

    async def until(self, true: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"waited in vain for {what or true}\n{self.log()}"
            await asyncio.sleep(0.02)

    async def reads(self, room: Room, words: str) -> Post:
        """The newest post of ours there that reads so, once there is one."""

        def there() -> bool:
            return any(post.by_app and words in str(post) for post in room.standing)

        await self.until(there, repr(words))
        return room.last(words)

    async def calm(self) -> None:
        """Until all that is to be told has been told."""
        deadline = time.monotonic() + PATIENCE
        await self.slack.settle()
        while (waiting := await self.waiting()) or self.slack.busy:
            assert time.monotonic() < deadline, f"{waiting} are still to be told\n{self.log()}"
            await asyncio.sleep(0.02)

    async def waiting(self) -> int:
        """Jobs that are on their way to an end, but for those that a test holds, and deliveries that
        are to be made sooner or later."""
        depths = await self.house.store.depths.look(self.clock() + timedelta(days=2))
        jobs = sum(depths.jobs.get(status, (0, ""))[0] for status in ("queuing", "sent", "running"))
        return depths.due + jobs - sum(machine.held for machine in self.machines.values())

    async def dead(self) -> int:
        """Deliveries that nobody tries any more."""
        return (await self.house.store.depths.look(self.clock())).dead

    def log(self) -> str:
        rooms = (room for team in self.slack.teams.values() for room in team.rooms.values())
        return "\n\n".join(f"--- {room.name}\n{room.log()}" for room in rooms if room.posts)


@asynccontextmanager
async def open_office(
    folder: Path,
    clock: Clock,
    *,
    sockets: bool = False,
    slack: Slack | None = None,
    around_inbox: Callable[[Inbox], Inbox] = lambda inbox: inbox,
    **options: str,
) -> AsyncIterator[Office]:
    """`sockets`: over Socket Mode. `options`: further settings of the section."""
    slack = slack or Slack(clock)
    slack.team()
    adapters: dict[str, Adapter] = {}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(open_slack(slack, sockets=sockets))
        url = f"sqlite+aiosqlite:///{folder / 'skadi.db'}"
        house = await stack.enter_async_context(open_house(url, clock, adapters=adapters))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        section = section_of(server, sockets, options)
        adapter = adapters[NAME] = make_adapter(house, folder, around_inbox, section)
        stack.push_async_callback(adapter.close)
        web = await stack.enter_async_context(serving(make_door(house, adapter)))
        notifier = make_notifier(house, adapters)
        office = Office(
            house=house,
            server=server,
            account=await house.accounts.add("Ada's servers"),
            url=f"http://127.0.0.1:{web.port}",
            session=session,
            adapters=adapters,
            notifier=notifier,
        )
        slack.app.url = f"{office.url}/{NAME}/events"
        slack.app.redirect = f"{office.url}/{NAME}/oauth_redirect"
        office.tasks += [asyncio.create_task(role) for role in roles(house, adapter, notifier)]
        if listener := as_listener(adapter):
            await asyncio.wait_for(listener.ready.wait(), 30)
        try:
            yield office
        finally:
            for task in reversed(office.tasks):
                await end(task)


def section_of(server: Server, sockets: bool, options: dict[str, str]) -> dict[str, str]:
    app = server.slack.app
    way = {"app_token": app.token} if sockets else {"signing_secret": app.signing_secret}
    given = {"bot_token": server.slack.teams["T1"].token, "api": server.api, **way, **options}
    return {key: value for key, value in given.items() if value}


def make_adapter(
    house: House,
    folder: Path,
    around_inbox: Callable[[Inbox], Inbox],
    section: dict[str, str],
) -> Adapter:
    platforms: dict[str, str] = {}
    abilities: dict[str, Abilities] = {}
    bot = Bot(
        accounts=house.accounts,
        agents=house.agents,
        jobs=house.jobs,
        messages=house.messages,
        platforms=platforms,
        abilities=abilities,
        clock=house.clock,
    )
    around = Surroundings(
        inbox=around_inbox(bot.handle),
        notebook=Notes(house.store, NAME, clock=house.clock),
        keyring=house.accounts,
        clock=house.clock,
        data=folder,
        remark=remark,
    )
    adapter = load_adapter(NAME, section, around)
    platforms[NAME], abilities[NAME] = adapter.platform, adapter.abilities
    return adapter


def make_door(house: House, adapter: Adapter) -> Door:
    settings = WebSettings()
    routes = cast(Webhook, adapter).routes if hasattr(adapter, "routes") else ()
    return make_app(
        agents=house.agents,
        jobs=house.jobs,
        accounts=house.accounts,
        broker=house.broker,
        following=Following(house.store, house.broker, settings.look_again),
        ready=ready,
        clock=house.clock,
        settings=settings,
        handout=Handout(bundle, script, ""),
        extra_routes=list(routes),
    )


async def ready() -> dict[str, str]:
    return {"database": "ok"}


def make_notifier(house: House, adapters: dict[str, Adapter]) -> Notifier:
    return Notifier(
        house.store,
        house.broker,
        adapters,
        Notices(),
        house.accounts,
        clock=house.clock,
        patience=Patience(look=LOOK),
    )


def as_listener(adapter: Adapter) -> Listener | None:
    return cast(Listener, adapter) if hasattr(adapter, "listen") else None


def roles(house: House, adapter: Adapter, notifier: Notifier) -> list[Any]:
    played: list[Any] = [notifier.run(), house.watcher.run()]
    if listener := as_listener(adapter):
        played.append(listener.listen())
    return played


TAG = re.compile(r"(?<=[(（])`?[0-9a-z]{4}`?(?=[)）])")
TAGGED = re.compile(r"^(\s*- )`?[0-9a-z]{4}`?(?= `web)", re.MULTILINE)
NAMED = re.compile(r"\b(log|again|cancel) [0-9a-z]{4}\b")
CODE = re.compile(r"\b[A-Z0-9]{3}-[A-Z0-9]{3}-[A-Z0-9]{3}\b")
AMOUNT = re.compile(r"(?:under |不到 )?\d+(?:\.\d+)? (s|秒)(?= (?:on|ago)|：|,|$)")
WAIT = re.compile(r"(?<= in )[^,\n]+(?=, at )")
AT = re.compile(r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d UTC")
LONG = re.compile(r"((?:^( *)\| .*\n){2})(?:^ *\| .*\n){3,}((?:^ *\| .*\n){2})", re.MULTILINE)


def tidy(log: str) -> str:
    """Without what no two runs have in common (ids, durations), and with the middle of long output
    left out."""
    for pattern, same in (
        (TAG, "k3f9"),
        (TAGGED, r"\1k3f9"),
        (NAMED, r"\1 k3f9"),
        (CODE, "ABC-DEF-GHJ"),
        (AMOUNT, r"1 \1"),
        (WAIT, "1 h"),
        (AT, "09:20 UTC"),
        (LONG, r"\1\2| ...\n\3"),
    ):
        log = pattern.sub(same, log)
    return log
