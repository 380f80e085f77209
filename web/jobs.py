"""What programs of an account call: a job for an agent by its name, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.agents import Agents
from core.errors import Invalid
from core.events import job_json
from core.jobs import LONGEST_SOURCE, Jobs
from core.messages import message_key
from core.model import Agent, Job
from web.answer import Answer, in_json
from web.api import job_id_of
from web.auth import Auth
from web.body import Bodies
from web.call import Call
from web.fields import text_of

LONGEST_KEY = 255


class JobApi:
    def __init__(self, auth: Auth, bodies: Bodies, *, agents: Agents, jobs: Jobs) -> None:
        self._auth = auth
        self._bodies = bodies
        self._agents = agents
        self._jobs = jobs

    async def submit(self, call: Call) -> Answer:
        account_id, token = await self._auth.account(call)
        key = key_of(call, account_id)
        fields = await self._bodies.fields(call)
        agent = await self._agents.find(account_id, text_of(fields, "agent"))
        job = await self._jobs.submit(
            account_id,
            agent,
            text_of(fields, "message"),
            source=source_of(fields),
            requested_by=f"token:{token.id}",
            callback=text_of(fields, "callback"),
            key=key,
        )
        if key and not is_asked_for(job, agent, fields):
            raise Invalid("This Idempotency-Key belongs to another job.", code="KeyReused")
        return in_json(201, job_json(job))

    async def get(self, call: Call) -> Answer:
        account_id, _ = await self._auth.account(call)
        return in_json(200, job_json(await self._jobs.get(account_id, job_id_of(call))))


def key_of(call: Call, account_id: str) -> str | None:
    """By what a repeated call is known; the same key of another account is another key."""
    key = call.header(b"idempotency-key")
    if len(key) > LONGEST_KEY:
        raise Invalid(f"An Idempotency-Key has {LONGEST_KEY} characters at most.")
    return message_key("api", account_id, key.decode("latin-1")) if key else None


def is_asked_for(job: Job, agent: Agent, fields: Mapping[str, Any]) -> bool:
    """Whether this is the job that the fields describe."""
    asked = text_of(fields, "message"), source_of(fields), text_of(fields, "callback")
    return (agent.id, *asked) == (job.agent_id, job.command, job.source, job.callback)


def source_of(fields: Mapping[str, Any]) -> str:
    return text_of(fields, "source")[:LONGEST_SOURCE]
