"""How an event is written on the wire: the field names that services which read the streams rely on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from core.broker import ANSWER_STREAM, JOB_STREAM, MESSAGE_STREAM, News
from core.model import EventJobStatus, EventMessage, Job

LONGEST_IN_NEWS = 8192
"""Bytes of a result that travel with an event; the whole is at /api/jobs/{id}."""

MOMENTS = (
    "sent_at",
    "running_at",
    "cancel_asked_at",
    "succeeded_at",
    "failed_at",
    "expired_at",
    "canceled_at",
)


def job_json(job: Job) -> dict[str, Any]:
    """A job as programs see it. Moments that did not happen are absent."""
    fields: dict[str, Any] = {
        "id": job.id,
        "user_id": job.account_id,
        "agent_id": job.agent_id,
        "agent_name": job.agent_name,
        "message": job.command,
        "source": job.source,
        "callback": job.callback,
        "status": job.status,
        "result": job.result,
        "created_at": rfc3339(job.created_at),
    }
    for name in MOMENTS:
        if moment := getattr(job, name):
            fields[name] = rfc3339(moment)
    return fields


def short_json(job: Job) -> dict[str, Any]:
    """The same with so much of the result as travels beside other things."""
    fields = job_json(job)
    if len(job.result) > LONGEST_IN_NEWS // 4:
        result, cut = clip(job.result, LONGEST_IN_NEWS)
        fields["result"] = result
        if cut:
            fields["result_cut"] = True
    return fields


def event_json(event: EventJobStatus) -> dict[str, Any]:
    """An event as it is published."""
    return short_json(event.job) | {"event_id": event.id, "seq": event.seq}


def job_news(event: EventJobStatus, delivery_id: str = "") -> News:
    return News(JOB_STREAM, orjson.dumps(event_json(event)), delivery_id)


def message_news(event: EventMessage, delivery_id: str = "") -> News:
    fields: dict[str, Any] = {
        "id": event.id,
        "agent_id": event.agent_id,
        "agent_name": event.agent_name,
        "user_id": event.account_id,
        "channel": event.channel,
        "type": event.type,
        "level": event.level,
        "message": event.message,
        "created_at": rfc3339(event.created_at),
    }
    if event.code:
        fields |= {"code": event.code, "facts": dict(event.facts)}
    return News(MESSAGE_STREAM, orjson.dumps(fields, default=str), delivery_id)


def answer_news(delivery_id: str) -> News:
    return News(ANSWER_STREAM, b"", delivery_id)


def clip(text: str, size: int) -> tuple[str, bool]:
    """Cut to so many bytes of UTF-8 on a character's boundary; whether anything was lost."""
    raw = text.encode()
    if len(raw) <= size:
        return text, False
    return raw[:size].decode(errors="ignore"), True


def rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
