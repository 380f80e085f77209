"""Jobs whose moment has come are decided together, and none that fails holds up the others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.model import Job, new_id
from core.store import Batch, MoveJob, Postponed
from tests.core.parts import EXPIRED, QUEUING, RUNNING, SENT, job_in
from tests.house import House


async def sent_jobs(house: House, number: int) -> list[Job]:
    at = house.clock()
    return list(await asyncio.gather(*(job_in(house.store, SENT, at) for _ in range(number))))


async def spoil(house: House, job: Job) -> None:
    """Its next event is there already, which nothing of ours would ever do."""
    row = {"id": new_id(), "job_id": job.id, "seq": job.seq + 1, "status": "sent", "body": ""}

    async def deed(connection: AsyncConnection) -> None:
        await connection.execute(insert(schema.events), row | {"created_at": house.clock()})

    await house.store._database.write(deed)


async def standing(house: House, job: Job) -> Job:
    now = await house.store.jobs.get(job.id)
    assert now is not None
    return now


async def test_jobs_that_expire_together_share_commits(house: House) -> None:
    jobs = await sent_jobs(house, 300)
    batches: list[Batch] = []

    async def announce(batch: Batch) -> bool:
        batches.append(batch)
        return True

    house.store.on_commit(announce)
    house.clock.move(minutes=10)
    assert await house.jobs.sweep() == 300
    assert {(await standing(house, job)).status for job in jobs} == {EXPIRED}
    assert len(batches) < 60


async def test_a_job_that_fails_holds_up_no_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    bad, *good = await sent_jobs(house, 6)
    await spoil(house, bad)
    house.clock.move(minutes=10)
    with caplog.at_level(logging.ERROR, "core.jobs"):
        await house.watcher.sweep_due()
    assert {(await standing(house, job)).status for job in good} == {EXPIRED}
    said = [record.getMessage() for record in caplog.records if record.name == "core.jobs"]
    assert said == [f"Job {bad.id} could not be decided and is looked at again later."]
    left = await standing(house, bad)
    assert left.status is SENT
    assert left.due_at == house.clock() + timedelta(minutes=1)
    assert await house.jobs.sweep() == 0


async def test_jobs_that_fail_hide_none_that_come_after_them(house: House) -> None:
    bad = await sent_jobs(house, 2)
    for job in bad:
        await spoil(house, job)
    house.clock.move(seconds=1)
    good = await sent_jobs(house, 1)
    house.clock.move(minutes=10)
    await house.jobs.sweep(limit=2)
    await house.jobs.sweep(limit=2)
    assert (await standing(house, good[0])).status is EXPIRED


async def test_a_lease_that_was_renewed_meanwhile_is_left_as_it_is(house: House) -> None:
    (job,) = await sent_jobs(house, 1)
    house.clock.move(minutes=10)
    await house.store.jobs.move(MoveJob(job.id, RUNNING, "agent", job.agent_id))
    running = await standing(house, job)
    house.clock.move(minutes=1)
    await house.store.jobs.move(MoveJob(job.id, RUNNING, "agent", job.agent_id))
    renewed = await standing(house, job)
    assert renewed.seq == running.seq
    await house.store.jobs.postpone([Postponed(running, house.clock() + timedelta(days=1))])
    assert await standing(house, job) == renewed


async def test_a_job_that_moved_meanwhile_is_not_postponed(house: House) -> None:
    job = await job_in(house.store, QUEUING, house.clock())
    later = house.clock() + timedelta(hours=1)
    await house.store.jobs.postpone([Postponed(replace(job, seq=job.seq + 1), later)])
    assert (await standing(house, job)).due_at == job.due_at
    await house.store.jobs.postpone([Postponed(job, later)])
    assert (await standing(house, job)).due_at == later
