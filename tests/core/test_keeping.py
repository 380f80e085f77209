"""What is too old goes, nothing that is still needed does, and the rest of the house does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.errors import NotFound
from core.keeping import Keeping
from core.model import EventMessage, Job, first_id, new_id, utc_now
from core.settings import Keep
from core.store import AddJob, AddMessage, MoveJob, Page, Store
from tests.clock import Clock
from tests.core.parts import (
    CANCELED,
    CHAT,
    DELAYED,
    EXPIRED,
    FAILED,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    a_job,
    count,
    job_in,
)
from tests.house import House, open_house

FOR_EVER = Keep(None, None, None, None, None)
TABLES = ("jobs", "results", "outputs", "events", "deliveries", "messages")


@pytest.fixture
def clock() -> Clock:
    """Ids are made by the real time, and so things age from today on."""
    return Clock(utc_now())


async def sweep(house: House, keep: Keep | None = None, **how: float) -> bool:
    return await Keeping(house.store, keep, clock=house.clock, **how).sweep()


def days_pass(house: House, days: float) -> None:
    house.clock.move(hours=24 * days)


async def rows(house: House) -> dict[str, int]:
    """The tables that hold anything."""
    counted = {table: await count(house.store, table) for table in TABLES}
    return {table: number for table, number in counted.items() if number}


async def put(store: Store, table: str, many: Sequence[dict[str, Any]]) -> None:
    """Rows as they are, past all rules."""

    async def deed(connection: AsyncConnection) -> None:
        await connection.execute(insert(schema.metadata.tables[table]), list(many))

    await store._database.write(deed)


async def ran(house: House, *, target: bool = False, key: str | None = None) -> Job:
    """A job that printed while it ran and at its end."""
    fact = AddJob(a_job(QUEUING, house.clock()), CHAT if target else None, key)
    job = (await house.store.jobs.add(fact)).job
    for step, said in ((SENT, ""), (RUNNING, "half"), (SUCCEEDED, "whole")):
        await house.store.jobs.move(MoveJob(job.id, step, "agent", job.agent_id, said))
    await put(house.store, "outputs", [chunk(job.id, start) for start in range(3)])
    return job


def chunk(job_id: str, start: int) -> dict[str, Any]:
    return {"job_id": job_id, "start": start, "size": 1, "text": "x"}


async def tell(house: House) -> None:
    """All that is due is told, to the end."""
    for delivery_id in await house.store.deliveries.due(house.clock(), 10):
        held = await house.store.deliveries.claim(delivery_id, house.clock(), timedelta(minutes=1))
        assert held is not None
        await house.store.deliveries.told(
            held, shown=99, seen=99, handle=None, final=True, again_at=None
        )


async def bury(house: House) -> None:
    """All that is due becomes a dead letter."""
    for delivery_id in await house.store.deliveries.due(house.clock(), 10):
        held = await house.store.deliveries.claim(delivery_id, house.clock(), timedelta(minutes=1))
        assert held is not None
        await house.store.deliveries.failed(held, "no such place", house.clock(), None)


async def speak(house: House, *, target: bool) -> None:
    event = EventMessage(new_id(), "ada", "agent-1", "text", "info", "hello", house.clock())
    await house.store.jobs.say(AddMessage(event, CHAT if target else None))


class TestJobs:
    async def test_a_job_goes_with_all_that_belongs_to_it(self, house: House) -> None:
        await ran(house, target=True, key="k")
        await tell(house)
        # What announced its events is none of its things.
        assert set(await rows(house)) == set(TABLES)
        days_pass(house, 89.9)
        await sweep(house, Keep(output=None, events=None))
        assert (await rows(house)).keys() == set(TABLES) - {"messages"}
        days_pass(house, 0.2)
        assert await sweep(house, Keep(output=None, events=None))
        assert await rows(house) == {}

    @pytest.mark.parametrize("status", [SUCCEEDED, FAILED, EXPIRED, CANCELED])
    async def test_however_it_ended(self, house: House, status: Any) -> None:
        if status is CANCELED:
            job = await job_in(house.store, QUEUING, house.clock())
            await house.store.jobs.move(MoveJob(job.id, CANCELED, "account", "ada"))
        else:
            await job_in(house.store, status, house.clock())
        days_pass(house, 91)
        await sweep(house)
        assert await rows(house) == {}

    @pytest.mark.parametrize("status", [DELAYED, QUEUING, SENT, RUNNING])
    async def test_one_that_has_not_ended_is_never_touched(self, house: House, status: Any) -> None:
        job = await job_in(house.store, status, house.clock())
        await put(house.store, "outputs", [chunk(job.id, 0)])
        await put(house.store, "results", [{"job_id": job.id, "text": "so far"}])
        before = await rows(house)
        days_pass(house, 1000)
        assert await sweep(house)
        assert await rows(house) == before
        assert (await house.store.jobs.history(job.id))[0][:2] == (
            1,
            DELAYED if status is DELAYED else QUEUING,
        )

    async def test_it_is_kept_from_its_end_on_however_early_it_was_submitted(
        self, house: House
    ) -> None:
        job = await job_in(house.store, DELAYED, house.clock())
        days_pass(house, 100)
        await house.store.jobs.move(MoveJob(job.id, CANCELED, "account", "ada"))
        await sweep(house)
        assert await house.store.jobs.get(job.id) is not None
        days_pass(house, 91)
        await sweep(house)
        assert await house.store.jobs.get(job.id) is None

    async def test_output_and_events_go_before_it(self, house: House) -> None:
        job = await ran(house)
        days_pass(house, 31)
        await sweep(house)
        assert await rows(house) == {"jobs": 1}
        left = await house.store.jobs.get(job.id)
        assert left is not None
        assert (left.status, left.result) == (SUCCEEDED, "")

    async def test_where_output_is_not_kept_its_events_do_not_repeat_it(self, house: House) -> None:
        job = await ran(house)
        days_pass(house, 2)
        await sweep(house, replace(FOR_EVER, output=timedelta(days=1)))
        assert await rows(house) == {"jobs": 1, "events": 4}
        _, story = await house.store.jobs.story(job.id, 0)
        assert [(each.seq, each.job.result) for each in story] == [(n, "") for n in range(1, 5)]

    async def test_nothing_of_a_job_outlasts_it(self, house: House) -> None:
        await ran(house)
        days_pass(house, 8)
        await sweep(house, replace(FOR_EVER, jobs=timedelta(days=7), messages=timedelta(days=1)))
        assert await rows(house) == {}

    async def test_for_ever_is_for_ever(self, house: House) -> None:
        await ran(house, target=True, key="k")
        await tell(house)
        await speak(house, target=False)
        before = await rows(house)
        days_pass(house, 10_000)
        assert await sweep(house, FOR_EVER)
        assert await rows(house) == before


class TestWhatIsNeeded:
    async def test_a_job_of_which_somebody_is_still_to_be_told(self, house: House) -> None:
        await ran(house, target=True)
        before = await rows(house)
        days_pass(house, 400)
        await sweep(house)
        assert await rows(house) == before
        await tell(house)
        await sweep(house)
        assert await rows(house) == {}

    async def test_a_dead_letter_can_be_tried_again_as_long_as_it_is_kept(
        self, house: House
    ) -> None:
        job = await ran(house, target=True)
        await bury(house)
        days_pass(house, 29)
        keep = Keep(output=timedelta(hours=1), events=timedelta(hours=1))
        await sweep(house, keep)
        assert (await house.store.jobs.get(job.id) or job).result == "whole"
        assert len(await house.store.jobs.history(job.id)) == 4
        days_pass(house, 2)
        await sweep(house, keep)
        assert await rows(house) == {"jobs": 1}

    async def test_what_an_agent_said_until_it_was_told(self, house: House) -> None:
        await speak(house, target=True)
        await speak(house, target=False)
        days_pass(house, 31)
        await sweep(house)
        assert await rows(house) == {"events": 1, "deliveries": 1}
        await tell(house)
        await sweep(house)
        await sweep(house)
        assert await rows(house) == {}

    async def test_a_repeat_finds_its_job_while_its_key_is_known(self, house: House) -> None:
        """The job is there longer than what leads to it, if only by a little."""
        keep = Keep(jobs=timedelta(days=7), messages=timedelta(days=7))
        job = await ran(house, key="k")
        days_pass(house, 6.9)
        await sweep(house, keep)
        again = await house.store.jobs.add(AddJob(a_job(QUEUING, house.clock()), key="k"))
        assert (again.job.id, again.changed) == (job.id, False)
        days_pass(house, 0.11)
        await sweep(house, keep)
        assert await house.store.jobs.by_key("k") is None
        assert await house.store.jobs.get(job.id) is not None
        days_pass(house, 0.1)
        await sweep(house, keep)
        assert await house.store.jobs.get(job.id) is None
        new = await house.store.jobs.add(AddJob(a_job(QUEUING, house.clock()), key="k"))
        assert new.changed

    async def test_no_job_goes_while_messages_are_kept_for_ever(self, house: House) -> None:
        job = await ran(house, key="k")
        days_pass(house, 400)
        await sweep(house, replace(FOR_EVER, jobs=timedelta(days=1)))
        assert await house.store.jobs.by_key("k") is not None
        assert await house.store.jobs.get(job.id) is not None


class TestBesideOthers:
    async def test_two_watchers_do_no_harm(
        self, house: House, database_url: str, clock: Clock
    ) -> None:
        jobs = [await ran(house, target=True, key=f"k{number}") for number in range(8)]
        stays = await job_in(house.store, RUNNING, house.clock())
        for _ in jobs:
            await tell(house)
        days_pass(house, 91)
        async with open_house(database_url, clock) as other:
            assert all(await asyncio.gather(sweep(house), sweep(other), sweep(house), sweep(other)))
        assert await rows(house) == {"jobs": 1, "events": 3}
        assert await house.store.jobs.get(stays.id) is not None

    async def test_a_late_report_comes_before_or_after_and_never_in_between(
        self, house: House
    ) -> None:
        jobs = [await job_in(house.store, EXPIRED, house.clock()) for _ in range(20)]
        days_pass(house, 91)

        async def report(job: Job) -> None:
            with suppress(NotFound):
                fact = MoveJob(job.id, SUCCEEDED, "agent", job.agent_id, "late")
                await house.store.jobs.move(fact)

        await asyncio.gather(sweep(house), *(report(job) for job in jobs))
        left = [job for each in jobs if (job := await house.store.jobs.get(each.id))]
        assert {(job.status, job.result) for job in left} <= {(SUCCEEDED, "late")}
        assert (await rows(house)).get("results", 0) == len(left)
        assert set((await rows(house)).values()) <= {len(left), len(left) * 4, len(left)}

    async def test_a_job_that_is_being_moved_is_waited_for(
        self, mysql_url: str, clock: Clock
    ) -> None:
        store = await Store.open(mysql_url, clock=clock)
        job = await job_in(store, EXPIRED, clock())
        clock.move(hours=24 * 91)
        late = update(schema.jobs).where(schema.jobs.c.id == job.id)
        async with store._database.engine.begin() as mover:
            await mover.execute(late.values(status="succeeded", succeeded_at=clock()))
            keeping = asyncio.create_task(Keeping(store, clock=clock).sweep())
            done, _ = await asyncio.wait({keeping}, timeout=0.5)
            assert not done
        assert await keeping
        assert await store.jobs.get(job.id) is not None
        await store.close()

    async def test_a_round_ends_with_its_time_and_the_next_goes_on(self, house: House) -> None:
        await ran(house)
        days_pass(house, 91)
        before = await rows(house)
        assert not await sweep(house, budget=0.0)
        assert await rows(house) == before
        assert await sweep(house)
        assert await rows(house) == {}

    async def test_much_output_goes_a_piece_at_a_time(self, house: House) -> None:
        """Also where a job has more of it than a page, and one that is not over stands before it."""
        running = await job_in(house.store, RUNNING, house.clock())
        over = [await ran(house) for _ in range(2)]
        for job in (running, *over):
            await put(house.store, "outputs", [chunk(job.id, start) for start in range(10, 35)])
        days_pass(house, 31)
        before = house.clock() - timedelta(days=30)
        pages = [page async for page in through(house.store, "outputs", before, 10)]
        assert max(page.gone for page in pages) <= 10
        assert sum(page.gone for page in pages) == 2 * 28
        assert await count(house.store, "outputs") == 25


async def through(
    store: Store, kind: str, before: datetime, limit: int, after: str = ""
) -> AsyncIterator[Page]:
    following: str | None = after
    while following is not None:
        page: Page = await getattr(store.keeping, kind)(before, following, limit)
        yield page
        following = page.after


def old_rows(many: int, at: datetime) -> list[dict[str, Any]]:
    """Jobs a millisecond apart, as the table has them."""
    job = a_job(SUCCEEDED, at)
    row = {column.name: getattr(job, column.name, None) for column in schema.jobs.columns}
    row |= {"status": "succeeded", "seq": 3, "journal": "", "adapter": "", "channel_id": ""}
    row |= {"thread_id": "", "ref": "{}", "succeeded_at": at}
    return [
        row | {"id": first_id(at + timedelta(milliseconds=number))[:-1] + "1"}
        for number in range(many)
    ]


MANY = 50_000


async def test_ever_so_many_go_in_batches_of_one_size(sqlite_url: str) -> None:
    store = await Store.open(sqlite_url)
    at = utc_now() - timedelta(days=100)
    await put(store, "jobs", old_rows(MANY, at))
    before = utc_now() - timedelta(days=90)
    sizes = [page.gone async for page in through(store, "jobs", before, 500)]
    assert sizes == [500] * (MANY // 500) + [0]
    assert await count(store, "jobs") == 0
    await store.close()


async def test_what_is_young_is_not_even_looked_at(mysql_url: str) -> None:
    """The indexes lead to what is old: a round over a full house reads next to nothing."""
    store = await Store.open(mysql_url)
    now = utc_now()
    young = old_rows(2_000, now - timedelta(days=1))
    await put(store, "jobs", young)
    await put(store, "results", [{"job_id": row["id"], "text": "x"} for row in young])
    await put(store, "outputs", [chunk(row["id"], 0) for row in young])
    fields = {"seq": 1, "status": "queuing", "body": "", "created_at": now}
    await put(store, "events", [fields | {"id": row["id"], "job_id": row["id"]} for row in young])
    before = await rows_read(store)
    assert await Keeping(store).sweep()
    assert await rows_read(store) - before < 100
    await store.close()


async def rows_read(store: Store) -> int:
    async with store._database.reading() as connection:
        found = await connection.execute(text("SHOW GLOBAL STATUS LIKE 'Handler_read_%'"))
        counted = {row[0]: int(row[1]) for row in found}
    return sum(counted[f"Handler_read_{how}"] for how in ("next", "prev", "rnd", "rnd_next"))
