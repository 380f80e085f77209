"""What these tests share: jobs in any status, a platform that writes down what it is told, waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from core import schema
from core.chat import Abilities, Reply, Thread
from core.model import Account, Agent, EventMessage, Job, JobStatus, new_id
from core.store import AddJob, MoveJob, Store
from tests.house import House

SOON = 30.0
"""Seconds after which a test that waits for something fails."""

QUEUING, DELAYED, SENT, RUNNING = (
    JobStatus.QUEUING,
    JobStatus.DELAYED,
    JobStatus.SENT,
    JobStatus.RUNNING,
)
SUCCEEDED, FAILED, EXPIRED, CANCELED = (
    JobStatus.SUCCEEDED,
    JobStatus.FAILED,
    JobStatus.EXPIRED,
    JobStatus.CANCELED,
)

PATHS: dict[JobStatus, tuple[JobStatus, ...]] = {
    DELAYED: (),
    QUEUING: (),
    SENT: (SENT,),
    RUNNING: (SENT, RUNNING),
    SUCCEEDED: (SENT, SUCCEEDED),
    FAILED: (SENT, FAILED),
    CANCELED: (SENT, CANCELED),
}
"""What an agent does to bring a job from its beginning into a status."""

CHAT = Thread("chat", "C1", "t1")


async def eventually(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(SOON):
        while True:
            if await question():
                return
            await asyncio.sleep(0.01)


def a_job(status: JobStatus, at: datetime, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": new_id(),
        "account_id": "ada",
        "agent_id": "agent-1",
        "agent_name": "web-1",
        "command": "uptime",
        "source": "test",
        "callback": "",
        "requested_by": "identity:1",
        "due_at": at,
    }
    return Job(status=status, created_at=at, **(fields | changes))


async def job_in(store: Store, status: JobStatus, at: datetime, **changes: Any) -> Job:
    """A job that came into a status the way jobs do."""
    begin = DELAYED if status is DELAYED else QUEUING
    job = (await store.jobs.add(AddJob(a_job(begin, at, **changes)))).job
    path = (SENT, EXPIRED) if status is EXPIRED else PATHS[status]
    for step in path:
        move = MoveJob(job.id, step, "agent", job.agent_id)
        if step is EXPIRED:
            move = MoveJob(job.id, step, "system", None)
        job = (await store.jobs.move(move)).job
    return job


async def submit(house: House, account: Account, agent: Agent, command: str = "uptime") -> Job:
    return await house.jobs.submit(
        account.id, agent, command, source="test", requested_by="identity:1"
    )


async def count(store: Store, table: str) -> int:
    """The rows of a table, seen past the store's own questions."""
    query = select(func.count()).select_from(schema.metadata.tables[table])
    async with store._database.reading() as connection:
        return int((await connection.execute(query)).scalar_one())


async def nothing_left_to_announce(store: Store) -> bool:
    return await count(store, "announcements") == 0


@dataclass
class Platform:
    """An adapter whose platform is this list. `troubles` are raised or awaited, one a send."""

    abilities: Abilities = field(default_factory=lambda: Abilities(edits=True))
    name: str = "chat"
    platform: str = "chat"
    said: list[Reply] = field(default_factory=list)
    tried: int = 0
    troubles: list[Exception | Callable[[Reply], Awaitable[None]]] = field(default_factory=list)

    async def send(self, reply: Reply) -> str | None:
        self.tried += 1
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, Exception):
            raise trouble
        if trouble:
            await trouble(reply)
        self.said.append(reply)
        return reply.replaces or f"post-{len(self.said)}"

    async def close(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        return [reply.text for reply in self.said]


class Words:
    """Says the status and nothing else."""

    def job(
        self, job: Job, thread: Thread, *, language: str, abilities: Abilities, now: datetime
    ) -> Reply:
        return Reply(thread, job.status.value)

    def message(self, event: EventMessage, thread: Thread, *, language: str) -> Reply:
        return Reply(thread, event.message)
