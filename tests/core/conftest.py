"""A store and a house on each database.

Tables are made once and emptied before each test: to make them takes longer than most tests."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.store import Store, migrate
from tests.clock import Clock
from tests.house import House, open_house
from tests.servers import MariaDB


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "skadi.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def made_mysql(mariadb: MariaDB) -> str:
    asyncio.run(migrate(mariadb.create_database("skadi_core")))
    return "skadi_core"


@pytest.fixture
def sqlite_url(tmp_path: Path, made_sqlite: Path) -> str:
    shutil.copy(made_sqlite, tmp_path / "skadi.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'skadi.db'}"


@pytest.fixture
def mysql_url(mariadb: MariaDB, made_mysql: str) -> str:
    mariadb.truncate(made_mysql)
    mariadb.execute(f"INSERT INTO `{made_mysql}`.counters VALUES ('facts', 1)")
    return mariadb.url(made_mysql)


@pytest.fixture
async def store(database_url: str, clock: Clock) -> AsyncIterator[Store]:
    one = await Store.open(database_url, clock=clock)
    yield one
    await one.close()


@pytest.fixture
async def house(database_url: str, clock: Clock) -> AsyncIterator[House]:
    async with open_house(database_url, clock) as one:
        yield one
