"""What is too old to be kept, found by its key and thrown away a page at a time.

Each page is one transaction. The rows of the jobs concerned are locked first, in the order of their
ids, as the ledger does; so a report that comes late is decided before or after, never in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, Update, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.model import FINAL, first_id
from core.store.database import Database

jobs, results, outputs = schema.jobs, schema.results, schema.outputs
events, deliveries = schema.events, schema.deliveries

ENDED_AT = func.coalesce(
    jobs.c.succeeded_at, jobs.c.failed_at, jobs.c.canceled_at, jobs.c.expired_at
)


@dataclass(frozen=True, slots=True)
class Page:
    """What became of a page. `after`: where the next one begins, None when there is none."""

    gone: int
    after: str | None


class KeepingStore:
    """Of each kind: look at the next `limit` rows `after` a key that are older than a moment, and
    forget those that nothing needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def jobs(self, before: datetime, after: str, limit: int) -> Page:
        """Jobs, with all that belongs to them."""
        ids = await self._ids(old(jobs.c.id, before, after), limit)

        async def deed(connection: AsyncConnection) -> int:
            over = await finished(connection, ids, before)
            for table in (deliveries, outputs, results, events):
                await connection.execute(delete(table).where(table.c.job_id.in_(over)))
            return await change(connection, delete(jobs).where(jobs.c.id.in_(over)))

        return Page(await self._forget(ids, deed), following(ids, limit))

    async def results(self, before: datetime, after: str, limit: int) -> Page:
        """What the reports of jobs brought; their events repeat the beginnings of it."""
        ids = await self._ids(old(results.c.job_id, before, after), limit)

        async def deed(connection: AsyncConnection) -> int:
            over = await finished(connection, ids, before)
            told = update(events).where(events.c.job_id.in_(over), events.c.body != "")
            await connection.execute(told.values(body=""))
            return await change(connection, delete(results).where(results.c.job_id.in_(over)))

        return Page(await self._forget(ids, deed), following(ids, limit))

    async def outputs(self, before: datetime, after: str, limit: int) -> Page:
        """What jobs said while they ran. A job has many of these rows, so a page may end within one."""
        query = old(outputs.c.job_id, before, after).add_columns(outputs.c.start)
        rows = await self._rows(query.order_by(outputs.c.start), limit)
        if not rows:
            return Page(0, None)
        *_, (last, start) = rows
        ids = sorted({job_id for job_id, _ in rows})
        over: set[str] = set()

        async def deed(connection: AsyncConnection) -> int:
            over.update(await finished(connection, ids, before))
            gone = await change(connection, forget_output(outputs.c.job_id.in_(over - {last})))
            if last in over:
                part = and_(outputs.c.job_id == last, outputs.c.start <= start)
                gone += await change(connection, forget_output(part))
            return gone

        gone = await self._database.write(deed)
        if len(rows) < limit:
            return Page(gone, None)
        # The rest of the last one's rows is looked at by the next page, unless they stay.
        return Page(gone, last if last not in over else ids[-2] if len(ids) > 1 else after)

    async def events(self, before: datetime, after: str, limit: int) -> Page:
        """The steps that jobs came through, and what agents said."""
        query = old(events.c.id, before, after).add_columns(events.c.job_id)
        rows = await self._rows(query, limit)
        ids = [event_id for event_id, _ in rows]

        async def deed(connection: AsyncConnection) -> int:
            over = await finished(connection, sorted({of for _, of in rows if of}), before)
            untold = await still_told(connection, deliveries.c.event_id, ids)
            gone = [id for id, of in rows if (of in over if of else id not in untold)]
            return await change(connection, delete(events).where(events.c.id.in_(gone)))

        return Page(await self._forget(ids, deed), following(ids, limit))

    async def answers(self, before: datetime, after: str, limit: int) -> Page:
        """Answers that were delivered, apart from those about jobs, which go with these."""
        query = old(deliveries.c.id, before, after).where(deliveries.c.job_id.is_(None))
        return await self._drop(query, limit, deliveries.c.state == "told")

    async def letters(self, before: datetime, after: str, limit: int) -> Page:
        """Answers that could not be delivered."""
        query = old(deliveries.c.id, before, after).where(deliveries.c.state == "dead")
        failing = func.coalesce(deliveries.c.failing_since, deliveries.c.created_at)
        return await self._drop(query, limit, deliveries.c.state == "dead", failing < before)

    async def _drop(self, query: Select[Any], limit: int, *still: ColumnElement[bool]) -> Page:
        ids = await self._ids(query, limit)

        async def deed(connection: AsyncConnection) -> int:
            found = delete(deliveries).where(deliveries.c.id.in_(ids), *still)
            return await change(connection, found)

        return Page(await self._forget(ids, deed), following(ids, limit))

    async def _rows(self, query: Select[Any], limit: int) -> Sequence[Any]:
        async with self._database.reading() as connection:
            return list(await connection.execute(query.limit(limit)))

    async def _ids(self, query: Select[Any], limit: int) -> Sequence[str]:
        return [row[0] for row in await self._rows(query, limit)]

    async def _forget(self, ids: Sequence[str], deed: Any) -> int:
        return int(await self._database.write(deed)) if ids else 0


def old(key: ColumnElement[str], before: datetime, after: str) -> Select[Any]:
    """Keys in their order. All ids of ours sort by age, and nothing ends before it begins."""
    return select(key).where(key > after, key < first_id(before)).order_by(key)


def following(ids: Sequence[str], limit: int) -> str | None:
    return ids[-1] if len(ids) == limit else None


def forget_output(which: ColumnElement[bool]) -> Delete:
    return delete(outputs).where(which)


async def change(connection: AsyncConnection, wish: Delete | Update) -> int:
    """How many rows it concerned."""
    return int((await connection.execute(wish)).rowcount)


async def finished(
    connection: AsyncConnection, job_ids: Sequence[str], before: datetime
) -> set[str]:
    """Of these jobs the ones that ended before a moment and of which nobody is still to be told, locked;
    and the ones that there are not."""
    if not job_ids:
        return set()
    there = await connection.execute(select(jobs.c.id).where(jobs.c.id.in_(job_ids)))
    gone = set(job_ids).difference(there.scalars())
    ended = select(jobs.c.id).where(
        jobs.c.id.in_(job_ids), jobs.c.status.in_(sorted(FINAL)), before > ENDED_AT
    )
    locked = await connection.execute(ended.order_by(jobs.c.id).with_for_update())
    over = set(locked.scalars())
    return gone | (over - await still_told(connection, deliveries.c.job_id, sorted(over)))


async def still_told(
    connection: AsyncConnection, column: ColumnElement[Any], ids: Sequence[str]
) -> set[str]:
    """What deliveries are about that are still tried, or may be once more."""
    needed = select(column).where(column.in_(ids), deliveries.c.state != "told")
    return set((await connection.execute(needed)).scalars())
