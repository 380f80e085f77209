"""The facts of Skadi as frozen values, and the two tables that rule a job's life."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from core.chat import Level, Thread
from core.settings import Jobs

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


DIGITS = "0123456789abcdefghijklmnopqrstuv"
PAIRS = [a + b for a in DIGITS for b in DIGITS]
SHIFTS = range(90, -10, -10)


class _Place:
    """Where the last id of this process stands: its millisecond, and its place within that."""

    moment = 0
    place = 0


def new_id() -> str:
    """20 characters that sort by the moment they were made: 48 bits of milliseconds, 52 of chance.

    Those of one process and one millisecond sort as they were made too. The last four characters are
    chance alone, as they are what a person types. Ids are names, not secrets."""
    moment = time.time_ns() // 1_000_000
    # The first place is in the lower half, so that there is room for all that follow.
    _Place.place = _Place.place + 1 if moment == _Place.moment else random.getrandbits(31)
    _Place.moment = moment
    number = moment << 52 | _Place.place << 20 | random.getrandbits(20)
    return "".join([PAIRS[number >> shift & 1023] for shift in SHIFTS])


def first_id(moment: datetime) -> str:
    """What is made before a moment has a smaller id, what is made after it a greater one."""
    number = max(int(moment.timestamp() * 1000), 0) << 52
    return "".join([PAIRS[number >> shift & 1023] for shift in SHIFTS])


def moment_of(id: str) -> datetime:
    """When an id of ours was made, to the millisecond."""
    return datetime.fromtimestamp((int(id, 32) >> 52) / 1000, UTC)


def is_id(text: str) -> bool:
    """Whether a text has the form of an id of ours."""
    return len(text) == 20 and not text.strip(DIGITS)


class JobStatus(StrEnum):
    """The spelling on the wire."""

    DELAYED = "delayed"
    QUEUING = "queuing"
    SENT = "sent"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in FINAL

    @property
    def active(self) -> bool:
        """An agent has it and may be working on it."""
        return self in ACTIVE


FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED, JobStatus.CANCELED})
ACTIVE = frozenset({JobStatus.SENT, JobStatus.RUNNING})
UNFINISHED = frozenset(JobStatus) - FINAL

Mover = Literal["agent", "account", "system", "watcher", "server"]
"""Who moves a job: the agent that holds it, a person or program of the account, an upstream
system, the watcher for what is due, or the server itself when an answer never left the house."""

MOVES: Mapping[tuple[JobStatus, JobStatus], frozenset[Mover]] = {
    (JobStatus.DELAYED, JobStatus.QUEUING): frozenset({"watcher"}),
    (JobStatus.DELAYED, JobStatus.CANCELED): frozenset({"account", "system", "watcher"}),
    (JobStatus.DELAYED, JobStatus.EXPIRED): frozenset({"system"}),
    (JobStatus.QUEUING, JobStatus.SENT): frozenset({"agent"}),
    (JobStatus.QUEUING, JobStatus.EXPIRED): frozenset({"system", "watcher"}),
    (JobStatus.QUEUING, JobStatus.CANCELED): frozenset({"account", "system", "watcher"}),
    (JobStatus.SENT, JobStatus.QUEUING): frozenset({"server"}),
    # Lost on the wire: handed again to the very journal that should have had it.
    (JobStatus.SENT, JobStatus.SENT): frozenset({"agent"}),
    (JobStatus.SENT, JobStatus.RUNNING): frozenset({"agent"}),
    (JobStatus.SENT, JobStatus.SUCCEEDED): frozenset({"agent"}),
    (JobStatus.SENT, JobStatus.FAILED): frozenset({"agent"}),
    (JobStatus.SENT, JobStatus.CANCELED): frozenset({"agent"}),
    (JobStatus.SENT, JobStatus.EXPIRED): frozenset({"system", "watcher"}),
    (JobStatus.RUNNING, JobStatus.RUNNING): frozenset({"agent"}),
    (JobStatus.RUNNING, JobStatus.SUCCEEDED): frozenset({"agent"}),
    (JobStatus.RUNNING, JobStatus.FAILED): frozenset({"agent"}),
    (JobStatus.RUNNING, JobStatus.CANCELED): frozenset({"agent"}),
    (JobStatus.RUNNING, JobStatus.EXPIRED): frozenset({"system", "watcher"}),
    # What really happened may arrive late, once.
    (JobStatus.EXPIRED, JobStatus.SUCCEEDED): frozenset({"agent"}),
    (JobStatus.EXPIRED, JobStatus.FAILED): frozenset({"agent"}),
    (JobStatus.EXPIRED, JobStatus.CANCELED): frozenset({"agent"}),
}


@dataclass(frozen=True, slots=True)
class Times:
    """How long we wait, each a setting."""

    offline_after: timedelta = Jobs().offline_after
    lease: timedelta = Jobs().lease


WHEN_DUE: Mapping[JobStatus, Callable[[Times], timedelta | None]] = {
    JobStatus.DELAYED: lambda times: None,  # its own moment, set when it is submitted
    JobStatus.QUEUING: lambda times: times.offline_after,
    JobStatus.SENT: lambda times: times.lease,
    JobStatus.RUNNING: lambda times: times.lease,
}
"""After how long the watcher looks at a job again that has just come into this status. Absent: never."""


def may_move(old: JobStatus, new: JobStatus, mover: Mover) -> bool:
    return mover in MOVES.get((old, new), frozenset())


@dataclass(frozen=True, slots=True)
class Account:
    """`language`: what all its people are spoken to in; empty: each as their platform says."""

    id: str
    name: str
    language: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Which person on which platform speaks for an account. `subject` includes its scope."""

    id: str
    account_id: str
    platform: str
    subject: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Channel:
    """A named thread of an account; one of them is its home."""

    id: str
    account_id: str
    name: str
    thread: Thread
    home: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that speaks for an account or an upstream system; the secret itself is never stored.

    `kind`: `account` (CI, programs), `system` (upstream, every account), `mail` (a secret
    command address)."""

    id: str
    kind: Literal["account", "system", "mail"]
    account_id: str | None
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    scopes: frozenset[str] = frozenset()
    """What it may do; empty: everything."""

    def may(self, scope: str) -> bool:
        return not self.scopes or scope in self.scopes


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    account_id: str
    name: str
    alias: str
    remark: str
    available: bool
    address: str
    created_at: datetime
    updated_at: datetime
    activated_at: datetime | None = None
    online: bool = False
    """What its owner was last told; presence itself is asked of the broker."""
    journal: str = ""
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing an agent can run: the words it begins with, and the names of those that follow."""

    name: str
    help: str = ""
    params: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hello:
    """What an agent said of itself. `shell`: it runs whatever it is sent, beside the commands."""

    agent_id: str
    version: str
    hostname: str
    commands: tuple[Offer, ...]
    shell: bool
    said_at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A message for an agent and what became of it."""

    id: str
    account_id: str
    agent_id: str
    command: str
    source: str
    callback: str
    status: JobStatus
    requested_by: str
    created_at: datetime
    seq: int = 1
    thread: Thread | None = None
    journal: str = ""
    result: str = ""
    cancel_asked_at: datetime | None = None
    sent_at: datetime | None = None
    running_at: datetime | None = None
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    due_at: datetime | None = None
    agent_name: str = ""

    @property
    def ended_at(self) -> datetime | None:
        return self.succeeded_at or self.failed_at or self.canceled_at or self.expired_at

    @property
    def tag(self) -> str:
        """What a person sees and types of an id."""
        return self.id[-4:]


@dataclass(frozen=True, slots=True)
class EventJobStatus:
    """A job came into a status. `result` is what was known of its output at that moment."""

    id: str
    seq: int
    job: Job
    created_at: datetime


MessageType = Literal["text", "info", "warning", "auto"]


@dataclass(frozen=True, slots=True)
class EventMessage:
    """An agent says something to its owner, or we say something about an agent.

    `code` and `facts` are set for what we say ourselves (`AgentOnline`, `TwoJournals`); bots find
    the words."""

    id: str
    account_id: str
    agent_id: str
    type: MessageType
    level: Level
    message: str
    created_at: datetime
    channel: str = ""
    code: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    agent_name: str = ""


DeliveryState = Literal["open", "told", "dead"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Who is still to be told about a job or a message, and how far they know.

    `lease` is the token of the claim: only who holds it may say what became of it."""

    id: str
    account_id: str
    thread: Thread
    job_id: str | None
    event_id: str | None
    handle: str | None
    shown_seq: int
    attempts: int
    state: DeliveryState
    created_at: datetime
    due_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str = ""
    lease: str = ""
