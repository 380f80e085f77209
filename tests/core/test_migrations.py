"""An empty database becomes today's, from several processes at once as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from core import schema
from core.store import Store, migrate, revision
from core.store.database import Database
from tests.servers import MariaDB


@pytest.fixture(params=["sqlite", "mariadb"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    server: MariaDB = request.getfixturevalue("mariadb")
    yield server.create_database("empty")
    server.drop_database("empty")


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))


async def test_three_processes_migrate_at_once(empty_url: str) -> None:
    assert (await revision(empty_url))[0] is None
    await asyncio.gather(*(migrate(empty_url) for _ in range(3)))
    has, wants = await revision(empty_url)
    assert has == wants
    store = await Store.open(empty_url)
    assert await store.facts.epoch() == 1
    await store.close()


async def test_the_migrations_lead_to_the_schema(empty_url: str) -> None:
    await migrate(empty_url)
    await migrate(empty_url)
    database = Database(empty_url)
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()
