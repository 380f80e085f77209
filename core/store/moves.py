"""The moves of a job: who may make which, and the job after one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.errors import Conflict, Invalid, NotFound, SkadiError
from core.model import WHEN_DUE, Job, JobStatus, Mover, Times, may_move


@dataclass(frozen=True, slots=True)
class MoveJob:
    """A wish to bring a job into a status. `owner` is the agent or account in whose name it is wished
    (None: everybody's, for the watcher and upstream). `result`: None leaves what is known. `again`: the
    journal that the job was handed to does not hold it."""

    job_id: str
    to: JobStatus
    mover: Mover
    owner: str | None
    result: str | None = None
    journal: str = ""
    again: bool = False

    @property
    def size(self) -> int:
        return 500 + weight(self.result or "")

    @property
    def leans_on_result(self) -> bool:
        """Whether what is known of the output so far matters to the move."""
        return self.to in (JobStatus.RUNNING, JobStatus.EXPIRED) or self.result == ""


@dataclass(frozen=True, slots=True)
class CancelJob:
    """A wish that a job ends: one that waits is canceled, one that runs is asked for if its agent can
    hear of it. `account_id`: whose job it must be."""

    job_id: str
    account_id: str

    @property
    def size(self) -> int:
        return 500

    @property
    def move(self) -> MoveJob:
        """What to wish for of a job that nobody has begun."""
        return MoveJob(self.job_id, JobStatus.CANCELED, "account", self.account_id)


def hears(job: Job) -> bool:
    """Whether an agent has the job that would stop it when asked to."""
    return job.status.active and bool(job.journal)


def asked(job: Job, at: datetime) -> Job:
    """The job with the wish to have it stopped, which is told like a change of status: who knew the
    row by its seq must read it again."""
    return job if job.cancel_asked_at else replace(job, cancel_asked_at=at, seq=job.seq + 1)


def weight(text: str) -> int:
    """The most bytes a text can have on the wire, without encoding it."""
    return len(text) if text.isascii() else 4 * len(text)


MUTABLE = (
    "status",
    "journal",
    "due_at",
    "cancel_asked_at",
    "sent_at",
    "running_at",
    "succeeded_at",
    "failed_at",
    "expired_at",
    "canceled_at",
)


def check(job: Job, move: MoveJob, at: datetime) -> None:
    """Raises the refusal that says why this mover may not bring the job there now."""
    if move.mover == "watcher" and (job.due_at is None or job.due_at > at):
        raise Conflict("The job is not due.", code="NotDue")
    if not may_move(job.status, move.to, move.mover) or not _same_journal(job, move):
        raise refusal_of(job, move)


def owns(job: Job, move: MoveJob) -> bool:
    """Whether the mover can know of this job at all."""
    if move.mover in ("agent", "server"):
        holds = move.to is JobStatus.SENT or job.sent_at is not None
        return job.agent_id == move.owner and holds
    return move.owner is None or job.account_id == move.owner


def _same_journal(job: Job, move: MoveJob) -> bool:
    """What is to be stopped and was lost on the wire is neither handed again nor waits again."""
    same = job.journal == move.journal
    if (job.status, move.to) == (JobStatus.SENT, JobStatus.SENT):
        return move.again and bool(move.journal) and same and not job.cancel_asked_at
    if move.to is JobStatus.CANCELED and move.again:
        lost = job.status is JobStatus.SENT and job.cancel_asked_at is not None
        return lost and same and bool(move.journal)
    return move.to is not JobStatus.QUEUING or (same and not job.cancel_asked_at)


def nowhere(move: MoveJob) -> NotFound:
    code = "NotFound" if move.mover == "agent" else "JobNotFound"
    return NotFound("There is no such job.", code=code, job=move.job_id)


def refusal_of(job: Job, move: MoveJob) -> SkadiError:
    facts = {"job": job.id, "status": job.status.value, "agent": job.agent_name}
    if move.to is JobStatus.SENT:
        return Conflict("Somebody was first.", code="Taken", **facts)
    if move.to is JobStatus.RUNNING:
        return Invalid(f"Job {job.id} is not active.", code="JobNotFound", **facts)
    if job.status.active:
        return Conflict(f"Job {job.id} cannot be interrupted.", code="JobRunning", **facts)
    return Invalid(f"Job {job.id} is {job.status.value}.", code="JobFinished", **facts)


def moved(job: Job, move: MoveJob, at: datetime, times: Times) -> Job:
    """The job after a move that was allowed. Its seq grows only when there is something to tell."""
    wait = WHEN_DUE[move.to](times) if move.to in WHEN_DUE else None
    due_at = at + wait if wait else None
    again = job.status is move.to
    if again and move.to is JobStatus.SENT:
        return replace(job, due_at=due_at)
    silent = move.to is JobStatus.RUNNING and not move.result
    result = job.result if silent or move.result is None else move.result
    if again and result == job.result:
        return replace(job, due_at=due_at)
    moment: dict[str, Any] = {}
    if move.to is JobStatus.QUEUING:
        moment = {"sent_at": None, "journal": ""} if job.status is JobStatus.SENT else {}
    elif not again:
        moment = {f"{move.to.value}_at": at}
    if move.to is JobStatus.SENT:
        moment["journal"] = move.journal
    return replace(job, status=move.to, seq=job.seq + 1, due_at=due_at, result=result, **moment)


def differences(before: Job, after: Job) -> tuple[tuple[str, Any], ...]:
    """Which columns changed to what; `seq` as the number of steps."""
    if before is after:
        return ()
    changes = [
        (name, value)
        for name in MUTABLE
        if (value := getattr(after, name)) != getattr(before, name)
    ]
    if after.seq != before.seq:
        changes.append(("seq", after.seq - before.seq))
    return tuple(changes)
