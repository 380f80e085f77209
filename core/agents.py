"""Agents: enrolled, recognised by their token, seen, missed, renamed, removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from unicodedata import normalize

from core.accounts import Accounts, hash_secret
from core.broker import Broker, Sign
from core.enrolment import Enrolment, Way, new_token
from core.errors import Conflict, Invalid, NotFound, SkadiError, Unauthorized, Unavailable
from core.hellos import Hellos
from core.journals import Journals
from core.memory import Memory
from core.model import (
    Agent,
    Clock,
    EventMessage,
    JobStatus,
    MessageType,
    Times,
    new_id,
    utc_now,
)
from core.store import AddMessage, MoveJob, Store
from core.text import clean

log = logging.getLogger(__name__)

LONGEST_NAME = 50
LONGEST_TYPED = 4 * LONGEST_NAME
"""Before its accents are joined to their letters, which takes the square of the time for their number."""
LONGEST_REMARK = 250
LONGEST_MESSAGE = 4096
MOST_SIGNS = 50_000
TOLD_AT_ONCE = 8
"""Comings that wait for their account's home together: a storm must leave connections to others."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether an agent counts as here. `busy`: silent because an old agent works on a job."""

    online: bool
    last_seen: datetime | None
    busy: bool


class Agents:
    def __init__(
        self,
        store: Store,
        broker: Broker,
        accounts: Accounts,
        *,
        clock: Clock = utc_now,
        times: Times | None = None,
        reserved: frozenset[str] = frozenset(),
        memory: Memory | None = None,
        way: Way | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._accounts = accounts
        self._clock = clock
        self._times = times or Times()
        self._reserved = frozenset(map(_letters, reserved))
        self._memory = memory or Memory()
        self._journals = Journals(store, clock)
        self._homes = asyncio.Semaphore(TOLD_AT_ONCE)
        self._signs: dict[str, datetime] = {}
        self.hellos = Hellos(store, self._memory, clock)
        self.enrolment = Enrolment(store, self._memory, clock, way or Way(), self._check_names)

    async def enrol(
        self, account_id: str, name: str, alias: str = "", remark: str = ""
    ) -> tuple[Agent, str]:
        """The agent and its token, which is never shown again."""
        name, alias = self._check_names(name, alias)
        if len(remark) > LONGEST_REMARK:
            raise Invalid(
                f"A remark has at most {LONGEST_REMARK} characters.", code="InvalidRemark"
            )
        now, token = self._clock(), new_token()
        agent = Agent(new_id(), account_id, name, alias, remark, True, "", now, now)
        await self._store.agents.add(agent, hash_secret(token))
        return agent, token

    def _check_names(self, name: str, alias: str) -> tuple[str, str]:
        if not name:
            raise Invalid("An agent needs a name.", code="MissingName")
        name = self._check_name(name, "InvalidName")
        alias = self._check_name(alias, "InvalidAlias") if alias else ""
        return name, "" if alias == name else alias

    def _check_name(self, name: str, code: str) -> str:
        name = _compose(name)
        if len(name) > LONGEST_NAME or not name.isprintable() or any(c.isspace() for c in name):
            hint = f"A name has 1 to {LONGEST_NAME} characters and no blanks."
            raise Invalid(hint, code=code, name=name[:LONGEST_NAME])
        if _letters(name) in self._reserved:
            raise Invalid(f"{name} is a word of ours.", code=code, name=name, reserved=True)
        return name

    async def list(self, account_id: str) -> Sequence[Agent]:
        return await self._store.agents.list(account_id)

    async def list_all(self) -> Sequence[Agent]:
        return await self._store.agents.list(None)

    async def get(self, account_id: str, agent_id: str) -> Agent:
        key = ("agent", account_id, agent_id)
        agent = await self._memory.recall(key, lambda: self._store.agents.get(account_id, agent_id))
        if agent is None or agent.account_id != account_id:
            raise NotFound("There is no such agent.", code="AgentNotFound", agent=agent_id, near=[])
        return agent

    async def find(self, account_id: str, name: str) -> Agent:
        """By name or alias, exactly; NotFound (AgentNotFound) says which are near."""
        name = _compose(name)
        if len(name) > LONGEST_NAME:
            raise _no_agent(name[:LONGEST_NAME] + "…", near=[])
        key = ("name", account_id, name)
        agent = await self._memory.recall(key, lambda: self._store.agents.named(account_id, name))
        if agent is None or agent.account_id != account_id:
            raise _no_agent(name, await self._near(account_id, name))
        return agent

    async def _near(self, account_id: str, name: str) -> Sequence[str]:
        names = {n for agent in await self.list(account_id) for n in (agent.name, agent.alias) if n}
        same = [n for n in names if n.casefold() == name.casefold()]
        return same or get_close_matches(name, sorted(names), n=3)

    async def rename(self, account_id: str, agent_id: str, name: str) -> Agent:
        agent = await self.get(account_id, agent_id)
        name, alias = self._check_names(name, agent.alias)
        renamed = replace(agent, name=name, alias=alias, updated_at=self._clock())
        await self._store.agents.rename(renamed)
        await self._facts_changed()
        return renamed

    async def rotate(self, account_id: str, agent_id: str) -> str:
        """A new token, shown once; the old one is dead at once."""
        await self.get(account_id, agent_id)
        token = new_token()
        await self._store.agents.set(
            agent_id, token_hash=hash_secret(token), updated_at=self._clock()
        )
        await self._facts_changed()
        return token

    async def switch(self, account_id: str, agent_id: str, available: bool) -> None:
        """Off: it is given no jobs; what it still reports is taken."""
        await self.get(account_id, agent_id)
        await self._store.agents.set(agent_id, available=available, updated_at=self._clock())
        await self._facts_changed()

    async def remove(self, account_id: str, agent_id: str) -> None:
        """What waits for it is canceled, what it had ends with its lease; each end is told."""
        await self.get(account_id, agent_id)
        await self._store.agents.remove(agent_id, self._clock())
        await self._facts_changed()
        for status, end in (
            (JobStatus.DELAYED, JobStatus.CANCELED),
            (JobStatus.QUEUING, JobStatus.CANCELED),
            (JobStatus.SENT, JobStatus.EXPIRED),
            (JobStatus.RUNNING, JobStatus.EXPIRED),
        ):
            await self._end_all(account_id, agent_id, status, end)

    async def _end_all(
        self, account_id: str, agent_id: str, status: JobStatus, end: JobStatus
    ) -> None:
        while page := await self._store.jobs.of_agent(agent_id, frozenset({status}), 200):
            for job in page:
                try:
                    await self._store.jobs.move(MoveJob(job.id, end, "system", account_id))
                except (Conflict, Invalid, NotFound):
                    continue  # it ended by itself meanwhile, or was handed out; then its turn comes

    async def _facts_changed(self) -> None:
        self._memory.forget()
        try:
            await self._broker.set_epoch(await self._store.facts.epoch())
        except Unavailable:
            log.warning("The broker could not be told of a change; the watcher will.")

    # Presence

    async def standing(self, agents: Sequence[Agent]) -> Mapping[str, Standing]:
        """By agent id. While nobody listened, silence counts for nothing."""
        now, ids = self._clock(), [agent.id for agent in agents]
        if here := self._signed_here(ids, now):
            return here
        try:
            presence = await self._broker.presence(ids)
        except Unavailable:
            return {agent.id: Standing(True, None, False) for agent in agents}
        seen, since = presence.seen, presence.since
        heard = {id: max(filter(None, (seen.get(id), since)), default=now) for id in ids}
        silent = [id for id in ids if since and now - heard[id] >= self._times.offline_after]
        busy = await self._store.jobs.leased_until(silent, now) if silent else {}
        return {
            id: Standing(id not in silent or id in busy, seen.get(id), id in busy) for id in ids
        }

    def _signed_here(self, ids: Sequence[str], now: datetime) -> Mapping[str, Standing] | None:
        """What need not be asked: the agents gave this process signs of life. None: not all did."""
        since = now - self._times.offline_after
        signs = {id: sign for id in ids if (sign := self._signs.get(id)) and sign > since}
        if len(signs) < len(ids):
            return None
        return {id: Standing(True, sign, False) for id, sign in signs.items()}

    def _mark(self, ids: Iterable[str], now: datetime) -> None:
        if len(self._signs) > MOST_SIGNS:
            self._signs.clear()
        for id in ids:
            self._signs[id] = now

    async def silent_until(self, agent: Agent) -> datetime | None:
        """When to judge the agent's silence (again); None: it has been silent too long already."""
        now = self._clock()
        try:
            presence = await self._broker.presence([agent.id])
        except Unavailable:
            return now + self._times.offline_after
        if presence.since is None:
            return now + self._times.offline_after
        heard = max(filter(None, (presence.seen.get(agent.id), presence.since)))
        if heard + self._times.offline_after > now:
            return heard + self._times.offline_after
        return (await self._store.jobs.leased_until([agent.id], now)).get(agent.id)

    async def sweep_absent(self) -> None:
        """Tell the owners of agents that have gone."""
        believed = await self._store.agents.said_online()
        for start in range(0, len(believed), 1000):
            page = believed[start : start + 1000]
            standing = await self.standing(page)
            for agent in page:
                if not standing[agent.id].online and await self._store.agents.leave(agent.id):
                    facts = {"since": standing[agent.id].last_seen}
                    await self._announce(agent, "AgentOffline", "warning", facts)

    # The wire

    async def authenticate(self, token: str, address: str = "") -> Agent:
        """Who calls; its sign of life is marked. Unauthorized for a token nobody has.

        Unavailable only when neither what we remember nor the database can tell."""
        agent, _ = await self.greet(token, address)
        return agent

    async def greet(
        self,
        token: str,
        address: str = "",
        *,
        out: bool = False,
        take: bool = False,
        sign: Sign | None = None,
    ) -> tuple[Agent, Sign | None]:
        """Like authenticate, with what the broker said to the sign of life (None: it is away).

        `out` and `take` ask the broker for more (see Broker.sign); `sign` was given in its place just now."""
        hashed = hash_secret(token)
        agent = self._memory.get(("bearer", hashed)) or await self._look_up(hashed)
        try:
            if sign is None:
                sign = await self._sign(agent.id, out=out, take=take)
            if not self._memory.learn(sign.epoch):
                agent = await self._renew(hashed, sign)
        except Unavailable:
            self._memory.forget()  # a revocation may have been said while we could not hear
            return await self._look_up(hashed), None
        if self.was_away(sign):
            await self._welcome(agent, address)
        return agent, sign

    async def _sign(self, agent_id: str, *, out: bool, take: bool) -> Sign:
        now = self._clock()
        sign = await self._broker.sign(agent_id, now, out=out, take=take)
        self._mark((agent_id,), now)
        return sign

    async def sign_all(self, agent_ids: Sequence[str], out: Collection[str]) -> Sequence[Sign]:
        """Signs of life in the place of agents whose polls are held; `out`: whose jobs to name."""
        now = self._clock()
        signs = await self._broker.sign_all(agent_ids, now, out=out)
        self._mark(agent_ids, now)
        return signs

    async def recognise(self, token: str) -> Agent:
        """Who calls, by what was heard within the last tenth of a second (see Memory.refresh); for
        a poll that is held, as its signs of life are given in its place. Raises like authenticate."""
        await self._memory.refresh()
        hashed = hash_secret(token)
        return self._memory.get(("bearer", hashed)) or await self._look_up(hashed)

    def was_away(self, sign: Sign) -> bool:
        """Whether the silence before this sign was so long that the owner may have been told."""
        last = sign.last_seen
        return last is None or self._clock() - last >= self._times.offline_after

    async def _renew(self, hashed: str, sign: Sign) -> Agent:
        """The facts have changed, or the broker forgot their epoch: ask the truth."""
        if sign.epoch is None:
            await self._memory.restore()
        return await self._look_up(hashed)

    async def _look_up(self, hashed: str) -> Agent:
        bearer = ("bearer", hashed)
        agent = await self._memory.recall(bearer, lambda: self._read(hashed))
        if agent is None:
            raise await self._unknown()
        if self._memory.get(bearer):  # then those who name it by its id need not look either
            self._memory.put(("agent", agent.account_id, agent.id), agent)
        return agent

    async def _unknown(self) -> SkadiError:
        """Old agents end for good on a 401, all of them, if the database is not the one it should be."""
        if await self._store.agents.exist():
            return Unauthorized("The token is missing or not known.")
        return Unavailable("The database knows no agent at all: it may be the wrong one.")

    async def _read(self, hashed: str) -> Agent | None:
        agent = await self._store.agents.holding(hashed)
        if agent is not None:
            self._journals.read(agent)
        return agent

    async def _welcome(self, agent: Agent, address: str) -> None:
        if await self._store.agents.arrive(agent.id, address[:64], self._clock()):
            await self._announce(agent, "AgentOnline", "info", {"address": address})

    async def meet(self, agent: Agent, journal: str) -> None:
        """Notice daemons that take turns on one token ("": one without a journal), and tell the owner."""
        if await self._journals.find_turns(agent.id, journal):
            await self._announce(agent, "TwoJournals", "warning", {})

    async def say(self, agent: Agent, type: MessageType, message: str, channel: str = "") -> None:
        """The agent's own words for its owner."""
        text = clean(message).strip()
        if not text:
            raise Invalid("A message needs some words.", code="InvalidMessage")
        event = EventMessage(
            id=new_id(),
            account_id=agent.account_id,
            agent_id=agent.id,
            type=type,
            level="warning" if type == "warning" else "info",
            message=text[:LONGEST_MESSAGE],
            created_at=self._clock(),
            channel=clean(channel)[:200],
            agent_name=agent.name,
        )
        await self._tell_home(event)

    async def _announce(
        self, agent: Agent, code: str, level: str, facts: Mapping[str, object]
    ) -> None:
        event = EventMessage(
            id=new_id(),
            account_id=agent.account_id,
            agent_id=agent.id,
            type="auto",
            level="warning" if level == "warning" else "info",
            message=PLAIN_WORDS[code].format(name=agent.name),
            created_at=self._clock(),
            code=code,
            facts={name: _plain(value) for name, value in facts.items()},
            agent_name=agent.name,
        )
        await self._tell_home(event)

    async def _tell_home(self, event: EventMessage) -> None:
        async with self._homes:
            home = await self._accounts.home(event.account_id)
        await self._store.jobs.say(AddMessage(event, home))


PLAIN_WORDS = {
    "AgentOnline": "Agent {name} is online",
    "AgentOffline": "Agent {name} is offline",
    "TwoJournals": "Agent {name} runs twice",
}
"""What programs that read the stream see; people get words from bots/."""


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _compose(name: str) -> str:
    """Each letter as one with its accents. What is too long for any name stays as it is."""
    return name if len(name) > LONGEST_TYPED else normalize("NFC", name)


def _no_agent(name: str, near: Sequence[str]) -> NotFound:
    return NotFound(f"There is no agent {name}.", code="AgentNotFound", name=name, near=near)


def _letters(name: str) -> str:
    """A name as people read it: full-width and styled letters, whatever their case, are letters."""
    return normalize("NFKC", normalize("NFKC", name).casefold())
