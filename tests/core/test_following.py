"""Waiting for jobs: in one process and in another, over both databases and both brokers."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from sqlalchemy import delete

from core.errors import NotFound
from core.following import Following, Place, Told
from core.model import Agent, Job, new_id
from core.output import SEAM
from core.schema import events
from tests.clock import Clock
from tests.house import House, open_house

SOON = 0.5
NEVER = 3600.0
"""Seconds after which it is looked again where a test is about the bell."""


@pytest.fixture
async def here(database_url: str, redis_url: str, clock: Clock) -> AsyncIterator[House]:
    async with open_house(database_url, clock, redis_url=redis_url) as house:
        yield house


@pytest.fixture
async def there(database_url: str, redis_url: str, clock: Clock) -> AsyncIterator[House]:
    """Another process on the same database and the same Redis."""
    async with open_house(database_url, clock, redis_url=redis_url) as house:
        yield house


async def submit(house: House, agent: Agent) -> Job:
    return await house.jobs.submit(
        agent.account_id, agent, "uptime", source="test", requested_by="token:test"
    )


async def begun(house: House) -> tuple[Agent, Job]:
    """A job that its agent has."""
    owner, _ = await house.people()
    agent, _ = await house.enrol(owner)
    job = await submit(house, agent)
    assert await house.jobs.claim(agent)
    return agent, job


async def statuses(house: House, job: Job, after: int = 0) -> list[tuple[int, str]]:
    """What is told of a job that has ended."""
    following = Following(house.store, house.broker)
    look = house.jobs.output.since
    story = following.events(job.account_id, job.id, Place(after), 30, look)
    events = [told.event async for told in story if told and told.event]
    return [(event.seq, event.job.status.value) for event in events]


async def test_the_end_is_heard_in_another_process(here: House, there: House) -> None:
    agent, job = await begun(there)
    following = Following(here.store, here.broker, NEVER)
    waits = [
        asyncio.create_task(following.until_ended(job.account_id, job.id, 30)) for _ in range(3)
    ]
    await asyncio.sleep(0.1)
    await there.jobs.report(agent, job.id, "running", "halfway")
    await asyncio.sleep(0.1)
    assert not any(wait.done() for wait in waits)
    began = monotonic()
    await there.jobs.report(agent, job.id, "succeed", "done")
    ended = await asyncio.gather(*waits)
    assert monotonic() - began < SOON
    assert {(job.status.value, job.result) for job in ended} == {("succeeded", "done")}


async def test_the_story_goes_on_in_another_process(here: House, there: House) -> None:
    agent, job = await begun(there)
    following = Following(here.store, here.broker, NEVER)
    story = following.events(job.account_id, job.id, Place(1), 30, here.jobs.output.since)
    first = await anext(story)
    report = asyncio.create_task(there.jobs.report(agent, job.id, "fail", "no"))
    told = [first, *[each async for each in story]]
    await report
    assert [each.event.job.status if each.event else each.text for each in told if each] == [
        *("sent", "no", "failed")
    ]


async def test_a_job_whose_events_are_told_to_nobody_is_waited_for_as_well(
    here: House, there: House
) -> None:
    owner, _ = await there.people()
    agent, _ = await there.enrol(owner)
    job = await there.jobs.submit(
        owner.id, agent, "uptime", source="", requested_by="token:t", callback="disable"
    )
    following = Following(here.store, here.broker, NEVER)
    wait = asyncio.create_task(following.until_ended(owner.id, job.id, 30))
    await asyncio.sleep(0.1)
    await there.jobs.cancel(owner.id, job.id)
    async with asyncio.timeout(SOON):
        assert (await wait).status == "canceled"


async def test_a_job_of_another_account_is_none(here: House) -> None:
    _, job = await begun(here)
    stranger = new_id()
    following = Following(here.store, here.broker)
    for account_id, job_id in ((stranger, job.id), (job.account_id, new_id())):
        with pytest.raises(NotFound):
            await following.until_ended(account_id, job_id, 30)
        with pytest.raises(NotFound):
            await anext(following.events(account_id, job_id, Place(), 30, here.jobs.output.since))


async def test_a_late_truth_is_told_to_who_asks_on(here: House) -> None:
    """A job that expired may succeed after all."""
    agent, job = await begun(here)
    await here.jobs.expire(job.account_id, job.id)
    assert await statuses(here, job) == [(1, "queuing"), (2, "sent"), (3, "expired")]
    await here.jobs.report(agent, job.id, "succeed", "in the end")
    assert await statuses(here, job, 3) == [(4, "succeeded")]


async def test_ten_thousand_wait_and_are_looked_after_by_a_few_queries(
    sqlite_url: str, clock: Clock
) -> None:
    """The bell is one of another broker: every hint is lost, and the look finds each end."""
    async with open_house(sqlite_url, clock) as house, open_house(sqlite_url, clock) as other:
        agent, job = await begun(other)
        silent = await submit(other, agent)
        following = Following(house.store, house.broker, 0.2)
        waits = [
            asyncio.create_task(following.until_ended(each.account_id, each.id, 60))
            for each in [job, *[silent] * 9_999]
        ]
        await asyncio.sleep(1)
        assert not any(wait.done() for wait in waits)
        tasks = len(asyncio.all_tasks())
        assert tasks < 10_000 + 50
        await other.jobs.report(agent, job.id, "succeed", "done")
        async with asyncio.timeout(10):
            assert (await waits[0]).status == "succeeded"
        assert sum(wait.done() for wait in waits) == 1
        began = monotonic()
        following.close()
        ended = await asyncio.gather(*waits[1:])
        assert monotonic() - began < 5
        assert {job.status.value for job in ended} == {"queuing"}


async def test_how_a_job_ended_is_told_when_its_events_are_no_longer_kept(
    here: House, there: House
) -> None:
    agent, job = await begun(here)
    await here.jobs.report(agent, job.id, "fail", "no")
    async with there.store._database.engine.begin() as connection:
        await connection.execute(delete(events).where(events.c.job_id == job.id))
    assert await statuses(here, job, 1) == [(3, "failed")]


async def test_output_is_heard_in_another_process_and_goes_on_where_one_was(
    here: House, there: House
) -> None:
    agent, job = await begun(there)
    following = Following(here.store, here.broker, NEVER)
    look = here.jobs.output.since
    text, place, seen = "zwölf Boxkämpfer\njagen Виктора\n" * 20, Place(2), ""
    pieces = [text[start : start + 77] for start in range(0, len(text), 77)]
    sent = 0
    for piece in pieces:
        await there.jobs.output.add(agent, job.id, sent, piece)
        sent += len(piece.encode())
        async with asyncio.timeout(5):
            # Cut off after each thing that is told.
            story = following.events(job.account_id, job.id, place, 30, look)
            told = await anext(story)
            await story.aclose()
        assert told and told.event is None and told.start == place.offset
        place, seen = told.place, seen + told.text
    assert seen == text
    await there.jobs.report(agent, job.id, "succeed", text + "the end")
    rest = [
        told async for told in following.events(job.account_id, job.id, place, 30, look) if told
    ]
    assert [told.text for told in rest] == ["the end", ""]
    assert rest[-1].event and rest[-1].event.job.status == "succeeded"


async def test_output_whose_hint_was_lost_is_found(sqlite_url: str, clock: Clock) -> None:
    async with open_house(sqlite_url, clock) as house, open_house(sqlite_url, clock) as other:
        agent, job = await begun(other)
        following = Following(house.store, house.broker, 0.2)
        look = house.jobs.output.since
        story = following.events(job.account_id, job.id, Place(2), 30, look)
        told = asyncio.ensure_future(anext(story))
        await asyncio.sleep(0.1)
        await other.jobs.output.add(agent, job.id, 0, "hello")
        async with asyncio.timeout(5):
            found = await told
        assert found and found.text == "hello"
        await story.aclose()


async def told_after(house: House, job: Job, place: Place) -> list[Told]:
    """All that is told of a job that has ended to who goes on there."""
    following = Following(house.store, house.broker)
    look = house.jobs.output.since
    story = following.events(job.account_id, job.id, place, 30, look)
    return [told async for told in story if told]


def in_short(story: list[Told]) -> list[object]:
    return [told.event.seq if told.event else (told.start, told.text) for told in story]


PIECES = ("jagen\n", "zwölf\n", "Виктора\n")
LIVE = "".join(PIECES)


@pytest.mark.parametrize(
    "report",
    [
        *(LIVE + "the end\n", LIVE, ""),
        *("exit 1\n" + LIVE, "jagen\n[... 20 bytes left out ...]\nthe end\n", "no", "x" * 500),
    ],
)
async def test_who_is_cut_off_at_any_event_goes_on_without_a_gap_or_a_repeat(
    here: House, report: str
) -> None:
    """While it runs, when it has ended, and when the pieces are forgotten."""
    agent, job = await begun(here)
    look, places = here.jobs.output.since, [Place(), Place(1), Place(2)]
    for piece in PIECES:
        await here.jobs.output.add(agent, job.id, places[-1].offset, piece)
        following = Following(here.store, here.broker)
        story = following.events(job.account_id, job.id, places[-1], 30, look)
        told = await anext(story)
        await story.aclose()
        assert told and told.text == piece
        places.append(told.place)
    await here.jobs.report(agent, job.id, "fail", report)
    goes_on = report.startswith(LIVE) or not report
    whole = (report or LIVE) if goes_on else LIVE + SEAM.decode() + report
    rests: dict[Place, list[object]] = {}
    for forgotten in (False, True):
        for place in places:
            rest = await told_after(here, job, place)
            raw = whole.encode()[place.offset :].decode()
            if not goes_on and forgotten:  # the rest of the pieces is known by the report alone
                raw = SEAM.decode() + report
            if not goes_on and not place.offset:
                raw = report
            assert "".join(told.text for told in rest) == raw
            assert [told.event.seq for told in rest if told.event] == list(range(place.seq + 1, 4))
            assert rest[-1].event and rest[-1].place == Place(3, len(whole.encode()))
            for number, told in enumerate(rest, 1):
                if told.event is None or told.place.seq == 3:
                    rests[told.place] = in_short(rest[number:])
        for place, expected in rests.items():
            assert in_short(await told_after(here, job, place)) == expected
        for _ in range(2):
            await here.watcher.tidy()
