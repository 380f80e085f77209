"""What the database says, asked beside the server and not through it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

Query = Callable[[str], list[tuple[Any, ...]]]
"""One statement, committed; its rows, if any."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, as the last ids there were: ids sort by when they were made."""

    job: str
    event: str


@dataclass(frozen=True, slots=True)
class Counts:
    jobs: int
    succeeded: int
    events: int


def mark(query: Query) -> Mark:
    [(job,)] = query("SELECT MAX(id) FROM jobs")
    [(event,)] = query("SELECT MAX(id) FROM events")
    return Mark(job or "", event or "")


def count_since(query: Query, start: Mark) -> Counts:
    """Only what is new, so that counting costs the same however much is in the tables."""
    statuses = query(f"SELECT status, COUNT(*) FROM jobs WHERE id > '{start.job}' GROUP BY status")
    numbers = {status: int(number) for status, number in statuses}
    [(events,)] = query(
        f"SELECT COUNT(*) FROM events WHERE id > '{start.event}' AND job_id IS NOT NULL"
    )
    return Counts(sum(numbers.values()), numbers.get("succeeded", 0), int(events))


def mariadb(port: int, database: str) -> Query:
    def query(sql: str) -> list[tuple[Any, ...]]:
        connection = pymysql.connect(
            host="127.0.0.1", port=port, user="root", database=database, autocommit=True
        )
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    return query


def sqlite(file: Path) -> Query:
    def query(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            return connection.execute(sql).fetchall()

    return query
