"""The broker of several processes: they say their hints through Redis, 6.2 or newer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeGuard, TypeVar

from redis.exceptions import ResponseError

from core.broker import ANSWER_STREAM, JOB_STREAM, MESSAGE_STREAM, STOP, News, Presence, Sign
from core.broker.bells import Bells, HeldBell
from core.broker.calls import BELL, Epochs, Holds, Listens, Looks, Pops, Signs, Tellings
from core.broker.line import FULL, Line
from core.broker.wire import PATIENCE, Command, Wire
from core.errors import Unavailable

GROUP = "skadi"
"""Our notifiers' consumer group; other services read the streams with groups of their own."""
MOST_NEWS = 1000
EMPTIED = ("NOGROUP", "UNBLOCKED")
"""How Redis answers a read when our group or its stream has gone, before and during the wait."""
PAUSE = 0.5
"""Seconds until the next try to reach a Redis that is away."""
STREAMS = (JOB_STREAM, MESSAGE_STREAM, ANSWER_STREAM)

log = logging.getLogger(__name__)

T = TypeVar("T")


class RedisBroker:
    def __init__(self, url: str) -> None:
        self._url = url
        self._line = Line(Wire(url))
        self._bells = Bells()
        self._ears: dict[str, Wire] = {}
        self._subscriber: asyncio.Task[None] | None = None
        self._away = False

    async def open(self) -> None:
        """Begin to hear the bell. A Redis that is away at this moment is no hindrance."""
        tried = asyncio.Event()
        self._subscriber = asyncio.create_task(self._subscribe(tried))
        await tried.wait()

    async def close(self) -> None:
        if self._subscriber is not None:
            self._subscriber.cancel()
            await asyncio.wait([self._subscriber])
        await self._line.close()
        for ear in self._ears.values():
            await ear.close()

    async def sign(
        self, agent_id: str, now: datetime, *, out: bool = False, take: bool = False
    ) -> Sign:
        asked = (agent_id,)
        [sign] = await self._line.group(Signs).add(
            asked, now, out=asked if out else (), take=asked if take else ()
        )
        return sign

    async def sign_all(
        self, agent_ids: Sequence[str], now: datetime, *, out: Collection[str] = ()
    ) -> Sequence[Sign]:
        slices = _slices(agent_ids, len(agent_ids))
        calls = [self._line.group(Signs, len(some)).add(some, now, out=out) for some in slices]
        return [sign for signs in await asyncio.gather(*calls) for sign in signs]

    async def presence(self, agent_ids: Sequence[str]) -> Presence:
        slices = _slices(agent_ids, max(1, len(agent_ids)))
        calls = [self._line.group(Looks, len(some)).add(some) for some in slices]
        found = await asyncio.gather(*calls)
        # What was forgotten between the first and the last is told by the last.
        last = found[-1]
        seen = {agent_id: moment for look in found for agent_id, moment in look.seen.items()}
        return Presence(last.epoch, last.since, seen)

    async def listen(self, now: datetime, gap: float) -> None:
        await self._line.group(Listens).add(now, gap)

    async def set_epoch(self, epoch: int) -> None:
        await self._line.group(Epochs).add(epoch)

    async def tell(
        self,
        news: Sequence[News],
        ready: Sequence[tuple[str, str]] = (),
        stirred: Collection[str] = (),
    ) -> None:
        left = [pair for pair in ready if not self._bells.give(*pair)]
        ids = list(stirred)
        most = max(len(news), len(left), len(ids))
        parts = zip(_slices(news, most), _slices(left, most), _slices(ids, most), strict=True)
        calls = [self._line.group(Tellings, _weight(*part)).add(*part) for part in parts]
        await asyncio.gather(*calls)
        # Those who wait here need not wait until it comes back from Redis.
        self._ring(agent_id for agent_id, _ in ready)
        self._ring(ids)

    async def pop(self, agent_id: str) -> str | None:
        return await self._line.group(Pops).add(agent_id)

    async def hand_out(self, agent_id: str, job_id: str) -> None:
        await self._line.group(Holds).add(agent_id, "+", job_id)

    async def call_off(self, agent_id: str, job_id: str) -> None:
        await self._line.group(Holds).add(agent_id, "+", STOP + job_id)
        await self.tell([], [], [agent_id])

    async def take_back(self, agent_id: str, job_id: str) -> None:
        await self._line.group(Holds).add(agent_id, "-", job_id)

    async def take_news(self, consumer: str, seconds: float) -> Sequence[str]:
        ear = self._ear(consumer)
        end = time.monotonic() + seconds
        while _refused(reply := await _read(ear, consumer, end - time.monotonic()), *EMPTIED):
            await _create_groups(ear)
        if _refused(reply):
            raise Unavailable("Redis does not tell the news.") from reply
        return _delivery_ids(reply or ())

    def bell(self, id: str, *, takes: bool = False) -> HeldBell:
        return self._bells.bell(id, takes)

    def ring_all(self) -> None:
        self._bells.ring_all()

    def _ear(self, consumer: str) -> Wire:
        """A connection of its own, as a read that waits occupies it."""
        if consumer not in self._ears:
            self._ears[consumer] = Wire(self._url)
        return self._ears[consumer]

    async def _subscribe(self, tried: asyncio.Event) -> None:
        wire = Wire(self._url)
        try:
            while True:
                try:
                    await self._hear(wire, tried)
                except Unavailable as error:
                    self._say_away(error)
                tried.set()
                await asyncio.sleep(PAUSE)
        finally:
            await wire.close()

    async def _hear(self, wire: Wire, tried: asyncio.Event) -> None:
        [reply] = await wire.exchange([("SUBSCRIBE", BELL)])
        if _refused(reply):
            raise Unavailable("Redis lets nobody hear the bell.") from reply
        self._say_back()
        # What rang while we were away rang for nobody, so everybody looks for himself.
        self.ring_all()
        tried.set()
        while True:
            _, _, ids = await wire.hear()
            self._ring(ids.decode(errors="replace").split())

    def _say_away(self, error: Unavailable) -> None:
        if not self._away:
            log.warning("Redis is away, and agents get no jobs: %s", error.__cause__)
        self._away = True

    def _say_back(self) -> None:
        if self._away:
            log.warning("Redis is back")
        self._away = False

    def _ring(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._bells.ring(id)


def _slices(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[start : start + FULL] for start in range(0, most, FULL))


def _weight(news: Sequence[News], ready: Sequence[object], stirred: Sequence[object]) -> int:
    """A page of text weighs as much as a call, so that a batch stays within a few MiB. A bell weighs
    next to nothing."""
    pages = sum(len(entry.body) for entry in news) // 4096
    return 1 + len(news) + len(ready) + len(stirred) // 64 + pages


async def _read(ear: Wire, consumer: str, seconds: float) -> Any:
    # Nothing is acknowledged (NOACK): what was taken and not told the database knows, and a
    # sweep finds it. Zero would mean to wait for ever.
    wait = max(1, int(seconds * 1000))
    command: Command = (
        *("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", MOST_NEWS, "BLOCK", wait, "NOACK"),
        *("STREAMS", *STREAMS, *[">"] * len(STREAMS)),
    )
    [reply] = await ear.exchange([command], max(0.0, seconds) + PATIENCE)
    return reply


async def _create_groups(ear: Wire) -> None:
    # From the beginning: the group is missing when Redis was emptied, and what was said between
    # that and now would otherwise wait for a sweep.
    commands = [("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM") for stream in STREAMS]
    for reply in await ear.exchange(commands):
        # BUSYGROUP: somebody else was first.
        if _refused(reply) and not _refused(reply, "BUSYGROUP"):
            raise Unavailable("Redis lets nobody read the news.") from reply


def _refused(reply: object, *reasons: str) -> TypeGuard[ResponseError]:
    """Whether Redis refused the command, for one of these reasons if any is named."""
    return isinstance(reply, ResponseError) and str(reply).startswith(reasons or "")


def _delivery_ids(reply: Iterable[Any]) -> list[str]:
    """Distinct; the event itself, which may be long, is not looked into."""
    entries = (fields for _, entries in reply for _, fields in entries)
    return list({fields[3].decode(): None for fields in entries if fields[2:3] == [b"delivery"]})
