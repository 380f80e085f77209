"""What is asked about jobs and their events, and the facts that change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import BindParameter, Row, Select, bindparam, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.broker import News
from core.chat import Thread
from core.events import LONGEST_IN_NEWS, MOMENTS, job_news, message_news
from core.model import ACTIVE, UNFINISHED, EventJobStatus, EventMessage, Job, JobStatus
from core.store.batch import AddJob, AddMessage, Change
from core.store.database import Database
from core.store.ledger import Ledger
from core.store.moves import CancelJob, MoveJob, check, nowhere, owns
from core.store.rows import STATUS, thread_key, to_job

jobs, results, events = schema.jobs, schema.results, schema.events

WHOLE = select(jobs, results.c.text.label("result")).outerjoin(
    results, results.c.job_id == jobs.c.id
)


@dataclass(frozen=True, slots=True)
class Postponed:
    """A job as it was seen, and when it is to be looked at again."""

    job: Job
    due_at: datetime


class JobStore:
    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def add(self, fact: AddJob) -> Change:
        return await self._ledger.enter(fact)

    async def move(self, fact: MoveJob) -> Change:
        return await self._ledger.enter(fact)

    async def cancel(self, fact: CancelJob) -> Change:
        return await self._ledger.enter(fact)

    async def foresee(self, fact: MoveJob, now: datetime) -> None:
        """Raises the refusal of a move that could not be made now."""
        job = await self.get(fact.job_id)
        if job is None or not owns(job, fact):
            raise nowhere(fact)
        check(job, fact, now)

    async def say(self, fact: AddMessage) -> None:
        await self._ledger.enter(fact)

    async def get(self, job_id: str) -> Job | None:
        found = await self._read(WHOLE.where(jobs.c.id == job_id))
        # The comparison in Python is exact whatever the database's collation pads or folds.
        return next((job for job in found if job.id == job_id), None)

    async def by_key(self, key: str) -> Job | None:
        messages = schema.messages
        query = WHOLE.join(messages, messages.c.job_id == jobs.c.id)
        found = await self._read(query.where(messages.c.message_key == key))
        return found[0] if found else None

    async def ending_in(self, account_id: str, tail: str, limit: int) -> Sequence[Job]:
        query = WHOLE.where(
            jobs.c.account_id == account_id, jobs.c.id.endswith(tail, autoescape=True)
        )
        return await self._read(query.order_by(jobs.c.id.desc()).limit(limit))

    async def in_thread(self, account_id: str, thread: Thread, limit: int) -> Sequence[Job]:
        """Newest first, those that came from there, and the one whose post the thread hangs on."""
        query = WHOLE.where(
            jobs.c.thread_key == thread_key(thread), jobs.c.account_id == account_id
        )
        found = await self._read(query.order_by(jobs.c.id.desc()).limit(limit))
        told = await self._told_by(account_id, thread) if thread.root else ()
        both = {job.id: job for job in (*found, *told)}
        return sorted(both.values(), key=lambda job: job.id, reverse=True)[:limit]

    async def _told_by(self, account_id: str, thread: Thread) -> Sequence[Job]:
        """By the post at the root of the thread."""
        deliveries = schema.deliveries
        query = WHOLE.join(deliveries, deliveries.c.job_id == jobs.c.id).where(
            deliveries.c.handle == thread.root,
            deliveries.c.adapter == thread.adapter,
            jobs.c.account_id == account_id,
        )
        return await self._read(query)

    async def recent(self, account_id: str, agent_id: str | None, limit: int) -> Sequence[Job]:
        query = WHOLE.where(jobs.c.account_id == account_id)
        if agent_id:
            query = query.where(jobs.c.agent_id == agent_id)
        return await self._read(query.order_by(jobs.c.id.desc()).limit(limit))

    async def unfinished(self, account_id: str, agent_id: str | None, limit: int) -> Sequence[Job]:
        query = WHOLE.where(jobs.c.account_id == account_id, jobs.c.status.in_(sorted(UNFINISHED)))
        if agent_id:
            query = query.where(jobs.c.agent_id == agent_id)
        return await self._read(query.order_by(jobs.c.id.desc()).limit(limit))

    async def of_agent(
        self, agent_id: str, statuses: frozenset[JobStatus], limit: int
    ) -> Sequence[Job]:
        query = WHOLE.where(jobs.c.status.in_(sorted(statuses)), jobs.c.agent_id == agent_id)
        return await self._read(query.order_by(jobs.c.id).limit(limit))

    async def due(self, now: datetime, limit: int) -> Sequence[Job]:
        return await self._read(
            WHOLE.where(jobs.c.due_at <= now).order_by(jobs.c.due_at).limit(limit)
        )

    async def leased_until(self, agent_ids: Sequence[str], now: datetime) -> dict[str, datetime]:
        """Agents of protocol 0 that hold a job within its lease, and until when."""
        query = (
            select(jobs.c.agent_id, func.max(jobs.c.due_at).label("until"))
            .where(jobs.c.status.in_(sorted(ACTIVE)), jobs.c.agent_id.in_(agent_ids))
            .where(jobs.c.journal == "", jobs.c.due_at > now)
            .group_by(jobs.c.agent_id)
        )
        async with self._database.reading() as connection:
            return {row.agent_id: row.until for row in await connection.execute(query)}

    async def page(
        self,
        account_id: str,
        agent_id: str | None,
        status: JobStatus | None,
        before: str | None,
        limit: int,
    ) -> Sequence[Job]:
        """Newest first, those older than `before`; of each result so much as an event may carry."""
        head = func.substr(results.c.text, 1, LONGEST_IN_NEWS + 1).label("result")
        query = select(jobs, head).outerjoin(results, results.c.job_id == jobs.c.id)
        query = query.where(jobs.c.account_id == account_id)
        if agent_id:
            query = query.where(jobs.c.agent_id == agent_id)
        if status:
            query = query.where(jobs.c.status == status.value)
        if before:
            query = query.where(jobs.c.id < before)
        return await self._read(query.order_by(jobs.c.id.desc()).limit(limit))

    async def several(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """By id, those that there are."""
        ids: BindParameter[Any] = bindparam("ids", list(job_ids), expanding=True)
        return {job.id: job for job in await self._read(WHOLE.where(jobs.c.id.in_(ids)))}

    async def steps(self, job_ids: Sequence[str]) -> dict[str, int]:
        """How far each has come: the seq of its last event, by id."""
        ids: BindParameter[Any] = bindparam("ids", list(job_ids), expanding=True)
        query = select(jobs.c.id, jobs.c.seq).where(jobs.c.id.in_(ids))
        async with self._database.reading() as connection:
            return {row.id: row.seq for row in await connection.execute(query)}

    async def story(self, job_id: str, after: int) -> tuple[Job | None, Sequence[EventJobStatus]]:
        """A job, and what became of it after one of its events: each tells of the job as it was then."""
        query = select(events).where(events.c.job_id == job_id, events.c.seq > after)
        async with self._database.reading() as connection:
            # The events first, so that the job is no older than the last of them.
            rows = list(await connection.execute(query.order_by(events.c.seq)))
            found = (await connection.execute(WHOLE.where(jobs.c.id == job_id))).first()
        if found is None:
            return None, []
        job = to_job(found)
        return job, [
            EventJobStatus(row.id, row.seq, _at_that_moment(job, row), row.created_at)
            for row in rows
        ]

    async def queuing(
        self, before: datetime, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, str]]:
        """(agent, job) of what waits since before a moment, a page at a time in the order of both."""
        query = _page_after(JobStatus.QUEUING, after, limit).where(jobs.c.created_at < before)
        async with self._database.reading() as connection:
            return [(row.agent_id, row.id) for row in await connection.execute(query)]

    async def handed_out(self, after: tuple[str, str], limit: int) -> Sequence[tuple[str, str]]:
        """(agent, job) of what was handed to a journal and never reported on, a page at a time."""
        query = _page_after(JobStatus.SENT, after, limit).where(jobs.c.journal != "")
        async with self._database.reading() as connection:
            return [(row.agent_id, row.id) for row in await connection.execute(query)]

    async def called_off(self, after: tuple[str, str], limit: int) -> Sequence[tuple[str, str]]:
        """(agent, job) of what runs and is wished to stop, a page at a time."""
        agent_id, job_id = after
        later = (jobs.c.agent_id == agent_id) & (jobs.c.id > job_id)
        query = (
            select(jobs.c.agent_id, jobs.c.id)
            .where(jobs.c.status.in_(sorted(ACTIVE)), jobs.c.cancel_asked_at.is_not(None))
            .where((jobs.c.agent_id > agent_id) | later)
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(jobs.c.agent_id, jobs.c.id).limit(limit))
            return [(row.agent_id, row.id) for row in rows]

    async def unannounced(
        self, before: datetime, limit: int
    ) -> Sequence[tuple[str, Sequence[News]]]:
        """Batches committed before a moment that nobody is known to have announced, and their news."""
        table = schema.announcements
        query = select(table).where(table.c.created_at < before).order_by(table.c.id).limit(limit)
        async with self._database.reading() as connection:
            rows = list(await connection.execute(query))
            return [(row.id, await _news(connection, row.event_ids.split())) for row in rows]

    async def postpone(self, moments: Sequence[Postponed]) -> None:
        """Of these jobs the ones to which nothing has happened since: no move, no renewed lease."""
        # In the order of their ids, as the ledger locks them.
        rows = [
            {"of": seen.id, "as": seen.seq, "due": seen.due_at, "at": each.due_at}
            for each in sorted(moments, key=lambda each: each.job.id)
            if (seen := each.job)
        ]

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(POSTPONE, rows)

        await self._database.write(deed)

    async def strike_off(self, batch_id: str) -> None:
        """A batch has been announced after all."""
        table = schema.announcements

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(table).where(table.c.id == batch_id))

        await self._database.write(deed)

    async def message(self, event_id: str) -> EventMessage | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(events).where(events.c.id == event_id))).first()
        return to_message(row) if row else None

    async def history(self, job_id: str) -> Sequence[tuple[int, JobStatus, datetime]]:
        """(seq, status, moment) of every event of a job."""
        query = select(events.c.seq, events.c.status, events.c.created_at)
        async with self._database.reading() as connection:
            rows = await connection.execute(
                query.where(events.c.job_id == job_id).order_by(events.c.seq)
            )
            return [(row.seq, STATUS[row.status], row.created_at) for row in rows]

    async def next_event(
        self, job_id: str, after: int, statuses: frozenset[JobStatus]
    ) -> EventJobStatus | None:
        """The first after `after` by which the job came into one of these statuses, and the job as it
        was then; the same whenever it is asked."""
        wanted = select(events).where(events.c.job_id == job_id, events.c.seq > after)
        wanted = wanted.where(events.c.status.in_(sorted(statuses)))
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted.order_by(events.c.seq).limit(1))).first()
            if row is None:
                return None
            past = await connection.execute(_moments_until(job_id, row.seq))
            moments = {f"{each.status}_at": each.moment for each in past}
            job = to_job((await connection.execute(WHOLE.where(jobs.c.id == job_id))).one())
        was: dict[str, Any] = {name: moments.get(name) for name in MOMENTS}
        status = STATUS[row.status]
        job = replace(job, status=status, seq=row.seq, result=row.body, **was)
        return EventJobStatus(row.id, row.seq, job, row.created_at)

    async def _read(self, query: Select[Any]) -> Sequence[Job]:
        async with self._database.reading() as connection:
            return [to_job(row) for row in await connection.execute(query)]


POSTPONE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.seq == bindparam("as"))
    .where(jobs.c.due_at == bindparam("due"))
    .values(due_at=bindparam("at"))
)


def _moments_until(job_id: str, seq: int) -> Select[tuple[str, datetime]]:
    """When the job came into each status: for the last time, as one that was given back is sent again,
    but `running` repeats itself."""
    begun = events.c.status == JobStatus.RUNNING.value
    moment = case(
        (begun, func.min(events.c.created_at)), else_=func.max(events.c.created_at)
    ).label("moment")
    query = select(events.c.status, moment).where(events.c.job_id == job_id, events.c.seq <= seq)
    return query.group_by(events.c.status)


def _page_after(status: JobStatus, after: tuple[str, str], limit: int) -> Select[tuple[str, str]]:
    agent_id, job_id = after
    query = select(jobs.c.agent_id, jobs.c.id).where(jobs.c.status == status.value)
    later = (jobs.c.agent_id == agent_id) & (jobs.c.id > job_id)
    query = query.where((jobs.c.agent_id > agent_id) | later)
    return query.order_by(jobs.c.agent_id, jobs.c.id).limit(limit)


async def _news(connection: AsyncConnection, event_ids: Sequence[str]) -> Sequence[News]:
    """Said again, an event tells of its job as it stands now; its own status and result are kept."""
    ids: BindParameter[Any] = bindparam("ids", expanding=True)
    found = await connection.execute(
        select(events).where(events.c.id.in_(ids)).order_by(events.c.id), {"ids": list(event_ids)}
    )
    rows = list(found)
    job_ids = sorted({row.job_id for row in rows if row.job_id})
    told = {
        row.id: row
        for row in await connection.execute(WHOLE.where(jobs.c.id.in_(ids)), {"ids": job_ids})
    }
    news = []
    for row in rows:
        if row.job_id is None:
            news.append(message_news(to_message(row), await _delivery_of(connection, row.id)))
        elif (found_job := told.get(row.job_id)) is not None and found_job.callback != "disable":
            event = EventJobStatus(row.id, row.seq, _as_it_was(found_job, row), row.created_at)
            news.append(job_news(event, found_job.delivery_id or ""))
    return news


def _at_that_moment(job: Job, event_row: Row[Any]) -> Job:
    """The job without what came later."""
    if event_row.seq == job.seq:
        return job
    moments = {name: getattr(job, name) for name in MOMENTS}
    later: dict[str, Any] = {
        name: None for name, at in moments.items() if at and at > event_row.created_at
    }
    status = STATUS[event_row.status]
    return replace(job, status=status, seq=event_row.seq, result=event_row.body, **later)


def _as_it_was(job_row: Row[Any], event_row: Row[Any]) -> Job:
    job = to_job(job_row)
    if event_row.seq == job.seq:
        return job
    return replace(job, status=STATUS[event_row.status], result=event_row.body)


async def _delivery_of(connection: AsyncConnection, event_id: str) -> str:
    table = schema.deliveries
    query = select(table.c.id).where(table.c.event_id == event_id)
    return (await connection.execute(query)).scalar() or ""


def to_message(row: Row[Any]) -> EventMessage:
    return EventMessage(
        id=row.id,
        account_id=row.account_id,
        agent_id=row.agent_id,
        created_at=row.created_at,
        **orjson.loads(row.body),
    )
