"""One database, MySQL/MariaDB or SQLite: connections, transactions, and where the two differ."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from pymysql.err import IntegrityError as MySQLIntegrity
from sqlalchemy import Insert, Table, event, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import Unavailable

T = TypeVar("T")

TRIES = 5
DEADLOCK, LOCK_TIMEOUT = 1213, 1205  # MySQL's error numbers
DUPLICATE, TOO_LARGE = 1062, 1153


class Database:
    """An engine with our habits: READ COMMITTED on MySQL, one writer at a time on SQLite."""

    def __init__(self, url: str, pool: int = 8) -> None:
        self.url = url
        self.lite = url.startswith("sqlite")
        self.engine = _open_sqlite(url) if self.lite else _open_mysql(url, pool)
        # The ledger's own line: no ping before and no rollback after each batch, it mends itself.
        self.ledger_engine = (
            _open_sqlite(url) if self.lite else _open_mysql(url, 1, pool_reset_on_return=None)
        )

    async def close(self) -> None:
        await self.engine.dispose()
        await self.ledger_engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for looking only; what is away is told as Unavailable."""
        with _mapped():
            async with self.engine.connect() as connection:
                yield connection

    async def write(self, deed: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `deed` in a transaction; once more after a deadlock. It must be safe to run again."""
        with _mapped():
            for _ in range(TRIES - 1):
                try:
                    return await self._attempt(deed)
                except DBAPIError as error:
                    if not is_collision(error):
                        raise
                    await asyncio.sleep(0.01)
            return await self._attempt(deed)

    async def _attempt(self, deed: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.engine.connect() as connection:
            await connection.execution_options(writes=True)
            async with connection.begin():
                return await deed(connection)

    def upsert(self, table: Table, *columns: str) -> Insert:
        """INSERT that overwrites the named columns of a row that is there already."""
        if self.lite:
            lite = sqlite.insert(table)
            changes = {name: lite.excluded[name] for name in columns}
            return lite.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)
        full = mysql.insert(table)
        return full.on_duplicate_key_update({name: full.inserted[name] for name in columns})

    def bulk(self, table: Table, columns: Sequence[str]) -> str:
        """INSERT as the driver wants it, for rows given as tuples in this order."""
        marks = ", ".join(["?" if self.lite else "%s"] * len(columns))
        return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608

    async def now(self) -> datetime:
        """The database's own clock, to tell whose clock is off."""
        query = (
            "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
            if self.lite
            else "SELECT UTC_TIMESTAMP(6)"
        )
        async with self.reading() as connection:
            moment: datetime | str = (await connection.execute(text(query))).scalar_one()
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        return moment.replace(tzinfo=UTC)


def is_collision(error: BaseException) -> bool:
    """Two transactions met; the same one may go through now."""
    if not isinstance(error, DBAPIError) or not error.orig or not error.orig.args:
        return False
    first = error.orig.args[0]
    return first in (DEADLOCK, LOCK_TIMEOUT) or "database is locked" in str(first)


def is_away(error: BaseException) -> bool:
    """The database cannot be reached or cut the line; what became of a COMMIT is not known then."""
    if isinstance(error, PoolTimeout | OSError | TimeoutError | InterfaceError):
        return True
    return isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


def is_cut(error: BaseException) -> bool:
    """The line was open and is not any more, or the database will not take so much at once."""
    if not isinstance(error, DBAPIError) or not error.orig:
        return False
    return error.connection_invalidated or error.orig.args[:1] == (TOO_LARGE,)


def is_duplicate(error: BaseException) -> bool:
    if not isinstance(error, IntegrityError):
        return False
    origin = error.orig
    if isinstance(origin, MySQLIntegrity):
        return bool(origin.args and origin.args[0] == DUPLICATE)
    return isinstance(origin, sqlite3.IntegrityError) and "UNIQUE" in str(origin)


class _mapped:
    """Foreign exceptions become ours where they enter, with their cause."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_away(error):
            raise Unavailable("The database does not answer.") from error


def _open_mysql(url: str, pool: int, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=5,
        pool_pre_ping=not options,
        pool_recycle=3600,
        **options,
        connect_args={
            "connect_timeout": 5,
            "init_command": "SET time_zone='+00:00', innodb_lock_wait_timeout=10",
        },
    )


def _open_sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=4, max_overflow=4, connect_args={"timeout": 15})
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=15000",
        "cache_size=-16000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
