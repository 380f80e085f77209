"""One-time codes, and the exchange of one for an agent's token."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.model import Agent
from core.store.agents import rewrite_names
from core.store.database import Database
from core.store.facts import raise_facts
from core.store.rows import to_agent

agents, codes = schema.agents, schema.enrol_codes


class EnrolmentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, hashed: str, agent: Agent, expires_at: datetime) -> None:
        """The agent's only code from here on."""
        row = {
            "hash": hashed,
            "account_id": agent.account_id,
            "agent_id": agent.id,
            "expires_at": expires_at,
        }

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(codes).where(codes.c.agent_id == agent.id))
            await connection.execute(insert(codes), row)

        await self._database.write(deed)

    async def exchange(
        self, hashed: str, token_hash: str, now: datetime, name: str | None = None
    ) -> Agent | None:
        """Spend a code that holds: its agent has the new token, and the name. None: it holds not.

        Invalid (InvalidName) when another agent has the name; then nothing is spent."""

        async def deed(connection: AsyncConnection) -> Agent | None:
            agent = await _spend(connection, hashed, now)
            if agent is None:
                return None
            if name and name != agent.name:
                alias = "" if agent.alias == name else agent.alias
                agent = replace(agent, name=name, alias=alias)
                await rewrite_names(connection, agent)
            agent = replace(agent, updated_at=now)
            await connection.execute(
                update(agents)
                .where(agents.c.id == agent.id)
                .values(token_hash=token_hash, updated_at=now)
            )
            await raise_facts(connection)
            return agent

        return await self._database.write(deed)


async def _spend(connection: AsyncConnection, hashed: str, now: datetime) -> Agent | None:
    query = select(codes).where(codes.c.hash == hashed).with_for_update()
    code = (await connection.execute(query)).first()
    if code is None:
        return None
    await connection.execute(delete(codes).where(codes.c.hash == hashed))
    if code.expires_at <= now:
        return None
    living = select(agents).where(agents.c.id == code.agent_id, agents.c.removed_at.is_(None))
    row = (await connection.execute(living)).first()
    return to_agent(row) if row else None
