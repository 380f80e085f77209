"""Agents and their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Update,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.errors import Invalid
from core.model import Agent, is_id
from core.store.database import Database, is_duplicate
from core.store.facts import raise_facts
from core.store.rows import to_agent
from core.store.together import Together

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


Arrival = tuple[str, str, datetime]
"""The id of an agent that is here, from which address, and when."""
Note = tuple[str, str]
"""The id of an agent, and the journal that polls for it."""


class AgentStore:
    """What thousands ask at the same moment (after a start all of them poll at once) is asked
    together; the rest is said by people, one at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tokens = Together(self._of_tokens)
        self._ids = Together(self._of_ids)
        self._arrivals = Together(self._arrive_all)
        self._notes = Together(self._note_all)

    async def add(self, agent: Agent, token_hash: str) -> None:
        """Invalid (InvalidName, InvalidAlias) when another agent of the account has the name."""
        row = {name: getattr(agent, name) for name in FIELDS} | {"token_hash": token_hash}

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(insert(agents), row)
            await _take_names(connection, agent)

        await self._database.write(deed)

    async def rename(self, agent: Agent) -> None:
        async def deed(connection: AsyncConnection) -> None:
            await rewrite_names(connection, agent)
            await raise_facts(connection)

        await self._database.write(deed)

    async def set(self, agent_id: str, **values: Any) -> None:
        """Change what processes remember: token_hash, available."""

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(update(agents).where(agents.c.id == agent_id).values(**values))
            await raise_facts(connection)

        await self._database.write(deed)

    async def remove(self, agent_id: str, now: datetime) -> None:
        """Its names are free again, no token or code leads to it; the row stays for its history."""

        async def deed(connection: AsyncConnection) -> None:
            for table in (names, schema.enrol_codes, schema.hellos):
                await connection.execute(delete(table).where(table.c.agent_id == agent_id))
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
        agent = await self._ids.ask(agent_id) if is_id(agent_id) else None
        return agent if agent and agent.account_id == account_id else None

    async def named(self, account_id: str, name: str) -> Agent | None:
        """By name or alias, exactly."""
        taken = select(names.c.agent_id).where(
            names.c.account_id == account_id, names.c.name == name
        )
        agent = await self._one(agents.c.id.in_(taken.scalar_subquery()))
        return agent if agent and name in (agent.name, agent.alias) else None

    async def _one(self, *conditions: ColumnElement[bool]) -> Agent | None:
        query = select(agents).where(agents.c.removed_at.is_(None), *conditions)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return to_agent(row) if row else None

    async def exist(self) -> bool:
        """Whether there was ever an agent."""
        async with self._database.reading() as connection:
            return (await connection.execute(select(agents.c.id).limit(1))).first() is not None

    async def holding(self, token_hash: str) -> Agent | None:
        return await self._tokens.ask(token_hash)

    async def _of_tokens(self, hashes: Sequence[str]) -> Sequence[Agent | None]:
        return await self._each(agents.c.token_hash, hashes)

    async def _of_ids(self, ids: Sequence[str]) -> Sequence[Agent | None]:
        return await self._each(agents.c.id, ids)

    async def _each(self, column: Column[str], values: Sequence[str]) -> Sequence[Agent | None]:
        """To each value the agent that has it in that column."""
        query = select(agents).where(column.in_(set(values)), agents.c.removed_at.is_(None))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        found = {row._mapping[column]: to_agent(row) for row in rows}
        return [found.get(value) for value in values]

    async def arrive(self, agent_id: str, address: str, now: datetime) -> bool:
        """It is here: whether its owner has not been told so."""
        return await self._arrivals.ask((agent_id, address, now))

    async def _arrive_all(self, arrivals: Sequence[Arrival]) -> Sequence[bool]:
        # Of an agent that comes twice the first is news; without news nothing is written.
        first = {arrival[0]: arrival for arrival in reversed(arrivals)}
        away = _of(first).with_only_columns(agents.c.id).where(~agents.c.online)
        async with self._database.reading() as connection:
            if not (await connection.execute(away)).first():
                return [False] * len(arrivals)

        async def deed(connection: AsyncConnection) -> frozenset[str]:
            news = (await connection.execute(away.with_for_update())).scalars().all()
            if news:
                await connection.execute(_come([first[agent_id] for agent_id in news]))
            return frozenset(news)

        news = await self._database.write(deed)
        return [arrival[0] in news and first[arrival[0]] is arrival for arrival in arrivals]

    async def leave(self, agent_id: str) -> bool:
        """It is gone: whether its owner has not been told so."""
        gone = update(agents).where(agents.c.id == agent_id, agents.c.removed_at.is_(None))
        gone = gone.where(agents.c.online).values(online=False)

        async def deed(connection: AsyncConnection) -> bool:
            return bool((await connection.execute(gone)).rowcount)

        return await self._database.write(deed)

    async def note_journal(self, agent_id: str, journal: str) -> str:
        """Remember which journal polls now; returns the one before."""
        return await self._notes.ask((agent_id, journal))

    async def _note_all(self, noted: Sequence[Note]) -> Sequence[str]:
        query = _of({agent_id for agent_id, _ in noted})
        query = query.with_only_columns(agents.c.id, agents.c.journal)
        async with self._database.reading() as connection:
            known = {row.id: row.journal for row in await connection.execute(query)}
        if all(known.get(agent_id, journal) == journal for agent_id, journal in noted):
            return [journal for _, journal in noted]

        async def deed(connection: AsyncConnection) -> Sequence[str]:
            rows = await connection.execute(query.with_for_update())
            known = {row.id: row.journal for row in rows}
            before, after = _take_turns(known, noted)
            if changes := {id: after[id] for id in after if after[id] != known[id]}:
                await connection.execute(_poll_for(changes))
            return before

        return await self._database.write(deed)

    async def said_online(self) -> Sequence[Agent]:
        """Those whose owners believe they are here."""
        query = select(agents).where(agents.c.online, agents.c.removed_at.is_(None))
        async with self._database.reading() as connection:
            return [to_agent(row) for row in await connection.execute(query)]


