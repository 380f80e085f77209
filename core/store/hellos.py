"""What agents said of themselves when they last met us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.model import Hello, Offer
from core.store.database import Database
from core.store.facts import raise_facts
from core.store.together import Together

hellos = schema.hellos
FIELDS = ("version", "hostname", "commands", "shell", "said_at")


class HelloStore:
    """After a start of the server all agents say hello at once: they are kept together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._questions = Together(self._get_all)
        self._sayings = Together(self._put_all)

    async def get(self, agent_id: str) -> Hello | None:
        return await self._questions.ask(agent_id)

    async def put(self, hello: Hello) -> None:
        """In the place of what the agent said before."""
        await self._sayings.ask(hello)

    async def _get_all(self, ids: Sequence[str]) -> Sequence[Hello | None]:
        query = select(hellos).where(hellos.c.agent_id.in_(set(ids)))
        async with self._database.reading() as connection:
            said = {row.agent_id: to_hello(row) for row in await connection.execute(query)}
        return [said.get(agent_id) for agent_id in ids]

    async def _put_all(self, said: Sequence[Hello]) -> Sequence[None]:
        last = {hello.agent_id: hello_row(hello) for hello in said}
        rows = [last[agent_id] for agent_id in sorted(last)]

        async def deed(connection: AsyncConnection) -> None:
            await connection.execute(self._database.upsert(hellos, *FIELDS), rows)
            await raise_facts(connection)

        await self._database.write(deed)
        return [None] * len(said)


def hello_row(hello: Hello) -> dict[str, Any]:
    commands = orjson.dumps([asdict(command) for command in hello.commands]).decode()
    fields = {name: getattr(hello, name) for name in FIELDS}
    return {"agent_id": hello.agent_id, **fields, "commands": commands}


def to_hello(row: Row[Any]) -> Hello:
    commands = tuple(
        Offer(command["name"], command["help"], tuple(command["params"]))
        for command in orjson.loads(row.commands)
    )
    return Hello(row.agent_id, row.version, row.hostname, commands, row.shell, row.said_at)
