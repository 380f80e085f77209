"""Every path as a program may rely on it: the one table of which the OpenAPI document is made."""

from __future__ import annotations

from core import hellos
from core.agents import LONGEST_NAME, LONGEST_REMARK
from core.jobs import LONGEST_DELAY
from web.described import JSON, Caller, Described, Parameter, Said, Schema
from web.jobs import LONGEST_KEY, LONGEST_PAGE, USUAL_PAGE
from web.schemas import (
    CALLBACK,
    COMMAND,
    COUNT,
    ID,
    MOMENT,
    SECONDS,
    SOURCE,
    STATUS,
    TEXT,
    TRUTH,
    list_of,
    ref,
    said,
    shape,
    text_up_to,
)

AGENT: tuple[Caller, ...] = ("agent",)
ACCOUNT: tuple[Caller, ...] = ("account",)
UPSTREAM: tuple[Caller, ...] = ("account", "system")

PATH_PARAMETERS: dict[str, Schema] = {
    "id": said(ID, "Of the job."),
    "uid": {"type": "string", "minLength": 1, "maxLength": 20},
    "verb": {"type": "string", "enum": ["running", "succeed", "fail", "canceled"]},
}

DONE = {204: Said("Done.")}
MADE = {201: Said("The job is made.")}
JOB = ref("Job")
PLAIN = "text/plain; charset=utf-8"

FOLLOW = Parameter(
    "wait", "For how many seconds to wait for the end of the job.", SECONDS, bound="longest_follow"
)
ENDED = {
    200: Said("The job; with wait: it succeeded.", JOB),
    202: Said("With wait: it is still going.", JOB),
    424: Said("With wait: it failed, expired or was canceled.", JOB),
}


# Agents

