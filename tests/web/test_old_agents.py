"""The agents that exist go on working, habits and all."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.model import JobStatus
from tests.clock import Clock
from tests.web.conftest import House, Machine
from tests.web.old_agent import OldAgent, Stopped
from tests.web.wire import until


async def shell(message: str) -> str:
    """What it is told to do, done; some of it cannot be."""
    if message.startswith("false"):
        raise ValueError(f"run command failed, exit status 1 : {message}")
    return f"did {message}\n"


@pytest.fixture
async def web(house: House) -> Machine:
    return await house.enrol("web-1")


@pytest.fixture
async def agent(house: House, web: Machine) -> AsyncIterator[OldAgent]:
    agent = OldAgent(house.port, web.token, shell)
    yield agent
    await agent.close()


async def test_jobs_flow_over_one_connection(house: House, web: Machine, agent: OldAgent) -> None:
    jobs = [await house.submit(web, command) for command in ("uptime", "false", "df -h")]
    turns = [await agent.tick() for _ in range(5)]
    assert turns == [True, True, True, False, False]

    found = [await house.job(job) for job in jobs]
    assert [job.status for job in found] == [
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.SUCCEEDED,
    ]
    assert found[0].result == "did uptime\n"
    assert agent.log == []
    assert agent.connections == 1


async def test_a_server_that_is_written_with_a_slash_at_its_end_is_found(
    house: House, web: Machine
) -> None:
    job = await house.submit(web)
    said = await house.ask("GET", "//agent/job", web.token)
    assert said.json["id"] == job.id
    report = await house.ask("PUT", f"//agent/jobs/{job.id}/succeed", web.token, {"result": "up"})
    assert report.status == 204
    told = await house.ask("POST", "//agent/message/info", web.token, {"message": "hello"})
    assert told.status == 202


async def test_all_that_the_sdk_can_say_is_understood(
    house: House, web: Machine, agent: OldAgent
) -> None:
    await house.enrol("db-1")
    await agent.add("db-1 vacuum")
    await agent.delay("uptime", "1h0m0s")
    await agent.delay("uptime", "300ms")
    await agent.tell("info", "hello")
    await agent.tell("warning", "disk full")
    await agent.tell("text", "hello")
    await agent.tell("auto", "hello")
    assert agent.log == []
    assert agent.connections == 1
    assert len(await house.jobs.recent(house.owner.id)) == 3


async def test_a_long_job_does_not_expire_the_queue_behind_it(
    house: House, web: Machine, agent: OldAgent, clock: Clock
) -> None:
    first, second = await house.submit(web, "backup"), await house.submit(web, "uptime")
    done = asyncio.Event()

    async def slow(message: str) -> str:
        if message == "backup":
            await done.wait()
        return "done"

    agent.handler = slow
    working = asyncio.create_task(agent.tick())
    await until(lambda: house.has_come(first, JobStatus.SENT))
    for _ in range(10):
        clock.move(seconds=30)
        await house.sweep()
    assert (await house.job(second)).status == JobStatus.QUEUING

    done.set()
    assert await working
    assert (await house.job(first)).status == JobStatus.SUCCEEDED
    assert await agent.tick()
    assert (await house.job(second)).status == JobStatus.SUCCEEDED
    assert agent.log == []


async def test_a_401_ends_an_old_agent_so_only_a_dead_token_gets_one(
    house: House, web: Machine, agent: OldAgent
) -> None:
    await house.agents.switch(house.owner.id, web.agent.id, available=False)
    assert not await agent.tick()
    await house.agents.switch(house.owner.id, web.agent.id, available=True)
    assert not await agent.tick()
    await house.agents.rotate(house.owner.id, web.agent.id)
    with pytest.raises(Stopped):
        await agent.tick()


async def test_a_refused_report_is_told_and_the_agent_goes_on(
    house: House, web: Machine, agent: OldAgent
) -> None:
    job = await house.submit(web)

    async def slow(message: str) -> str:
        await house.jobs.report(web.agent, job.id, "fail", "another process of it was faster")
        return "done"

    agent.handler = slow
    assert await agent.tick()
    assert "JobFinished" in agent.log[0]
    assert not await agent.tick()
    assert agent.connections == 1
