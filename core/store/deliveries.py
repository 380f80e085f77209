"""Who is still to be told, and how far they know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.chat import Action, Reply, Thread
from core.model import Delivery, new_id
from core.store.database import Database
from core.store.rows import to_delivery

deliveries, jobs = schema.deliveries, schema.jobs


class DeliveryStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, delivery_id: str, now: datetime, lease: timedelta) -> Delivery | None:
        """Lease a delivery that is due; None when it is not, or when another has it."""
        free = or_(deliveries.c.leased_until.is_(None), deliveries.c.leased_until <= now)
        mine = update(deliveries).where(
            deliveries.c.id == delivery_id,
            deliveries.c.state == "open",
            deliveries.c.due_at <= now,
            free,
        )
        key = new_id()

        async def deed(connection: AsyncConnection) -> Delivery | None:
            changed = await connection.execute(mine.values(lease=key, leased_until=now + lease))
            if not changed.rowcount:
                return None
            query = select(deliveries).where(deliveries.c.id == delivery_id)
            return to_delivery((await connection.execute(query)).one())

        return await self._database.write(deed)

    async def told(
        self,
        delivery: Delivery,
        *,
        shown: int,
        seen: int,
        handle: str | None,
        final: bool,
        again_at: datetime | None,
        rests_until: datetime | None = None,
    ) -> bool:
        """They know up to `shown`, and we looked up to `seen`. False: more has happened meanwhile.

        `final`: nothing more is expected. `again_at`: when to look again in any case. `rests_until`:
        nobody claims it before, whatever happens."""
        current = select(jobs.c.seq).where(jobs.c.id == delivery.job_id).scalar_subquery()
        behind = (deliveries.c.job_id.is_not(None)) & (current > seen)
        # There may be new output to be looked at, of a job that goes on.
        moved = behind if final else behind | (deliveries.c.due_at != delivery.due_at)
        values: dict[str, Any] = {
            "shown_seq": shown,
            "handle": handle,
            "failing_since": None,
            "attempts": 0,
            "last_error": "",
            "lease": "",
            # A lease that nobody holds keeps away all, us too.
            "leased_until": rests_until,
            # What came while we spoke has set due_at already; leave it then.
            "due_at": case((moved, deliveries.c.due_at), else_=again_at),
            "state": case((behind, "open"), else_="told" if final else "open"),
        }
        held = update(deliveries).where(
            deliveries.c.id == delivery.id, deliveries.c.lease == delivery.lease
        )

        async def deed(connection: AsyncConnection) -> bool:
            # The job's row first: a move holds it before it touches the delivery.
            lock = select(jobs.c.seq).where(jobs.c.id == delivery.job_id).with_for_update()
            newest = (await connection.execute(lock)).scalar()
            await connection.execute(held.values(**values))
            return newest is None or newest <= seen

        return await self._database.write(deed)

    async def failed(
        self,
        delivery: Delivery,
        error: str,
        now: datetime,
        again_at: datetime | None,
        rests_until: datetime | None = None,
    ) -> None:
        """It did not get through: tried again at a moment, or (None) a dead letter now.

        What happens meanwhile may bring the next try forward, but never before `rests_until`."""
        values: dict[str, Any] = {
            "failing_since": delivery.failing_since or now,
            "attempts": deliveries.c.attempts + 1,
            "last_error": error[:500],
            "lease": "",
            "leased_until": rests_until if again_at else None,
            "due_at": again_at,
            "state": "open" if again_at else "dead",
        }
        held = update(deliveries).where(
            deliveries.c.id == delivery.id, deliveries.c.lease == delivery.lease
        )

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(held.values(**values))

        await self._database.write(deed)

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        free = or_(deliveries.c.leased_until.is_(None), deliveries.c.leased_until <= now)
        query = select(deliveries.c.id).where(deliveries.c.due_at <= now, free)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(deliveries.c.due_at).limit(limit))
            return [row.id for row in rows]

    async def rests_until(self, delivery_id: str, now: datetime) -> datetime | None:
        """When a delivery that is due but must rest may be claimed; None for any other."""
        resting = select(deliveries.c.leased_until).where(
            deliveries.c.id == delivery_id,
            deliveries.c.state == "open",
            deliveries.c.due_at <= now,
            deliveries.c.lease == "",
            deliveries.c.leased_until > now,
        )
        async with self._database.reading() as connection:
            until: datetime | None = (await connection.execute(resting)).scalar()
        return until

    async def is_failing(self, delivery_id: str) -> bool:
        """Whether it did not get through and is still tried."""
        delivery = await self.get(delivery_id)
        return bool(delivery and delivery.state == "open" and delivery.failing_since)

    async def get(self, delivery_id: str) -> Delivery | None:
        query = select(deliveries).where(deliveries.c.id == delivery_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return to_delivery(row) if row else None

    async def owners_of_post(self, adapter: str, channel_id: str, handle: str) -> frozenset[str]:
        """The accounts that were told something by it."""
        query = select(deliveries.c.account_id).where(
            deliveries.c.handle == handle,
            deliveries.c.adapter == adapter,
            deliveries.c.channel_id == channel_id,
        )
        async with self._database.reading() as connection:
            rows = await connection.execute(query)
            return frozenset(row.account_id for row in rows if row.account_id)

    async def reply(self, delivery_id: str) -> Reply | None:
        """The words of a delivery that carries an answer made already."""
        query = select(deliveries.c.reply).where(deliveries.c.id == delivery_id)
        async with self._database.reading() as connection:
            text = (await connection.execute(query)).scalar()
        return load_reply(text) if text else None

    async def dead(self, account_id: str | None, limit: int) -> Sequence[Delivery]:
        query = select(deliveries).where(deliveries.c.state == "dead")
        if account_id is not None:
            query = query.where(deliveries.c.account_id == account_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))
            return [to_delivery(row) for row in rows]

    async def revive(self, delivery_id: str, now: datetime) -> bool:
        values = {"state": "open", "due_at": now, "attempts": 0, "failing_since": None}
        change = update(deliveries).where(
            deliveries.c.id == delivery_id, deliveries.c.state == "dead"
        )

        async def deed(connection: AsyncConnection) -> bool:
            return bool((await connection.execute(change.values(**values))).rowcount)

        return await self._database.write(deed)

    async def drop(self, delivery_id: str) -> bool:
        change = delete(deliveries).where(
            deliveries.c.id == delivery_id, deliveries.c.state == "dead"
        )

        async def deed(connection: AsyncConnection) -> bool:
            return bool((await connection.execute(change)).rowcount)

        return await self._database.write(deed)


def dump_reply(reply: Reply) -> str:
    return orjson.dumps(reply).decode()


def load_reply(text: str) -> Reply:
    fields = orjson.loads(text)
    fields["thread"] = Thread(**fields["thread"])
    fields["actions"] = tuple(Action(**action) for action in fields["actions"])
    return Reply(**fields)
