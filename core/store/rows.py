"""Between rows and the frozen values of core/model.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, overload

import orjson
from sqlalchemy import Row

from core.chat import Thread
from core.model import Account, Agent, Channel, Delivery, Identity, Job, JobStatus, Token

JOB_FIELDS = (
    "id",
    "account_id",
    "agent_id",
    "agent_name",
    "command",
    "source",
    "callback",
    "seq",
    "requested_by",
    "journal",
    "cancel_asked_at",
    "created_at",
    "sent_at",
    "running_at",
    "succeeded_at",
    "failed_at",
    "expired_at",
    "canceled_at",
    "due_at",
)
MOMENTS = frozenset(name for name in JOB_FIELDS if name.endswith("_at"))
NEW_FIELDS = tuple(name for name in JOB_FIELDS if name not in MOMENTS)
JOB_COLUMNS = (
    *NEW_FIELDS,
    "status",
    "delivery_id",
    "created_at",
    "due_at",
    "thread_key",
    "adapter",
    "channel_id",
    "thread_id",
    "ref",
)
STATUS = {status.value: status for status in JobStatus}


def to_job(row: Row[Any]) -> Job:
    """With its thread and its result."""
    fields = row._mapping
    values = {name: fields[name] for name in JOB_FIELDS}
    thread = to_thread(row) if fields["adapter"] else None
    return Job(
        **values, status=STATUS[fields["status"]], thread=thread, result=fields["result"] or ""
    )


def known_job(status: str, values: Iterable[Any]) -> Job:
    """Without its thread and its result; the values in the order of JOB_FIELDS, as a driver tells them."""
    fields = {
        name: to_moment(value) if name in MOMENTS else value
        for name, value in zip(JOB_FIELDS, values, strict=True)
    }
    return Job(status=STATUS[status], **fields)


def job_row(job: Job, delivery_id: str | None) -> tuple[Any, ...]:
    """A new job's row in the order of JOB_COLUMNS; the moments that have not come stay NULL."""
    thread = job.thread or NOWHERE
    return (
        *[getattr(job, name) for name in NEW_FIELDS],
        job.status,
        delivery_id,
        moment_text(job.created_at),
        job.due_at and moment_text(job.due_at),
        thread_key(thread) if job.thread else None,
        *thread_columns(thread).values(),
    )


def moment_text(moment: datetime) -> str:
    """As both databases take it and SQLite keeps it."""
    return moment.isoformat(" ", "microseconds")[:26]


@overload
def to_moment(told: datetime | str) -> datetime: ...
@overload
def to_moment(told: datetime | str | None) -> datetime | None: ...
def to_moment(told: datetime | str | None) -> datetime | None:
    """As the drivers tell it: SQLite's as text, MySQL's naive."""
    if told is None:
        return None
    moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    return moment.replace(tzinfo=UTC)


NOWHERE = Thread("", "")


def thread_columns(thread: Thread) -> dict[str, Any]:
    return {
        "adapter": thread.adapter,
        "channel_id": thread.channel_id,
        "thread_id": thread.thread_id,
        "ref": orjson.dumps(dict(thread.ref)).decode() if thread.ref else "{}",
    }


def to_thread(row: Row[Any]) -> Thread:
    return Thread(row.adapter, row.channel_id, row.thread_id, orjson.loads(row.ref))


def thread_key(thread: Thread) -> str:
    """One digest for a thread's address, whatever characters its parts have."""
    parts = (thread.adapter, thread.channel_id, thread.thread_id)
    return digest(*parts)


def digest(*parts: str) -> str:
    """sha256 of parts that cannot run into each other."""
    return sha256("\0".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def to_account(row: Row[Any]) -> Account:
    return Account(row.id, row.name, row.language, row.created_at)


def to_identity(row: Row[Any]) -> Identity:
    return Identity(row.id, row.account_id, row.platform, row.subject, row.name, row.created_at)


def to_token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        kind=row.kind,
        account_id=row.account_id,
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        scopes=frozenset(row.scopes.split()),
    )


def to_channel(row: Row[Any]) -> Channel:
    return Channel(row.id, row.account_id, row.name, to_thread(row), row.home)


def to_agent(row: Row[Any]) -> Agent:
    return Agent(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        alias=row.alias,
        remark=row.remark,
        available=row.available,
        address=row.address,
        created_at=row.created_at,
        updated_at=row.updated_at,
        activated_at=row.activated_at,
        online=row.online,
        journal=row.journal,
        removed_at=row.removed_at,
    )


def to_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        account_id=row.account_id,
        thread=to_thread(row),
        job_id=row.job_id,
        event_id=row.event_id,
        handle=row.handle,
        shown_seq=row.shown_seq,
        attempts=row.attempts,
        state=row.state,
        created_at=row.created_at,
        due_at=row.due_at,
        failing_since=row.failing_since,
        last_error=row.last_error,
        lease=row.lease,
    )
