"""What must hold of every accepted job in the end, read from the database, the runs and the mail."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.model import MOVES, JobStatus
from tests.crash.town import Town
from tests.crash.traffic import Wish

DEADLINE = 45.0
"""Seconds from the last yes until every end is told."""
SHOWN = 12
"""Faults that a failure names one by one."""

END = re.compile(
    r"^(Succeeded|Failed|Expired|Outcome unknown|Canceled)\b.*?\b(?:run|rest) (\d+)", re.MULTILINE
)
WORDS = {
    JobStatus.SUCCEEDED: {"Succeeded"},
    JobStatus.FAILED: {"Failed"},
    JobStatus.EXPIRED: {"Expired", "Outcome unknown"},
    JobStatus.CANCELED: {"Canceled"},
}


@dataclass(frozen=True)
class Record:
    """A job as the database has it; `told`: the notifier believes that its end was delivered."""

    id: str
    status: JobStatus
    seq: int
    seqs: Sequence[int]
    statuses: Sequence[JobStatus]
    told: bool


@dataclass(frozen=True)
class Books:
    """One look at all of it, by the numbers of the wishes."""

    records: Mapping[int, Sequence[Record]]
    runs: Counter[int]
    ends: Mapping[int, set[str]]
    unsaid: int
    """Commits whose events nobody is known to have announced."""


@dataclass(frozen=True)
class Rules:
    """`old`: agents of protocol 0, whose reports may be lost. `killed`: agents that were killed at
    work, so that the outcome of a job may be that it was interrupted."""

    old: frozenset[str] = frozenset()
    killed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fault:
    number: int
    what: str


def settle(town: Town, wanted: Sequence[Wish], rules: Rules) -> Books:
    """Wait until nothing is wrong any more; what is still wrong then is a broken promise."""
    deadline = time.monotonic() + DEADLINE
    while True:
        books = read(town)
        faults = list(find_faults(books, wanted, rules))
        if not faults and not books.unsaid:
            return books
        assert time.monotonic() < deadline, report(town, books, wanted, faults)
        time.sleep(0.25)


# Reading.


def read(town: Town) -> Books:
    records: dict[int, list[Record]] = defaultdict(list)
    for number, record in read_records(town):
        records[number].append(record)
    ends: dict[int, set[str]] = defaultdict(set)
    for letter in town.letters():
        if found := END.search(letter):
            ends[int(found[2])].add(found[1])
    [(unsaid,)] = town.ask("SELECT COUNT(*) FROM announcements")
    return Books(records, Counter(map(int, town.runs_seen())), ends, unsaid)


def read_records(town: Town) -> Iterator[tuple[int, Record]]:
    events = defaultdict(list)
    for job_id, seq, status in town.ask(
        "SELECT job_id, seq, status FROM events WHERE job_id IS NOT NULL ORDER BY job_id, seq"
    ):
        events[job_id].append((seq, JobStatus(status)))
    for job_id, command, status, seq, told in town.ask(
        "SELECT j.id, j.command, j.status, j.seq, d.state = 'told' AND d.shown_seq = j.seq"
        " FROM jobs j LEFT JOIN deliveries d ON d.id = j.delivery_id"
    ):
        seqs, statuses = [seq for seq, _ in events[job_id]], [to for _, to in events[job_id]]
        record = Record(job_id, JobStatus(status), seq, seqs, statuses, bool(told))
        yield int(command.split()[1]), record


# Judging.


def find_faults(books: Books, wanted: Sequence[Wish], rules: Rules) -> Iterator[Fault]:
    for wish in wanted:
        for what in judge(books, wish, rules):
            yield Fault(wish.number, what)


def judge(books: Books, wish: Wish, rules: Rules) -> Iterator[str]:
    records, runs = books.records.get(wish.number, ()), books.runs[wish.number]
    if wish.refusals:
        yield f"refused: {wish.refusals[0]}"
    if runs > 1:
        yield f"ran {runs} times"
    if len(records) != 1:
        yield "lost" if not records else f"is there {len(records)} times"
    for record in records:
        yield from judge_events(record)
        yield from judge_end(record, wish, runs, rules)
        if not record.told or not WORDS.get(record.status, set()) & books.ends[wish.number]:
            yield f"{record.status}, but nobody was told so"


def judge_events(record: Record) -> Iterator[str]:
    """One event a move, every move allowed."""
    if list(record.seqs) != list(range(1, record.seq + 1)):
        yield f"its events are {record.seqs}, it is at {record.seq}"
    if list(record.statuses[-1:]) != [record.status]:
        yield f"{record.status}, but its last event says {record.statuses[-1:]}"
    strange = [move for move in pairwise(record.statuses) if move not in MOVES]
    if strange:
        yield f"made moves nobody may make: {strange}"


def judge_end(record: Record, wish: Wish, runs: int, rules: Rules) -> Iterator[str]:
    if not record.status.final:
        yield f"still {record.status}"
    if record.status is JobStatus.SUCCEEDED and not runs:
        yield "succeeded without having run"
    if record.status is JobStatus.EXPIRED and JobStatus.SENT not in record.statuses:
        yield "expired while its agent was there"
    if wish.agent in rules.old | rules.killed:
        return
    if runs and record.status is not JobStatus.SUCCEEDED:
        yield f"{record.status}, but it ran to its end"
    if record.status not in (JobStatus.SUCCEEDED, JobStatus.EXPIRED):
        yield f"{record.status} for no reason"


# Saying what was found.


def report(town: Town, books: Books, wanted: Sequence[Wish], faults: Sequence[Fault]) -> str:
    """A table of how things stand, and the first faults with what is known of their jobs."""
    lines = [f"after {DEADLINE:g} s {len(faults)} faults, {books.unsaid} commits unsaid", ""]
    lines += table(books, wanted)
    lines += ["", *(explain(books, fault) for fault in faults[:SHOWN])]
    return "\n".join([*lines, "", f"logs: {town.folder}"])


def table(books: Books, wanted: Sequence[Wish]) -> Iterator[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for wish in wanted:
        row = rows[f"{wish.agent} by {'mail' if wish.by_mail else 'HTTP'}"]
        row["wanted"] += 1
        row["accepted"] += wish.accepted
        row["tries"] += wish.tries
        row["ran"] += books.runs[wish.number]
        for record in books.records.get(wish.number, ()):
            row[record.status] += 1
            row["told"] += record.told
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    yield " " * 14 + "".join(f"{name:>10}" for name in columns)
    for name, row in rows.items():
        yield f"{name:14}" + "".join(f"{row[column]:>10}" for column in columns)


def explain(books: Books, fault: Fault) -> str:
    known = [
        f"{record.id} {' → '.join(record.statuses)}"
        for record in books.records.get(fault.number, ())
    ]
    return f"{fault.number:>5}: {fault.what}  [{'; '.join(known)}; ran {books.runs[fault.number]}]"