async def rewrite_names(connection: AsyncConnection, agent: Agent) -> None:
    """The names that it has now in the place of those it had. Invalid as in `add`."""
    await connection.execute(delete(names).where(names.c.agent_id == agent.id))
    await _take_names(connection, agent)
    await connection.execute(
        update(agents)
        .where(agents.c.id == agent.id, agents.c.account_id == agent.account_id)
        .values(name=agent.name, alias=agent.alias, updated_at=agent.updated_at)
    )


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


def _of(ids: Iterable[str]) -> Select[Any]:
    """Those of these agents that are still ours, in the order in which rows are locked."""
    query = select(agents).where(agents.c.id.in_(list(ids)), agents.c.removed_at.is_(None))
    return query.order_by(agents.c.id)


def _come(arrivals: Sequence[Arrival]) -> Update:
    """All are online now, each with its own address and moment."""
    addresses = {agent_id: address for agent_id, address, _ in arrivals}
    moments = {agent_id: bindparam(None, now, schema.Moment) for agent_id, _, now in arrivals}
    here = update(agents).where(agents.c.id.in_(list(addresses)))
    return here.values(
        online=True,
        address=case(addresses, value=agents.c.id),
        activated_at=case(moments, value=agents.c.id),
    )


def _poll_for(journals: Mapping[str, str]) -> Update:
    polled = update(agents).where(agents.c.id.in_(list(journals)))
    return polled.values(journal=case(dict(journals), value=agents.c.id))


def _take_turns(
    known: Mapping[str, str], noted: Sequence[Note]
) -> tuple[Sequence[str], Mapping[str, str]]:
    """To each note the journal that polled before it, and which polls for each agent at the end."""
    polls, before = dict(known), list[str]()
    for agent_id, journal in noted:
        before.append(polls.get(agent_id, journal))
        if agent_id in polls:
            polls[agent_id] = journal
    return before, polls
