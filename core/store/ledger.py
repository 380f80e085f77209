"""Group commit: what callers hand in while one batch is being written becomes the next batch."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.errors import SkadiError, Unavailable
from core.metrics import BATCH_FACTS, COMMIT, DATABASE_AWAY, DISPATCH, JOBS, RUN
from core.model import ACTIVE, Clock, Job, JobStatus, Times
from core.store.batch import Batch, Change, Fact
from core.store.chunks import AddOutput
from core.store.database import (
    Database,
    Failure,
    is_away,
    is_collision,
    is_cut,
    is_duplicate,
    refusal,
)
from core.store.known import Known
from core.store.moves import MoveJob

LONGEST_BATCH = 500
LARGEST_BATCH = 4 * 1024 * 1024  # bytes
PATIENCE = 20.0
"""Seconds a fact waits for a database that is away: an old agent reports once, so it is worth waiting."""
PAUSE = 0.25
MOST_CUTS = 4
"""So often a database that is there may cut the line on the same batch (too large for it) until its facts
are written one by one."""
LUMP = 50
"""So many announced batches are struck off by the next batch, on its way."""
QUIET = 1.0
"""Seconds until announced batches are struck off, if no other batch took them along. Shorter than the watcher
waits before it says them again."""

FIRST_HANDED_OUT = 2
"""The event of a job that was neither delayed nor given back, when it goes to its agent."""
REPORTED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED})

log = logging.getLogger(__name__)

Announce = Callable[[Batch], Awaitable[bool]]
"""Says a committed batch to the broker; whether it got through. Raises nothing."""


@dataclass(slots=True)
class Entry:
    fact: Fact
    future: asyncio.Future[Change]


@dataclass(slots=True)
class Trials:
    """What a batch has met with so far. `give_up`: on the loop's clock."""

    give_up: float
    met: bool = False
    away: bool = False
    cuts: int = 0

    def pause(self, error: Exception, batch: Batch) -> float:
        """Seconds until the next trial; raises when there is to be none."""
        if is_collision(error):
            pause = 0.005
        elif is_duplicate(error) and not self.met:
            # Another transaction was first with a message's key: now its job is found.
            pause, self.met = 0.0, True
        elif is_away(error):
            self.cuts += batch.decided and is_cut(error)
            # A line that was silent for long may be gone while the database is there.
            pause, self.away = PAUSE if self.away else 0.0, True
        else:
            raise error
        if self.cuts >= MOST_CUTS:
            raise error
        if _now() >= self.give_up:
            raise Unavailable("The database does not answer.") from error
        return pause


