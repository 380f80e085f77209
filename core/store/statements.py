"""What the ledger says to a database: SQL that both kinds take, its values apart from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.store.chunks import FULL_ROW
from core.store.rows import JOB_COLUMNS, JOB_FIELDS, moment_text

Value = str | int | None
Row = Sequence[Any]
"""As the driver gives it: a moment is text or naive."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A question mark stands for each value. `locks`: the rows found are ours until the end of the
    transaction (SQLite has one writer at a time and need not be told)."""

    sql: str
    values: Sequence[Value] = ()
    locks: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """New rows. `head` ends where their values begin; at least one."""

    head: str
    rows: Sequence[Sequence[Value]]


Order = Statement | Rows
Ask = Callable[[Sequence[str]], Statement]


def plain(value: datetime | Value) -> Value:
    return moment_text(value) if isinstance(value, datetime) else value


# Asked


def lock_jobs(ids: Sequence[str]) -> Statement:
    """(id, seq, due_at), locked in the order of the ids."""
    return _about("SELECT id, seq, due_at FROM jobs WHERE id", ids, " ORDER BY id", locks=True)


def read_jobs(ids: Sequence[str]) -> Statement:
    """(delivery_id, status, and all of JOB_FIELDS)."""
    return _about(_READ_JOBS, ids, " ORDER BY id")


def read_results(ids: Sequence[str]) -> Statement:
    return _about("SELECT job_id, text FROM results WHERE job_id", ids)


def read_ends(ids: Sequence[str]) -> Statement:
    """(job_id, start, size, text) of the last piece of each job's output; a long text is not told."""
    return _about(_READ_ENDS, ids)


def lock_keys(keys: Sequence[str]) -> Statement:
    """(message_key, job_id, finished) of the messages we have met."""
    ask = "SELECT message_key, job_id, finished FROM messages WHERE message_key"
    return _about(ask, keys, " ORDER BY message_key", locks=True)


# Ordered


def add_jobs(rows: Sequence[Row]) -> Rows:
    return Rows(_ADD_JOBS, rows)


def add_events(rows: Sequence[Row]) -> Rows:
    """(id, job_id, seq, status, body, created_at)."""
    return Rows(_ADD_EVENTS, rows)


def add_keys(rows: Sequence[Row]) -> Rows:
    """(message_key, job_id, created_at) of messages that are answered by their jobs."""
    head = _head("messages", ("message_key", "job_id", "created_at", "finished"))
    return Rows(head, [(*row, 1) for row in rows])


def finish_key(key: str, job_id: str) -> Statement:
    done = "UPDATE messages SET job_id = ?, finished = 1 WHERE message_key = ?"
    return Statement(done, (job_id, key))


def keep_results(rows: Sequence[Row]) -> Rows:
    """(job_id, text), instead of what is there."""
    return Rows(_head("results", ("job_id", "text"), "REPLACE"), rows)


def keep_output(rows: Sequence[Row]) -> Rows:
    """(job_id, start, size, text), instead of what is there."""
    return Rows(_head("outputs", ("job_id", "start", "size", "text"), "REPLACE"), rows)


def add_rows(table: str, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Rows that name their columns, all the same ones in the same order."""
    return Rows(_head(table, tuple(rows[0])), [[*map(plain, row.values())] for row in rows])


def move_jobs(changes: Sequence[tuple[str, Any]], ids: Sequence[str]) -> Statement:
    """One change of several jobs; that of `seq` is a number of steps."""
    wish = ", ".join("seq = seq + ?" if name == "seq" else f"{name} = ?" for name, _ in changes)
    values = [plain(value) for _, value in changes]
    return _about(f"UPDATE jobs SET {wish} WHERE id", ids, before=values)  # noqa: S608


def nudge(ids: Sequence[str], at: str) -> Statement:
    """These deliveries have something new to tell."""
    wish = "UPDATE deliveries SET due_at = ?, state = 'open' WHERE state <> 'dead' AND id"
    return _about(wish, ids, before=[at])


def look(ids: Sequence[str], at: str) -> Statement:
    """There is something new to be seen by these deliveries: for one that is due already it is early
    enough, unless it is being looked at."""
    wish = (
        "UPDATE deliveries SET due_at = ? WHERE state = 'open'"
        " AND (due_at IS NULL OR due_at > ? OR lease <> '') AND id"
    )
    return _about(wish, ids, before=[at, at])


def forget(ids: Sequence[str]) -> Statement:
    """These batches have been announced."""
    return _about("DELETE FROM announcements WHERE id", ids)


def _about(
    begin: str,
    ids: Sequence[str],
    end: str = "",
    *,
    before: Sequence[Value] = (),
    locks: bool = False,
) -> Statement:
    marks = ", ".join("?" * len(ids))
    return Statement(f"{begin} IN ({marks}){end}", [*before, *ids], locks)


def _head(table: str, columns: Sequence[str], verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES "


_KNOWN = ", ".join(("delivery_id", "status", *JOB_FIELDS))
_READ_JOBS = f"SELECT {_KNOWN} FROM jobs WHERE id"  # noqa: S608
_ADD_JOBS = _head("jobs", JOB_COLUMNS)
_ADD_EVENTS = _head("events", ("id", "job_id", "seq", "status", "body", "created_at"))
# The last by the order of the key, so that of a long output one row is read.
_READ_ENDS = (
    "SELECT outputs.job_id, outputs.start, outputs.size,"  # noqa: S608
    f" CASE WHEN outputs.size < {FULL_ROW} THEN outputs.text ELSE '' END"
    " FROM jobs JOIN outputs ON outputs.job_id = jobs.id AND outputs.start ="
    " (SELECT start FROM outputs WHERE job_id = jobs.id ORDER BY start DESC LIMIT 1)"
    " WHERE jobs.id"
)
