"""An agent asks for its next job, and may have the question held until there is one."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import lru_cache
from random import uniform
from urllib.parse import parse_qsl

from core.broker import Bell, Broker
from core.errors import Invalid
from core.jobs import Claimed, Jobs
from core.model import Agent, is_id
from web.auth import Auth
from web.call import Call
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


class Polls:
    """The polls of this process, held and not."""

    def __init__(self, auth: Auth, jobs: Jobs, broker: Broker, settings: WebSettings) -> None:
        self._auth = auth
        self._jobs = jobs
        self._broker = broker
        self._settings = settings
        self._closed = False

    def close(self) -> None:
        """Let every held poll return empty now, and hold none from here on."""
        self._closed = True
        self._broker.ring_all()

    async def take(self, call: Call) -> Claimed | None:
        """The next job of the agent that calls. Raises Invalid for a query that makes no sense."""
        ask = self._read(call)
        end = asyncio.get_running_loop().time() + ask.wait
        agent, claimed = await self._look(call, ask)
        if claimed or not ask.wait:
            return claimed
        # Before the next look, so that what comes between a look and the wait is heard.
        with self._broker.bell(agent.id) as bell:
            return await self._hold(call, ask, bell, end)

    async def _hold(self, call: Call, ask: Ask, bell: Bell, end: float) -> Claimed | None:
        def wake(_: object) -> None:
            bell.ring()

        while not (self._closed or call.gone()):
            _, claimed = await self._look(call, ask)
            left = end - asyncio.get_running_loop().time()
            if claimed or left <= 0:
                return claimed
            call.when_something_arrives(wake)
            await bell.wait(min(left, self._pause()))
        return None

    async def _look(self, call: Call, ask: Ask) -> tuple[Agent, Claimed | None]:
        agent, sign = await self._auth.greet(call, out=ask.holding is not None)
        if not agent.available:
            raise Invalid("This agent is switched off.", code="UnavailableAgent")
        if not ask.slots or call.gone():
            return agent, None
        claimed = await self._jobs.claim(agent, journal=ask.journal, holding=ask.holding, sign=sign)
        if claimed and call.gone():
            await self._jobs.give_back(agent, claimed)
            return agent, None
        return agent, claimed

    def _pause(self) -> float:
        # Polls that were woken together must not go on looking in step.
        return uniform(0.8, 1.2) * self._settings.look_again  # noqa: S311

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


def read_wait(text: str, longest: float) -> float:
    try:
        wait = float(text)
    except ValueError:
        wait = -1
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
