"""How long things are kept: what is older is forgotten, a little at a time, beside all other work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.model import Clock, utc_now
from core.settings import Keep
from core.store import Page, Store

log = logging.getLogger(__name__)

PAGE = 500
"""Rows that one transaction looks at."""
SLICE = 100
"""The same of rows that hold output, each of which may be a megabyte."""
BUDGET = 300.0
"""Seconds after which a round ends; the next one goes on with what is left."""
SHORTEST_PAUSE = 0.01
MARGIN = timedelta(hours=1)
"""Far more than passes between a message's being known and its job's being there."""

Forget = Callable[[datetime, str, int], Awaitable[Page]]


@dataclass(frozen=True, slots=True)
class Round:
    """One kind of thing, how long it is kept, and how many of it are looked at in one transaction."""

    name: str
    age: timedelta | None
    forget: Forget
    page: int = PAGE


class Keeping:
    """Two at once do no harm: each forgets what the other has left."""

    def __init__(
        self,
        store: Store,
        keep: Keep | None = None,
        *,
        clock: Clock = utc_now,
        budget: float = BUDGET,
    ) -> None:
        self._store = store
        self._keep = keep or Keep()
        self._clock = clock
        self._budget = budget

    async def sweep(self) -> bool:
        """Forget what is older than it is to be kept; whether all of it was, within the time for it."""
        end = now() + self._budget
        # In this order: a job is the last of its things to go, and never before its messages.
        for each in self._rounds():
            if not await self._go_round(each, end):
                return False
        return True

    def _rounds(self) -> Iterator[Round]:
        keep, store = self._keep, self._store.keeping
        yield Round("messages", keep.messages, self._forget_messages)
        yield Round("answers", keep.messages, store.answers)
        yield Round("letters", keep.letters, store.letters)
        events, output = shorter(keep.events, keep.jobs), shorter(keep.output, keep.jobs)
        yield Round("events", events, store.events)
        yield Round("results", output, store.results, SLICE)
        yield Round("outputs", output, store.outputs, SLICE)
        if keep.jobs is not None and keep.messages is not None:
            yield Round("jobs", max(keep.jobs, keep.messages + MARGIN), store.jobs)

    async def _go_round(self, each: Round, end: float) -> bool:
        """Page by page, at most half of the time; whether the last one was reached."""
        if each.age is None:
            return True
        before, after, gone = self._clock() - each.age, "", 0
        while now() < end:
            began = now()
            page = await each.forget(before, after, each.page)
            gone += page.gone
            if page.after is None:
                break
            after = page.after
            await asyncio.sleep(max(now() - began, SHORTEST_PAUSE))
        else:
            log.info("Not all %s that are over were forgotten; the next round goes on.", each.name)
            return False
        if gone:
            log.info("%d %s are not kept any more.", gone, each.name)
        return True

    async def _forget_messages(self, before: datetime, after: str, limit: int) -> Page:
        gone = await self._store.messages.forget(before, limit)
        return Page(gone, after if gone >= limit else None)


def shorter(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    """None is for ever."""
    return min((age for age in (one, other) if age is not None), default=None)


def now() -> float:
    return asyncio.get_running_loop().time()
