"""Those who wait for what becomes of a job: rung for by its id, and all looked after together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from core.broker import Bell, Broker
from core.errors import NotFound, Unavailable
from core.model import EventJobStatus, Job
from core.output import Piece
from core.store import Store
from core.store.together import Together

log = logging.getLogger(__name__)

PAGE = 500
"""Jobs that are looked at in one query."""


class Caller(Protocol):
    """Who waits, as far as that matters here."""

    def gone(self) -> bool:
        """Whether nobody wants to know any more."""

    def when_something_arrives(self, tell: Callable[[object], None]) -> None:
        """Have `tell` called when `gone` may have another answer."""


class Patient:
    """A caller that never leaves."""

    def gone(self) -> bool:
        return False

    def when_something_arrives(self, tell: Callable[[object], None]) -> None:
        """It never does."""


PATIENT = Patient()


@dataclass(frozen=True, slots=True)
class Place:
    """How much somebody knows of a job: its events up to a number, and so many bytes of its output."""

    seq: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A job came into a status, or it said something, from the byte `start` of its output on. `place`: after
    which to go on."""

    place: Place
    event: EventJobStatus | None = None
    text: str = ""
    start: int = 0


Look = Callable[[Job, int], Awaitable[Piece]]
"""What a job has said from so many bytes on."""


@dataclass(eq=False, slots=True)
class Follower:
    """One who waits. `seq`: the last event of the job that it knows of; `offset`: how many bytes of the
    output, None for who does not ask for it."""

    job_id: str
    bell: Bell
    seq: int = 0
    offset: int | None = None

    def wake(self, _: object = None) -> None:
        self.bell.ring()

    def tell(self, story: Sequence[EventJobStatus], piece: Piece | None) -> Iterator[Told]:
        """All that is new, the end of the job last."""
        for event in story:
            if not event.job.status.final:
                yield self._came(event)
        if piece and piece.text:
            start, self.offset = self.offset or 0, piece.next
            text = piece.text.decode(errors="replace")
            yield Told(Place(self.seq, self.offset), None, text, start)
        for event in story:
            if event.job.status.final:
                yield self._came(event)

    def _came(self, event: EventJobStatus) -> Told:
        self.seq = event.seq
        return Told(Place(self.seq, self.offset or 0), event)


