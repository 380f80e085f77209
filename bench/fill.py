"""A past for a database: finished jobs, their results and events, written by the database itself.

Jobs that really ended are copied, moved back in time, with ids as they would have had then. So the
rows are of the server's own making, whatever columns they have.
"""

from __future__ import annotations

import time

from bench.ledger import Query

MODELS = 20  # finished jobs that are copied in turn
STEP_MS = 2_000  # between one job of the past and the next
CHUNK = 100_000  # jobs a statement

MODEL_JOBS = (
    "CREATE TABLE model_jobs AS SELECT ROW_NUMBER() OVER (ORDER BY id) - 1 AS nth, jobs.*"
    f" FROM jobs WHERE status = 'succeeded' ORDER BY id LIMIT {MODELS}"
)
KEYS = {"jobs": "jobs.id", "results": "results.job_id", "events": "events.job_id"}


def fill(query: Query, finished: int) -> None:
    """Bring the number of finished jobs to this. At least 20 must have ended already."""
    [(there,)] = query("SELECT COUNT(*) FROM jobs WHERE status = 'succeeded'")
    past = Past(query, finished - there)
    query(MODEL_JOBS)
    for start in range(0, past.jobs, CHUNK):
        for table in KEYS:
            past.write(table, start, min(CHUNK, past.jobs - start))
    query("DROP TABLE model_jobs")
    # The server would see to this by itself, in the middle of the measuring.
    query("ANALYZE TABLE jobs, results, events")


class Past:
    """So many jobs, an even step apart, that ended more than an hour ago."""

    def __init__(self, query: Query, jobs: int) -> None:
        self.query = query
        self.jobs = jobs
        self.last_ms = int(time.time() * 1000) - 3_600_000
        self.ms_back = f"({jobs} - past.nth) * {STEP_MS}"

    def write(self, table: str, start: int, jobs: int) -> None:
        """A table's rows of this many jobs after the first `start`.

        In the order of their ids: each is added at the table's end, as it would have been."""
        columns = self.query(
            "SELECT column_name, data_type FROM information_schema.columns"
            f" WHERE table_schema = DATABASE() AND table_name = '{table}'"
        )
        names = ", ".join(f"`{name}`" for name, _ in columns)
        values = ", ".join(self.value(table, name, kind) for name, kind in columns)
        self.query(
            f"INSERT INTO {table} ({names}) SELECT {values}"
            f" FROM (SELECT seq + {start} AS nth FROM seq_1_to_{jobs}) AS past"
            f" STRAIGHT_JOIN model_jobs AS model ON model.nth = past.nth % {MODELS}"
            f" STRAIGHT_JOIN {table} ON {KEYS[table]} = model.id"
            f" ORDER BY past.nth{', events.seq' if table == 'events' else ''}"
        )

    def value(self, table: str, column: str, kind: str) -> str:
        """What a copied row holds in a column."""
        if (table, column) == ("events", "id"):
            return self.id_after("events.seq")
        if (table, column) == ("jobs", "id") or column == "job_id":
            return self.id_after("0")
        if kind == "datetime":
            return f"{table}.`{column}` - INTERVAL ({self.ms_back}) * 1000 MICROSECOND"
        return f"{table}.`{column}`"

    def id_after(self, ms: str) -> str:
        """An id as core.model makes them: 48 bits of milliseconds and 52 others, in base32hex."""
        moment = f"({self.last_ms} - {self.ms_back} + {ms}) * 4"
        return (
            f"CONCAT(LPAD(LOWER(CONV({moment}, 10, 32)), 10, '0'),"
            " LPAD(LOWER(CONV(past.nth, 10, 32)), 10, '0'))"
        )
