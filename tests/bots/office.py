"""Chats that are read like a log: the real core, the real notifier, and walls that posts are put on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from bots.bot import Bot
from bots.commands import RESERVED
from bots.notices import Notices
from core.agents import Agents
from core.chat import Abilities, Adapter, Message, Reply, Thread
from core.jobs import Jobs, Verb
from core.model import Account, Agent, Job
from core.notifier import Notifier
from tests.clock import Clock
from tests.house import House, open_house

SLACK = Abilities(edits=True, buttons=True, private_answers=True, threads=True, channels=True)
WECHAT = Abilities(longest=2000)
MAIL = Abilities(files=True, threads=True, accepts_after=10.0)
PATIENCE = {"slack": 3.0, "wechat": 5.0, "mail": 0.0}


@dataclass
class Wall:
    """An adapter whose platform is a wall: what was posted in each conversation, edits in place."""

    name: str
    platform: str
    abilities: Abilities
    posts: dict[tuple[str, str], list[Reply]] = field(default_factory=lambda: defaultdict(list))

    async def send(self, reply: Reply) -> str | None:
        posts = self.at(reply.thread)
        if self.abilities.edits and reply.replaces is not None:
            posts[int(reply.replaces)] = reply
            return reply.replaces
        posts.append(reply)
        return str(len(posts) - 1) if self.abilities.edits else None

    def at(self, thread: Thread) -> list[Reply]:
        return self.posts[thread.channel_id, thread.thread_id]

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Machine:
    """An agent at work."""

    office: Office
    agent: Agent
    token: str

    async def poll(self) -> str | None:
        """The command it gets, if there is one."""
        await self.office.agents.authenticate(self.token)
        claimed = await self.office.jobs.claim(self.agent)
        return claimed.message if claimed else None

    async def report(self, job: Job, verb: Verb, result: str = "") -> None:
        await self.office.jobs.report(self.agent, job.id, verb, result)

    async def work(
        self, verb: Verb = "succeed", result: str = "", seconds: float = 14
    ) -> str | None:
        """Poll, take so long, report."""
        command = await self.poll()
        self.office.clock.move(seconds=seconds)
        await self.report(await self.office.newest(), verb, result)
        return command


@dataclass
class Person:
    """Somebody at a platform; `at` is where they talk."""

    office: Office
    name: str
    sender_id: str
    at: Thread
    private: bool = True
    locale: str = ""

    def elsewhere(self, channel: str = "", thread: str = "", **facts: Any) -> Person:
        """The same person in another conversation."""
        at = Thread(self.at.adapter, channel or self.at.channel_id, thread)
        return replace(self, at=at, **facts)

    async def says(self, text: str, key: str = "", **facts: Any) -> Reply | None:
        """The direct answer, which is on the wall as well."""
        reply = await self.office.bot.handle(self.message(text, key, **facts))
        if reply is not None:
            await self.office.walls[self.at.adapter].send(reply)
        return reply

    def message(self, text: str, key: str = "", **facts: Any) -> Message:
        given: dict[str, Any] = {
            "sender_name": self.name,
            "private": self.private,
            "locale": self.locale,
            "patience": PATIENCE[self.at.adapter],
        }
        return Message(
            key=key or str(next(self.office.numbers)),
            thread=self.at,
            sender_id=self.sender_id,
            text=text,
            sent_at=self.office.clock(),
            **(given | facts),
        )

    async def hears(self, text: str, key: str = "", **facts: Any) -> str:
        """What the direct answer reads."""
        reply = await self.says(text, key, **facts)
        assert reply is not None, f"no answer to {text!r}"
        return reply.text

    async def reads(self) -> list[str]:
        """The conversation's posts, after all that is due has been told."""
        return [post.text for post in await self.sees()]

    async def sees(self) -> Sequence[Reply]:
        await self.office.notifier.tell_due()
        return self.office.walls[self.at.adapter].at(self.at)


@dataclass
class Office:
    """A house with a bot and three people: Ada owns it, Ben is linked to it, Mallory is not."""

    house: House
    agents: Agents
    jobs: Jobs
    bot: Bot
    notifier: Notifier
    walls: dict[str, Wall]
    account: Account
    clock: Clock
    numbers: count[int] = field(default_factory=count)

    def person(self, name: str, adapter: str = "slack", **facts: Any) -> Person:
        at = Thread(adapter, f"D-{name}")
        return Person(self, name, f"T1/{name}", at, **facts)

    async def link(self, person: Person) -> Person:
        platform, subject = person.at.adapter, person.sender_id
        await self.house.accounts.add_identity(self.account.id, platform, subject, person.name)
        return person

    async def enrol(self, name: str = "web-1", **facts: str) -> Machine:
        """An agent that has just been seen."""
        _, token = await self.agents.enrol(self.account.id, name, **facts)
        return Machine(self, await self.agents.authenticate(token), token)

    async def newest(self) -> Job:
        jobs = await self.house.store.jobs.recent(self.account.id, None, 1)
        return jobs[0]

    async def count_jobs(self) -> int:
        return len(await self.jobs.recent(self.account.id, limit=100))


@asynccontextmanager
async def open_office(url: str, clock: Clock) -> AsyncIterator[Office]:
    walls = {
        name: Wall(name, name, abilities)
        for name, abilities in (("slack", SLACK), ("wechat", WECHAT), ("mail", MAIL))
    }
    adapters: dict[str, Adapter] = dict(walls)
    async with open_house(url, clock, adapters=adapters) as house:
        store, broker, accounts = house.store, house.broker, house.accounts
        agents = Agents(store, broker, accounts, clock=clock, reserved=RESERVED)
        jobs = Jobs(store, broker, agents, accounts, clock=clock, adapters=adapters)
        bot = Bot(
            accounts=accounts,
            agents=agents,
            jobs=jobs,
            messages=house.messages,
            platforms={name: wall.platform for name, wall in walls.items()},
            abilities={name: wall.abilities for name, wall in walls.items()},
            clock=clock,
        )
        notifier = Notifier(store, broker, adapters, Notices(), accounts, clock=clock)
        account = await accounts.add("Ada's servers")
        yield Office(house, agents, jobs, bot, notifier, walls, account, clock)
