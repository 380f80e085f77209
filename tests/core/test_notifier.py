"""Who waits for a job is told: once, in order, and whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from core.chat import Abilities, DeliveryError, Reply, Thread
from core.errors import NotFound
from core.model import Delivery, Job
from core.notifier import Letters, Notifier, Patience
from core.store import AddJob, MoveJob
from tests.clock import START, Clock
from tests.core.parts import (
    CHAT,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    Platform,
    Words,
    a_job,
    eventually,
)
from tests.house import House

PATIENCE = Patience(look=0.02)
NO_EDITS = Abilities(accepts_after=10)


def open_notifier(house: House, *platforms: Platform, patience: Patience = PATIENCE) -> Notifier:
    adapters = {platform.name: platform for platform in platforms}
    return Notifier(
        house.store,
        house.broker,
        adapters,
        Words(),
        house.accounts,
        clock=house.clock,
        patience=patience,
    )


@asynccontextmanager
async def running(*notifiers: Notifier) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(notifier.run()) for notifier in notifiers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def add(house: House, target: Thread = CHAT, *, told: bool = False) -> Job:
    job = a_job(QUEUING, house.clock())
    return (await house.store.jobs.add(AddJob(job, target, told=told))).job


async def report(house: House, job: Job, *steps: tuple[str, str]) -> None:
    for status, text in steps:
        to = {"sent": SENT, "running": RUNNING, "succeeded": SUCCEEDED}[status]
        await house.store.jobs.move(MoveJob(job.id, to, "agent", job.agent_id, text or None))


async def delivery_of(house: House, platform: Platform) -> Delivery:
    """The only dead letter there is."""
    (letter,) = await Letters(house.store, clock=house.clock).list()
    assert letter.thread.adapter == platform.name
    return letter


class TestOneJobIsOneMessage:
    async def test_its_post_is_replaced_by_the_newest_state(self, house: House) -> None:
        platform = Platform()
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""), ("running", "half"))
        await notifier.tell_due()
        await report(house, job, ("succeeded", "all"))
        await notifier.tell_due()
        await notifier.tell_due()
        assert platform.texts == ["queuing", "running", "succeeded"]
        assert [reply.replaces for reply in platform.said] == [None, "post-1", "post-1"]

    async def test_a_renewed_lease_edits_nothing(self, house: House) -> None:
        platform = Platform()
        notifier = open_notifier(house, platform)
        job = await add(house)
        await report(house, job, ("sent", ""), ("running", "half"))
        await notifier.tell_due()
        house.clock.move(minutes=1)
        await report(house, job, ("running", "half"), ("running", ""))
        await notifier.tell_due()
        assert platform.texts == ["running"]

    async def test_what_happens_while_it_is_sent_is_told_afterwards(self, house: House) -> None:
        job = await add(house)

        async def meanwhile(_reply: Reply) -> None:
            await report(house, job, ("sent", ""), ("succeeded", "all"))

        platform = Platform(troubles=[meanwhile])
        await open_notifier(house, platform).tell_due()
        assert platform.texts == ["queuing", "succeeded"]

    async def test_it_is_told_soon_and_never_goes_back(self, house: House) -> None:
        platform = Platform()
        async with running(open_notifier(house, platform)):
            jobs = [await add(house, Thread("chat", "C", str(n))) for n in range(20)]
            for job in jobs:
                await report(house, job, ("sent", ""), ("running", "x"), ("succeeded", "y"))
            await eventually(lambda: told_the_end(platform, len(jobs)))
        order = ["queuing", "sent", "running", "succeeded"]
        for n in range(20):
            said = [order.index(r.text) for r in platform.said if r.thread.thread_id == str(n)]
            assert said == sorted(set(said))
            assert said[-1] == 3


class TestEditsKeepTheirPause:
    """Of what happens within a pause only the newest is told, and the end always."""

    async def test_states_within_a_pause_become_one_edit(self, house: House) -> None:
        platform = Platform(Abilities(edits=True, edit_pause=3))
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent"], "a first edit need not wait"
        await report(house, job, ("running", "half"))
        await notifier.tell_due()
        await report(house, job, ("succeeded", "all"))
        house.clock.move(seconds=2.9)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent"]
        house.clock.move(seconds=0.1)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent", "succeeded"]

    async def test_what_happens_during_an_edit_waits_as_well(self, house: House) -> None:
        job = await add(house)

        async def meanwhile(_reply: Reply) -> None:
            await report(house, job, ("succeeded", "all"))

        platform = Platform(Abilities(edits=True, edit_pause=3))
        notifier = open_notifier(house, platform)
        await notifier.tell_due()
        await report(house, job, ("sent", ""))
        platform.troubles = [meanwhile]
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent"]
        house.clock.move(seconds=3)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent", "succeeded"]

    async def test_what_is_learned_after_the_end_waits_as_well(self, house: House) -> None:
        platform = Platform(Abilities(edits=True, edit_pause=3))
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""))
        await house.jobs.expire(None, job.id)
        await notifier.tell_due()
        await report(house, job, ("succeeded", "late"))
        await notifier.tell_due()
        assert platform.texts == ["queuing", "expired"]
        house.clock.move(seconds=3)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "expired", "succeeded"]

    async def test_an_edit_that_failed_counts_too(self, house: House) -> None:
        platform = Platform(Abilities(edits=True, edit_pause=30))
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        platform.troubles = [passing()]
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        await report(house, job, ("succeeded", "all"))
        house.clock.move(seconds=29.9)
        await notifier.tell_due()
        assert platform.tried == 2
        house.clock.move(seconds=0.1)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "succeeded"]

    async def test_other_posts_of_the_conversation_need_not_wait(self, house: House) -> None:
        platform = Platform(Abilities(edits=True, edit_pause=3))
        notifier = open_notifier(house, platform)
        first = await add(house)
        await notifier.tell_due()
        await report(house, first, ("sent", ""))
        await notifier.tell_due()
        second = await add(house)
        await report(house, second, ("sent", ""), ("succeeded", "all"))
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent", "succeeded"]

    async def test_the_end_is_told_with_the_pause_and_no_later(self, house: House) -> None:
        """A notifier that looks but once a minute comes back by itself."""
        platform = Platform(Abilities(edits=True, edit_pause=0.4))
        notifier = open_notifier(house, platform, patience=replace(PATIENCE, look=60.0))
        job = await add(house)
        async with running(notifier):
            await eventually(lambda: said_at_least(platform, 1))
            await report(house, job, ("sent", ""))
            await eventually(lambda: said_at_least(platform, 2))
            await report(house, job, ("running", "half"))
            await report(house, job, ("succeeded", "all"))
            await asyncio.sleep(0.1)
            house.clock.move(seconds=0.4)
            await eventually(lambda: said_at_least(platform, 3))
        assert platform.texts == ["queuing", "sent", "succeeded"]


async def told_the_end(platform: Platform, jobs: int) -> bool:
    return platform.texts.count("succeeded") >= jobs


class TestWhereNothingCanBeEdited:
    async def test_only_acceptance_and_end_are_said(self, house: House) -> None:
        platform = Platform(NO_EDITS)
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        assert platform.texts == []
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        house.clock.move(seconds=9.9)
        await notifier.tell_due()
        assert platform.texts == []
        house.clock.move(seconds=0.1)
        await notifier.tell_due()
        assert platform.texts == ["sent"]
        await report(house, job, ("running", "half"))
        house.clock.move(minutes=1)
        await notifier.tell_due()
        await report(house, job, ("running", "most"), ("succeeded", "all"))
        await notifier.tell_due()
        assert platform.texts == ["sent", "succeeded"]

    async def test_an_end_in_time_spares_the_acceptance(self, house: House) -> None:
        platform = Platform(NO_EDITS)
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""), ("succeeded", "all"))
        await notifier.tell_due()
        house.clock.move(minutes=1)
        await notifier.tell_due()
        assert platform.texts == ["succeeded"]

    @pytest.mark.parametrize("abilities", [Abilities(), NO_EDITS])
    async def test_a_direct_answer_was_the_acceptance(
        self, house: House, abilities: Abilities
    ) -> None:
        platform = Platform(abilities)
        notifier = open_notifier(house, platform)
        job = await add(house, told=True)
        await report(house, job, ("sent", ""))
        house.clock.move(minutes=1)
        await notifier.tell_due()
        assert platform.texts == []
        await report(house, job, ("succeeded", ""))
        await notifier.tell_due()
        assert platform.texts == ["succeeded"]

    async def test_what_really_happened_is_told_after_an_expiry(self, house: House) -> None:
        platform = Platform(NO_EDITS)
        notifier = open_notifier(house, platform)
        job = await add(house)
        await report(house, job, ("sent", ""))
        await house.jobs.expire(None, job.id)
        await notifier.tell_due()
        await report(house, job, ("succeeded", "late"))
        await notifier.tell_due()
        assert platform.texts == ["expired", "succeeded"]


class TestTrouble:
    async def test_a_permanent_one_makes_a_dead_letter(self, house: House) -> None:
        platform = Platform(troubles=[DeliveryError("no such channel", permanent=True)])
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""), ("succeeded", "all"))
        house.clock.move(hours=30)
        await notifier.tell_due()
        assert platform.tried == 1
        letter = await delivery_of(house, platform)
        assert letter.last_error == "no such channel"

    async def test_a_letter_is_tried_again_with_the_newest_state(self, house: House) -> None:
        platform = Platform(troubles=[DeliveryError("not now", permanent=True)])
        notifier = open_notifier(house, platform)
        letters = Letters(house.store, clock=house.clock)
        job = await add(house)
        await notifier.tell_due()
        await report(house, job, ("sent", ""))
        await letters.retry((await delivery_of(house, platform)).id)
        await notifier.tell_due()
        assert platform.texts == ["sent"]
        assert await letters.list() == []

    async def test_a_letter_that_is_dropped_is_gone(self, house: House) -> None:
        platform = Platform(troubles=[DeliveryError("not now", permanent=True)])
        notifier = open_notifier(house, platform)
        letters = Letters(house.store, clock=house.clock)
        job = await add(house)
        await notifier.tell_due()
        id = (await delivery_of(house, platform)).id
        await letters.drop(id)
        for deed in (letters.drop, letters.retry):
            with pytest.raises(NotFound):
                await deed(id)
        await report(house, job, ("sent", ""), ("succeeded", "all"))
        await notifier.tell_due()
        assert platform.tried == 1

    async def test_a_passing_one_is_tried_again_ever_more_seldom(self, house: House) -> None:
        platform = Platform(troubles=[passing() for _ in range(5000)])
        patience = replace(PATIENCE, longest_pause=timedelta(hours=2))
        notifier = open_notifier(house, platform, patience=patience)
        await add(house)
        tries = await moments_of_tries(house, notifier, platform, days=2)
        pauses = [later - earlier for earlier, later in pairwise(tries)]
        letter = await delivery_of(house, platform)
        assert letter.last_error == "busy"
        assert timedelta(seconds=1) <= pauses[0] <= timedelta(seconds=3)
        assert max(pauses) <= timedelta(hours=2)
        assert len(set(pauses[12:])) > 3, "no jitter"
        assert timedelta(days=1) <= tries[-1] - tries[0] <= timedelta(days=1, hours=2)

    async def test_the_platform_may_ask_for_a_longer_pause(self, house: House) -> None:
        platform = Platform(troubles=[passing(retry_after=300)])
        notifier = open_notifier(house, platform)
        await add(house)
        await notifier.tell_due()
        house.clock.move(seconds=299)
        await notifier.tell_due()
        assert platform.tried == 1
        house.clock.move(seconds=1)
        await notifier.tell_due()
        assert platform.texts == ["queuing"]

    async def test_news_do_not_shorten_the_pause_the_platform_asked_for(self, house: House) -> None:
        platform = Platform(troubles=[passing(retry_after=300)])
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        house.clock.move(seconds=299)
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        assert platform.tried == 1
        house.clock.move(seconds=1)
        await notifier.tell_due()
        assert platform.texts == ["sent"]

    async def test_what_nobody_thought_of_is_tried_again(self, house: House) -> None:
        platform = Platform(troubles=[KeyError("surprise")])
        notifier = open_notifier(house, platform)
        await add(house)
        await notifier.tell_due()
        house.clock.move(seconds=5)
        await notifier.tell_due()
        assert platform.texts == ["queuing"]

    async def test_success_forgives_earlier_failures(self, house: House) -> None:
        platform = Platform(troubles=[passing()])
        notifier = open_notifier(house, platform)
        job = await add(house)
        await notifier.tell_due()
        house.clock.move(seconds=5)
        await notifier.tell_due()
        house.clock.move(hours=30)
        platform.troubles = [passing()]
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        house.clock.move(seconds=5)
        await notifier.tell_due()
        assert platform.texts == ["queuing", "sent"]

    async def test_a_platform_that_is_not_configured_here_waits(self, house: House) -> None:
        await add(house)
        await open_notifier(house).tell_due()
        house.clock.move(seconds=5)
        platform = Platform()
        await open_notifier(house, platform).tell_due()
        assert platform.texts == ["queuing"]


def passing(retry_after: float | None = None) -> DeliveryError:
    return DeliveryError("busy", permanent=False, retry_after=retry_after)


async def moments_of_tries(
    house: House, notifier: Notifier, platform: Platform, *, days: int
) -> list[datetime]:
    """Each moment of a try, with the clock moved to the moment when something is due."""
    tries: list[datetime] = []
    end = house.clock() + timedelta(days=days)
    while house.clock() < end:
        tries.append(house.clock())
        before = platform.tried
        await notifier.tell_due()
        assert platform.tried == before + 1
        due_at = await next_due(house)
        if due_at is None:
            break
        house.clock.now = due_at
    return tries


async def next_due(house: House) -> datetime | None:
    ids = await house.store.deliveries.due(house.clock() + timedelta(days=9), 1)
    delivery = await house.store.deliveries.get(ids[0]) if ids else None
    return delivery.due_at if delivery else None


class TestSeveral:
    async def test_two_notifiers_send_nothing_twice(self, house: House) -> None:
        platform = Platform()
        notifiers = [open_notifier(house, platform) for _ in range(2)]
        async with running(*notifiers):
            for n in range(30):
                await add(house, Thread("chat", "C", str(n)))
            await eventually(lambda: said_at_least(platform, 30))
            await asyncio.sleep(3 * PATIENCE.look)
        assert len(platform.said) == 30

    async def test_a_slow_target_holds_up_nobody_else(self, house: House) -> None:
        stuck = asyncio.Event()

        async def hang(_reply: Reply) -> None:
            await stuck.wait()

        platform = Platform(troubles=[hang])
        async with running(open_notifier(house, platform)):
            await add(house, Thread("chat", "slow"))
            await eventually(lambda: has_tried(platform, 1))
            await add(house, Thread("chat", "slow"))
            for n in range(5):
                await add(house, Thread("chat", f"quick {n}"))
            await eventually(lambda: said_at_least(platform, 5))
            assert {reply.thread.channel_id for reply in platform.said} == {
                f"quick {n}" for n in range(5)
            }
            stuck.set()
            await eventually(lambda: said_at_least(platform, 7))

    async def test_an_answer_in_a_channel_holds_up_no_other(self, house: House) -> None:
        """Each begins a thread of its own."""
        platform = Platform(Abilities(edits=True, threads=True, channels=True))
        platform.troubles = [DeliveryError("away", permanent=False)]
        notifier = open_notifier(house, platform)
        for _ in range(3):
            await add(house, Thread("chat", "C"))
            await notifier.tell_due()
        assert platform.texts == ["queuing", "queuing"]
        await house.messages.begin("k")
        await house.messages.finish("k", "ada", Reply(Thread("chat", "C"), "help"), deliver=True)
        await notifier.tell_due()
        assert platform.texts[-1] == "help"
        house.clock.move(minutes=1)
        await notifier.tell_due()
        assert platform.texts[-1] == "queuing"

    async def test_who_leaves_ends_what_is_in_hand_and_leaves_the_rest_to_others(
        self, house: House
    ) -> None:
        stuck = asyncio.Event()

        async def hang(_reply: Reply) -> None:
            await stuck.wait()

        platform, thread = Platform(troubles=[hang]), Thread("chat", "slow")
        leaving = asyncio.create_task(open_notifier(house, platform).run())
        for _ in range(20):
            await add(house, thread)
        await eventually(lambda: has_tried(platform, 1))
        leaving.cancel()
        await asyncio.sleep(PATIENCE.look)
        stuck.set()
        await asyncio.wait([leaving])
        assert len(platform.said) == 1
        async with running(open_notifier(house, platform)):
            await eventually(lambda: said_at_least(platform, 20))
            await asyncio.sleep(3 * PATIENCE.look)
        assert len(platform.said) == 20

    async def test_a_long_queue_before_a_slow_target_hides_nobody(self, house: House) -> None:
        """Nothing hints at a letter that is tried again; the look at what is due must come to it."""
        stuck = asyncio.Event()

        async def hang(reply: Reply) -> None:
            if reply.thread.channel_id == "slow":
                await stuck.wait()

        platform = Platform(troubles=[DeliveryError("gone", permanent=True), hang, hang])
        patience = replace(PATIENCE, brings=10)
        notifier = open_notifier(house, platform, patience=patience)
        await add(house, Thread("chat", "quick"))
        await notifier.tell_due()
        [letter] = await Letters(house.store, clock=house.clock).list()
        await asyncio.gather(*(add(house, Thread("chat", "slow")) for _ in range(15)))
        while await house.broker.take_news("another", 0):
            pass
        house.clock.move(seconds=1)
        await Letters(house.store, clock=house.clock).retry(letter.id)
        async with running(notifier):
            await eventually(lambda: said_at_least(platform, 1))
            assert platform.said[0].thread.channel_id == "quick"
            stuck.set()

    async def test_a_lease_keeps_others_away_until_it_is_over(self, house: House) -> None:
        job = await add(house)
        (id,) = await house.store.deliveries.due(house.clock(), 5)
        mine = await house.store.deliveries.claim(id, house.clock(), PATIENCE.lease)
        assert mine is not None
        platform = Platform()
        notifier = open_notifier(house, platform)
        await report(house, job, ("sent", ""))
        await notifier.tell_due()
        assert platform.tried == 0
        house.clock.move(seconds=60)
        await notifier.tell_due()
        assert platform.texts == ["sent"]
        # Who was thought dead comes back: what it says of its old lease counts for nothing.
        await house.store.deliveries.failed(mine, "late", house.clock(), None)
        assert await Letters(house.store).list() == []

    async def test_what_a_killed_notifier_was_sending_is_sent_again(
        self, house: House, database_url: str
    ) -> None:
        await add(house)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SENDER, database_url, START.isoformat(), stdout=subprocess.PIPE
        )
        assert process.stdout
        async with asyncio.timeout(20):
            assert (await process.stdout.readline()).strip() == b"sending"
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        platform = Platform()
        notifier = open_notifier(house, platform)
        await notifier.tell_due()
        assert platform.said == []
        house.clock.move(seconds=60)
        await notifier.tell_due()
        assert platform.texts == ["queuing"]


async def said_at_least(platform: Platform, number: int) -> bool:
    return len(platform.said) >= number


async def has_tried(platform: Platform, number: int) -> bool:
    return platform.tried >= number


SENDER = textwrap.dedent(
    """
    import asyncio, sys
    from datetime import datetime
    from core.notifier import Notifier
    from tests.clock import Clock
    from tests.core.parts import Platform, Words
    from tests.house import open_house

    async def hang(_reply):
        print("sending", flush=True)
        await asyncio.sleep(60)

    async def main(url, now):
        clock, platform = Clock(datetime.fromisoformat(now)), Platform(troubles=[hang])
        async with open_house(url, clock) as house:
            adapters = {"chat": platform}
            notifier = Notifier(
                house.store, house.broker, adapters, Words(), house.accounts, clock=clock
            )
            await notifier.tell_due()

    asyncio.run(main(*sys.argv[1:]))
    """
)


class TestMessages:
    async def test_an_agents_words_reach_the_home(self, house: House, clock: Clock) -> None:
        ada, _ = await house.people()
        await house.accounts.set_home(ada.id, CHAT)
        agent, _ = await house.enrol(ada)
        await house.agents.say(agent, "text", "hello")
        platform = Platform()
        notifier = open_notifier(house, platform)
        await notifier.tell_due()
        await notifier.tell_due()
        assert platform.texts == ["Agent web-1 is online", "hello"]

    async def test_an_answer_given_as_a_delivery_is_sent_once(
        self, house: House, clock: Clock
    ) -> None:
        assert await house.messages.begin("k") is None
        await house.messages.finish("k", "ada", Reply(CHAT, "done"), deliver=True)
        await house.messages.finish("k", "ada", Reply(CHAT, "done"), deliver=True)
        platform = Platform()
        notifier = open_notifier(house, platform)
        await notifier.tell_due()
        await notifier.tell_due()
        assert platform.texts == ["done"]
