"""Agents and their names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.errors import Invalid
from core.model import Agent
from core.store.database import Database, is_duplicate
from core.store.facts import raise_facts
from core.store.rows import to_agent

agents, names = schema.agents, schema.agent_names
FIELDS = (
    "id",
    "account_id",
    "name",
    "alias",
    "remark",
    "available",
    "online",
    "address",
    "journal",
    "activated_at",
    "created_at",
    "updated_at",
    "removed_at",
)


class AgentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, agent: Agent, token_hash: str) -> None:
        """Invalid (InvalidName, InvalidAlias) when another agent of the account has the name."""
        row = {name: getattr(agent, name) for name in FIELDS} | {"token_hash": token_hash}

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(insert(agents), row)
            await _take_names(connection, agent)

        await self._database.write(deed)

    async def rename(self, agent: Agent) -> None:
        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(names).where(names.c.agent_id == agent.id))
            await _take_names(connection, agent)
            await connection.execute(
                update(agents)
                .where(agents.c.id == agent.id, agents.c.account_id == agent.account_id)
                .values(name=agent.name, alias=agent.alias, updated_at=agent.updated_at)
            )
            await raise_facts(connection)

        await self._database.write(deed)

    async def set(self, agent_id: str, **values: Any) -> None:
        """Change what processes remember: token_hash, available."""

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(update(agents).where(agents.c.id == agent_id).values(**values))
            await raise_facts(connection)

        await self._database.write(deed)

    async def remove(self, agent_id: str, now: datetime) -> None:
        """Its names are free again, no token leads to it; the row stays for its history."""

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(delete(names).where(names.c.agent_id == agent_id))
            gone = {"removed_at": now, "available": False, "online": False, "updated_at": now}
            await connection.execute(update(agents).where(agents.c.id == agent_id).values(**gone))
            await raise_facts(connection)

        await self._database.write(deed)

    async def list(self, account_id: str | None) -> Sequence[Agent]:
        query = select(agents).where(agents.c.removed_at.is_(None)).order_by(agents.c.name)
        if account_id is not None:
            query = query.where(agents.c.account_id == account_id)
        async with self._database.reading() as connection:
            return [to_agent(row) for row in await connection.execute(query)]

    async def get(self, account_id: str, agent_id: str) -> Agent | None:
        agent = await self._one(agents.c.id == agent_id, agents.c.account_id == account_id)
        return agent if agent and agent.id == agent_id else None

    async def named(self, account_id: str, name: str) -> Agent | None:
        """By name or alias, exactly."""
        taken = select(names.c.agent_id).where(
            names.c.account_id == account_id, names.c.name == name
        )
        agent = await self._one(agents.c.id.in_(taken.scalar_subquery()))
        return agent if agent and name in (agent.name, agent.alias) else None

    async def holding(self, token_hash: str) -> Agent | None:
        return await self._one(agents.c.token_hash == token_hash)

    async def _one(self, *conditions: ColumnElement[bool]) -> Agent | None:
        query = select(agents).where(agents.c.removed_at.is_(None), *conditions)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return to_agent(row) if row else None

    async def arrive(self, agent_id: str, address: str, now: datetime) -> bool:
        """It is here: whether its owner has not been told so."""
        here = {"online": True, "address": address, "activated_at": now}
        return await self._turn(agent_id, here, online=False)

    async def leave(self, agent_id: str) -> bool:
        """It is gone: whether its owner has not been told so."""
        return await self._turn(agent_id, {"online": False}, online=True)

    async def _turn(self, agent_id: str, values: dict[str, Any], *, online: bool) -> bool:
        change = update(agents).where(agents.c.id == agent_id, agents.c.removed_at.is_(None))
        change = change.where(agents.c.online == online).values(**values)

        async def deed(connection: AsyncConnection) -> bool:
            return bool((await connection.execute(change)).rowcount)

        return await self._database.write(deed)

    async def note_journal(self, agent_id: str, journal: str) -> str:
        """Remember which journal polls now; returns the one before."""

        async def deed(connection: AsyncConnection) -> str:
            query = select(agents.c.journal).where(agents.c.id == agent_id).with_for_update()
            before: str = (await connection.execute(query)).scalar() or ""
            change = update(agents).where(agents.c.id == agent_id).values(journal=journal)
            await connection.execute(change)
            return before

        return await self._database.write(deed)

    async def said_online(self) -> Sequence[Agent]:
        """Those whose owners believe they are here."""
        query = select(agents).where(agents.c.online, agents.c.removed_at.is_(None))
        async with self._database.reading() as connection:
            return [to_agent(row) for row in await connection.execute(query)]


async def _take_names(connection: AsyncConnection, agent: Agent) -> None:
    wanted = [("InvalidName", agent.name)]
    if agent.alias and agent.alias != agent.name:
        wanted.append(("InvalidAlias", agent.alias))
    for code, name in wanted:
        row = {"account_id": agent.account_id, "name": name, "agent_id": agent.id}
        try:
            await connection.execute(insert(names), row)
        except Exception as error:
            if is_duplicate(error):
                raise Invalid(f"The name {name} is taken.", code=code, name=name) from error
            raise
