"""What a process remembers of facts that seldom change, until their epoch does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from core.broker import Broker
from core.errors import Unavailable

T = TypeVar("T")
MOST = 100_000


class Facts(Protocol):
    async def epoch(self) -> int: ...


class Memory:
    """Facts as they stood in one epoch (see core/store/facts.py); another epoch empties it.

    What was not found is not remembered, so that a new token is good at once. Without a broker to say the
    epoch nothing is remembered at all."""

    def __init__(self, facts: Facts | None = None, broker: Broker | None = None) -> None:
        self._truth = facts
        self._broker = broker
        self._facts: OrderedDict[str, Any] = OrderedDict()
        self._epoch: int | None = None

    def hold(self, epoch: int | None) -> None:
        """This is the epoch now."""
        if epoch != self._epoch:
            self._facts.clear()
            self._epoch = epoch

    async def refresh(self) -> None:
        """Ask which epoch it is, before what is remembered is believed."""
        if self._broker is None:
            return
        try:
            self.learn((await self._broker.presence([])).epoch)
            if self._epoch is None:
                await self.restore()
        except Unavailable:
            self.forget()

    def learn(self, epoch: int | None) -> None:
        """What the broker says; None when it does not know."""
        if epoch is None:
            self.forget()
        else:
            self.hold(epoch)

    async def restore(self) -> None:
        """The broker forgot the epoch: the database knows it."""
        if self._truth is None or self._broker is None:
            return
        epoch = await self._truth.epoch()
        self.hold(epoch)
        await self._broker.set_epoch(epoch)

    async def changed(self) -> None:
        """We changed a fact: other processes are to ask again before our answer is heard."""
        self.forget()
        with suppress(Unavailable):  # the watcher says it later
            await self.restore()

    def forget(self) -> None:
        """We cannot know what has changed."""
        self._facts.clear()
        self._epoch = None

    @property
    def epoch(self) -> int | None:
        return self._epoch

    def get(self, key: str) -> Any | None:
        return self._facts.get(key)

    def put(self, key: str, fact: object) -> None:
        self._facts[key] = fact
        if len(self._facts) > MOST:
            self._facts.popitem(last=False)

    async def recall(
        self, key: str, look_up: Callable[[], Awaitable[T | None]], *, keep_none: bool = False
    ) -> T | None:
        if key in self._facts:
            known: T | None = self._facts[key]
            return known
        epoch = self._epoch
        fact = await look_up()
        # What was looked up in an epoch that has passed meanwhile may be stale already.
        if epoch is not None and epoch == self._epoch and (fact is not None or keep_none):
            self.put(key, fact)
        return fact
