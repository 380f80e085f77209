"""What programs of an account call: a job for an agent by its name, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from core.agents import Agents
from core.errors import Invalid, NotFound
from core.events import job_json, short_json
from core.following import Following
from core.jobs import LONGEST_SOURCE, Jobs
from core.messages import message_key
from core.model import Job, JobStatus, Token, is_id
from web.answer import Answer, in_json
from web.api import callback_of, job_id_of
from web.auth import Auth
from web.body import Bodies
from web.call import Call, Gone
from web.fields import text_of
from web.poll import read_wait

LONGEST_KEY = 255
USUAL_PAGE, LONGEST_PAGE = 20, 100


class JobApi:
    """`longest_wait`: seconds for which a caller may wait for a job's end."""

    def __init__(
        self,
        auth: Auth,
        bodies: Bodies,
        following: Following,
        longest_wait: float,
        *,
        agents: Agents,
        jobs: Jobs,
    ) -> None:
        self._auth = auth
        self._bodies = bodies
        self._following = following
        self._longest_wait = longest_wait
        self._agents = agents
        self._jobs = jobs

    async def submit(self, call: Call) -> Answer:
        query = query_of(call)
        account_id, token = await self._auth.account(call, "submit")
        wait = await self._wait(call, query)
        key = key_of(call, account_id)
        fields = await self._bodies.fields(call)
        try:
            job = await self._keep(account_id, token, fields, key)
        except (Invalid, NotFound):
            # Whoever repeats a call heard no answer; that the agent has been renamed or switched off
            # since does not undo the job.
            kept = await self._jobs.known(account_id, key) if key else None
            if kept is None:
                raise
            job = kept
        if key and not await self._is_asked_for(job, fields):
            raise Invalid("This Idempotency-Key belongs to another job.", code="KeyReused")
        if wait is None:
            return in_json(201, job_json(as_shown(job, token)))
        return await self._when_ended(call, job, wait)

    async def _keep(
        self, account_id: str, token: Token, fields: Mapping[str, Any], key: str | None
    ) -> Job:
        return await self._jobs.submit(
            account_id,
            await self._agents.find(account_id, text_of(fields, "agent")),
            text_of(fields, "message"),
            source=source_of(fields),
            requested_by=f"token:{token.id}",
            callback=callback_of(fields, token),
            key=key,
        )

    async def get(self, call: Call) -> Answer:
        query = query_of(call)
        account_id, _ = await self._auth.account(call, "read")
        wait = await self._wait(call, query)
        job = await self._jobs.get(account_id, job_id_of(call))
        if wait is None:
            return in_json(200, job_json(job))
        return await self._when_ended(call, job, wait)

    async def list(self, call: Call) -> Answer:
        query = query_of(call)
        account_id, _ = await self._auth.account(call, "read")
        limit = read_limit(query.get("limit", ""))
        found = await self._jobs.page(
            account_id,
            agent_id=await self._agent_id(account_id, query.get("agent", "")),
            status=read_status(query.get("status", "")),
            before=read_place(query.get("before", "")),
            limit=limit + 1,
        )
        jobs, more = found[:limit], len(found) > limit
        fields = {
            "jobs": [short_json(job) for job in jobs],
            "next": jobs[-1].id if more else None,
        }
        return in_json(200, fields)

    async def cancel(self, call: Call) -> Answer:
        account_id, token = await self._auth.account(call, "cancel")
        job = await self._jobs.cancel(account_id, job_id_of(call))
        return in_json(200 if job.status.final else 202, job_json(as_shown(job, token)))

    async def _is_asked_for(self, job: Job, fields: Mapping[str, Any]) -> bool:
        """Whether this is the job that the fields describe."""
        asked = text_of(fields, "message"), source_of(fields), text_of(fields, "callback")
        if asked != (job.command, job.source, job.callback):
            return False
        try:
            agent = await self._agents.find(job.account_id, text_of(fields, "agent"))
        except NotFound:
            return True  # what its agent was called then
        return agent.id == job.agent_id

    async def _agent_id(self, account_id: str, name: str) -> str | None:
        """Of the agent by its name, its alias or its id: one that was removed has only that."""
        try:
            return (await self._agents.find(account_id, name)).id if name else None
        except NotFound:
            if is_id(name):
                return name
            raise

    # Waiting

    async def _wait(self, call: Call, query: Mapping[str, str]) -> float | None:
        """For how many seconds the caller would wait for the end, None: not at all. The end tells the
        result, so that it takes a token that may read."""
        if "wait" not in query:
            return None
        await self._auth.account(call, "read")
        wait = read_wait(query["wait"], self._longest_wait)
        return 0 if call.scope["method"] == "HEAD" else wait

    async def _when_ended(self, call: Call, job: Job, wait: float) -> Answer:
        job = await self._following.until_ended(job.account_id, job.id, wait, call)
        if call.gone():
            raise Gone
        await self._auth.still_let_in(call)
        return in_json(status_of(job), job_json(job))


def query_of(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.scope["query_string"].decode("latin-1"), keep_blank_values=True))


def status_of(job: Job) -> int:
    """So that a program which only looks at the status fails with the job, and goes on only with it."""
    if job.status is JobStatus.SUCCEEDED:
        return 200
    return 424 if job.status.final else 202


def as_shown(job: Job, token: Token) -> Job:
    """Who may not read is not shown what a job said, by a repeated call either, nor what another's is."""
    if token.may("read"):
        return job
    if job.requested_by == f"token:{token.id}":
        return replace(job, result="")
    return replace(job, result="", command="", callback="")


def read_status(text: str) -> JobStatus | None:
    try:
        return JobStatus(text) if text else None
    except ValueError as error:
        raise Invalid(f"status is one of {', '.join(JobStatus)}.") from error


def read_limit(text: str) -> int:
    if not text:
        return USUAL_PAGE
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LONGEST_PAGE):
        raise Invalid(f"limit is a number from 1 to {LONGEST_PAGE}.")
    return int(text)


def read_place(text: str) -> str | None:
    if text and not is_id(text):
        raise Invalid("before is the id of a job.")
    return text or None


def key_of(call: Call, account_id: str) -> str | None:
    """By what a repeated call is known; the same key of another account is another key."""
    key = call.header(b"idempotency-key")
    if len(key) > LONGEST_KEY:
        raise Invalid(f"An Idempotency-Key has {LONGEST_KEY} characters at most.")
    return message_key("api", account_id, key.decode("latin-1")) if key else None


def source_of(fields: Mapping[str, Any]) -> str:
    return text_of(fields, "source")[:LONGEST_SOURCE]