class Ledger:
    """Callers await one fact each and see nothing of the batches."""

    def __init__(self, database: Database, clock: Clock, times: Times) -> None:
        self._database = database
        self._clock = clock
        self._times = times
        self._waiting: deque[Entry] = deque()
        self._spent: list[str] = []
        self._writer: asyncio.Task[None] | None = None
        self._known = Known()
        self._telling: set[asyncio.Task[None]] = set()
        self._resting: asyncio.Task[None] | None = None
        self.announce: Announce = _keep_silent

    async def enter(self, fact: Fact) -> Change:
        """Returns when the fact is committed, and an addition when it is announced as well; raises what
        it was refused with.

        A caller that is cancelled takes nothing back: its fact is written all the same."""
        future: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._waiting.append(Entry(fact, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await future

    def _told(self, task: asyncio.Task[None]) -> None:
        """When nothing follows that could strike the batch off on its way, a quiet moment does."""
        self._telling.discard(task)
        if self._spent and (self._resting is None or self._resting.done()):
            self._resting = asyncio.create_task(self._rest())

    async def _rest(self) -> None:
        while self._spent:
            await asyncio.sleep(QUIET)
            if self._spent:
                await self._forget()

    async def close(self) -> None:
        """Finish what is in hand."""
        while self._writer and not self._writer.done():
            await asyncio.wait({self._writer})
        if self._telling:
            await asyncio.wait(self._telling)
        if self._resting:
            self._resting.cancel()
            await asyncio.wait({self._resting})
        if self._spent:
            await self._forget()

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._take())

    def _take(self) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        while self._waiting and len(entries) < LONGEST_BATCH:
            size += self._waiting[0].fact.size
            if entries and size > LARGEST_BATCH:
                break
            entries.append(self._waiting.popleft())
        return entries

    async def _write(self, entries: list[Entry]) -> None:
        try:
            batch = await self._commit([entry.fact for entry in entries])
        except Exception as error:
            await self._write_apart(entries, error)
        else:
            self._tell(batch, entries)

    async def _write_apart(self, entries: list[Entry], error: Exception) -> None:
        """One bad fact fails alone."""
        if len(entries) > 1 and not isinstance(error, Unavailable):
            for entry in entries:
                await self._write([entry])
            return
        if not isinstance(error, Unavailable):
            log.error("A fact could not be written: %r", error, exc_info=error)
        for entry in entries:
            _fail(entry.future, refusal(error))

    async def _commit(self, facts: Sequence[Fact]) -> Batch:
        """Write the batch, again while transactions collide, and patiently while the database is away."""
        trials = Trials(_now() + PATIENCE)
        begun = time.perf_counter()
        while True:
            batch = Batch(facts, self._times, self._clock(), self._known)
            try:
                await self._attempt(batch, self._spent_lump())
                batch.remember()
                count(batch, time.perf_counter() - begun)
                return batch
            except Failure as error:
                lost = is_away(error) and not is_collision(error)
                if lost:
                    DATABASE_AWAY.begin()
                if lost and await self._was_committed(batch, trials.give_up):
                    count(batch, time.perf_counter() - begun)
                    return batch
                await asyncio.sleep(trials.pause(error, batch))

    def _spent_lump(self) -> Sequence[str]:
        """To strike them off a few at a time would cost more than to announce them."""
        if len(self._spent) < LUMP:
            return ()
        spent, self._spent = self._spent, []
        return spent

    async def _attempt(self, batch: Batch, spent: Sequence[str]) -> None:
        try:
            await batch.write(self._database.line, spent)
        except BaseException:
            self._spent += spent
            await self._database.line.give_up()
            raise

    async def _was_committed(self, batch: Batch, give_up: float) -> bool:
        """A lost answer to COMMIT: ask what is there, once nobody is at work on it any more."""
        while True:
            try:
                async with self._database.engine.connect() as connection:
                    await self._database.line.end_lost(connection)
                    return await _is_there(connection, batch.witness)
            except Failure as error:
                if _now() >= give_up:
                    raise Unavailable("The database does not answer.") from error
            await asyncio.sleep(PAUSE)

    def _tell(self, batch: Batch, entries: list[Entry]) -> None:
        """Announce without holding up the next batch. A move is answered now: it is known to last, and
        who made it waits for nobody to hear of it."""
        # One after another, each says its first word to the broker before the next one begins: what is
        # announced keeps the order of the commits.
        task = asyncio.create_task(self._announce(batch))
        self._telling.add(task)
        task.add_done_callback(self._told)
        waiting = []
        for entry, outcome in zip(entries, batch.outcomes, strict=True):
            if isinstance(entry.fact, MoveJob | AddOutput):
                _answer(entry, outcome)
            else:
                waiting.append((entry, outcome))

        def answer_all(_announced: object) -> None:
            for entry, outcome in waiting:
                _answer(entry, outcome)

        task.add_done_callback(answer_all)

    async def _announce(self, batch: Batch) -> None:
        told = (batch.witness or batch.stirred) and await self.announce(batch)
        if told and batch.witness:
            self._spent.append(batch.id)

    async def _forget(self) -> None:
        """Nobody waits for this; where it fails, the batch is announced once more, which is harmless."""
        spent, self._spent = self._spent, []

        async def deed(connection: AsyncConnection) -> None:
            table = schema.announcements
            await connection.execute(delete(table).where(table.c.id.in_(spent)))

        try:
            await self._database.write(deed)
        except (SkadiError, SQLAlchemyError) as error:
            log.warning("%d announced batches could not be struck off: %s", len(spent), error)


def count(batch: Batch, seconds: float) -> None:
    """What was committed, and how long that took."""
    DATABASE_AWAY.end()
    BATCH_FACTS.observe(len(batch.facts))
    COMMIT.observe(seconds)
    for job in batch.recorded:
        count_job(job, batch.at)
    if batch.recorded and log.isEnabledFor(logging.INFO):
        # A line a batch: to write one for every job would take longer than all else about it.
        log.info("committed: %s", ", ".join(map(describe, batch.recorded)))


def describe(job: Job) -> str:
    """By ids alone, as a command may hold a secret."""
    first = f" for {job.agent_id} by {job.requested_by}" if job.seq == 1 else ""
    return f"{job.id} {job.status}{first}"


def count_job(job: Job, at: datetime) -> None:
    """A job as an event tells of it; not every event is of another status."""
    if job.status in ACTIVE and (job.cancel_asked_at == at or job.running_at not in (None, at)):
        return
    JOBS.values[(job.status.value,)] += 1
    if job.status is JobStatus.SENT and job.seq == FIRST_HANDED_OUT:
        DISPATCH.observe((at - job.created_at).total_seconds())
    elif job.sent_at and job.status in REPORTED:
        RUN.observe((at - job.sent_at).total_seconds())


def _now() -> float:
    return asyncio.get_running_loop().time()


def _answer(entry: Entry, outcome: Change | SkadiError) -> None:
    if isinstance(outcome, SkadiError):
        _fail(entry.future, outcome)
    elif not entry.future.done():
        entry.future.set_result(outcome)


async def _is_there(connection: AsyncConnection, witness: str) -> bool:
    """Waiting for a transaction that still ends."""
    found = select(schema.events.c.id).where(schema.events.c.id == witness)
    return (await connection.execute(found.with_for_update())).first() is not None


def _fail(future: asyncio.Future[Change], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # a caller that has gone is no reason for a warning


async def _keep_silent(_batch: Batch) -> bool:
    return True
