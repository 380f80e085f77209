"""What many do at once, and what happens when the line is cut at the worst moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from core.errors import Conflict, SkadiError
from core.model import EventMessage, JobStatus, new_id
from core.store import AddJob, AddMessage, Batch, Change, MoveJob, Store, migrate
from core.store.ledger import LARGEST_BATCH, LONGEST_BATCH
from tests.clock import Clock
from tests.core.parts import (
    CHAT,
    EXPIRED,
    FAILED,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    a_job,
    count,
    eventually,
    job_in,
)
from tests.core.proxy import Wire, wire_to
from tests.servers import MariaDB


@asynccontextmanager
async def another(url: str, clock: Clock) -> AsyncIterator[Store]:
    """The store of another process."""
    store = await Store.open(url, clock=clock)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def second(store: Store, database_url: str, clock: Clock) -> AsyncIterator[Store]:
    async with another(database_url, clock) as one:
        yield one


@pytest.fixture
async def wire(mariadb: MariaDB) -> AsyncIterator[Wire]:
    async with wire_to(mariadb.port) as one:
        yield one


@pytest.fixture
async def wired(mysql_url: str, mariadb: MariaDB, wire: Wire, clock: Clock) -> AsyncIterator[Store]:
    """A store whose every line goes over the wire."""
    async with another(mysql_url.replace(str(mariadb.port), str(wire.port)), clock) as one:
        yield one


class Commits:
    """How many facts each batch held that a store's ledger committed."""

    def __init__(self, store: Store) -> None:
        self.sizes: list[int] = []
        store.on_commit(self._count)

    async def _count(self, batch: Batch) -> bool:
        self.sizes.append(len(batch.facts))
        return True


