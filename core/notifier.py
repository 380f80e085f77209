"""From an event to the people who wait for it: leased, retried, and in the end a dead letter."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from core import settings
from core.accounts import Accounts
from core.broker import Broker
from core.chat import Abilities, Adapter, DeliveryError, Published, Reply, Thread
from core.errors import NotFound, SkadiError, Unavailable
from core.events import job_news
from core.metrics import DELIVERY_TRIES, TELLING
from core.model import ACTIVE, FINAL, Clock, Delivery, EventMessage, Job, new_id, utc_now
from core.output import Output
from core.store import Store
from core.store.rows import thread_key

DEFAULTS = settings.Notifier()

log = logging.getLogger(__name__)

LONGEST_TAIL = 1500
"""Characters of its output that the post of a running job shows."""
MOST_SIZES = 50_000
ORDER_KEPT = timedelta(hours=2)
"""So long others wait behind a delivery that does not get through; a platform may be away for an hour."""
WORTH_A_CALL = ACTIVE | FINAL
"""What a place is told that takes events: a job's way from the moment an agent has it."""


class Phrase(Protocol):
    """Words for events; bots/ has them. `language` is `zh`, `zh-CN` or the like, empty where nobody
    said."""

    def job(
        self, job: Job, thread: Thread, *, language: str, abilities: Abilities, now: datetime
    ) -> Reply: ...

    def message(self, event: EventMessage, thread: Thread, *, language: str) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How hard we try. `lease`: how long one try may take."""

    lease: timedelta = DEFAULTS.lease
    first_pause: timedelta = DEFAULTS.first_pause
    longest_pause: timedelta = DEFAULTS.longest_pause
    give_up_after: timedelta = DEFAULTS.give_up
    look: float = DEFAULTS.look.total_seconds()
    """Seconds between two looks at what is due in the database, whatever the hints say."""
    brings: int = 500
    """Deliveries that one look brings along."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What to say now. `shown`: how far they know then; `seen`: how far we looked; `final`: the last word;
    `size`: bytes of live output that are shown by it; `ended_at`: when the job ended whose end it is."""

    reply: Reply | None
    shown: int = 0
    seen: int = 0
    final: bool = True
    again_at: datetime | None = None
    size: int = 0
    ended_at: datetime | None = None


@dataclass(slots=True)
class Queue:
    """Behind a delivery that is tried again later waits what came after it for the same thread: so that
    nobody reads that an agent is back before that it was gone. `until`: then nobody waits any more;
    `overdue_at`: if it was not tried by then, another process has taken it."""

    head: str
    until: datetime
    overdue_at: datetime
    behind: set[str] = field(default_factory=set)


class Notifier:
    def __init__(
        self,
        store: Store,
        broker: Broker,
        adapters: Mapping[str, Adapter],
        phrase: Phrase,
        accounts: Accounts,
        *,
        clock: Clock = utc_now,
        patience: Patience | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._adapters = adapters
        self._phrase = phrase
        self._accounts = accounts
        self._clock = clock
        self._patience = patience or Patience()
        self._lanes: dict[str, deque[str]] = {}
        self._waiting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work = False
        self._leaving = False
        self._resting: dict[str, asyncio.TimerHandle] = {}
        self._queues: dict[str, Queue] = {}
        """By lane."""
        self._output = Output(store)
        self._sizes: dict[str, int] = {}
        """Bytes of output that are shown, by delivery."""

    async def run(self) -> None:
        """Until cancelled; then what is being sent is finished, and what waits is left to others."""
        self._at_work = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear())
                group.create_task(self._look())
        finally:
            self._at_work, self._leaving = False, True
            for alarm in self._resting.values():
                alarm.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._patience.lease.total_seconds())

    async def _hear(self) -> None:
        consumer = new_id()[-8:]
        while True:
            try:
                await self._enqueue(await self._broker.take_news(consumer, 5.0))
            except Unavailable:
                await asyncio.sleep(self._patience.look)

    async def _look(self) -> None:
        """Hints may be lost; what is due stands in the database."""
        while True:
            try:
                await self._enqueue(await self._due())
            except Unavailable as error:
                log.warning("The notifier waits: %s", error)
            await asyncio.sleep(self._patience.look)

    async def tell_due(self) -> None:
        """One look, told to the end."""
        await self._enqueue(await self._due())
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _due(self) -> Sequence[str]:
        """In the order in which they were made: what failed is due later than what came after it."""
        await self._check_queues()
        # Those that wait for others are due as well, and must not hide the rest.
        queued = sum(len(queue.behind) for queue in self._queues.values())
        limit = self._patience.brings + len(self._waiting) + queued
        return sorted(await self._store.deliveries.due(self._clock(), limit))

    async def _enqueue(self, delivery_ids: Iterable[str]) -> None:
        for delivery_id in delivery_ids:
            if delivery_id in self._waiting:
                continue
            if delivery := await self._store.deliveries.get(delivery_id):
                self._join(thread_key(delivery.thread), delivery_id)

    def _join(self, lane: str, delivery_id: str) -> None:
        """One lane a target, so that a slow one holds up nobody else and order is kept within it."""
        if delivery_id in self._waiting or self._queues_up(lane, delivery_id):
            return
        self._waiting.add(delivery_id)
        if lane in self._lanes:
            self._lanes[lane].append(delivery_id)
            return
        self._lanes[lane] = deque([delivery_id])
        task = asyncio.create_task(self._drive(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive(self, lane: str) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting and not self._leaving:
                self._waiting.discard(delivery_id := waiting.popleft())
                if not self._queues_up(lane, delivery_id):
                    await self._tell(lane, delivery_id)
        except Unavailable as error:
            log.warning("A delivery waits: %s", error)
        except Exception:
            log.exception("A delivery failed in a way nobody thought of.")
        finally:
            self._waiting.difference_update(waiting)
            del self._lanes[lane]

    def _queues_up(self, lane: str, delivery_id: str) -> bool:
        """Whether it has to wait behind one that is tried again later."""
        queue = self._queues.get(lane)
        if queue is None or delivery_id <= queue.head:
            return False
        if self._clock() >= queue.until:
            del self._queues[lane]
            return False
        queue.behind.add(delivery_id)
        return True

    async def _check_queues(self) -> None:
        """Nobody waits behind what another process has told or given up."""
        now = self._clock()
        for lane, queue in list(self._queues.items()):
            if now >= queue.until or (
                now >= queue.overdue_at and not await self._store.deliveries.is_failing(queue.head)
            ):
                self._queues.pop(lane, None)

    def _lead(self, delivery: Delivery, again_at: datetime) -> None:
        """What comes after it waits."""
        lane = thread_key(delivery.thread)
        until = (delivery.failing_since or self._clock()) + ORDER_KEPT
        queue = self._queues.get(lane)
        if queue is None or delivery.id <= queue.head:
            behind = queue.behind if queue else set()
            overdue_at = again_at + self._patience.lease
            self._queues[lane] = Queue(delivery.id, until, overdue_at, behind)

    def _let_pass(self, delivery: Delivery) -> None:
        lane = thread_key(delivery.thread) if self._queues else ""
        queue = self._queues.get(lane)
        if queue and queue.head == delivery.id:
            del self._queues[lane]
            for delivery_id in sorted(queue.behind):
                self._join(lane, delivery_id)

    async def _tell(self, lane: str, delivery_id: str) -> None:
        """Say what is new until they know all there is, or a try fails, or the post must rest."""
        behind = True
        while behind and not self._leaving:
            delivery = await self._store.deliveries.claim(
                delivery_id, self._clock(), self._patience.lease
            )
            if delivery is None:
                return await self._come_back(lane, delivery_id)
            behind = not await self._try(delivery)

    async def _come_back(self, lane: str, delivery_id: str) -> None:
        """With the end of its rest; the look at what is due would find it as well, but later."""
        now = self._clock()
        until = await self._store.deliveries.rests_until(delivery_id, now)
        if until is None or not self._at_work or delivery_id in self._resting:
            return
        self._resting[delivery_id] = asyncio.get_running_loop().call_later(
            (until - now).total_seconds(), self._wake, lane, delivery_id
        )

    def _wake(self, lane: str, delivery_id: str) -> None:
        del self._resting[delivery_id]
        self._join(lane, delivery_id)

    async def _try(self, delivery: Delivery) -> bool:
        """Whether they know all there is now, or have to wait."""
        adapter = self._adapters.get(delivery.thread.adapter)
        if adapter is None:
            error = f"No adapter {delivery.thread.adapter} is configured here."
            return await self._fail(delivery, DeliveryError(error, permanent=False))
        try:
            saying = await self._compose(delivery, adapter)
            handle = delivery.handle
            if saying.reply:
                seconds = self._patience.lease.total_seconds() * 0.8
                async with asyncio.timeout(seconds):
                    handle = await adapter.send(saying.reply) or handle
        except DeliveryError as error:
            return await self._fail(delivery, error)
        except TimeoutError:
            return await self._fail(delivery, DeliveryError("It took too long.", permanent=False))
        except (SkadiError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("Delivery %s could not be made.", delivery.id)
            return await self._fail(delivery, DeliveryError(repr(error)[:200], permanent=False))
        self._let_pass(delivery)
        if saying.reply:
            self._remember(delivery, saying)
            self._count(delivery, saying)
        return await self._store.deliveries.told(
            delivery,
            shown=saying.shown,
            seen=saying.seen,
            handle=handle,
            final=saying.final,
            again_at=saying.again_at,
            rests_until=self._rest(delivery) if saying.reply else None,
        )

    def _count(self, delivery: Delivery, saying: Saying) -> None:
        adapter = delivery.thread.adapter
        DELIVERY_TRIES.add(adapter, "told")
        if saying.ended_at:
            TELLING.observe((self._clock() - saying.ended_at).total_seconds())
        log.info("%s: told by %s as far as %d", whose(delivery), adapter, saying.shown)

    def _rest(self, delivery: Delivery, asked: float | None = None) -> datetime | None:
        """Until when nothing is said there, whatever happens: a post that was just edited is left
        as it is for a while, and the platform may have asked us to wait."""
        adapter = self._adapters.get(delivery.thread.adapter)
        edited = adapter is not None and adapter.abilities.edits and delivery.handle is not None
        pause = adapter.abilities.edit_pause if adapter and edited else 0.0
        seconds = max(pause, asked or 0.0)
        return self._clock() + timedelta(seconds=seconds) if seconds else None

    async def _fail(self, delivery: Delivery, error: DeliveryError) -> bool:
        now = self._clock()
        over = now - (delivery.failing_since or now) >= self._patience.give_up_after
        again_at = None if error.permanent or over else now + self._pause(delivery, error)
        rests_until = self._rest(delivery, error.retry_after)
        if self._takes_events(delivery):
            # What happens next waits behind what failed, and must not hurry it.
            rests_until = again_at
        await self._store.deliveries.failed(delivery, str(error), now, again_at, rests_until)
        if again_at is None or not self._is_waited_for(delivery, error):
            self._let_pass(delivery)
        else:
            self._lead(delivery, again_at)
        DELIVERY_TRIES.add(delivery.thread.adapter, "failed" if again_at else "dead")
        log.log(
            logging.INFO if again_at else logging.WARNING,
            "%s: delivery %s to %s failed (%s): %s",
            whose(delivery),
            delivery.id,
            delivery.thread.adapter,
            "tried again later" if again_at else "a dead letter now",
            error,
        )
        return True

    def _is_waited_for(self, delivery: Delivery, error: DeliveryError) -> bool:
        """An answer in a channel begins a thread of its own: what is wrong with it concerns no other,
        unless the platform asked us to wait. News of an account keep their order there."""
        adapter = self._adapters.get(delivery.thread.adapter)
        begins = adapter is not None and adapter.abilities.channels and not delivery.event_id
        if begins and not delivery.thread.thread_id:
            return error.retry_after is not None
        return not self._takes_events(delivery)

    def _takes_events(self, delivery: Delivery) -> bool:
        adapter = self._adapters.get(delivery.thread.adapter)
        return adapter is not None and adapter.abilities.events

    def _pause(self, delivery: Delivery, error: DeliveryError) -> timedelta:
        """Back-off with jitter, never shorter than the platform asked for."""
        patience = self._patience
        grown: timedelta = min(
            patience.first_pause * 2 ** min(delivery.attempts, 20), patience.longest_pause
        )
        jittered: timedelta = grown * random.uniform(0.5, 1.0)  # noqa: S311
        return max(jittered, timedelta(seconds=error.retry_after or 0))

    # What to say

    async def _compose(self, delivery: Delivery, adapter: Adapter) -> Saying:
        if delivery.job_id:
            return await self._compose_job(delivery, adapter)
        if delivery.event_id:
            return await self._compose_message(delivery)
        return Saying(await self._store.deliveries.reply(delivery.id))

    async def _compose_message(self, delivery: Delivery) -> Saying:
        event = await self._store.jobs.message(delivery.event_id or "")
        if event is None:
            return Saying(None)
        language = await self._language(delivery)
        return Saying(self._phrase.message(event, delivery.thread, language=language))

    async def _compose_job(self, delivery: Delivery, adapter: Adapter) -> Saying:
        job = await self._store.jobs.get(delivery.job_id or "")
        if job is None:
            return Saying(None)
        if adapter.abilities.events:
            return await self._compose_event(delivery, job)
        again_at = worth_telling_at(delivery, job, adapter.abilities)
        job, size = await self._with_output(job, adapter.abilities)
        grown = size > self._sizes.get(delivery.id, 0)
        if not grown and (again_at is None or again_at > self._clock()):
            return Saying(None, delivery.shown_seq, job.seq, job.status.final, again_at)
        reply = self._phrase.job(
            job,
            delivery.thread,
            language=await self._language(delivery),
            abilities=adapter.abilities,
            now=self._clock(),
        )
        reply = replace(reply, replaces=delivery.handle)
        return Saying(
            *(reply, job.seq, job.seq, job.status.final),
            size=size,
            ended_at=job.ended_at,
        )

    async def _with_output(self, job: Job, abilities: Abilities) -> tuple[Job, int]:
        """The job with what is to be seen of its output, and how many bytes there are of one that goes
        on (0 where that is not shown)."""
        if job.status.final:
            return replace(job, result=await self._output.known(job)), 0
        if not (abilities.edits and job.status.active):
            return job, 0
        tail, size = await self._output.tail(job, min(LONGEST_TAIL, abilities.longest // 2))
        return (replace(job, result=tail) if size else job), size

    def _remember(self, delivery: Delivery, saying: Saying) -> None:
        """How much output is seen there, so that nothing is edited without need."""
        if saying.final:
            self._sizes.pop(delivery.id, None)
        elif saying.size:
            if len(self._sizes) > MOST_SIZES:
                self._sizes.clear()
            self._sizes[delivery.id] = saying.size

    async def _compose_event(self, delivery: Delivery, job: Job) -> Saying:
        """The first that they do not know, the same at every try."""
        event = await self._store.jobs.next_event(job.id, delivery.shown_seq, WORTH_A_CALL)
        if event is None:
            return Saying(None, delivery.shown_seq, job.seq, job.status.final)
        published = Published(event.id, job.account_id, job_news(event).body.decode())
        reply = Reply(delivery.thread, "", event=published)
        return Saying(
            *(reply, event.seq, event.seq, event.job.status.final), ended_at=event.job.ended_at
        )

    async def _language(self, delivery: Delivery) -> str:
        """The account's, else what was last written from there."""
        try:
            account = await self._accounts.get(delivery.account_id)
        except NotFound:
            return delivery.thread.locale
        return account.language or delivery.thread.locale


