"""Which messages have been answered, and with what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.chat import Reply
from core.store.batch import delivery_row
from core.store.database import Database, is_duplicate
from core.store.deliveries import dump_reply, load_reply

messages, deliveries = schema.messages, schema.deliveries


class MessageStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, key: str, now: datetime, lease: timedelta) -> bool:
        """Whether the message is ours to answer: new, or begun by somebody who did not finish."""
        row = {
            "message_key": key,
            "finished": False,
            "created_at": now,
            "leased_until": now + lease,
        }
        over = or_(messages.c.leased_until.is_(None), messages.c.leased_until <= now)
        again = update(messages).where(messages.c.message_key == key, ~messages.c.finished, over)

        async def enter(connection: AsyncConnection) -> None:
            await connection.execute(insert(messages), row)

        async def take_over(connection: AsyncConnection) -> bool:
            taken = await connection.execute(again.values(leased_until=now + lease))
            return bool(taken.rowcount)

        try:
            await self._database.write(enter)
            return True
        except Exception as error:
            if not is_duplicate(error):
                raise
            return await self._database.write(take_over)

    async def answer(self, key: str) -> tuple[bool, str | None, Reply | None]:
        """(finished, job id, reply) of a message that is known."""
        query = select(messages).where(messages.c.message_key == key)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return False, None, None
        return row.finished, row.job_id, load_reply(row.reply) if row.reply else None

    async def finish(
        self, key: str, reply: Reply | None, now: datetime, *, deliver_for: str | None
    ) -> str | None:
        """Keep the answer; with an account, also as a delivery in the same commit, whose id it is."""
        text = dump_reply(reply) if reply else None
        done = update(messages).where(messages.c.message_key == key, ~messages.c.finished)

        async def deed(connection: AsyncConnection) -> str | None:
            changed = await connection.execute(done.values(finished=True, reply=text))
            if not changed.rowcount or reply is None or deliver_for is None:
                return None
            row: dict[str, Any] = delivery_row(deliver_for, reply.thread, now) | {"reply": text}
            await connection.execute(insert(deliveries), row)
            return str(row["id"])

        return await self._database.write(deed)

    async def forget(self, before: datetime, limit: int) -> int:
        """Messages so old that no platform repeats them."""
        old = select(messages.c.message_key).where(messages.c.created_at < before).limit(limit)

        async def deed(connection: AsyncConnection) -> int:
            keys = [row.message_key for row in await connection.execute(old)]
            if keys:
                await connection.execute(delete(messages).where(messages.c.message_key.in_(keys)))
            return len(keys)

        return await self._database.write(deed)
