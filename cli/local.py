"""The Skadi of these settings, beside which a command works: without a server between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cli.desk import Desk
from core.errors import Invalid, NotFound
from core.events import event_json, job_json
from core.following import Following, Place
from core.model import Agent, Job

LOOK_AGAIN = 0.5
"""Seconds. Without Redis nobody rings for what another process does."""

Fields = dict[str, Any]


class Local:
    """`account`: whose agent is meant, where several accounts have one of that name."""

    def __init__(self, desk: Desk, account: str) -> None:
        self._desk = desk
        self._account = account
        self._following = Following(desk.store, desk.broker, LOOK_AGAIN)

    async def close(self) -> None:
        self._following.close()

    async def submit(self, agent: str, command: str) -> Fields:
        found = await self._find(agent)
        job = await self._desk.jobs.submit(
            found.account_id, found, command, source="app.py submit", requested_by="operator"
        )
        return job_json(job)

    async def job(self, job_id: str) -> Fields:
        return job_json(await self._job(job_id))

    async def events(self, job_id: str) -> AsyncIterator[Fields]:
        job = await self._job(job_id)
        look = self._desk.jobs.output.since
        told = self._following.events(job.account_id, job.id, Place(), 60, look)
        async for each in told:
            if each and each.event:
                yield event_json(each.event)
            elif each:
                yield {"offset": each.start, "text": each.text}

    async def _job(self, job_id: str) -> Job:
        job = await self._desk.store.jobs.get(job_id)
        if job is None:
            raise NotFound("There is no such job.", code="JobNotFound", job=job_id)
        return job

    async def _find(self, name: str) -> Agent:
        if self._account:
            owner = await self._desk.accounts.find(self._account)
            return await self._desk.agents.find(owner.id, name)
        named = [
            agent
            for agent in await self._desk.agents.list_all()
            if name in (agent.name, agent.alias)
        ]
        if len(named) > 1:
            raise Invalid(
                f"Several accounts have an agent {name}: say which with --account.",
                code="Ambiguous",
            )
        if not named:
            raise NotFound(f"There is no agent {name}.", code="AgentNotFound", name=name)
        return named[0]
