"""What the store must be after every fact, said plainly and without a word of the store's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.model import JobStatus
from core.store import AddJob, MoveJob
from tests.core.parts import DELAYED, EXPIRED, FAILED, QUEUING, RUNNING, SENT, SUCCEEDED

CANCELED = JobStatus.CANCELED
LEASE = timedelta(minutes=10)
PATIENCE = timedelta(minutes=3)
"""How long a job waits for its agent before somebody looks whether that has gone."""
KEPT = 8193
"""Characters of a result that an event remembers."""

WAITING = (DELAYED, QUEUING)
HELD = (SENT, RUNNING)

Fact = AddJob | MoveJob
REFUSED = "refused"
"""Whatever code the refusal bears."""


@dataclass(frozen=True)
class Event:
    status: JobStatus
    at: datetime
    body: str


@dataclass(frozen=True)
class Notice:
    """Whether somebody is still to be told."""

    due_at: datetime | None
    state: str = "open"


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
        """What becomes of a fact: `made <seq>`, `renewed`, `repeat <id>`, or the code of a refusal."""
        if isinstance(fact, AddJob):
            return self._submit(fact, now)
        job = self.jobs.get(fact.job_id)
        if job is None:
            return "NotFound" if fact.mover == "agent" else "JobNotFound"
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
        if job.status is SENT and move.again and move.journal and move.journal == job.journal:
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
        return self._make(replace(job, result=text), move, now)

    def _give_back(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        if job.agent != move.owner or not job.handed:
            return "JobNotFound"
        if job.status is not SENT or job.journal != move.journal:
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

    def _renew(self, job: PlainJob, move: MoveJob, now: datetime) -> str:
        self.jobs[move.job_id] = replace(job, due_at=now + LEASE)
        return "renewed"

    def _make(
        self, job: PlainJob, move: MoveJob, now: datetime, due_at: datetime | None = None
    ) -> str:
        event = Event(move.to, now, job.result[:KEPT])
        notice = Notice(now) if job.notice else None
        after = replace(job, events=(*job.events, event), due_at=due_at, notice=notice)
        self.jobs[move.job_id] = after
        return f"made {after.seq}"


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
