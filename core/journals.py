"""Which daemon polls for an agent, by its journal; two that take turns on one token are noticed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from core.model import Agent, Clock
from core.store import Store

MOST = 50_000
MEMORY = timedelta(minutes=1)
"""How long a process takes it for granted which journal polls; another may meet the other one."""
TURNS = timedelta(minutes=30)
DAY = timedelta(days=1)
AT_ONCE = 8
"""Journals whose past is looked up at the same time: a storm must leave connections to others."""


class Journals:
    """What this process has lately read or written of the journals that poll.

    "" is a daemon without a journal. One that is new once is a reinstalled agent; one that comes back
    was there all the time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[str, datetime]] = {}
        self._books = asyncio.Semaphore(AT_ONCE)

    def read(self, agent: Agent) -> None:
        """The database has just said which journal polled last for this agent."""
        self._know(agent.id, agent.journal)

    async def find_turns(self, agent_id: str, journal: str) -> bool:
        """Whether this journal is back after another one polled, said once a day."""
        known, until = self._known.get(agent_id, ("", self._clock()))
        if known == journal and self._clock() < until:
            return False
        before = await self._store.agents.note_journal(agent_id, journal)
        self._know(agent_id, journal)
        if before == journal:
            return False
        async with self._books:
            return await self._is_back(agent_id, journal, before)

    async def _is_back(self, agent_id: str, journal: str, before: str) -> bool:
        book, now = self._store.notes, self._clock()
        back = await book.get("journals", f"{agent_id} {journal}", now)
        await book.put("journals", f"{agent_id} {before}", True, now + TURNS)
        return bool(back) and await book.once("journals", f"{agent_id} told", now, now + DAY)

    def _know(self, agent_id: str, journal: str) -> None:
        if len(self._known) > MOST:
            self._known.clear()
        self._known[agent_id] = (journal, self._clock() + MEMORY)
