"""What the watcher says again, and what it tidies away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis

from core.broker import JOB_STREAM, MESSAGE_STREAM
from core.errors import Unavailable
from core.model import Account, Agent
from core.watcher import Sweep
from tests.clock import Clock
from tests.core.parts import count, eventually, nothing_left_to_announce, submit
from tests.house import House, open_house
from tests.servers import Redis


@pytest.fixture
def mortal() -> Iterator[Redis]:
    """A Redis that the test may stop; it forgets everything then."""
    with Redis() as server:
        yield server


@pytest.fixture
async def house(database_url: str, mortal: Redis, clock: Clock) -> AsyncIterator[House]:
    async with open_house(database_url, clock, redis_url=mortal.url) as one:
        yield one


@pytest.fixture
async def ada(house: House) -> Account:
    return (await house.people())[0]


@pytest.fixture
async def agent(house: House, ada: Account) -> Agent:
    return (await house.enrol(ada))[0]


def published(server: Redis, stream: str) -> list[dict[str, Any]]:
    with redis.Redis.from_url(server.url) as client:
        entries: Any = client.xrange(stream)
        return [orjson.loads(fields[b"event"]) for _, fields in entries]


async def remind(house: House) -> bool:
    """Whether the broker heard it."""
    try:
        await house.watcher.remind_events()
    except Unavailable:
        return False
    return True


class TestReminding:
    async def test_events_of_an_outage_are_said_afterwards_each_once(
        self, house: House, mortal: Redis, ada: Account, agent: Agent
    ) -> None:
        first = await submit(house, ada, agent)
        claimed = await house.jobs.claim(agent)
        assert claimed is not None
        # What was said is struck off a moment later, and the outage is about what was not.
        await eventually(lambda: nothing_left_to_announce(house.store))
        mortal.stop()
        await house.jobs.report(agent, first.id, "running", "half")
        await house.jobs.report(agent, first.id, "succeed", "all")
        second = await submit(house, ada, agent)
        await house.agents.say(agent, "text", "hello")
        mortal.start()
        house.clock.move(seconds=6)
        await eventually(lambda: remind(house))
        said = published(mortal, JOB_STREAM)
        assert [(e["id"], e["seq"], e["status"]) for e in said] == [
            (first.id, 3, "running"),
            (first.id, 4, "succeeded"),
            (second.id, 1, "queuing"),
        ]
        assert [e["result"] for e in said] == ["half", "all", ""]
        assert [e["message"] for e in published(mortal, MESSAGE_STREAM)] == ["hello"]
        await eventually(lambda: nothing_left_to_announce(house.store))
        await house.watcher.remind_events()
        assert len(published(mortal, JOB_STREAM)) == 3

    async def test_what_was_announced_is_not_said_again(
        self, house: House, mortal: Redis, ada: Account, agent: Agent
    ) -> None:
        await submit(house, ada, agent)
        await eventually(lambda: nothing_left_to_announce(house.store))
        house.clock.move(seconds=6)
        await house.watcher.remind_events()
        assert len(published(mortal, JOB_STREAM)) == 1

    async def test_two_watchers_lose_nothing(
        self, house: House, database_url: str, mortal: Redis, ada: Account, agent: Agent
    ) -> None:
        mortal.stop()
        jobs = [await submit(house, ada, agent) for _ in range(5)]
        mortal.start()
        house.clock.move(seconds=6)
        async with open_house(database_url, house.clock, redis_url=mortal.url) as other:
            await eventually(lambda: remind(house))
            await other.watcher.remind_events()
        assert {e["id"] for e in published(mortal, JOB_STREAM)} == {job.id for job in jobs}
        assert await nothing_left_to_announce(house.store)

    async def test_every_page_of_what_was_handed_out_is_said_again(
        self, house: House, mortal: Redis, ada: Account, agent: Agent
    ) -> None:
        jobs = await asyncio.gather(*(submit(house, ada, agent) for _ in range(520)))
        await asyncio.gather(*(house.jobs.claim(agent, journal="j1") for _ in jobs))
        mortal.flush()
        await house.watcher.remind_ready()
        sign = await house.broker.sign(agent.id, house.clock(), out=True)
        assert sign.out == {job.id for job in jobs}

    async def test_a_failing_sweep_does_not_end_the_watcher(self, house: House) -> None:
        async def fail() -> None:
            raise RuntimeError("on purpose")

        await house.watcher.run_once(Sweep("broken", 1.0, fail))

    async def test_running_it_does_all_its_rounds_until_cancelled(
        self, house: House, ada: Account, agent: Agent
    ) -> None:
        job = await submit(house, ada, agent)
        house.clock.move(minutes=20)
        await house.broker.listen(house.clock(), 15)
        watch = asyncio.create_task(house.watcher.run())
        try:
            await eventually(lambda: is_postponed(house, job.id))
        finally:
            watch.cancel()
            await asyncio.wait({watch})
        assert watch.cancelled()


async def is_postponed(house: House, job_id: str) -> bool:
    job = await house.store.jobs.get(job_id)
    assert job is not None
    return job.due_at is not None and job.due_at > house.clock()


class TestTidying:
    async def test_old_messages_and_notes_are_forgotten(self, house: House) -> None:
        await house.messages.begin("old")
        until = house.clock() + timedelta(minutes=1)
        await house.store.notes.put("book", "short", 1, until)
        await house.store.notes.put("book", "for ever", 1, None)
        house.clock.move(hours=24 * 7 + 1)
        await house.messages.begin("new")
        await house.watcher.tidy()
        assert await count(house.store, "messages") == 1
        assert await count(house.store, "notes") == 1