class TestGroupCommit:
    async def test_what_arrives_together_is_committed_together(
        self, store: Store, clock: Clock
    ) -> None:
        commits = Commits(store)
        changes = await asyncio.gather(
            *(store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT)) for _ in range(200))
        )
        assert len({change.job.id for change in changes}) == 200
        assert await count(store, "jobs") == await count(store, "events") == 200
        assert 1 <= len(commits.sizes) <= 5

    async def test_the_server_too_counts_few_transactions(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock
    ) -> None:
        def commits() -> int:
            return int(mariadb.execute("SHOW GLOBAL STATUS LIKE 'Com_commit'")[0][1])

        async with another(mysql_url, clock) as store:
            before = commits()
            await asyncio.gather(
                *(store.jobs.add(AddJob(a_job(QUEUING, clock()))) for _ in range(200))
            )
            assert commits() - before <= 5

    async def test_a_batch_is_bounded_by_count(self, store: Store, clock: Clock) -> None:
        commits = Commits(store)
        facts = [AddJob(a_job(QUEUING, clock())) for _ in range(2 * LONGEST_BATCH + 1)]
        await asyncio.gather(*(store.jobs.add(fact) for fact in facts))
        assert len(commits.sizes) >= 3
        assert await count(store, "jobs") == len(facts)

    @pytest.mark.parametrize("letter", ["x", "🦌"])
    async def test_a_batch_is_bounded_by_bytes(
        self, store: Store, clock: Clock, letter: str
    ) -> None:
        jobs = await asyncio.gather(*(job_in(store, SENT, clock()) for _ in range(12)))
        commits = Commits(store)
        result = letter * (2**20 // len(letter.encode()))
        await asyncio.gather(
            *(
                store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", result))
                for job in jobs
            )
        )
        least = len(jobs) * 2**20 // LARGEST_BATCH
        assert least <= len(commits.sizes) <= 2 * least

    async def test_one_bad_fact_fails_alone(self, store: Store, clock: Clock) -> None:
        good = [a_job(QUEUING, clock()) for _ in range(20)]
        bad = replace(a_job(QUEUING, clock()), command="half a pair: \ud83e")
        facts = [*good[:10], bad, *good[10:]]
        made = await asyncio.gather(
            *(store.jobs.add(AddJob(job)) for job in facts), return_exceptions=True
        )
        failed = [
            job.id for job, one in zip(facts, made, strict=True) if isinstance(one, Exception)
        ]
        assert failed == [bad.id]
        assert await count(store, "jobs") == await count(store, "events") == 20

    async def test_a_fact_the_database_refuses_fails_alone(
        self, mysql_url: str, clock: Clock
    ) -> None:
        async with another(mysql_url, clock) as store:
            jobs = [a_job(QUEUING, clock(), agent_name=name) for name in ("a", "b" * 51, "c")]
            made = await asyncio.gather(
                *(store.jobs.add(AddJob(job)) for job in jobs), return_exceptions=True
            )
            assert [isinstance(one, Exception) for one in made] == [False, True, False]

    async def test_a_fact_too_large_for_the_database_fails_alone_and_soon(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock
    ) -> None:
        async with another(mysql_url, clock) as store:
            jobs = [await job_in(store, SENT, clock()) for _ in range(3)]
            usual = mariadb.execute("SELECT @@global.max_allowed_packet")[0][0]
            mariadb.execute("SET GLOBAL max_allowed_packet = 1048576")
            try:
                async with another(mysql_url, clock) as fresh, asyncio.timeout(15):
                    results = ["fine", "x" * 3_000_000, "fine"]
                    made = await asyncio.gather(
                        *(
                            fresh.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", text))
                            for job, text in zip(jobs, results, strict=True)
                        ),
                        return_exceptions=True,
                    )
            finally:
                mariadb.execute(f"SET GLOBAL max_allowed_packet = {usual}")
            assert [isinstance(one, Exception) for one in made] == [False, True, False]
            statuses = [(await store.jobs.get(job.id) or job).status for job in jobs]
            assert statuses == [SUCCEEDED, SENT, SUCCEEDED]


class TestTwoProcesses:
    async def test_a_key_makes_one_job_whoever_asks(
        self, store: Store, second: Store, clock: Clock
    ) -> None:
        for n in range(15):
            key = f"key {n}"
            changes = await asyncio.gather(
                *(
                    one.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT, key))
                    for one in (store, second, store, second)
                )
            )
            assert len({change.job.id for change in changes}) == 1
            assert [change.changed for change in changes].count(True) == 1
        assert await count(store, "jobs") == await count(store, "deliveries") == 15

    async def test_a_key_that_was_begun_makes_one_job_too(
        self, store: Store, second: Store, clock: Clock
    ) -> None:
        for n in range(8):
            await store.messages.begin(f"key {n}", clock(), timedelta(seconds=30))
            await asyncio.gather(
                *(
                    one.jobs.add(AddJob(a_job(QUEUING, clock()), key=f"key {n}"))
                    for one in (store, second)
                )
            )
        assert await count(store, "jobs") == 8

    async def test_a_job_is_handed_out_once(
        self, store: Store, second: Store, clock: Clock
    ) -> None:
        jobs = await asyncio.gather(*(job_in(store, QUEUING, clock()) for _ in range(30)))
        claims = [(one, job) for job in jobs for one in (store, second)]
        random.shuffle(claims)
        made = await asyncio.gather(
            *(one.jobs.move(MoveJob(job.id, SENT, "agent", "agent-1")) for one, job in claims),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, Exception) for one in made) == 30
        assert all(isinstance(one, Conflict) for one in made if isinstance(one, Exception))

    async def test_hammered_jobs_stay_consistent(
        self, store: Store, second: Store, clock: Clock
    ) -> None:
        jobs = await asyncio.gather(
            *(store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT)) for _ in range(12))
        )
        ids = [change.job.id for change in jobs]
        chance = random.Random(5)
        wishes = (SENT, RUNNING, RUNNING, SUCCEEDED, FAILED)

        async def hammer(one: Store) -> int:
            made = 0
            for _ in range(15):
                order = chance.sample(ids, len(ids))
                moves = [
                    MoveJob(id, chance.choice(wishes), "agent", "agent-1", f"{chance.random()}")
                    for id in order
                ]
                moves.append(MoveJob(chance.choice(ids), EXPIRED, "system", None))
                done = await asyncio.gather(
                    *(one.jobs.move(move) for move in moves), return_exceptions=True
                )
                assert all(isinstance(o, SkadiError) for o in done if isinstance(o, Exception))
                made += sum(isinstance(o, Change) and o.changed for o in done)
            return made

        made = sum(await asyncio.gather(hammer(store), hammer(second), hammer(store)))
        assert await count(store, "events") == made + len(ids)
        for id in ids:
            job = await store.jobs.get(id)
            history = await store.jobs.history(id)
            assert job is not None
            assert job.status.final
            assert [seq for seq, _, _ in history] == list(range(1, job.seq + 1))
            assert history[-1][1] is job.status


