"""What must hold of every accepted job in the end, read from the database, the runs and the mail."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from functools import cache
from itertools import pairwise
from pathlib import Path

from core.model import MOVES, JobStatus
from tests.crash.town import Town, read_letter
from tests.crash.traffic import Wish

DEADLINE = 45.0
"""Seconds from the last yes until every end is told."""
SHOWN = 12
"""Faults that a failure names one by one."""

END = re.compile(
    r"^(Succeeded|Failed|Expired|Outcome unknown|Canceled)\b.*?\b(?:run|rest) (\d+)", re.MULTILINE
)
WORDS = {
    JobStatus.SUCCEEDED: "Succeeded",
    JobStatus.FAILED: "Failed",
    JobStatus.EXPIRED: "Outcome unknown",
    JobStatus.CANCELED: "Canceled",
}
NEVER_HANDED_OUT = "Expired"
INTERRUPTED = "interrupted: "
"""How the result of a job begins whose agent was killed at work."""
OWNER = "ada@example.org"
"""Who submits everything, and whom every answer is for."""


@dataclass(frozen=True)
class Record:
    """A job as the database has it; `told`: the notifier believes that its end was delivered."""

    id: str
    status: JobStatus
    seq: int
    seqs: Sequence[int]
    statuses: Sequence[JobStatus]
    told: bool
    result: str = ""


@dataclass(frozen=True)
class Books:
    """One look at all of it, by the numbers of the wishes. `ends`: the words by which its owner was
    told an end; `strangers`: who else was."""

    records: Mapping[int, Sequence[Record]]
    runs: Counter[int]
    ends: Mapping[int, set[str]]
    unsaid: int
    """Commits whose events nobody is known to have announced."""
    strangers: Mapping[int, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """`old`: agents of protocol 0, whose reports may be lost. `killed`: agents that were killed at
    work, so that the outcome of a job may be that it was interrupted. `canceled`: numbers of the
    wishes that somebody wanted stopped."""

    old: frozenset[str] = frozenset()
    killed: frozenset[str] = frozenset()
    canceled: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Letter:
    """A mail that tells an end."""

    number: int
    word: str
    recipient: str


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
    strangers: dict[int, set[str]] = defaultdict(set)
    for letter in read_letters(town.folder / "answers"):
        if letter.recipient == OWNER:
            ends[letter.number].add(letter.word)
        else:
            strangers[letter.number].add(letter.recipient)
    [(unsaid,)] = town.ask("SELECT COUNT(*) FROM announcements")
    return Books(records, Counter(map(int, town.runs_seen())), ends, unsaid, strangers)


def read_letters(maildir: Path) -> Iterator[Letter]:
    """Those that tell an end."""
    for file in sorted((maildir / "new").glob("*")):
        if letter := read_end(file):
            yield letter


@cache
def read_end(file: Path) -> Letter | None:
    """A mail never changes once it is there."""
    raw = file.read_bytes()
    found = END.search(read_letter(raw))
    if not found:
        return None
    recipient = message_from_bytes(raw, policy=policy.default)["To"]
    return Letter(int(found[2]), found[1], str(recipient))


def read_records(town: Town) -> Iterator[tuple[int, Record]]:
    events = defaultdict(list)
    for job_id, seq, status in town.ask(
        "SELECT job_id, seq, status FROM events WHERE job_id IS NOT NULL ORDER BY job_id, seq"
    ):
        events[job_id].append((seq, JobStatus(status)))
    for job_id, command, status, seq, told, result in town.ask(
        "SELECT j.id, j.command, j.status, j.seq, d.state = 'told' AND d.shown_seq = j.seq, r.text"
        " FROM jobs j LEFT JOIN deliveries d ON d.id = j.delivery_id"
        " LEFT JOIN results r ON r.job_id = j.id"
    ):
        seqs, statuses = [seq for seq, _ in events[job_id]], [to for _, to in events[job_id]]
        record = Record(job_id, JobStatus(status), seq, seqs, statuses, bool(told), result or "")
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
        yield from judge_telling(record, books.ends.get(wish.number, set()))
    yield from judge_strangers(books, wish)


def judge_events(record: Record) -> Iterator[str]:
    """One event a move, from waiting on, every move allowed."""
    if not {JobStatus.DELAYED, JobStatus.QUEUING}.issuperset(record.statuses[:1]):
        yield f"it began as {record.statuses[0]}"
    if list(record.seqs) != list(range(1, record.seq + 1)):
        yield f"its events are {record.seqs}, it is at {record.seq}"
    if list(record.statuses[-1:]) != [record.status]:
        yield f"{record.status}, but its last event says {record.statuses[-1:]}"
    strange = [move for move in pairwise(record.statuses) if move not in MOVES]
    if strange:
        yield f"made moves nobody may make: {strange}"


def judge_end(record: Record, wish: Wish, runs: int, rules: Rules) -> Iterator[str]:
    """Whether something explains that it ended like this."""
    status = record.status
    if not status.final:
        yield f"still {status}"
    if status is JobStatus.SUCCEEDED and not runs:
        yield "succeeded without having run"
    if status is JobStatus.CANCELED and wish.number not in rules.canceled:
        yield "canceled, and nobody wanted that"
    if status is JobStatus.FAILED:
        yield from judge_failure(record, wish, rules)
    if status is JobStatus.EXPIRED:
        yield from judge_expiry(record, wish, runs, rules)


def judge_failure(record: Record, wish: Wish, rules: Rules) -> Iterator[str]:
    """No command of these fails by itself, and an old agent does not know what was interrupted."""
    if wish.agent not in rules.killed:
        yield "failed for no reason"
    elif not record.result.startswith(INTERRUPTED):
        yield f"failed, but not since it was interrupted: {record.result[:60]!r}"


def judge_expiry(record: Record, wish: Wish, runs: int, rules: Rules) -> Iterator[str]:
    """A new agent reports whatever it began, also when that was too late."""
    if was_waiting(record.statuses[-2:-1]):
        yield "expired while its agent was there"
    elif runs and wish.agent not in rules.old:
        yield "expired, but its agent knows what became of it"


def was_waiting(statuses: Sequence[JobStatus]) -> bool:
    return not any(status.active for status in statuses)


def judge_telling(record: Record, said: set[str]) -> Iterator[str]:
    """The end was told, and nothing beside what it was."""
    words = [word_of(*step) for step in pairwise(record.statuses) if step[1].final]
    if not record.told or not record.status.final or not said.intersection(words[-1:]):
        yield f"{record.status}, but nobody was told so"
    if false := said.difference(words):
        yield f"told as {sorted(false)}, which it never was"


def word_of(before: JobStatus, end: JobStatus) -> str:
    """How a mail about it begins."""
    if end is JobStatus.EXPIRED and was_waiting([before]):
        return NEVER_HANDED_OUT
    return WORDS[end]


def judge_strangers(books: Books, wish: Wish) -> Iterator[str]:
    if told := books.strangers.get(wish.number):
        yield f"{sorted(told)} were told of it"


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
