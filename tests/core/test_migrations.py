"""An empty database becomes today's, from several processes at once as well."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core import migrations, schema
from core.errors import SettingsError, Unavailable
from core.store import Store, migrate, revision
from core.store.database import Database
from tests.servers import MariaDB, free_port

ROOT = Path(__file__).parents[2]


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


def anatomy(connection: Connection) -> dict[str, Any]:
    """All that a database has of our tables, to the last type, index and collation."""
    looking = inspect(connection)
    return {
        name: {
            "columns": [(c["name"], repr(c["type"]), c["nullable"]) for c in columns],
            "key": looking.get_pk_constraint(name),
            "indexes": sorted(map(str, looking.get_indexes(name))),
            "unique": sorted(map(str, looking.get_unique_constraints(name))),
            "options": looking.get_table_options(name),
        }
        for (_, name), columns in looking.get_multi_columns().items()
        if name in schema.metadata.tables
    }


def make_anew(connection: Connection) -> None:
    schema.metadata.drop_all(connection)
    schema.metadata.create_all(connection)


async def test_the_migrations_make_the_very_tables_of_the_schema(empty_url: str) -> None:
    await migrate(empty_url)
    database = Database(empty_url)
    async with database.reading() as connection:
        migrated = await connection.run_sync(anatomy)
    await database.write(lambda connection: connection.run_sync(make_anew))
    async with database.reading() as connection:
        assert migrated == await connection.run_sync(anatomy)
    await database.close()


async def test_a_database_of_the_first_version_becomes_todays(empty_url: str) -> None:
    database = Database(empty_url)
    await database.write(lambda connection: connection.run_sync(make_the_first_version))
    assert (await revision(empty_url))[0] == "0001"
    await migrate(empty_url)
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
        (home,) = await connection.execute(schema.channels.select())
    assert (home.channel_id, home.set_by) == ("C1", None)
    await database.close()


def make_the_first_version(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
    home = "INSERT INTO channels VALUES ('1', 'ada', '', 'chat', 'C1', '', '{}', 1)"
    connection.execute(text(home))


async def test_the_newest_version_is_the_one_the_scripts_lead_to(empty_url: str) -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert (await revision(empty_url))[1] == scripts.get_current_head()


async def test_a_database_of_a_newer_program_is_left_alone(empty_url: str) -> None:
    await migrate(empty_url)
    database = Database(empty_url)

    async def age(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await database.write(age)
    await database.close()
    with pytest.raises(SettingsError, match="newer Skadi"):
        await migrate(empty_url)
    assert (await revision(empty_url))[0] == "9999"


@pytest.mark.parametrize(
    "url",
    [f"mysql+aiomysql://skadi@127.0.0.1:{free_port()}/skadi", "sqlite+aiosqlite:////no/where"],
    ids=["mysql", "sqlite"],
)
async def test_a_database_that_is_away_is_told_as_such(url: str) -> None:
    with pytest.raises(Unavailable):
        await migrate(url)
    with pytest.raises(Unavailable):
        await revision(url)


async def test_a_start_that_finds_nothing_to_do_loads_no_alembic(empty_url: str) -> None:
    await migrate(empty_url)
    script = (
        "import asyncio, sys; from core.store import migrate; "
        f"asyncio.run(migrate({empty_url!r})); assert 'alembic' not in sys.modules"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=ROOT)
    assert await process.wait() == 0
