"""One database, MySQL/MariaDB or SQLite: connections, transactions, and where the two differ."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from pymysql import err as mysql_errors
from sqlalchemy import Insert, Table, event, text
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import Conflict, Invalid, SkadiError, TooLarge, Unavailable
from core.metrics import DATABASE_AWAY
from core.store.line import Line, LiteLine, PacketLine

T = TypeVar("T")

TRIES = 5
DEADLOCK, LOCK_TIMEOUT = 1213, 1205  # MySQL's error numbers
DUPLICATE, TOO_LARGE = 1062, 1153
SIGNAL = 1644
"""A trigger of the operator's said no, and will say so again."""
ENDED = (1053, 1317, 1927, 2006, 2013, 2014, 4031)
"""MySQL's and its driver's numbers for a line that is no more, or soon will not be."""

Failure = (SQLAlchemyError, mysql_errors.MySQLError, sqlite3.Error, OSError, TimeoutError)
"""All that a database may raise, whether asked through SQLAlchemy or over the ledger's own line."""


class Database:
    """An engine with our habits: READ COMMITTED on MySQL, one writer at a time on SQLite."""

    def __init__(self, url: str, pool: int = 8) -> None:
        self.url = url
        self.lite = url.startswith("sqlite")
        self.engine = _open_sqlite(url) if self.lite else _open_mysql(url, pool)
        # The ledger's line needs no ping before and no rollback after each batch, it mends itself.
        self._line_engine = (
            _open_sqlite(url) if self.lite else _open_mysql(url, 1, pool_reset_on_return=None)
        )
        self.line: Line = (LiteLine if self.lite else PacketLine)(self._line_engine)

    async def close(self) -> None:
        await self.line.close()
        await self._line_engine.dispose()
        await self.engine.dispose()

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
    origin = _origin(error)
    if isinstance(origin, sqlite3.OperationalError):
        return "database is locked" in str(origin)
    return _number(origin) in (DEADLOCK, LOCK_TIMEOUT)


def is_away(error: BaseException) -> bool:
    """The database cannot be reached or cut the line; what became of a COMMIT is not known then."""
    if isinstance(error, PoolTimeout | OSError | TimeoutError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if _number(_origin(error)) == SIGNAL:
        return False
    return isinstance(_origin(error), AWAY) or _number(_origin(error)) in ENDED


def is_cut(error: BaseException) -> bool:
    """The line was open and is not any more, or the database will not take so much at once."""
    if isinstance(error, ConnectionError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return _number(_origin(error)) in (TOO_LARGE, *ENDED)


def is_duplicate(error: BaseException) -> bool:
    origin = _origin(error)
    if isinstance(origin, sqlite3.IntegrityError):
        return "UNIQUE" in str(origin)
    return isinstance(origin, mysql_errors.IntegrityError) and _number(origin) == DUPLICATE


def refusal(error: Exception) -> Exception:
    """In our words, with its cause, why the database did not take one fact; what is no word of the
    database stays as it is."""
    ours: SkadiError
    if is_duplicate(error):
        ours = Conflict("It is there already.")
    elif isinstance(_origin(error), REFUSED):
        ours = Invalid("The database cannot keep that.")
    elif is_cut(error):
        ours = TooLarge("That is more than the database takes at once.")
    elif isinstance(error, Failure):
        ours = Unavailable("The database did not do what it was asked.")
    else:
        return error
    ours.__cause__ = error
    return ours


AWAY = (
    mysql_errors.OperationalError,
    mysql_errors.InterfaceError,
    sqlite3.OperationalError,
    sqlite3.InterfaceError,
)
REFUSED = (
    mysql_errors.DataError,
    mysql_errors.IntegrityError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    UnicodeError,
    OverflowError,
)


def _origin(error: BaseException) -> BaseException:
    """The driver's own error."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _number(error: BaseException) -> object:
    """The number that MySQL gave an error."""
    return error.args[0] if isinstance(error, mysql_errors.MySQLError) and error.args else None


class _mapped:
    """Foreign exceptions become ours where they enter, with their cause."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_away(error):
            DATABASE_AWAY.begin()
            raise Unavailable("The database does not answer.") from error
        if error is None:
            DATABASE_AWAY.end()


def _open_mysql(url: str, pool: int, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url,
        hide_parameters=True,
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
    engine = create_async_engine(
        url, hide_parameters=True, pool_size=4, max_overflow=4, connect_args={"timeout": 15}
    )
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
