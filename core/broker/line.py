"""Group round trips: what comes in while a pipeline is under way is the next pipeline."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

from redis.exceptions import ResponseError

from core.broker.wire import Command, Wire
from core.errors import Unavailable
from core.metrics import BROKER_AWAY, ROUND_TRIPS

FULL = 1000
"""The weight from which a batch takes no more; a plain call weighs 1."""

log = logging.getLogger(__name__)

T = TypeVar("T")
G = TypeVar("G", bound="Group[Any]")


class Group(ABC, Generic[T]):
    """Calls of one kind that travel together, with few commands for all of them."""

    def __init__(self) -> None:
        self._callers: list[asyncio.Future[T]] = []

    def join(self) -> asyncio.Future[T]:
        caller: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._callers.append(caller)
        return caller

    @abstractmethod
    def commands(self) -> Iterable[Command]: ...

    @abstractmethod
    def answers(self, replies: Sequence[Any]) -> Iterable[T]:
        """From one reply a command to one answer a caller."""

    def settle(self, replies: Sequence[Any]) -> None:
        refused = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if refused is not None:
            return self.fail(refused)
        for caller, answer in zip(self._callers, self.answers(replies), strict=True):
            if not caller.done():
                caller.set_result(answer)

    def fail(self, cause: BaseException) -> None:
        for caller in self._callers:
            if not caller.done():
                caller.set_exception(_unavailable(cause))


class Batch:
    """The groups of one pipeline, in the order in which their first callers came."""

    def __init__(self) -> None:
        self.weight = 0
        self._groups: dict[type[Group[Any]], Group[Any]] = {}
        self._sizes: list[int] = []

    def group(self, kind: type[G]) -> G:
        group = self._groups.get(kind)
        if group is None:
            group = self._groups[kind] = kind()
        return cast(G, group)

    def commands(self) -> list[Command]:
        lists = [list(group.commands()) for group in self._groups.values()]
        self._sizes = [len(commands) for commands in lists]
        return [command for commands in lists for command in commands]

    def settle(self, replies: Sequence[Any]) -> None:
        start = 0
        for group, size in zip(self._groups.values(), self._sizes, strict=True):
            group.settle(replies[start : start + size])
            start += size

    def fail(self, cause: BaseException) -> None:
        for group in self._groups.values():
            group.fail(cause)


class Line:
    """Carries batches over a wire, one at a time and in the order they came."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._waiting: deque[Batch] = deque()
        self._courier: asyncio.Task[None] | None = None

    def group(self, kind: type[G], weight: int = 1) -> G:
        """The group of a kind that a call joins now, in a batch that is sent without delay."""
        if not self._waiting or self._waiting[-1].weight >= FULL:
            self._waiting.append(Batch())
        batch = self._waiting[-1]
        batch.weight += weight
        if self._courier is None or self._courier.done():
            self._courier = asyncio.create_task(self._carry())
        return batch.group(kind)

    async def close(self) -> None:
        """Carry what is said already, and hang up."""
        if self._courier is not None:
            await asyncio.wait([self._courier])
        await self._wire.close()

    async def _carry(self) -> None:
        while self._waiting:
            await self._deliver(self._waiting.popleft())

    async def _deliver(self, batch: Batch) -> None:
        begun = time.perf_counter()
        try:
            batch.settle(await self._wire.exchange(batch.commands()))
            ROUND_TRIPS.observe(time.perf_counter() - begun)
            if BROKER_AWAY.end():
                log.warning("Redis answers again")
        except Exception as error:
            if BROKER_AWAY.begin():
                log.warning("Redis does not answer: %r", error.__cause__ or error)
            # Who already waits for the next batches learns it now, not one timeout after another.
            self._fail([batch, *self._waiting], error)
        except asyncio.CancelledError as error:
            self._fail([batch, *self._waiting], error)
            raise

    def _fail(self, batches: Iterable[Batch], cause: BaseException) -> None:
        for batch in batches:
            batch.fail(cause)
        self._waiting.clear()


def _unavailable(cause: BaseException) -> Unavailable:
    """One for each caller, as a raised error collects the traceback of whom it was raised in."""
    error = Unavailable("Redis does not answer.")
    error.__cause__ = cause.__cause__ if isinstance(cause, Unavailable) else cause
    return error
