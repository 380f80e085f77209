"""What every test may ask for: servers of its own, empty databases, and a clock."""

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.servers import HAS_REDIS_62, MariaDB, Redis, find_redis_62

_numbers = count(1)

# Programs that the tests start inherit it: one started by nohup would not hear a hang-up, as it should not.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def clock() -> Clock:
    return Clock()


# Servers: one of each a session, started by the first test that needs it. A test that stops,
# kills or pauses a server starts one for itself: `with MariaDB() as server:`.


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    with MariaDB(fast=True) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_62_server() -> Iterator[Redis]:
    with Redis(find_redis_62()) as server:
        yield server


# Addresses: each leads to something empty that no other test uses meanwhile.


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'skadi.db'}"


@pytest.fixture
def mysql_url(mariadb: MariaDB) -> Iterator[str]:
    name = f"skadi_{next(_numbers)}"
    yield mariadb.create_database(name)
    mariadb.drop_database(name)


@pytest.fixture(
    params=[pytest.param("sqlite_url", id="sqlite"), pytest.param("mysql_url", id="mariadb")]
)
def database_url(request: pytest.FixtureRequest) -> str:
    """Each database Skadi runs on, in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def redis_62_url(redis_62_server: Redis) -> str:
    redis_62_server.flush()
    return redis_62_server.url


@pytest.fixture(
    params=[
        pytest.param("redis_url", id="redis"),
        *([pytest.param("redis_62_url", id="redis-6.2")] if HAS_REDIS_62 else []),
    ]
)
def every_redis_url(request: pytest.FixtureRequest) -> str:
    """Each Redis Skadi runs on, in turn: the one installed here and the oldest supported."""
    url: str = request.getfixturevalue(request.param)
    return url
