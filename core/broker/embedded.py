"""The broker of a single process: the same hints, kept in memory."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Generic, TypeVar

from core.broker import STOP, News, Presence, Sign, parted
from core.broker.bells import Bells, HeldBell

MOST_NEWS = 1000

V = TypeVar("V")


class Fading(Generic[V]):
    """A value an agent, forgotten after so long a life. It ages from the first `fade` on."""

    def __init__(self, life: timedelta, make: Callable[[], V]) -> None:
        self._life = life
        self._make = make
        self._values: dict[str, V] = {}
        self._ages: dict[str, datetime] = {}

    def __contains__(self, agent_id: str) -> bool:
        return agent_id in self._values

    def get(self, agent_id: str) -> V | None:
        return self._values.get(agent_id)

    def need(self, agent_id: str) -> V:
        value = self._values.get(agent_id)
        if value is None:
            value = self._values[agent_id] = self._make()
        return value

    def renew(self, agent_id: str) -> V:
        self._ages.pop(agent_id, None)
        return self.need(agent_id)

    def drop(self, agent_id: str) -> None:
        self._values.pop(agent_id, None)
        self._ages.pop(agent_id, None)

    def fade(self, now: datetime) -> None:
        for agent_id in list(self._values):
            if self._ages.setdefault(agent_id, now) < now - self._life:
                self.drop(agent_id)


class EmbeddedBroker:
    def __init__(self) -> None:
        self._bells = Bells()
        self._epoch: int | None = None
        self._seen: dict[str, datetime] = {}
        self._since: datetime | None = None
        self._listened_at: datetime | None = None
        self._deaf_from = 0.0
        # What the database still calls queuing is said again, so the rest may be forgotten.
        self._ready: Fading[list[str]] = Fading(timedelta(hours=1), list)
        self._out: Fading[set[str]] = Fading(timedelta(days=1), set)
        self._news: dict[str, None] = {}
        self._fresh = asyncio.Event()

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def sign(
        self, agent_id: str, now: datetime, *, out: bool = False, take: bool = False
    ) -> Sign:
        last_seen = self._seen.get(agent_id)
        self._seen[agent_id] = now
        held, asked = parted(self._out.get(agent_id) or () if out else ())
        job = await self.pop(agent_id) if take else None
        return Sign(self._epoch, last_seen, agent_id in self._ready, held, job, asked)

    async def sign_all(
        self, agent_ids: Sequence[str], now: datetime, *, out: Collection[str] = ()
    ) -> Sequence[Sign]:
        return [await self.sign(agent_id, now, out=agent_id in out) for agent_id in agent_ids]

    async def presence(self, agent_ids: Sequence[str]) -> Presence:
        since = self._since if time.monotonic() < self._deaf_from else None
        seen = {agent_id: self._seen[agent_id] for agent_id in agent_ids if agent_id in self._seen}
        return Presence(self._epoch, since, seen)

    async def listen(self, now: datetime, gap: float) -> None:
        last, self._listened_at = self._listened_at, now
        deaf = time.monotonic() >= self._deaf_from
        # A clock that was far ahead for a while must not silence us until its time has come.
        if last is None or deaf or abs(now - last) > timedelta(seconds=gap):
            self._since = now
        self._deaf_from = time.monotonic() + gap
        self._forget(now)

    async def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch if self._epoch is None else max(epoch, self._epoch)

    async def tell(
        self,
        news: Sequence[News],
        ready: Sequence[tuple[str, str]] = (),
        stirred: Collection[str] = (),
    ) -> None:
        self._news |= {entry.delivery_id: None for entry in news if entry.delivery_id}
        if self._news:
            self._fresh.set()
        left = [pair for pair in ready if not self._bells.give(*pair)]
        for agent_id, job_id in left:
            _insert(self._ready.need(agent_id), job_id)
        for agent_id, _ in left:
            self._bells.ring(agent_id)
        for job_id in stirred:
            self._bells.ring(job_id)

    async def pop(self, agent_id: str) -> str | None:
        jobs = self._ready.get(agent_id)
        if not jobs:
            return None
        job_id = jobs.pop(0)
        if not jobs:
            self._ready.drop(agent_id)
        return job_id

    async def hand_out(self, agent_id: str, job_id: str) -> None:
        self._out.renew(agent_id).add(job_id)

    async def call_off(self, agent_id: str, job_id: str) -> None:
        self._out.renew(agent_id).add(STOP + job_id)
        self._bells.ring(agent_id)

    async def take_back(self, agent_id: str, job_id: str) -> None:
        held = self._out.get(agent_id)
        if held:
            held -= {job_id, STOP + job_id}
        if not held:
            self._out.drop(agent_id)

    async def take_news(self, consumer: str, seconds: float) -> Sequence[str]:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._news:
                    await self._fresh.wait()
        taken = list(islice(self._news, MOST_NEWS))
        for delivery_id in taken:
            del self._news[delivery_id]
        if not self._news:
            self._fresh.clear()
        return taken

    def bell(self, id: str, *, takes: bool = False) -> HeldBell:
        return self._bells.bell(id, takes)

    def ring_all(self) -> None:
        self._bells.ring_all()

    def _forget(self, now: datetime) -> None:
        old = now - timedelta(days=1)
        self._seen = {agent_id: seen for agent_id, seen in self._seen.items() if seen >= old}
        self._ready.fade(now)
        self._out.fade(now)


def _insert(jobs: list[str], job_id: str) -> None:
    """Ids sort by age."""
    at = bisect_left(jobs, job_id)
    if jobs[at : at + 1] != [job_id]:
        jobs.insert(at, job_id)
