"""The number that grows whenever what processes remember of tokens, agents or homes becomes stale."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.schema import counters
from core.store.database import Database

FACTS = "facts"


async def raise_facts(connection: AsyncConnection) -> None:
    """In the transaction that changes a fact, so that neither is there without the other."""
    grown = update(counters).where(counters.c.name == FACTS).values(value=counters.c.value + 1)
    await connection.execute(grown)


class FactStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def epoch(self) -> int:
        query = select(counters.c.value).where(counters.c.name == FACTS)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())
