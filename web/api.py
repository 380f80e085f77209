"""What agents and upstream systems call: each route parses, asks core once, and answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeGuard

from core.agents import Agents
from core.durations import parse_duration
from core.errors import Forbidden, Invalid, NotFound
from core.events import job_json, rfc3339
from core.jobs import Jobs
from core.model import Agent, MessageType, Token, is_id
from web.answer import ACCEPTED, CREATED, NO_CONTENT, Answer, in_json
from web.auth import Auth
from web.body import Bodies
from web.call import Call
from web.fields import text_of
from web.poll import Polls

Verb = Literal["running", "succeed", "fail", "canceled"]
VERBS = frozenset({"running", "succeed", "fail", "canceled"})
LONGEST_DURATION = 100
UNITS = ("days", "hours", "minutes")


class AgentApi:
    """The daemons on people's servers."""

    def __init__(
        self, auth: Auth, bodies: Bodies, polls: Polls, *, agents: Agents, jobs: Jobs
    ) -> None:
        self._auth = auth
        self._bodies = bodies
        self._polls = polls
        self._agents = agents
        self._jobs = jobs

    async def pull(self, call: Call) -> Answer:
        given = await self._polls.take(call)
        if given is None:
            return NO_CONTENT
        job, cancel = given.claimed, given.cancel
        fields: dict[str, Any] = {"id": job.id, "message": job.message} if job else {}
        return in_json(200, fields | ({"cancel": cancel} if cancel else {}))

    async def report(self, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        job_id, verb = call.param("id"), call.param("verb")
        if not is_verb(verb) or not is_id(job_id):
            raise NotFound("This agent has no such job.")
        expect = partial(self._jobs.expect, agent, job_id, verb)
        result, more = await self._bodies.result(call, agent.id, expect)
        await self._jobs.report(agent, job_id, verb, result)
        if more:
            await self._bodies.drain(call)
        return NO_CONTENT

    async def output(self, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        fields = await self._bodies.fields(call)
        offset = fields.get("offset")
        if not isinstance(offset, int) or isinstance(offset, bool):
            raise Invalid("offset is how many bytes of output came before.")
        text = text_of(fields, "text")
        kept = await self._jobs.output.add(agent, call.param("id"), offset, text)
        answered = {"have": kept.have, "cancel": kept.cancel}
        return in_json(200, answered | ({"full": True} if kept.full else {}))

    async def add(self, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        fields = await self._bodies.fields(call)
        await self._jobs.add_by_agent(agent, text_of(fields, "message"))
        return CREATED

    async def delay(self, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        fields = await self._bodies.fields(call)
        message, callback = text_of(fields, "message"), text_of(fields, "callback")
        await self._jobs.delay_by_agent(agent, message, delay_of(fields), callback)
        return CREATED

    async def say(self, type: MessageType, call: Call) -> Answer:
        agent = await self._auth.agent(call)
        fields = await self._bodies.fields(call)
        await self._agents.say(agent, type, text_of(fields, "message"), text_of(fields, "channel"))
        return ACCEPTED


class SystemApi:
    """Upstream systems, which name the account they speak for, and programs of one account."""

    def __init__(self, auth: Auth, bodies: Bodies, *, agents: Agents, jobs: Jobs) -> None:
        self._auth = auth
        self._bodies = bodies
        self._agents = agents
        self._jobs = jobs

    async def submit(self, call: Call) -> Answer:
        token = await self._auth.token(call, "submit")
        fields = await self._bodies.fields(call)
        account_id = await self._auth.account_of(token, text_of(fields, "user_id"))
        agent = await self._agents.get(account_id, text_of(fields, "agent_id"))
        job = await self._jobs.submit(
            account_id,
            agent,
            text_of(fields, "message"),
            source=text_of(fields, "source"),
            requested_by=f"token:{token.id}",
            callback=callback_of(fields, token),
        )
        return in_json(200, job_json(job)) if call.accepts_json() else NO_CONTENT

    async def expire(self, call: Call) -> Answer:
        token = await self._auth.token(call, "cancel")
        await self._jobs.expire(token.account_id, job_id_of(call))
        return NO_CONTENT

    async def enrol(self, call: Call) -> Answer:
        token = await self._auth.token(call, "agents")
        account_id = await self._auth.account_of(token, call.param("uid"))
        fields = await self._bodies.fields(call)
        about = (text_of(fields, name) for name in ("name", "alias", "remark"))
        agent, secret = await self._agents.enrol(account_id, *about)
        return in_json(201, agent_json(agent) | {"secret": secret})


def is_verb(text: str) -> TypeGuard[Verb]:
    return text in VERBS


def callback_of(fields: Mapping[str, Any], token: Token) -> str:
    """Who is told. An address is told the output as well, so that it takes a token that may read."""
    callback = text_of(fields, "callback")
    if callback not in ("", "disable") and not token.may("read"):
        raise Forbidden("An address is told what a job says: this token lacks the scope read.")
    return callback


def job_id_of(call: Call) -> str:
    """The id in the path, where it has the form of one."""
    job_id = call.param("id")
    if not is_id(job_id):
        raise NotFound("There is no such job.", code="JobNotFound")
    return job_id


def agent_json(agent: Agent) -> dict[str, Any]:
    """An agent as upstream systems see it; its secret is no part of it."""
    return {
        "id": agent.id,
        "user_id": agent.account_id,
        "available": agent.available,
        "name": agent.name,
        "alias": agent.alias,
        "remark": agent.remark,
        "ip": agent.address,
        "activated_at": agent.activated_at and rfc3339(agent.activated_at),
        "created_at": rfc3339(agent.created_at),
        "updated_at": rfc3339(agent.updated_at),
    }


def delay_of(fields: Mapping[str, Any]) -> timedelta:
    """How long from now: `duration` if there is one, else days, hours and minutes together."""
    if not any(fields.get(name) not in (None, "") for name in ("duration", *UNITS)):
        raise Invalid("A duration is required.", code="InvalidDuration")
    try:
        spelled = text_of(fields, "duration")
        return max(read_duration(spelled) if spelled else added(fields), timedelta())
    except (Invalid, TypeError, ValueError, OverflowError) as error:
        raise Invalid("The duration is not understood.", code="InvalidDuration") from error


def read_duration(text: str) -> timedelta:
    # What is longer than any sensible one is not worth the time of reading it.
    if len(text) > LONGEST_DURATION:
        raise ValueError
    return parse_duration(text)


def added(fields: Mapping[str, Any]) -> timedelta:
    return timedelta(**{name: number_of(fields, name) for name in UNITS})


def number_of(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value