POLL = (
    Parameter(
        "wait", "For how many seconds the call may be held open.", SECONDS, bound="longest_wait"
    ),
    Parameter("slots", "How many jobs the agent would take now.", {**COUNT, "maximum": 999_999}),
    Parameter(
        "journal",
        "The name of the agent's journal.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    ),
    Parameter(
        "holding",
        "The ids of the jobs in that journal that are not finished, commas between.",
        {"type": "string", "pattern": "^([0-9a-v]{20}(,[0-9a-v]{20}){0,999})?$"},
    ),
)
SAYING = shape("message", message=said(TEXT, "What the owner is told."), channel=TEXT)
SAID = {202: Said("The owner will be told.")}
NOTHING_SAID = {400: ("InvalidMessage",)}
HELLO = shape(
    version=said(TEXT, f"Of its program; {hellos.LONGEST_VERSION} characters are kept."),
    hostname=said(TEXT, f"Of its machine; {hellos.LONGEST_HOSTNAME} characters are kept."),
    commands=list_of(
        shape("name", name=TEXT, help=TEXT, params=list_of(TEXT)), maxItems=hellos.MOST_COMMANDS
    ),
    shell=said(TRUTH, "Whether it runs whatever it is sent."),
)


def say(tone: str, *, replaced: bool = False) -> Described:
    return Described(
        f"Say something to the agent's owner{tone}",
        SAID,
        AGENT,
        body=SAYING,
        refused=NOTHING_SAID,
        replaced=replaced,
    )


AGENTS = {
    "GET /agent/job": Described(
        "The next job, if there is one",
        {
            200: Said(
                "A job, the ids of jobs to be stopped, or both.",
                shape(id=ID, message=said(TEXT, "The command."), cancel=list_of(ID)),
            ),
            204: Said("There is none."),
        },
        AGENT,
        POLL,
        refused={400: ("InvalidInput", "UnavailableAgent")},
    ),
    "PUT /agent/jobs/{id}/{verb}": Described(
        "Report on a job",
        DONE,
        AGENT,
        body=shape(result={"description": "What it has put out; what is no text is kept as JSON."}),
        refused={400: ("InvalidInput", "JobFinished", "JobNotFound")},
        takes_all=True,
    ),
    "POST /agent/jobs/{id}/output": Described(
        "A piece of what a job writes while it runs",
        {
            200: Said(
                "How much of it is here.",
                shape(
                    "have",
                    "cancel",
                    have=said(COUNT, "Bytes; there the next piece begins."),
                    cancel=said(TRUTH, "Whether somebody wants the job stopped."),
                    full=said({"const": True}, "There when no more is kept."),
                ),
            )
        },
        AGENT,
        body=shape(
            "offset",
            offset=said(COUNT, "How many bytes of UTF-8 came before."),
            text=said(TEXT, "What came since."),
        ),
    ),
    "POST /agent/job/add": Described(
        "A job for another agent of the account",
        MADE,
        AGENT,
        body=shape("message", message=said(TEXT, "The agent's name, white space, the command.")),
        refused={400: ("InvalidAgent", "InvalidMessage"), 404: ("AgentNotFound",)},
    ),
    "POST /agent/job/delayed": Described(
        "A job for the agent itself, later",
        MADE,
        AGENT,
        body=shape(
            "message",
            message=COMMAND,
            duration=said(TEXT, f"As Go writes them, 1h30m; up to {LONGEST_DELAY.days} days."),
            days={"type": "number"},
            hours={"type": "number"},
            minutes={"type": "number"},
            callback=CALLBACK,
        ),
        refused={
            400: ("InvalidAgent", "InvalidDuration", "InvalidMessage"),
            404: ("AgentNotFound",),
        },
    ),
    "POST /agent/message/info": say(""),
    "POST /agent/message/warning": say(", as a warning"),
    "POST /agent/message/text": say(", as it is"),
    "POST /agent/message/auto": say(", as the platform likes it best"),
    "POST /agent/info": say("", replaced=True),
    "POST /agent/warning": say(", as a warning", replaced=True),
    "POST /agent/text": say(", as it is", replaced=True),
    "POST /agent/kf": say(", as it is", replaced=True),
    "POST /agent/hello": Described(
        "Who the agent is and what it can run", DONE, AGENT, body=HELLO, refused={429: ("TooMany",)}
    ),
    "GET /agent/self": Described(
        "Whose token this is",
        {200: Said("The agent.", shape("id", "name", id=ID, name=TEXT))},
        AGENT,
    ),
    "POST /agent/enrol": Described(
        "Exchange a one-time code for a token",
        {
            201: Said(
                "The agent.",
                shape("id", "name", "token", id=ID, name=TEXT, token=TEXT),
                headers={"cache-control": {"const": "no-store"}},
            )
        },
        body=shape(
            "code",
            code=said(TEXT, "Dashes and the letters' case mean nothing."),
            hostname=TEXT,
            name=said(text_up_to(LONGEST_NAME), "What it is called from now on."),
        ),
        refused={
            404: ("EnrolCodeNotFound",),
            409: ("InvalidName",),
            429: ("TooManyTries",),
            503: ("Unavailable",),
        },
    ),
    "GET /agent/skadi-agent.pyz": Described(
        "The agent's program as one file",
        {
            200: Said(
                "The file.",
                {},
                "application/octet-stream",
                headers={"etag": TEXT, "repr-digest": TEXT},
            ),
            304: Said("It is the one that If-None-Match names."),
        },
        parameters=(
            Parameter("If-None-Match", "The ETag of a file that is there.", TEXT, "header"),
        ),
    ),
    "GET /install.py": Described(
        "The installer, to be run as it comes",
        {200: Said("A Python program.", TEXT, "text/x-python; charset=utf-8")},
    ),
}


# Upstream systems

SYSTEMS = {
    "POST /sys/jobs": Described(
        "A job for an agent of a user",
        {200: Said("With Accept: application/json: the job.", JOB), 204: Said("The job is made.")},
        UPSTREAM,
        body=shape(
            *("agent_id", "message"),
            user_id=said(TEXT, "Whose agent it is; left out with the token of an account."),
            agent_id=ID,
            message=COMMAND,
            source=SOURCE,
            callback=CALLBACK,
        ),
        refused={
            400: ("InvalidAgent", "InvalidMessage"),
            403: ("Forbidden",),
            404: ("AgentNotFound",),
        },
    ),
    "PUT /sys/jobs/{id}/expire": Described(
        "Give up on a job",
        DONE,
        UPSTREAM,
        refused={400: ("JobFinished",), 403: ("Forbidden",), 404: ("JobNotFound",)},
    ),
    "POST /sys/users/{uid}/agents": Described(
        "Make an agent",
        {201: Said("The agent, with its token.", ref("Agent"))},
        UPSTREAM,
        body=shape(
            "name",
            name={"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
            alias=text_up_to(LONGEST_NAME),
            remark=text_up_to(LONGEST_REMARK),
        ),
        refused={
            400: ("InvalidAlias", "InvalidName", "InvalidRemark", "MissingName"),
            403: ("Forbidden",),
        },
    ),
}


# Pipelines and scripts

NO_JOB = {403: ("Forbidden",), 404: ("JobNotFound",)}
KEY = Parameter(
    "Idempotency-Key",
    "Of your own making; a call that is repeated with it makes no second job.",
    text_up_to(LONGEST_KEY),
    "header",
)

EVENT = shape(
    *("id", "event", "data"),
    id=said(TEXT, "To go on after, as Last-Event-ID."),
    event={"enum": ["status", "output"]},
    data=said(
        {"type": "string", "contentMediaType": JSON},
        "status: the job as it was then, with event_id and seq; output: offset and text.",
    ),
)

PROGRAMS = {
    "POST /api/jobs": Described(
        "A job for an agent, by its name",
        {201: Said("Without wait: the job.", JOB), **ENDED},
        ACCOUNT,
        (FOLLOW, KEY),
        shape(
            *("agent", "message"),
            agent=said(TEXT, "Its name or alias."),
            message=COMMAND,
            source=SOURCE,
            callback=CALLBACK,
        ),
        {
            400: ("InvalidAgent", "InvalidMessage"),
            403: ("Forbidden",),
            404: ("AgentNotFound",),
            422: ("KeyReused",),
        },
    ),
    "GET /api/jobs": Described(
        "The account's jobs, newest first",
        {
            200: Said(
                "A page of them.",
                shape(
                    *("jobs", "next"),
                    jobs=list_of(ref("JobInList"), maxItems=LONGEST_PAGE),
                    next={"type": ["string", "null"], "description": "The next page's before."},
                ),
            )
        },
        ACCOUNT,
        (
            Parameter("agent", "Only of this agent: its name, alias or id.", TEXT),
            Parameter("status", "Only those that stand like this.", STATUS),
            Parameter(
                "limit",
                "How many.",
                {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": LONGEST_PAGE,
                    "default": USUAL_PAGE,
                },
            ),
            Parameter("before", "The id of a job: only older ones.", ID),
        ),
        refused={400: ("InvalidInput",), 403: ("Forbidden",), 404: ("AgentNotFound",)},
    ),
    "GET /api/jobs/{id}": Described(
        "What became of a job",
        ENDED,
        ACCOUNT,
        (FOLLOW,),
        refused={400: ("InvalidInput",), **NO_JOB},
    ),
    "POST /api/jobs/{id}/cancel": Described(
        "Call a job off",
        {200: Said("It is canceled.", JOB), 202: Said("Its agent was asked to stop it.", JOB)},
        ACCOUNT,
        refused={400: ("JobFinished",), 409: ("JobRunning",), **NO_JOB},
    ),
    "GET /api/jobs/{id}/output": Described(
        "What a job has written so far",
        {
            200: Said(
                "What came after the offset.",
                TEXT,
                PLAIN,
                headers={"skadi-next-offset": COUNT, "skadi-status": STATUS},
            )
        },
        ACCOUNT,
        (
            Parameter(
                "offset",
                "How many bytes are known already.",
                {**COUNT, "maximum": 999_999_999, "default": 0},
            ),
            Parameter(
                "wait", "For how many seconds to wait for more.", SECONDS, bound="longest_follow"
            ),
        ),
        refused={400: ("InvalidInput",), **NO_JOB},
    ),
    "GET /api/jobs/{id}/events": Described(
        "What becomes of a job, as it happens",
        {
            200: Said("Server-sent events.", EVENT, "text/event-stream; charset=utf-8"),
            204: Said("There is nothing more to tell."),
        },
        ACCOUNT,
        (
            Parameter(
                "Last-Event-ID",
                "The id of the last event that is known.",
                {"type": "string", "pattern": "^[0-9]{1,9}([.][0-9]{1,9})?$"},
                "header",
            ),
        ),
        refused={400: ("InvalidInput",), **NO_JOB},
    ),
}


# Is the server up?

PARTS = shape(
    *("status", "parts"),
    status={"enum": ["ok", "away"]},
    parts={"type": "object", "additionalProperties": TEXT},
)
OPEN = {
    "GET /status": Described("The server is up", {204: Said("It is.")}),
    "GET /healthz": Described(
        "The process answers",
        {200: Said("With its time.", shape("status", "time", status={"const": "ok"}, time=MOMENT))},
    ),
    "GET /readyz": Described(
        "Whether all that the server needs is there",
        {200: Said("All of it is.", PARTS), 503: Said("Some of it is away.", PARTS)},
    ),
    "GET /metrics": Described(
        "What this process counts, for Prometheus",
        {200: Said("Its text format.", TEXT, "text/plain; version=0.0.4; charset=utf-8")},
        ("metrics",),
        refused={403: ("Forbidden",)},
    ),
    "GET /openapi.json": Described(
        "This document", {200: Said("OpenAPI 3.1.", {"type": "object"}, JSON)}
    ),
}

CONTRACT: dict[str, Described] = {**AGENTS, **SYSTEMS, **PROGRAMS, **OPEN}
"""By method and path, as the door spells them."""
