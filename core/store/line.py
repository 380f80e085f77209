"""The ledger's own line to its database: a transaction in as few exchanges as can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any

import aiomysql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.model import new_id
from core.store.statements import Order, Row, Rows, Statement

LARGEST_PIECE = 1_000_000
"""Characters that go into one packet, as long as a single row is no longer: at most four bytes each, and
never near the 16 MiB that servers take by default."""
LONGEST_END = 5
"""Seconds that a lost session has to come to its end, once it was told to."""
NO_SUCH_SESSION = 1094


class Line(ABC):
    """One task at a time uses it. Whatever is raised, `give_up` makes it fit for the next transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._begun = False

    @abstractmethod
    async def ask(self, questions: Sequence[Statement]) -> list[Sequence[Row]]:
        """The rows that answer each; the transaction begins with the first."""

    @abstractmethod
    async def commit(self, orders: Sequence[Order]) -> None:
        """Carry them out and end the transaction."""

    @abstractmethod
    async def give_up(self) -> None:
        """Nothing of the transaction remains, as far as it is up to us."""

    @abstractmethod
    async def end_lost(self, other: AsyncConnection) -> None:
        """When this returns, no session that we hung up on does anything any more."""

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> None:
        """Through the engine, which knows the address, the options and how to begin."""
        if self._connection is None:
            connection = await self._engine.connect()
            self._driver = (await connection.get_raw_connection()).driver_connection
            self._connection = connection


class LiteLine(Line):
    """SQLite's: one statement after another."""

    async def ask(self, questions: Sequence[Statement]) -> list[Sequence[Row]]:
        await self._begin()
        return [await self._say(question) for question in questions]

    async def commit(self, orders: Sequence[Order]) -> None:
        if not (orders or self._begun):
            return
        await self._begin()
        for order in orders:
            await self._say(order)
        await self._driver.execute_fetchall("COMMIT")
        self._begun = False

    async def give_up(self) -> None:
        self._begun = False
        if self._connection is not None and self._driver.in_transaction:
            await self._driver.execute_fetchall("ROLLBACK")

    async def end_lost(self, other: AsyncConnection) -> None:
        return

    async def _begin(self) -> None:
        if not self._begun:
            await self._open()
            await self._driver.execute_fetchall("BEGIN IMMEDIATE")
            self._begun = True

    async def _say(self, order: Order) -> Sequence[Row]:
        if isinstance(order, Rows):
            marks = ", ".join("?" * len(order.rows[0]))
            await self._driver.executemany(f"{order.head}({marks})", order.rows)
            return []
        rows: Sequence[Row] = await self._driver.execute_fetchall(order.sql, order.values)
        return rows


class PacketLine(Line):
    """MySQL's: what is said together travels together, and the server stops at the first error.

    The session holds a lock by a name of its own as long as it lives: a session that we lost sight of may
    still be at work on what we sent, and only who can ask for its name can know when it is not."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._name = ""
        self._lost: list[str] = []

    async def ask(self, questions: Sequence[Statement]) -> list[Sequence[Row]]:
        await self._open()
        begin = [] if self._begun else ["BEGIN"]
        self._begun = True
        texts = chain(begin, *map(self._texts, questions))
        answers = [answer for piece in pieces(texts) for answer in await self._say(piece)]
        return answers[len(begin) :]

    async def commit(self, orders: Sequence[Order]) -> None:
        if not (orders or self._begun):
            return
        await self._open()
        begin = [] if self._begun else ["BEGIN"]
        self._begun = True
        for piece in pieces(chain(begin, *map(self._texts, orders), ["COMMIT"])):
            await self._say(piece)
        self._begun = False

    async def give_up(self) -> None:
        if self._connection is None:
            return
        try:
            if not self._driver.closed and self._begun:
                await self._say(["ROLLBACK"])
        except Exception:
            self._driver.close()
        finally:
            self._begun = False
            if self._driver.closed:
                await self._drop()

    async def end_lost(self, other: AsyncConnection) -> None:
        for name in list(self._lost):
            await end_session(other, name)
            self._lost.remove(name)

    async def _open(self) -> None:
        if self._connection is not None:
            return
        await super()._open()
        self._name = f"skadi ledger {new_id()}"
        try:
            await self._say([f"DO GET_LOCK({self._driver.escape(self._name)}, 0)"])
        except BaseException:
            self._driver.close()  # a session without its name is not to be used
            raise

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._lost.append(self._name)
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def _say(self, texts: Sequence[str]) -> list[Sequence[Row]]:
        # Encoded here, as the driver would let halves of surrogate pairs through as stray bytes.
        packet = "; ".join(texts).encode(self._driver.encoding)
        cursor = aiomysql.Cursor(self._driver)
        try:
            await cursor.execute(packet)
            answers = [await cursor.fetchall()]
            while await cursor.nextset():
                answers.append(await cursor.fetchall())
        except RuntimeError as error:
            # How uvloop says that the transport is closed.
            raise ConnectionResetError("The line to the database is closed.") from error
        return answers

    def _texts(self, order: Order) -> Iterator[str]:
        escape = self._driver.escape
        if isinstance(order, Rows):
            rows = (f"({','.join(map(escape, row))})" for row in order.rows)
            yield from (order.head + ",".join(some) for some in pieces(rows))
            return
        filled = zip_longest(order.sql.split("?"), map(escape, order.values), fillvalue="")
        yield "".join(chain.from_iterable(filled)) + (" FOR UPDATE" if order.locks else "")


def pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    """As many together as one packet takes, and at least one."""
    piece: list[str] = []
    size = 0
    for one in texts:
        if piece and size + len(one) > LARGEST_PIECE:
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += len(one)
    if piece:
        yield piece


async def end_session(other: AsyncConnection, name: str) -> None:
    """End the session that holds a lock, and wait until what it was doing is done or undone."""
    named = {"name": name, "wait": LONGEST_END}
    holder = (await other.execute(text("SELECT IS_USED_LOCK(:name)"), named)).scalar()
    if holder is None:
        return
    try:
        await other.execute(text(f"KILL {int(holder)}"))
    except DBAPIError as error:
        if not error.orig or error.orig.args[:1] != (NO_SUCH_SESSION,):
            raise
    if not (await other.execute(text("SELECT GET_LOCK(:name, :wait)"), named)).scalar():
        raise TimeoutError("A lost session does not end.")
    await other.execute(text("DO RELEASE_LOCK(:name)"), named)
