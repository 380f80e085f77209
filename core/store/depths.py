"""How much waits, asked of the database through its indexes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from core import schema
from core.model import UNFINISHED
from core.store.database import Database

jobs, deliveries = schema.jobs, schema.deliveries

IN_STATUS = (
    select(jobs.c.status, func.count().label("depth"), func.min(jobs.c.id).label("oldest"))
    .where(jobs.c.status.in_(sorted(UNFINISHED)))
    .group_by(jobs.c.status)
)
DEAD = select(func.count()).select_from(deliveries).where(deliveries.c.state == "dead")


@dataclass(frozen=True, slots=True)
class Depths:
    """`jobs`: unfinished ones by status, their number and the id of the oldest. `due`: deliveries that
    should have been made by now, the first of them since `due_since`. `dead`: dead letters."""

    jobs: Mapping[str, tuple[int, str]]
    due: int
    due_since: datetime | None
    dead: int


class DepthStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, now: datetime) -> Depths:
        late = select(func.count().label("depth"), func.min(deliveries.c.due_at).label("first"))
        async with self._database.reading() as connection:
            found = list(await connection.execute(IN_STATUS))
            due = (await connection.execute(late.where(deliveries.c.due_at <= now))).one()
            dead: int = (await connection.execute(DEAD)).scalar_one()
        depths = {row.status: (row.depth, row.oldest) for row in found}
        return Depths(depths, due.depth, due.first, dead)
