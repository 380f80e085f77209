"""The calls that a job's life is made of, as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from bench.wire import request

COMMAND = "deploy production --services api,web,worker --wait"
RESULT = "deployed api, web and worker to production in 41 s; 0 warnings, 0 errors".ljust(100, ".")


@dataclass(frozen=True, slots=True)
class AgentKey:
    """What an agent was given when it was made. `user_id` is how an upstream names its account."""

    id: str
    user_id: str
    token: str


def making(token: str, user_id: str, name: str) -> bytes:
    body = orjson.dumps({"name": name})
    return request("POST", f"/sys/users/{user_id}/agents", token=token, body=body)


def submission(token: str, agent: AgentKey) -> bytes:
    """A job as an upstream system submits it, with no callback: all its events are announced."""
    job = {
        "user_id": agent.user_id,
        "agent_id": agent.id,
        "message": COMMAND,
        "source": "bench",
        "callback": "",
    }
    return request("POST", "/sys/jobs", token=token, body=orjson.dumps(job))


def poll(agent: AgentKey, wait: int = 0) -> bytes:
    """`wait`: for how many seconds the server may hold the poll open."""
    path = f"/agent/job?wait={wait}" if wait else "/agent/job"
    return request("GET", path, token=agent.token)


REPORT = b"PUT /agent/jobs/"
"""A report is this, the job's id, and what `report_tail` gives: only the id is new each time."""


def report_tail(agent: AgentKey) -> bytes:
    body = orjson.dumps({"result": RESULT})
    return request("PUT", "/succeed", token=agent.token, body=body).removeprefix(b"PUT ")


def job_id(answer: bytes) -> str:
    """The id in what a claim was answered."""
    return str(orjson.loads(answer)["id"])