class TestCutLines:
    async def test_a_lost_answer_to_commit_is_no_loss(
        self, wired: Store, wire: Wire, clock: Clock
    ) -> None:
        wire.cuts = ["after"]
        changes = await asyncio.gather(
            *(wired.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT)) for _ in range(10))
        )
        assert not wire.cuts
        assert all(change.changed for change in changes)
        assert await count(wired, "jobs") == await count(wired, "events") == 10
        assert await count(wired, "deliveries") == 10

    async def test_a_commit_that_never_arrived_is_made_again(
        self, wired: Store, wire: Wire, clock: Clock
    ) -> None:
        job = await job_in(wired, SENT, clock())
        wire.cuts = ["before", "after", "before"]
        end = await wired.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "half"))
        await wired.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", "all"))
        assert not wire.cuts
        assert end.job.seq == 3
        history = [status for _, status, _ in await wired.jobs.history(job.id)]
        assert history == [QUEUING, SENT, RUNNING, SUCCEEDED]

    async def test_a_message_is_said_once_over_a_bad_line(
        self, wired: Store, wire: Wire, clock: Clock
    ) -> None:
        for cut in ("after", "before"):
            wire.cuts = [cut]
            event = EventMessage(new_id(), "ada", "agent-1", "text", "info", cut, clock())
            await wired.jobs.say(AddMessage(event, CHAT))
        assert await count(wired, "events") == await count(wired, "deliveries") == 2

    async def test_a_submit_with_a_key_is_one_job_over_a_bad_line(
        self, wired: Store, wire: Wire, clock: Clock
    ) -> None:
        wire.cuts = ["after", "before"]
        for _ in range(3):
            await wired.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT, "key"))
        assert await count(wired, "jobs") == 1


@pytest.fixture(scope="module")
def mortal() -> Iterator[MariaDB]:
    """A server that a test may kill."""
    with MariaDB(fast=True) as server:
        yield server


class TestAnOutage:
    async def test_what_waits_for_the_database_is_done_when_it_is_back(
        self, mortal: MariaDB, clock: Clock
    ) -> None:
        url = mortal.create_database("outage")
        await migrate(url)
        async with another(url, clock) as store:
            jobs = [await job_in(store, SENT, clock()) for _ in range(5)]
            mortal.kill()
            waiting = [
                asyncio.create_task(store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT)))
                for _ in range(5)
            ] + [
                asyncio.create_task(
                    store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", "ok"))
                )
                for job in jobs
            ]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in waiting)
            await asyncio.to_thread(mortal.start)
            changes = await asyncio.gather(*waiting)
            assert all(change.changed for change in changes)
            assert await count(store, "jobs") == 10
            assert await count(store, "events") == 5 * 2 + 5 + 5
            for job in jobs:
                history = [status for _, status, _ in await store.jobs.history(job.id)]
                assert history == [QUEUING, SENT, SUCCEEDED]

    async def test_a_kill_in_the_midst_of_work_loses_and_doubles_nothing(
        self, mortal: MariaDB, clock: Clock
    ) -> None:
        url = mortal.create_database("midst")
        await migrate(url)
        async with another(url, clock) as store:
            answered: list[str] = []

            async def work() -> None:
                for _ in range(40):
                    change = await store.jobs.add(AddJob(a_job(QUEUING, clock())))
                    answered.append(change.job.id)

            async def far_enough() -> bool:
                return len(answered) >= 30

            async def crash() -> None:
                await eventually(far_enough)
                await asyncio.to_thread(mortal.kill)
                await asyncio.to_thread(mortal.start)

            await asyncio.gather(*(work() for _ in range(4)), crash())
            assert len(set(answered)) == 160
            assert await count(store, "jobs") == await count(store, "events") == 160
            for job_id in answered:
                job = await store.jobs.get(job_id)
                assert job is not None
                assert job.status is JobStatus.QUEUING
