"""Who named an address is told there: every event once, in order, signed, for a day if need be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from core.errors import Invalid
from core.events import LONGEST_IN_NEWS, event_json
from core.model import EventJobStatus, JobStatus
from core.store import MoveJob
from tests.callback.caller import Work, at_work
from tests.callback.receiver import Receiver, receiving, silence, status
from tests.clock import Clock
from tests.core.parts import CHAT, Platform, eventually
from tests.house import open_house


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def work(sqlite_url: str, clock: Clock, receiver: Receiver) -> AsyncIterator[Work]:
    async with at_work(sqlite_url, clock) as work:
        await work.expect(receiver)
        yield work
        assert receiver.forged == 0


async def test_each_event_is_told_once_and_in_order(
    database_url: str, clock: Clock, receiver: Receiver
) -> None:
    async with at_work(database_url, clock) as work:
        await work.expect(receiver)
        job = await work.submit(receiver.url())
        await work.tell()
        assert receiver.calls == [], "nobody has it yet"
        await work.finish(job, "half", "more")
        await work.tell()
        await work.tell()
        assert receiver.told == ["sent", "running", "running", "succeeded"]
        assert [call.event["seq"] for call in receiver.calls] == [2, 3, 4, 5]
        assert [call.event["result"] for call in receiver.calls] == ["", "half", "more", "done"]
        assert [call.id for call in receiver.calls] == [
            call.event["event_id"] for call in receiver.calls
        ]
        assert receiver.forged == 0


async def test_what_is_told_is_what_is_published(work: Work, receiver: Receiver) -> None:
    job = await work.submit(receiver.url())
    await work.finish(job, "half")
    await work.tell()
    now = await work.house.jobs.get(work.account.id, job.id)
    last = receiver.calls[-1]
    assert last.event == event_json(EventJobStatus(last.id, now.seq, now, now.created_at))
    assert receiver.calls[-1].headers["content-type"] == "application/json"


async def test_an_event_tells_of_nothing_that_came_later(work: Work, receiver: Receiver) -> None:
    job = await work.submit(receiver.url())
    await work.finish(job, "half", result="all")
    await work.tell()
    moments = [{key for key in call.event if key.endswith("_at")} for call in receiver.calls]
    assert moments == [
        {"created_at", "sent_at"},
        {"created_at", "sent_at", "running_at"},
        {"created_at", "sent_at", "running_at", "succeeded_at"},
    ]


async def test_a_job_that_was_given_back_is_told_as_sent_again(
    work: Work, receiver: Receiver
) -> None:
    job = await work.submit(receiver.url())
    claimed = await work.house.jobs.claim(work.agent)
    assert claimed
    await work.house.jobs.give_back(work.agent, claimed)
    work.house.clock.move(seconds=1)
    await work.finish(job)
    await work.tell()
    assert [(call.event["seq"], call.event["status"]) for call in receiver.calls] == [
        (2, "sent"),
        (4, "sent"),
        (5, "succeeded"),
    ]


@pytest.mark.parametrize(("length", "cut"), [(LONGEST_IN_NEWS, False), (LONGEST_IN_NEWS + 1, True)])
async def test_a_long_result_is_cut_and_said_to_be(
    work: Work, receiver: Receiver, length: int, cut: bool
) -> None:
    job = await work.submit(receiver.url())
    await work.finish(job, result="x" * length)
    await work.tell()
    event = receiver.calls[-1].event
    assert len(event["result"]) == LONGEST_IN_NEWS
    assert ("result_cut" in event) is cut


async def test_the_end_that_came_late_is_told_as_well(work: Work, receiver: Receiver) -> None:
    job = await work.submit(receiver.url())
    await work.house.jobs.claim(work.agent)
    await work.house.jobs.expire(work.account.id, job.id)
    await work.tell()
    await work.house.jobs.report(work.agent, job.id, "succeed", "after all")
    await work.tell()
    assert receiver.told == ["sent", "expired", "succeeded"]


async def test_a_job_that_nobody_took_is_told_only_by_its_end(
    work: Work, receiver: Receiver
) -> None:
    job = await work.submit(receiver.url())
    await work.house.jobs.cancel(work.account.id, job.id)
    await work.tell()
    assert receiver.told == ["canceled"]


async def test_only_the_address_is_told(work: Work, receiver: Receiver) -> None:
    chat = work.house.adapters["chat"] = Platform()
    await work.house.accounts.set_home(work.account.id, CHAT)
    job = await work.submit(receiver.url(), thread=CHAT)
    await work.finish(job)
    await work.tell()
    assert receiver.told == ["sent", "succeeded"]
    assert chat.said == []


# After a failure.


async def test_what_failed_is_told_again_before_anything_else(
    work: Work, receiver: Receiver
) -> None:
    job = await work.submit(receiver.url())
    receiver.answers = [status(500), status(404)]
    await work.finish(job)
    for _ in range(3):
        await work.tell()
        work.house.clock.move(minutes=1)
    assert receiver.told == ["sent", "sent", "sent", "succeeded"]
    first, second, third, _ = receiver.calls
    assert first.id == second.id == third.id
    assert first.body == second.body == third.body


async def test_what_happens_meanwhile_does_not_hurry_the_next_try(
    work: Work, receiver: Receiver
) -> None:
    job = await work.submit(receiver.url())
    receiver.answers = [status(500)]
    claimed = await work.house.jobs.claim(work.agent)
    assert claimed
    await work.tell()
    await work.house.jobs.report(work.agent, job.id, "succeed", "done")
    await work.tell()
    assert receiver.told == ["sent"]
    work.house.clock.move(seconds=2)
    await work.tell()
    assert receiver.told == ["sent", "sent", "succeeded"]


async def test_a_receiver_that_asks_for_time_gets_it(work: Work, receiver: Receiver) -> None:
    job = await work.submit(receiver.url())
    receiver.answers = [status(503, "Retry-After: 120"), status(429, "retry-after: 60")]
    await work.finish(job)
    await work.tell()
    work.house.clock.move(seconds=119)
    await work.tell()
    assert receiver.told == ["sent"]
    work.house.clock.move(seconds=1)
    await work.tell()
    assert receiver.told == ["sent", "sent"]
    work.house.clock.move(seconds=60)
    await work.tell()
    assert receiver.told == ["sent", "sent", "sent", "succeeded"]


async def test_after_a_day_it_is_a_dead_letter_that_can_be_repeated(
    work: Work, receiver: Receiver
) -> None:
    begin = work.house.clock()
    job = await work.submit(receiver.url())
    await work.finish(job)
    receiver.answers = [status(500)] * 1000
    while not await work.letters.list(work.account.id):
        await work.tell()
        work.house.clock.move(minutes=10)
    assert timedelta(hours=24) <= work.house.clock() - begin <= timedelta(hours=24, minutes=20)
    assert 100 < len(receiver.calls) < 300
    [letter] = await work.letters.list()
    assert (letter.thread.channel_id, letter.thread.thread_id) == ("127.0.0.1", receiver.url())
    assert letter.last_error == "The answer was 500."
    receiver.answers, receiver.calls = [], []
    await work.letters.retry(letter.id)
    await work.tell()
    assert receiver.told == ["sent", "succeeded"]
    assert await work.letters.list() == []


async def test_who_says_gone_is_not_called_again(work: Work, receiver: Receiver) -> None:
    job = await work.submit(receiver.url())
    receiver.answers = [status(410)]
    await work.finish(job)
    await work.tell()
    work.house.clock.move(hours=1)
    await work.tell()
    assert receiver.told == ["sent"]
    [letter] = await work.letters.list()
    await work.letters.drop(letter.id)
    assert await work.letters.list() == []


async def test_a_receiver_that_keeps_silent_holds_up_no_other(
    sqlite_url: str, clock: Clock, receiver: Receiver
) -> None:
    async with receiving() as other, at_work(sqlite_url, clock) as work:
        receiver.answers = [silence]
        job = await work.submit(receiver.url())
        await work.finish(job)
        job = await work.submit(other.url())
        await work.finish(job)
        task = asyncio.create_task(work.notifier.run())

        async def all_told() -> bool:
            return other.told == ["sent", "succeeded"] and receiver.told == ["sent"]

        await eventually(all_told)
        task.cancel()
        await work.house.adapters["callback"].close()
        await asyncio.wait({task})


# What an address may look like.


@pytest.mark.parametrize(
    ("callback", "reason"),
    [
        ("gopher://x", "does not begin with https:// or http://"),
        ("hooks.example/x", "does not begin with"),
        ("https://", "has no host"),
        ("https://ada@hooks.example/", "has a name or password in it"),
        ("https://:hush@hooks.example/", "has a name or password in it"),
        ("https://hooks.example:0/", "has a port"),
        ("https://hooks.example:65536/", "has a port"),
        ("https://hooks.example:web/", "is no URL"),
        ("https://hooks .example/", "has a blank"),
        ("https://hooks.example\\@evil.example/", "has a blank or a backslash"),
        ("https://hooks..example/", "has no host"),
        ("https://hooks%2eexample/", "has no host"),
        ("https://hooks.example/\0", "is no URL"),
        ("https://10.0.0.1/", "leads to 10.0.0.1, which is not called from here"),
        ("https://[::ffff:10.0.0.1]/", "is not called from here"),
        ("https://hooks.example/" + "x" * 979, "has at most 1000 characters"),
        ("Disable", "does not begin with"),
    ],
)
async def test_an_address_that_cannot_be_called_is_refused(
    work: Work, callback: str, reason: str
) -> None:
    with pytest.raises(Invalid, match=re.escape(reason)) as refused:
        await work.submit(callback)
    assert refused.value.code == "InvalidInput"


@pytest.mark.parametrize(
    "callback",
    [
        "https://hooks.example",
        "HTTPS://Hooks.Example.:8443/a/b?c=d#e",
        "https://bücher.example/ü",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/",
        "https://hooks.example/" + "x" * 978,
    ],
)
async def test_an_address_is_kept_as_it_was_written(work: Work, callback: str) -> None:
    job = await work.submit(callback)
    assert job.callback == callback
    assert (await work.house.jobs.get(work.account.id, job.id)).callback == callback


async def test_without_tls_nobody_is_called_unless_the_settings_say_so(
    sqlite_url: str, clock: Clock
) -> None:
    async with at_work(sqlite_url, clock, http=False) as work:
        with pytest.raises(Invalid, match="does not begin with https://"):
            await work.submit("http://hooks.example/")


async def test_where_nobody_is_called_an_address_is_refused(sqlite_url: str, clock: Clock) -> None:
    async with open_house(sqlite_url, clock) as house:
        account, _ = await house.people()
        agent, _ = await house.enrol(account)
        with pytest.raises(Invalid, match="addresses are not called from here"):
            await house.jobs.submit(
                account.id, agent, "x", source="", requested_by="", callback="https://a.example/"
            )


async def test_an_address_that_the_settings_close_later_is_not_called(
    sqlite_url: str, clock: Clock, receiver: Receiver
) -> None:
    async with at_work(sqlite_url, clock) as work:
        job = await work.submit(receiver.url())
        await work.house.jobs.claim(work.agent)
    async with at_work(sqlite_url, clock, http=False) as stricter:
        await stricter.tell()
        [letter] = await stricter.letters.list()
        assert "does not begin with https://" in letter.last_error
        move = MoveJob(job.id, JobStatus.SUCCEEDED, "agent", job.agent_id)
        await stricter.house.store.jobs.move(move)
    assert receiver.calls == []
