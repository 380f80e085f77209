"""A running job is stopped by its agent, once somebody asked: the wish is a fact, and nothing loses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.errors import Conflict, Invalid, NotFound
from core.jobs import UNBEGUN, Claimed
from core.model import Account, Agent, Job
from tests.core.parts import CANCELED, EXPIRED, FAILED, QUEUING, RUNNING, SENT, SUCCEEDED, submit
from tests.house import House

NONE_HELD: frozenset[str] = frozenset()


@pytest.fixture
async def ada(house: House) -> Account:
    return (await house.people())[0]


@pytest.fixture
async def web(house: House, ada: Account) -> Agent:
    return (await house.enrol(ada))[0]


async def handed(house: House, ada: Account, web: Agent, journal: str = "j1") -> Job:
    """A job that an agent has."""
    job = await submit(house, ada, web)
    claimed = await house.jobs.claim(web, journal=journal, holding=NONE_HELD)
    assert claimed == Claimed(job.id, "uptime", journal)
    return job


async def now(house: House, job: Job) -> Job:
    return await house.jobs.get(job.account_id, job.id)


async def asked(house: House, web: Agent) -> frozenset[str]:
    """What the broker would say to a poll."""
    return (await house.broker.sign(web.id, house.clock(), out=True)).asked


@contextmanager
def refused(kind: type[Exception], code: str) -> Iterator[None]:
    with pytest.raises(kind) as refusal:
        yield
    assert getattr(refusal.value, "code", "") == code


async def test_what_waits_is_canceled_at_once(house: House, ada: Account, web: Agent) -> None:
    job = await submit(house, ada, web)
    assert (await house.jobs.cancel(ada.id, job.id)).status is CANCELED


async def test_what_runs_is_asked_for_once(house: House, ada: Account, web: Agent) -> None:
    job = await handed(house, ada, web)
    house.clock.move(seconds=3)
    first = await house.jobs.cancel(ada.id, job.id)
    assert (first.status, first.cancel_asked_at, first.seq) == (SENT, house.clock(), 3)
    house.clock.move(seconds=3)
    again = await house.jobs.cancel(ada.id, job.id)
    assert (again.status, again.cancel_asked_at, again.seq) == (SENT, first.cancel_asked_at, 3)
    assert await asked(house, web) == {job.id}


async def test_the_wish_is_told_as_an_event_with_what_the_job_has_said(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.report(web, job.id, "running", "half")
    await house.jobs.cancel(ada.id, job.id)
    story = await house.store.jobs.history(job.id)
    assert [(seq, status) for seq, status, _ in story][-2:] == [(3, RUNNING), (4, RUNNING)]
    assert (await now(house, job)).result == "half"


async def test_an_old_agent_cannot_be_interrupted(house: House, ada: Account, web: Agent) -> None:
    job = await submit(house, ada, web)
    assert await house.jobs.claim(web)
    with refused(Conflict, "JobRunning"):
        await house.jobs.cancel(ada.id, job.id)
    assert (await now(house, job)).cancel_asked_at is None


async def test_a_stranger_cancels_nothing(house: House, ada: Account, web: Agent) -> None:
    job = await handed(house, ada, web)
    mallory = await house.accounts.add("Eve")
    with refused(NotFound, "JobNotFound"):
        await house.jobs.cancel(mallory.id, job.id)
    assert await asked(house, web) == NONE_HELD


async def test_what_has_ended_is_not_asked_for(house: House, ada: Account, web: Agent) -> None:
    job = await handed(house, ada, web)
    await house.jobs.report(web, job.id, "succeed", "done")
    with refused(Invalid, "JobFinished"):
        await house.jobs.cancel(ada.id, job.id)


@pytest.mark.parametrize(
    ("verb", "status"), [("canceled", CANCELED), ("succeed", SUCCEEDED), ("fail", FAILED)]
)
async def test_the_job_ends_as_its_agent_says_whatever_was_wished(
    house: House, ada: Account, web: Agent, verb: str, status: str
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.cancel(ada.id, job.id)
    await house.jobs.report(web, job.id, verb, "said")  # type: ignore[arg-type]
    ended = await now(house, job)
    assert (ended.status, ended.result) == (status, "said")
    assert await asked(house, web) == NONE_HELD


async def test_an_agent_that_never_answers_lets_the_lease_run_out(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.cancel(ada.id, job.id)
    house.clock.move(minutes=9)
    await house.jobs.sweep()
    assert (await now(house, job)).status is SENT
    house.clock.move(minutes=1)
    await house.jobs.sweep()
    assert (await now(house, job)).status is EXPIRED


async def test_a_broker_that_forgot_the_wish_is_told_again(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.cancel(ada.id, job.id)
    await house.broker.take_back(web.id, job.id)
    assert await asked(house, web) == NONE_HELD
    house.clock.move(seconds=10)
    await house.watcher.remind_ready()
    assert await asked(house, web) == {job.id}


async def test_a_job_lost_on_the_wire_is_not_handed_again(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.cancel(ada.id, job.id)
    assert await house.jobs.claim(web, journal="j1", holding=NONE_HELD) is None
    await house.jobs.call_off_lost(web, "j1", [job.id])
    ended = await now(house, job)
    assert (ended.status, ended.result) == (CANCELED, UNBEGUN)


async def test_what_was_not_asked_for_is_never_taken_for_lost(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.call_off_lost(web, "j1", [job.id])
    assert (await now(house, job)).status is SENT


async def test_another_journal_says_nothing_about_a_job(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web, "j1")
    await house.jobs.cancel(ada.id, job.id)
    await house.jobs.call_off_lost(web, "j2", [job.id])
    assert (await now(house, job)).status is SENT
    assert await asked(house, web) == {job.id}


async def test_a_job_that_has_begun_is_not_lost(house: House, ada: Account, web: Agent) -> None:
    """Its report may be on its way while the journal has let go of it."""
    job = await handed(house, ada, web)
    await house.jobs.report(web, job.id, "running", "")
    await house.jobs.cancel(ada.id, job.id)
    await house.jobs.call_off_lost(web, "j1", [job.id])
    assert (await now(house, job)).status is RUNNING


async def test_a_claim_that_is_given_back_after_the_wish_is_canceled(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.cancel(ada.id, job.id)
    await house.jobs.give_back(web, Claimed(job.id, "uptime", "j1"))
    assert (await now(house, job)).status is CANCELED


async def test_a_claim_that_is_given_back_before_the_wish_waits(
    house: House, ada: Account, web: Agent
) -> None:
    job = await handed(house, ada, web)
    await house.jobs.give_back(web, Claimed(job.id, "uptime", "j1"))
    assert (await now(house, job)).status is QUEUING


async def test_cancel_end_and_lease_at_once_leave_one_end(house: House, ada: Account) -> None:
    """Whoever is first decides, and the others are told so."""
    for n in range(8):
        web, _ = await house.enrol(ada, f"web-{n}")
        job = await handed(house, ada, web)
        house.clock.move(minutes=10)
        done = await asyncio.gather(
            house.jobs.cancel(ada.id, job.id),
            house.jobs.report(web, job.id, "succeed", "done"),
            house.jobs.sweep(),
            house.jobs.output.add(web, job.id, 0, "said"),
            return_exceptions=True,
        )
        ended = await now(house, job)
        # What an agent says of an end that was only supposed is taken.
        assert ended.status is SUCCEEDED
        assert not isinstance(done[1], BaseException)
        story = [status for _, status, _ in await house.store.jobs.history(job.id)]
        assert story.count(SUCCEEDED) == 1
        assert ended.seq == len(story)
