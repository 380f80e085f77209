"""What jobs do for people, programs and agents, on every database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from core import schema
from core.errors import Conflict, Invalid, NotFound, SkadiError
from core.model import Account, Job, JobStatus
from tests.clock import Clock
from tests.core.parts import (
    CANCELED,
    CHAT,
    DELAYED,
    EXPIRED,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    Platform,
    count,
    submit,
)
from tests.house import GAP, House


async def statuses(house: House, *jobs: Job) -> list[JobStatus]:
    return [(await house.store.jobs.get(job.id) or job).status for job in jobs]


async def history(house: House, job: Job) -> list[JobStatus]:
    return [status for _, status, _ in await house.store.jobs.history(job.id)]


async def listen_for(house: House, *, minutes: float) -> None:
    """Time passes while the web processes listen all along, and the watcher does its rounds."""
    for _ in range(round(minutes * 60 / 10)):
        house.clock.move(seconds=10)
        await house.broker.listen(house.clock(), GAP)
        await house.watcher.sweep_due()


async def told(house: House, account: Account) -> list[str]:
    """The codes of what its owner was told of an agent, oldest first."""
    mine = select(schema.events.c.id).where(schema.events.c.account_id == account.id)
    async with house.store._database.reading() as connection:
        ids = [row.id for row in await connection.execute(mine.order_by(schema.events.c.id))]
    found = [await house.store.jobs.message(id) for id in ids]
    return [event.code for event in found if event]


class TestJobsContract:
    async def test_a_job_goes_to_its_agent_and_comes_back(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent, "uptime -p")
        claimed = await house.jobs.claim(agent)
        assert claimed is not None
        assert (claimed.id, claimed.message) == (job.id, "uptime -p")
        assert await house.jobs.claim(agent) is None
        await house.jobs.report(agent, job.id, "running", "half")
        await house.jobs.report(agent, job.id, "succeed", "all")
        assert await history(house, job) == [QUEUING, SENT, RUNNING, SUCCEEDED]
        with pytest.raises(Invalid) as refusal:
            await house.jobs.report(agent, job.id, "succeed", "all")
        assert refusal.value.code == "JobFinished"
        with pytest.raises(Invalid) as refusal:
            await house.jobs.report(agent, job.id, "running", "x")
        assert refusal.value.code == "JobNotFound"

    async def test_a_stranger_gets_nothing_done(self, house: House) -> None:
        ada, mallory = await house.people()
        agent, _ = await house.enrol(ada)
        hers, _ = await house.enrol(mallory)
        job = await submit(house, ada, agent)
        for deed in (
            house.jobs.get(mallory.id, job.id),
            house.jobs.cancel(mallory.id, job.id),
            house.jobs.expire(mallory.id, job.id),
            house.jobs.again(mallory.id, job.id, requested_by="x", thread=None),
            house.jobs.report(hers, job.id, "succeed", "mine"),
            house.jobs.submit(mallory.id, agent, "rm", source="x", requested_by="x"),
            house.agents.rotate(mallory.id, agent.id),
            house.agents.remove(mallory.id, agent.id),
            house.agents.switch(mallory.id, agent.id, available=False),
            house.agents.rename(mallory.id, agent.id, "mine"),
        ):
            with pytest.raises(NotFound):
                await deed
        assert await house.jobs.find(mallory.id, job.tag) == []
        assert await house.jobs.recent(mallory.id) == []
        assert await house.jobs.claim(hers) is None
        assert await statuses(house, job) == [QUEUING]
        now = await house.agents.get(ada.id, agent.id)
        assert (now.name, now.available, now.removed_at) == ("web-1", True, None)

    async def test_a_key_never_shows_a_strangers_job(self, house: House) -> None:
        ada, mallory = await house.people()
        agent, _ = await house.enrol(ada)
        hers, _ = await house.enrol(mallory)
        facts = {"source": "test", "requested_by": "x", "key": "k" * 64}
        job = await house.jobs.submit(ada.id, agent, "secret", **facts)  # type: ignore[arg-type]
        with pytest.raises(Conflict):
            await house.jobs.submit(mallory.id, hers, "uptime", **facts)  # type: ignore[arg-type]
        again = await house.jobs.submit(ada.id, agent, "secret", **facts)  # type: ignore[arg-type]
        assert again.id == job.id

    @pytest.mark.parametrize("verb", ["running", "succeed", "fail", "canceled"])
    async def test_a_report_on_what_waits_finds_nothing(self, house: House, verb: str) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        for id in (job.id, job.id.upper(), job.id + " ", "", "x" * 20, "'--"):
            with pytest.raises(NotFound):
                await house.jobs.report(agent, id, verb, "x")  # type: ignore[arg-type]
        assert await statuses(house, job) == [QUEUING]

    async def test_a_report_is_never_refused_for_its_output(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        for output in ("nul \0 and half \ud83e", "🦌" * 2**19):
            job = await submit(house, ada, agent)
            await house.jobs.claim(agent)
            await house.jobs.report(agent, job.id, "succeed", output)
            now = await house.jobs.get(ada.id, job.id)
            assert now.status is SUCCEEDED
            assert len(now.result.encode()) < 2**20 + 100
            assert "\0" not in now.result

    async def test_a_job_taken_back_before_it_left_waits_again(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        claimed = await house.jobs.claim(agent)
        assert claimed is not None
        await house.jobs.give_back(agent, claimed)
        assert await statuses(house, job) == [QUEUING]
        again = await house.jobs.claim(agent)
        assert again == claimed
        await house.jobs.report(agent, job.id, "running", "x")
        await house.jobs.give_back(agent, claimed)  # too late, and said quietly
        assert await statuses(house, job) == [RUNNING]

    # Presence

    async def test_an_agent_unseen_for_three_minutes_is_offline(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        await listen_for(house, minutes=2.5)
        assert (await house.agents.standing([agent]))[agent.id].online
        assert await statuses(house, job) == [QUEUING]
        await listen_for(house, minutes=0.7)
        assert await statuses(house, job) == [EXPIRED]
        for _ in range(3):
            await house.agents.sweep_absent()
        assert await told(house, ada) == ["AgentOnline", "AgentOffline"]
        with pytest.raises(Invalid) as refusal:
            await submit(house, ada, agent)
        assert refusal.value.code == "InvalidAgent"

    async def test_a_job_waits_as_long_as_its_agent_calls(self, house: House) -> None:
        ada, _ = await house.people()
        agent, token = await house.enrol(ada)
        job = await submit(house, ada, agent)
        for _ in range(6):
            await listen_for(house, minutes=2)
            await house.agents.authenticate(token)
        assert await statuses(house, job) == [QUEUING]

    async def test_silence_counts_only_while_we_listened(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        house.clock.move(minutes=30)  # nobody was there to hear
        await house.broker.listen(house.clock(), GAP)
        await house.watcher.sweep_due()
        await house.agents.sweep_absent()
        assert await statuses(house, job) == [QUEUING]
        await listen_for(house, minutes=2.8)
        assert await statuses(house, job) == [QUEUING]
        await listen_for(house, minutes=0.4)
        await house.agents.sweep_absent()
        assert await statuses(house, job) == [EXPIRED]
        assert await told(house, ada) == ["AgentOnline", "AgentOffline"]

    async def test_an_old_agent_at_work_is_busy_and_its_queue_waits(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        first = await submit(house, ada, agent)
        second = await submit(house, ada, agent)
        await house.jobs.claim(agent)
        await listen_for(house, minutes=9)
        standing = (await house.agents.standing([agent]))[agent.id]
        assert (standing.online, standing.busy) == (True, True)
        await house.agents.sweep_absent()
        assert await statuses(house, first, second) == [SENT, QUEUING]
        await listen_for(house, minutes=1.2)
        await house.agents.sweep_absent()
        assert await statuses(house, first, second) == [EXPIRED, EXPIRED]
        assert await told(house, ada) == ["AgentOnline", "AgentOffline"]

    async def test_a_new_agent_at_work_that_is_silent_is_offline(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        first, second = await submit(house, ada, agent), await submit(house, ada, agent)
        await house.jobs.claim(agent, journal="j1")
        await listen_for(house, minutes=3.2)
        assert await statuses(house, first, second) == [SENT, EXPIRED]

    async def test_each_running_report_starts_the_ten_minutes_again(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        await house.jobs.claim(agent)
        for _ in range(3):
            await listen_for(house, minutes=9)
            await house.jobs.report(agent, job.id, "running", "")
        assert await history(house, job) == [QUEUING, SENT, RUNNING]
        await listen_for(house, minutes=10)
        assert await history(house, job) == [QUEUING, SENT, RUNNING, EXPIRED]

    async def test_a_delayed_job_waits_three_minutes_for_an_absent_agent(
        self, house: House
    ) -> None:
        ada, _ = await house.people()
        agent, token = await house.enrol(ada)
        jobs = [
            await house.jobs.delay_by_agent(agent, "uptime", timedelta(minutes=n)) for n in (10, 20)
        ]
        await listen_for(house, minutes=9.8)
        assert await statuses(house, *jobs) == [DELAYED, DELAYED]
        await listen_for(house, minutes=0.2)
        assert await statuses(house, *jobs) == [QUEUING, DELAYED]
        await listen_for(house, minutes=2.8)
        assert await statuses(house, *jobs) == [QUEUING, DELAYED]
        await listen_for(house, minutes=0.4)
        assert await statuses(house, *jobs) == [EXPIRED, DELAYED]
        await listen_for(house, minutes=8)
        await house.agents.authenticate(token)
        claimed = await house.jobs.claim(agent)
        assert claimed is not None
        assert claimed.id == jobs[1].id

    # Removed

    async def test_what_a_removed_agent_had_ends_and_is_told(
        self, house: House, clock: Clock
    ) -> None:
        house.adapters["chat"] = Platform()
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        await house.accounts.set_home(ada.id, CHAT)
        sent = await submit(house, ada, agent)
        running = await submit(house, ada, agent)
        assert await house.jobs.claim(agent)
        assert await house.jobs.claim(agent)
        await house.jobs.report(agent, running.id, "running", "half")
        queuing = await submit(house, ada, agent)
        delayed = await house.jobs.delay_by_agent(agent, "uptime", timedelta(hours=1))
        await house.agents.remove(ada.id, agent.id)
        jobs = (queuing, delayed, sent, running)
        assert await statuses(house, *jobs) == [CANCELED, CANCELED, EXPIRED, EXPIRED]
        assert await history(house, running) == [QUEUING, SENT, RUNNING, EXPIRED]
        due = await house.store.deliveries.due(clock(), 100)
        deliveries = [await house.store.deliveries.get(id) for id in due]
        assert {job.id for job in jobs} <= {d.job_id for d in deliveries if d}
        with pytest.raises(NotFound):
            await house.agents.get(ada.id, agent.id)

    async def test_an_agent_can_be_removed_while_it_claims(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        jobs = await asyncio.gather(*(submit(house, ada, agent) for _ in range(60)))

        async def claim_all() -> None:
            while await house.jobs.claim(agent):
                pass

        await asyncio.gather(claim_all(), house.agents.remove(ada.id, agent.id), claim_all())
        await listen_for(house, minutes=11)
        assert set(await statuses(house, *jobs)) <= {CANCELED, EXPIRED}

    async def test_a_job_on_its_way_to_a_removed_agent_is_canceled(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        await house.agents.remove(ada.id, agent.id)
        job = await submit(house, ada, agent)
        await listen_for(house, minutes=3)
        assert await statuses(house, job) == [CANCELED]

    # Journals

    async def test_what_was_lost_on_the_wire_goes_to_the_same_journal_again(
        self, house: House
    ) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        none: frozenset[str] = frozenset()
        first = await house.jobs.claim(agent, journal="j1", holding=none)
        assert first is not None
        assert await house.jobs.claim(agent, journal="j2", holding=none) is None
        assert await house.jobs.claim(agent) is None
        held = frozenset({job.id})
        assert await house.jobs.claim(agent, journal="j1", holding=held) is None

    async def test_it_is_handed_out_again_until_it_is_reported_on(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        none: frozenset[str] = frozenset()
        for _ in range(3):
            claimed = await house.jobs.claim(agent, journal="j1", holding=none)
            assert claimed is not None
            assert claimed.id == job.id
        assert await history(house, job) == [QUEUING, SENT]
        await house.jobs.report(agent, job.id, "running", "")
        assert await house.jobs.claim(agent, journal="j1", holding=none) is None
        await house.watcher.remind_ready()
        assert await house.jobs.claim(agent, journal="j1", holding=none) is None

    async def test_a_second_journal_does_not_spoil_the_firsts_claim(self, house: House) -> None:
        """What the other one may not have is not forgotten for the one that may."""
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        none: frozenset[str] = frozenset()
        await house.jobs.claim(agent, journal="j1", holding=none)
        assert await house.jobs.claim(agent, journal="j2", holding=none) is None
        await house.watcher.remind_ready()
        claimed = await house.jobs.claim(agent, journal="j1", holding=none)
        assert claimed is not None
        assert claimed.id == job.id

    async def test_journals_that_take_turns_are_told_once(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        for _ in range(4):
            for journal in ("j1", "j2"):
                await house.agents.meet(agent, journal)
                house.clock.move(minutes=2)
        assert (await told(house, ada)).count("TwoJournals") == 1

    async def test_a_reinstalled_agent_is_no_second_one(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        for journal in ("j1", "j1", "j2", "j2", "j2"):
            await house.agents.meet(agent, journal)
            house.clock.move(minutes=2)
        assert "TwoJournals" not in await told(house, ada)

    # Refused before anything is kept

    @pytest.mark.parametrize("command", ["", " \n", "x" * 4097, "a\0b", "\ud83e"])
    async def test_a_command_nobody_could_run_is_refused(self, house: House, command: str) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        with pytest.raises(Invalid):
            await submit(house, ada, agent, command)
        assert await count(house.store, "jobs") == 0

    async def test_an_agent_that_is_switched_off_gets_no_job(self, house: House) -> None:
        ada, _ = await house.people()
        agent, token = await house.enrol(ada)
        job = await submit(house, ada, agent)
        await house.jobs.claim(agent)
        await house.agents.switch(ada.id, agent.id, available=False)
        with pytest.raises(Invalid):
            await submit(house, ada, await house.agents.get(ada.id, agent.id))
        agent = await house.agents.authenticate(token)
        await house.jobs.report(agent, job.id, "succeed", "still taken")
        assert await statuses(house, job) == [SUCCEEDED]

    async def test_what_runs_can_not_be_canceled_by_a_person(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await submit(house, ada, agent)
        await house.jobs.claim(agent)
        with pytest.raises(SkadiError) as refusal:
            await house.jobs.cancel(ada.id, job.id)
        assert refusal.value.code == "JobRunning"
        assert await statuses(house, job) == [SENT]
