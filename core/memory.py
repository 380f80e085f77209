"""What a process remembers of facts that seldom change, until their epoch does."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any, Protocol, TypeVar

from core.broker import Broker
from core.errors import Unavailable

T = TypeVar("T")
Key = tuple[str, ...]
"""What kind of fact, then what names it. Names come from tenants, so that no sign of a text can part them."""
MOST = 100_000
FRESH = 0.1
"""Seconds for which the epoch that the broker named last is believed without asking again."""


class Facts(Protocol):
    async def epoch(self) -> int: ...


class Memory:
    """Facts as they stood in one epoch (see core/store/facts.py); another epoch empties it.

    What was not found is not remembered, so that a new token is good at once. Without a broker to say the
    epoch nothing is remembered at all. `seconds` is a clock that only goes forward."""

    def __init__(
        self,
        facts: Facts | None = None,
        broker: Broker | None = None,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._truth = facts
        self._broker = broker
        self._seconds = seconds
        self._facts: OrderedDict[Key, Any] = OrderedDict()
        self._epoch: int | None = None
        self._heard_at = -inf

    async def refresh(self, within: float = FRESH) -> None:
        """Ask which epoch it is, before what is remembered is believed.

        Not when the broker has named it `within` so many seconds: so long another process's change
        may stay unknown. Our own changes make us forget at once."""
        if self._broker is None or self._seconds() - self._heard_at < within:
            return
        try:
            self.learn((await self._broker.presence([])).epoch)
            if self._epoch is None:
                await self.restore()
        except Unavailable:
            self.forget()

    def learn(self, epoch: int | None) -> bool:
        """What the broker says, None when it does not know: whether what is remembered holds."""
        if epoch is None:
            self.forget()
            return False
        held = epoch == self._epoch
        self._hold(epoch)
        return held

    async def restore(self) -> None:
        """The broker forgot the epoch: the database knows it."""
        if self._truth is None or self._broker is None:
            return
        epoch = await self._truth.epoch()
        self._hold(epoch)
        await self._broker.set_epoch(epoch)

    async def changed(self) -> None:
        """We changed a fact: other processes are to ask again before our answer is heard."""
        self.forget()
        with suppress(Unavailable):  # the watcher says it later
            await self.restore()

    def forget(self) -> None:
        """We cannot know what has changed."""
        self._facts, self._epoch = OrderedDict(), None
        self._heard_at = -inf

    def _hold(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._facts, self._epoch = OrderedDict(), epoch
        self._heard_at = self._seconds()

    def get(self, key: Key) -> Any | None:
        return self._facts.get(key)

    def put(self, key: Key, fact: object) -> None:
        self._facts[key] = fact
        if len(self._facts) > MOST:
            self._facts.popitem(last=False)

    async def recall(
        self, key: Key, look_up: Callable[[], Awaitable[T | None]], *, keep_none: bool = False
    ) -> T | None:
        if key in self._facts:
            known: T | None = self._facts[key]
            return known
        facts = self._facts
        fact = await look_up()
        # What was looked up before the facts were forgotten may be stale already, and that holds
        # even when the same epoch has come back since.
        current = self._epoch is not None and facts is self._facts
        if current and (fact is not None or keep_none):
            self.put(key, fact)
        return fact