def whose(delivery: Delivery) -> str:
    """By which name the log speaks of it: the id of its job where it has one."""
    return delivery.job_id or delivery.event_id or delivery.id


def worth_telling_at(delivery: Delivery, job: Job, abilities: Abilities) -> datetime | None:
    """When the job's present state deserves to be told here; None: not at all."""
    if delivery.shown_seq >= job.seq:
        return None
    if abilities.edits or job.status.final:
        return job.created_at
    if delivery.shown_seq > 0 or abilities.accepts_after is None:
        return None
    return job.created_at + timedelta(seconds=abilities.accepts_after)


class Letters:
    """What could not be delivered: looked at, tried again, dropped."""

    def __init__(self, store: Store, *, clock: Clock = utc_now) -> None:
        self._store = store.deliveries
        self._clock = clock

    async def list(self, account_id: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        return await self._store.dead(account_id, limit)

    async def get(self, delivery_id: str) -> Delivery:
        found = await self._store.get(delivery_id)
        if found is None or found.state != "dead":
            raise NotFound("There is no such dead letter.", code="LetterNotFound", id=delivery_id)
        return found

    async def retry(self, delivery_id: str) -> None:
        if not await self._store.revive(delivery_id, self._clock()):
            raise NotFound("There is no such dead letter.", code="LetterNotFound", id=delivery_id)

    async def drop(self, delivery_id: str) -> None:
        if not await self._store.drop(delivery_id):
            raise NotFound("There is no such dead letter.", code="LetterNotFound", id=delivery_id)
