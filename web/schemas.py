"""The shapes of what travels as JSON. Those that several paths share have a name of their own."""

from __future__ import annotations

from typing import Any

from core.agents import LONGEST_NAME, LONGEST_REMARK
from core.events import MOMENTS
from core.jobs import LONGEST_CALLBACK, LONGEST_SOURCE
from core.model import JobStatus
from web.described import Schema

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
SECONDS: Schema = {"type": "number", "minimum": 0}
ID: Schema = {"type": "string", "pattern": "^[0-9a-v]{20}$"}
STATUS: Schema = {"type": "string", "enum": [status.value for status in JobStatus]}


def shape(*required: str, **fields: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


def list_of(items: Schema, **bounds: int) -> Schema:
    return {"type": "array", "items": items, **bounds}


def text_up_to(longest: int) -> Schema:
    return {"type": "string", "maxLength": longest}


def said(schema: Schema, about: str) -> Schema:
    return {**schema, "description": about}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


JOB_FIELDS: dict[str, Schema] = {
    "id": ID,
    "user_id": said(TEXT, "Of the account."),
    "agent_id": ID,
    "agent_name": TEXT,
    "message": said(TEXT, "The command."),
    "source": TEXT,
    "callback": TEXT,
    "status": STATUS,
    "result": said(TEXT, "What the job has put out."),
    "created_at": MOMENT,
}
CUT = said({"const": True}, "There where only the beginning of the result is shown.")
COMMAND = {"type": "string", "minLength": 1, "description": "The command."}
SOURCE = said(TEXT, f"Where the job comes from; {LONGEST_SOURCE} characters are kept.")
CALLBACK = said(
    text_up_to(LONGEST_CALLBACK),
    "Who is told: empty, the account's home thread; disable, nobody; an https address, which gets "
    "every event by POST.",
)

SCHEMAS: dict[str, Schema] = {
    "Refusal": shape(
        *("error", "message"),
        error=said(TEXT, "A key, for programs."),
        message=said(TEXT, "A sentence, for people."),
    ),
    "Job": shape(*JOB_FIELDS, **JOB_FIELDS, **dict.fromkeys(MOMENTS, MOMENT)),
    "JobInList": shape(*JOB_FIELDS, **JOB_FIELDS, **dict.fromkeys(MOMENTS, MOMENT), result_cut=CUT),
    "Agent": shape(
        *("id", "user_id", "available", "name", "alias", "remark", "ip"),
        *("activated_at", "created_at", "updated_at", "secret"),
        id=ID,
        user_id=TEXT,
        available=TRUTH,
        name=text_up_to(LONGEST_NAME),
        alias=text_up_to(LONGEST_NAME),
        remark=text_up_to(LONGEST_REMARK),
        ip=said(TEXT, "From where it was last seen."),
        activated_at={"type": ["string", "null"], "format": "date-time"},
        created_at=MOMENT,
        updated_at=MOMENT,
        secret=said(TEXT, "Its token, shown this once."),
    ),
}
