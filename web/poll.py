"""An agent asks for its next job and hears which ones to stop; it may have the question held until
there is something to say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from core.broker import Broker, Sign
from core.errors import Invalid, SkadiError, Unavailable
from core.jobs import Claimed, Jobs
from core.metrics import HELD_POLLS
from core.model import Agent, is_id
from web.auth import Auth
from web.call import Call
from web.rounds import Held, Rounds, Wishes
from web.settings import WebSettings

MOST_HELD = 1000
LONGEST_NUMBER = 6
JOURNAL = re.compile("[A-Za-z0-9_-]{1,64}")
SHORT = 200
"""Queries up to this many bytes are remembered; nearly every poll repeats an earlier one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a poll asks for. `wait` in seconds; `holding` None: the agent keeps no journal."""

    wait: float = 0.0
    slots: int = 1
    journal: str = ""
    holding: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What a poll is answered: a job, the ids of jobs to be stopped, or both."""

    claimed: Claimed | None = None
    cancel: Sequence[str] = ()


class Polls:
    """The polls of this process, held and not."""

    def __init__(self, auth: Auth, jobs: Jobs, broker: Broker, settings: WebSettings) -> None:
        self._auth = auth
        self._jobs = jobs
        self._broker = broker
        self._settings = settings
        self._wishes = Wishes()
        self._rounds = Rounds(auth, settings.look_again, self._wishes)
        self._closed = False

    def close(self) -> None:
        """Let every held poll return empty now, and hold none from here on."""
        self._closed = True
        self._rounds.close()
        self._broker.ring_all()

    async def take(self, call: Call) -> Given | None:
        """The next job of the agent that calls, and which of its jobs somebody wants stopped. Raises
        Invalid for a query that makes no sense."""
        ask = self._read(call)
        now = asyncio.get_running_loop().time()
        agent, sign = await self._auth.greet(call, out=ask.holding is not None)
        await self._end_lost(ask, agent, sign)
        given = await self._give(call, ask, agent, sign)
        if given or not ask.wait or self._closed:
            return given
        takes = ask.slots > 0
        with self._broker.bell(agent.id, takes=takes) as bell:
            epoch = sign.epoch if sign else None
            held = Held(agent.id, bell, ask.holding, takes, epoch, due=now)
            with self._rounds.hold(held):
                HELD_POLLS.add()
                try:
                    return await self._hold(call, ask, held, now + ask.wait)
                finally:
                    HELD_POLLS.add(by=-1)

    async def _end_lost(self, ask: Ask, agent: Agent, sign: Sign | None) -> None:
        """Only as a poll comes: then the agent has what was answered to its earlier ones, or lost it."""
        if sign and ask.holding is not None and (lost := sign.asked - ask.holding):
            await self._jobs.call_off_lost(agent, ask.journal, lost)

    async def _hold(self, call: Call, ask: Ask, held: Held, end: float) -> Given | None:
        def wake(_: object) -> None:
            held.wake()

        loop = asyncio.get_running_loop()
        while not call.gone() and (left := end - loop.time()) > 0:
            call.when_something_arrives(wake)
            rung = await held.bell.wait(left)
            job_id, sign = held.bell.job(), held.sign()
            if self._closed or not rung or call.gone():
                await self._leave(held.agent_id, job_id)
                return None
            if job_id:
                given = await self._take(call, ask, held, job_id)
            else:
                given = await self._look(call, ask, held, sign)
            if given:
                return given
        return None

    async def _take(self, call: Call, ask: Ask, held: Held, job_id: str) -> Given | None:
        """The job that this process has for it, without a word to the broker."""
        try:
            agent = await self._auth.recognise(call)
        except SkadiError:
            await self._leave(held.agent_id, job_id)
            raise
        sign = Sign(held.epoch, None, ready=False, job=job_id)
        return await self._give(call, ask, agent, sign)

    async def _look(self, call: Call, ask: Ask, held: Held, sign: Sign | None) -> Given | None:
        """Who was rung for probably has a job, so that it is asked for with the sign of life, unless
        that was given in its place."""
        out = ask.holding is not None
        agent, sign = await self._auth.greet(call, out=out, take=held.takes, sign=sign)
        held.epoch = sign.epoch if sign else None
        return await self._give(call, ask, agent, sign)

    async def _give(self, call: Call, ask: Ask, agent: Agent, sign: Sign | None) -> Given | None:
        cancel = self._wishes.untold(sign, ask.holding)
        if not (agent.available or cancel):
            raise Invalid("This agent is switched off.", code="UnavailableAgent")
        claimed = await self._claim(call, ask, agent, sign)
        if claimed is None and (call.gone() or not cancel):
            return None
        self._wishes.told(cancel)
        return Given(claimed, sorted(cancel))

    async def _claim(self, call: Call, ask: Ask, agent: Agent, sign: Sign | None) -> Claimed | None:
        if not ask.slots or not agent.available or call.gone():
            await self._leave(agent.id, sign.job if sign else None)
            return None
        claimed = await self._jobs.claim(agent, journal=ask.journal, holding=ask.holding, sign=sign)
        if claimed and call.gone():
            await self._jobs.give_back(agent, claimed)
            return None
        return claimed

    async def _leave(self, agent_id: str, job_id: str | None) -> None:
        """A job that was given to this poll is for the agent's next one."""
        if job_id:
            with suppress(Unavailable):  # the watcher says it later
                await self._broker.tell([], [(agent_id, job_id)])

    def _read(self, call: Call) -> Ask:
        query = call.scope["query_string"]
        if call.scope["method"] == "HEAD":
            return NOTHING
        if not query:
            return AT_ONCE
        read = read_again if len(query) <= SHORT else read_query
        return read(query, self._settings.longest_wait)


AT_ONCE = Ask()
NOTHING = Ask(slots=0)
"""An answer to HEAD has no body, so a job would be lost in it."""


def read_query(query: bytes, longest_wait: float) -> Ask:
    """What the query of a poll says; parameters that we do not know mean nothing."""
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    wait = read_wait(given.get("wait", "0"), longest_wait)
    slots = read_slots(given.get("slots", "1"))
    if "journal" not in given:
        return Ask(wait, slots)
    holding = read_ids(given["holding"]) if "holding" in given else None
    return Ask(wait, slots, read_journal(given["journal"]), holding)


read_again = lru_cache(4096)(read_query)


SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


def read_wait(text: str, longest: float) -> float:
    wait = float(text) if SECONDS.fullmatch(text) else -1
    if not 0 <= wait <= longest:
        raise Invalid(f"wait is a number of seconds, at most {longest:g}.")
    return wait


def read_slots(text: str) -> int:
    if not (text.isdecimal() and len(text) <= LONGEST_NUMBER):
        raise Invalid("slots is the number of jobs the agent would take.")
    return int(text)


def read_journal(text: str) -> str:
    if not JOURNAL.fullmatch(text):
        raise Invalid("journal is up to 64 letters, digits, - and _.")
    return text


def read_ids(text: str) -> frozenset[str]:
    """Ids of jobs with commas between; an empty text is no job."""
    ids = text.split(",") if text else []
    if len(ids) > MOST_HELD or not all(map(is_id, ids)):
        raise Invalid(f"holding is a list of job ids, at most {MOST_HELD}, with commas between.")
    return frozenset(ids)
