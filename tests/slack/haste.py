"""A loop on which time runs faster, for conversations that take their time by the rules of others."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from tests.clock import Clock

T = TypeVar("T")


class Selector(selectors.DefaultSelector):
    """Waits so much shorter."""

    def __init__(self, haste: float) -> None:
        super().__init__()
        self._haste = haste

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / self._haste if timeout and timeout > 0 else timeout)


class Loop(asyncio.SelectorEventLoop):
    """So many seconds pass in one; sleeps and timeouts go by it."""

    def __init__(self, haste: float) -> None:
        self._haste = haste
        super().__init__(Selector(haste))

    def time(self) -> float:
        return super().time() * self._haste


def hurry(haste: float, story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=partial(Loop, haste)) as runner:
        return runner.run(story())


class Running(Clock):
    """A clock that goes with the loop, and that a test may move besides."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self._since = asyncio.get_running_loop().time()

    def __call__(self) -> datetime:
        gone = asyncio.get_running_loop().time() - self._since
        return self.now + timedelta(seconds=gone)