class Following:
    """The waits of this process. Each hangs a bell before it looks, so that nothing comes between.

    `look_again`: seconds after which the jobs of all who wait are looked at without having been rung
    for, as a bell may be lost. That is one query for hundreds of them, and none while nobody waits."""

    def __init__(self, store: Store, broker: Broker, look_again: float = 5.0) -> None:
        self._store = store.jobs
        self._outputs = store.outputs
        self._broker = broker
        self._look_again = look_again
        self._together = Together(self._read)
        self._followers: dict[Follower, None] = {}
        self._going: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """Let every wait end now, with what is known, and begin none from here on."""
        self._closed = True
        if self._going is not None:
            self._going.cancel()
        for follower in self._followers:
            follower.wake()

    async def until_ended(
        self, account_id: str, job_id: str, seconds: float, caller: Caller = PATIENT
    ) -> Job:
        """The job when it has ended; sooner, as it stands then, when the seconds are over, the caller
        is gone or we close. NotFound: the account has no such job.

        A database that is away while we wait is waited for as well."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self._follow(job_id) as follower:
            job = await self._look(account_id, follower)
            while (
                not job.status.final and (left := end - loop.time()) > 0 and self._goes_on(caller)
            ):
                caller.when_something_arrives(follower.wake)
                await follower.bell.wait(left)
                if self._goes_on(caller):
                    job = await self._look_once_more(job, follower)
            return job

    async def until_said(
        self,
        account_id: str,
        job_id: str,
        seconds: float,
        look: Callable[[Job], Awaitable[Piece]],
        caller: Caller = PATIENT,
    ) -> tuple[Job, Piece]:
        """The job and what `look` finds of its output, once that is something or the job has ended;
        sooner as in until_ended. A bell for output is rung for nobody a second time, so that each
        looks again. NotFound: the account has no such job."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self._follow(job_id) as follower:
            while True:
                job = await self._look(account_id, follower)
                piece = await look(job)
                left = min(end - loop.time(), self._look_again)
                if piece.text or piece.ended or left <= 0 or not self._goes_on(caller):
                    return job, piece
                caller.when_something_arrives(follower.wake)
                await follower.bell.wait(left)

    async def events(
        self,
        account_id: str,
        job_id: str,
        place: Place,
        pause: float,
        look: Look,
        caller: Caller = PATIENT,
    ) -> AsyncGenerator[Told | None]:
        """What became of a job and what it said after a place, each thing as it happens, up to its end
        (or until the caller is gone, or we close). What was said comes before the end that brings it.
        None after each `pause` seconds of silence.

        NotFound: the account has no such job."""
        with self._follow(job_id) as follower:
            job = await self._look(account_id, follower)
            follower.seq, follower.offset = min(place.seq, job.seq), place.offset
            while self._goes_on(caller):
                story, piece, ended = await self._news(follower, look)
                for told in follower.tell(story, piece):
                    yield told
                if ended:
                    return
                caller.when_something_arrives(follower.wake)
                if not await follower.bell.wait(pause):
                    yield None

    def _goes_on(self, caller: Caller) -> bool:
        return not self._closed and not caller.gone()

    async def _look(self, account_id: str, follower: Follower) -> Job:
        job = await self._together.ask(follower.job_id)
        if job is None or job.account_id != account_id:
            raise NotFound("There is no such job.", code="JobNotFound", job=follower.job_id)
        follower.seq = job.seq
        return job

    async def _look_once_more(self, job: Job, follower: Follower) -> Job:
        try:
            return await self._look(job.account_id, follower)
        except Unavailable:
            return job

    async def _news(
        self, follower: Follower, look: Look
    ) -> tuple[Sequence[EventJobStatus], Piece | None, bool]:
        """What happened, what was said, and whether that is the end. Nothing while the database is away."""
        try:
            job, story = await self._story(follower)
            # Read last, so that all is there which was said before the end.
            piece = await look(job, follower.offset or 0) if job else None
        except Unavailable:
            return [], None, False
        ended = job is None or (story[-1].job if story else job).status.final
        return story, piece, ended

    async def _story(self, follower: Follower) -> tuple[Job | None, Sequence[EventJobStatus]]:
        job, story = await self._store.story(follower.job_id, follower.seq)
        if job is None or story or not job.status.final or job.seq <= follower.seq:
            return job, story
        # It ended between the two looks of the store, and now its end can be seen.
        job, story = await self._store.story(follower.job_id, follower.seq)
        if job and not story:
            # The event itself is no longer kept, but how it ended is known.
            story = [EventJobStatus("", job.seq, job, job.ended_at or job.created_at)]
        return job, story

    async def _read(self, job_ids: Sequence[str]) -> Sequence[Job | None]:
        found = await self._store.several(job_ids)
        return [found.get(job_id) for job_id in job_ids]

    # Looked after together

    @contextmanager
    def _follow(self, job_id: str) -> Iterator[Follower]:
        with self._broker.bell(job_id) as bell:
            follower = Follower(job_id, bell)
            self._followers[follower] = None
            if self._going is None or self._going.done():
                self._going = asyncio.create_task(self._go())
            try:
                yield follower
            finally:
                del self._followers[follower]

    async def _go(self) -> None:
        while self._followers and not self._closed:
            await asyncio.sleep(self._look_again)
            try:
                await self._look_after(list(self._followers))
            except Unavailable:
                continue
            except Exception:  # those who wait depend on the next look
                log.exception("A look after the jobs that are waited for failed.")

    async def _look_after(self, followers: Sequence[Follower]) -> None:
        ids = sorted({follower.job_id for follower in followers})
        steps: dict[str, int] = {}
        sizes: dict[str, int] = {}
        listened_to = {follower.job_id for follower in followers if follower.offset is not None}
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            steps |= await self._store.steps(some)
            if heard := [job_id for job_id in some if job_id in listened_to]:
                sizes |= await self._outputs.sizes(heard)
        for follower in followers:
            more = follower.offset is not None and sizes.get(follower.job_id, 0) > follower.offset
            if more or steps.get(follower.job_id) != follower.seq:
                follower.wake()
