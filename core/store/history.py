"""Jobs looked for across all accounts, by their ids in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from core import schema
from core.model import Job, JobStatus, first_id
from core.store.database import Database
from core.store.rows import to_job

jobs, results = schema.jobs, schema.results


@dataclass(frozen=True, slots=True)
class Search:
    """Which jobs; None is all. `agent_name`: what the agent was called when it was given the job."""

    account_id: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    status: JobStatus | None = None
    since: datetime | None = None


class HistoryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, search: Search, after: str, limit: int) -> Sequence[Job]:
        """The oldest after an id."""
        begin = max(after, first_id(search.since) if search.since else "")
        return await self._read(found_by(search).where(jobs.c.id > begin), limit)

    async def newest(self, search: Search, limit: int) -> Sequence[Job]:
        """The newest, newest first."""
        query = found_by(search)
        if search.since:
            query = query.where(jobs.c.id > first_id(search.since))
        return await self._read(query, limit, newest=True)

    async def ending_in(self, tail: str, limit: int) -> Sequence[Job]:
        """Looks at all there are, for want of an index of ends."""
        query = select(jobs.c.id).where(jobs.c.id.endswith(tail, autoescape=True))
        return await self._read(query, limit, newest=True)

    async def _read(self, query: Select[Any], limit: int, *, newest: bool = False) -> Sequence[Job]:
        """The ids first, as a sort would carry the whole rows along."""
        order = jobs.c.id.desc() if newest else jobs.c.id
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(order).limit(limit))
            whole = select(jobs, results.c.text.label("result")).outerjoin(
                results, results.c.job_id == jobs.c.id
            )
            rows = await connection.execute(
                whole.where(jobs.c.id.in_(list(found.scalars()))).order_by(order)
            )
            return [to_job(row) for row in rows]


def found_by(search: Search) -> Select[Any]:
    query = select(jobs.c.id)
    if search.account_id:
        query = query.where(jobs.c.account_id == search.account_id)
    if search.agent_id:
        query = query.where(jobs.c.agent_id == search.agent_id)
    if search.agent_name:
        query = query.where(jobs.c.agent_name == search.agent_name)
    if search.status:
        # Not by the index of statuses: it has no order of ids, and every page would sort them all.
        query = query.where(func.coalesce(jobs.c.status, "") == search.status.value)
    return query
