"""What jobs have said so far: kept in pieces while they run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.model import JobStatus
from core.store.batch import Change
from core.store.chunks import AddOutput, Said
from core.store.database import Database
from core.store.ledger import Ledger

outputs, jobs, results, deliveries = (
    schema.outputs,
    schema.jobs,
    schema.results,
    schema.deliveries,
)
WHOLE = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)
"""Ends whose report brings all there is to know."""


class OutputStore:
    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def add(self, fact: AddOutput) -> Change:
        return await self._ledger.enter(fact)

    async def read(self, job_id: str, offset: int = 0) -> bytes:
        """From so many bytes on, without a gap."""
        query = select(outputs.c.start, outputs.c.text).where(
            outputs.c.job_id == job_id, outputs.c.start + outputs.c.size > offset
        )
        async with self._database.reading() as connection:
            rows = list(await connection.execute(query.order_by(outputs.c.start)))
        whole = "".join(row.text for row in rows).encode()
        return whole[max(offset - rows[0].start, 0) :] if rows else b""

    async def said(self, job_id: str) -> Said:
        query = select(outputs.c.start, outputs.c.size, outputs.c.text)
        query = query.where(outputs.c.job_id == job_id).order_by(outputs.c.start)
        async with self._database.reading() as connection:
            rows = list(await connection.execute(query))
        text = "".join(row.text for row in rows).encode()
        return Said(rows[-1].start + rows[-1].size, text) if rows else Said()

    async def size(self, job_id: str) -> int:
        """How many bytes there are."""
        query = select(outputs.c.start + outputs.c.size).where(outputs.c.job_id == job_id)
        async with self._database.reading() as connection:
            last = await connection.execute(query.order_by(outputs.c.start.desc()).limit(1))
            return int(last.scalar() or 0)

    async def sizes(self, job_ids: Sequence[str]) -> dict[str, int]:
        """How many bytes there are of each, by its id; those without any left out."""
        end = func.max(outputs.c.start + outputs.c.size).label("size")
        query = select(outputs.c.job_id, end).where(outputs.c.job_id.in_(job_ids))
        async with self._database.reading() as connection:
            rows = await connection.execute(query.group_by(outputs.c.job_id))
            return {row.job_id: int(row.size) for row in rows}

    async def shown_by(self, job_id: str) -> Sequence[str]:
        """The adapters by which people are told of the job."""
        query = select(deliveries.c.adapter).where(deliveries.c.job_id == job_id)
        async with self._database.reading() as connection:
            return [row.adapter for row in await connection.execute(query)]

    async def replaced(self, after: str, limit: int) -> Sequence[str]:
        """Jobs whose report has brought their output, by their ids in order. Not those that had expired
        before it came: few, and what was told of them then is known by what they said."""
        query = (
            select(outputs.c.job_id)
            .join(jobs, jobs.c.id == outputs.c.job_id)
            .join(results, results.c.job_id == outputs.c.job_id)
            .where(outputs.c.job_id > after, outputs.c.start == 0)
            .where(jobs.c.status.in_(sorted(WHOLE)), results.c.text != "")
            .where(jobs.c.expired_at.is_(None))
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(outputs.c.job_id).limit(limit))
            return [row.job_id for row in rows]

    async def forget(self, job_ids: Sequence[str]) -> None:
        """What these have said, now that their reports are here. Of those whose report does not go on as
        that did its size stays, in a row without text: a reader's place is counted from there."""
        marks = [mark for job_id in job_ids if (mark := await self._mark(job_id))]

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(outputs).where(outputs.c.job_id.in_(job_ids)))
            if marks:
                await connection.execute(self._database.upsert(outputs, "size", "text"), marks)

        await self._database.write(deed)

    async def _mark(self, job_id: str) -> dict[str, str | int] | None:
        """None where the report begins with all that was said."""
        said = await self.said(job_id)
        query = select(results.c.text).where(results.c.job_id == job_id)
        async with self._database.reading() as connection:
            report = (await connection.execute(query)).scalar() or ""
        if said.goes_on_in(report.encode()):
            return None
        return {"job_id": job_id, "start": said.size, "size": 0, "text": ""}
