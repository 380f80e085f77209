"""What the store must be after every fact, said plainly and without a word of the store's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.model import JobStatus
from core.store import AddJob, AddOutput, CancelJob, MoveJob
from tests.core.parts import DELAYED, EXPIRED, QUEUING, RUNNING, SENT

CANCELED = JobStatus.CANCELED
LEASE = timedelta(minutes=10)
PATIENCE = timedelta(minutes=3)
"""How long a job waits for its agent before somebody looks whether that has gone."""
RENEWAL = timedelta(minutes=1)
"""How old a lease is at least before output renews it."""
KEPT = 8193
"""Characters of a result that an event remembers."""

WAITING = (DELAYED, QUEUING)
HELD = (SENT, RUNNING)

Deed = MoveJob | CancelJob | AddOutput
Fact = AddJob | Deed
CHARACTER = re.compile(rb"[\x80-\xbf]+|[^\x80-\xbf][\x80-\xbf]*")
"""In UTF-8, or what is left of one whose beginning is missing."""
REFUSED = "refused"
"""Whatever code the refusal bears."""


@dataclass(frozen=True)
class Event:
    status: JobStatus
    at: datetime
    body: str


@dataclass(frozen=True)
class Notice:
    """Whether somebody is still to be told. `held`: somebody is just being told."""

    due_at: datetime | None
    state: str = "open"
    held: bool = False


@dataclass(frozen=True)
class PlainJob:
    account: str
    agent: str
    events: tuple[Event, ...]
    due_at: datetime | None
    journal: str = ""
    handed: bool = False
    result: str = ""
    notice: Notice | None = None
    asked: datetime | None = None
    """When somebody first wanted stopped what runs."""
    output: bytes = b""

    @property
    def status(self) -> JobStatus:
        return self.events[-1].status

    @property
    def seq(self) -> int:
        return len(self.events)


class Plain:
    """A dictionary of jobs, a dictionary of keys, and one method a rule."""

    def __init__(
        self, jobs: dict[str, PlainJob] | None = None, keys: dict[str, str] | None = None
    ) -> None:
        self.jobs = jobs or {}
        self.keys = keys or {}
        """The job of a message; "" for one that was answered without a job."""

    def copy(self) -> Plain:
        return Plain(dict(self.jobs), dict(self.keys))

    def due(self, now: datetime) -> set[str]:
        return {id for id, job in self.jobs.items() if job.due_at and job.due_at <= now}

    def enter(self, fact: Fact, now: datetime) -> str:
        """What becomes of a fact: `made <seq>`, `renewed`, `repeat <id>`, the code of a refusal, or of
        output `heard <bytes there are>` with `full` where not all was kept."""
        if isinstance(fact, AddJob):
            return self._submit(fact, now)
        job = self.jobs.get(fact.job_id)
        if isinstance(fact, AddOutput):
            return self._listen(job, fact, now) if job else "NotFound"
        if isinstance(fact, CancelJob):
            return self._cancel(job, fact, now) if job else "JobNotFound"
        if job is None:
            return "NotFound" if fact.mover == "agent" else "JobNotFound"
        return self._move(job, fact, now)

    def _move(self, job: PlainJob, fact: MoveJob, now: datetime) -> str:
        match fact.mover:
            case "agent" if fact.to is SENT:
                return self._claim(job, fact, now)
            case "agent":
                return self._report(job, fact, now)
            case "server":
                return self._give_back(job, fact, now)
            case "watcher":
                return self._watch(job, fact, now)
        return self._stop(job, fact, now)

    def _submit(self, fact: AddJob, now: datetime) -> str:
        if fact.key in self.keys:
            known = self.keys[fact.key]
            if not known:
                return "Answered"
            same = self.jobs[known].account == fact.job.account_id
            return f"repeat {known}" if same else "KeyTaken"
        if fact.key:
            self.keys[fact.key] = fact.job.id
        self.jobs[fact.job.id] = PlainJob(
            fact.job.account_id,
            fact.job.agent_id,
            (Event(fact.job.status, now, ""),),
            fact.job.due_at,
            notice=Notice(now) if fact.target else None,
        )
        return "made 1"

    def _claim(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        if job.agent != move.owner:
            return "NotFound"
        if job.status is QUEUING:
            handed = replace(job, journal=move.journal, handed=True)
            return self._make(handed, move, now, now + LEASE)
        if move.again and not job.asked and is_lost(job, move):
            return self._renew(job, move, now)
        return "Taken"

    def _report(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        if job.agent != move.owner or not job.handed:
            return "NotFound"
        text = move.result or ""
        if move.to is RUNNING:
            if job.status not in HELD:
                return "JobNotFound"
            if job.status is RUNNING and text in ("", job.result):
                return self._renew(job, move, now)
            return self._make(replace(job, result=text or job.result), move, now, now + LEASE)
        if job.status not in (*HELD, EXPIRED):
            return "JobFinished"
        if move.to is CANCELED and move.again and not (job.asked and is_lost(job, move)):
            return "JobRunning" if job.status in HELD else "JobFinished"
        return self._make(replace(job, result=text), move, now)

    def _give_back(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        if job.agent != move.owner or not job.handed:
            return "JobNotFound"
        if job.status is not SENT or job.journal != move.journal or job.asked:
            return REFUSED
        waiting = replace(job, journal="", handed=False)
        return self._make(waiting, move, now, now + PATIENCE)

    def _watch(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        if job.due_at is None or job.due_at > now:
            return "NotDue"
        if (job.status, move.to) == (DELAYED, QUEUING):
            return self._make(job, move, now, now + PATIENCE)
        ends = {DELAYED: (CANCELED,), QUEUING: (CANCELED, EXPIRED)}.get(job.status, (EXPIRED,))
        return self._make(job, move, now) if move.to in ends else REFUSED

    def _stop(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        """Canceled by its account, given up by an upstream system."""
        if move.owner not in (None, job.account):
            return "JobNotFound"
        if job.status in WAITING or (job.status in HELD and move.to is EXPIRED):
            return self._make(job, move, now)
        return "JobRunning" if job.status in HELD else "JobFinished"

    def _cancel(self, job: PlainJob, wish: CancelJob, now: datetime) -> str:
        """What runs is only asked for, and only where there is a journal: others do not hear of it."""
        if job.account != wish.account_id:
            return "JobNotFound"
        if job.status not in HELD or not job.journal:
            return self._stop(job, MoveJob(wish.job_id, CANCELED, "account", wish.account_id), now)
        if job.asked:
            return "renewed"
        return self._record(wish.job_id, replace(job, asked=now), job.status, now)

    def _listen(self, job: PlainJob, piece: AddOutput, now: datetime) -> str:
        if job.agent != piece.agent_id or job.status not in HELD:
            return "NotFound"
        kept, full = take(piece, len(job.output))
        notice = job.notice
        if kept and piece.seen and notice and notice.state == "open":
            later = notice.due_at is None or notice.due_at > now or notice.held
            notice = replace(notice, due_at=now) if later else notice
        fresh = job.due_at is not None and job.due_at > now + LEASE - RENEWAL
        due_at = job.due_at if fresh else now + LEASE
        job = replace(job, output=job.output + kept, notice=notice, due_at=due_at)
        self.jobs[piece.job_id] = job
        return heard(bool(kept), len(job.output), full)

    def _renew(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        self.jobs[move.job_id] = replace(job, due_at=now + LEASE)
        return "renewed"

    def _make(
        self, job: PlainJob, move: MoveJob, now: datetime, due_at: datetime | None = None
    ) -> str:
        return self._record(move.job_id, replace(job, due_at=due_at), move.to, now)

    def _record(self, id: str, job: PlainJob, to: JobStatus, now: datetime) -> str:
        """One event more, and somebody who is to be told of it."""
        event = Event(to, now, job.result[:KEPT])
        notice = replace(job.notice, due_at=now, state="open") if job.notice else None
        self.jobs[id] = replace(job, events=(*job.events, event), notice=notice)
        return f"made {self.jobs[id].seq}"


def is_lost(job: PlainJob, move: MoveJob) -> bool:
    """Handed to this very journal, which does not have it."""
    return job.status is SENT and bool(move.journal) and move.journal == job.journal


def take(piece: AddOutput, have: int) -> tuple[bytes, bool]:
    """What of a piece is new and finds room, in whole characters, and whether the rest never will."""
    if piece.offset > have:
        return b"", have >= piece.limit
    kept, whole = b"", True
    for character in CHARACTER.findall(piece.text.encode()[have - piece.offset :]):
        whole = whole and have + len(kept) + len(character) <= piece.limit
        headless = 0x80 <= character[0] < 0xC0
        kept += (b"?" * len(character) if headless else character) if whole else b""
    return kept, not whole


def heard(changed: bool, have: int, full: bool) -> str:
    return f"{'heard' if changed else 'known'} {have}{' full' if full else ''}"


def agree(expected: Sequence[str], seen: Sequence[str]) -> bool:
    return all(
        wish == got or (wish == REFUSED and got[:1].isupper())
        for wish, got in zip(expected, seen, strict=True)
    )


def merges(left: Sequence[Fact], right: Sequence[Fact]) -> Iterator[list[tuple[int, Fact]]]:
    """Every order in which two processes can have been heard, each fact with its number."""
    numbered = list(enumerate([*left, *right]))
    yield from _merge(numbered[: len(left)], numbered[len(left) :])


def _merge(
    left: list[tuple[int, Fact]], right: list[tuple[int, Fact]]
) -> Iterator[list[tuple[int, Fact]]]:
    if not left or not right:
        yield [*left, *right]
        return
    for rest in _merge(left[1:], right):
        yield [left[0], *rest]
    for rest in _merge(left, right[1:]):
        yield [right[0], *rest]
