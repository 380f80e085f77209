"""What adapters remember."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.store.database import Database, is_duplicate

notes = schema.notes


class NoteStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, book: str, note: str, now: datetime) -> Any | None:
        query = select(notes).where(notes.c.book == book, notes.c.note == note)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None or (row.expires_at and row.expires_at <= now):
            return None
        return orjson.loads(row.value)

    async def put(self, book: str, note: str, value: Any, expires_at: datetime | None) -> None:
        row = self._row(book, note, value, expires_at)

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(self._database.upsert(notes, "value", "expires_at"), row)

        await self._database.write(deed)

    async def add(
        self, book: str, note: str, amount: int, now: datetime, expires_at: datetime
    ) -> int:
        """Count up within a period; the first count sets when it ends."""
        query = select(notes).where(notes.c.book == book, notes.c.note == note).with_for_update()

        async def deed(connection: AsyncConnection) -> int:
            found = (await connection.execute(query)).first()
            alive = found is not None and found.expires_at and found.expires_at > now
            count = amount + (int(orjson.loads(found.value)) if found and alive else 0)
            until = found.expires_at if found and alive else expires_at
            row = self._row(book, note, count, until)
            if found is None:  # plainly, so that of two first counts one is counted again
                await connection.execute(insert(notes), row)
            else:
                await connection.execute(self._database.upsert(notes, "value", "expires_at"), row)
            return count

        try:
            return await self._database.write(deed)
        except Exception as error:
            if not is_duplicate(error):
                raise
            return await self._database.write(deed)

    async def once(self, book: str, note: str, now: datetime, expires_at: datetime) -> bool:
        """True for the first within the period."""
        row = self._row(book, note, True, expires_at)
        mine = (notes.c.book == book) & (notes.c.note == note)

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(notes).where(mine, notes.c.expires_at <= now))
            await connection.execute(insert(notes), row)

        try:
            await self._database.write(deed)
            return True
        except Exception as error:
            if is_duplicate(error):
                return False
            raise

    async def forget(self, now: datetime) -> None:
        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(notes).where(notes.c.expires_at <= now))

        await self._database.write(deed)

    def _row(self, book: str, note: str, value: Any, expires_at: datetime | None) -> dict[str, Any]:
        text = orjson.dumps(value).decode()
        return {"book": book, "note": note, "value": text, "expires_at": expires_at}
