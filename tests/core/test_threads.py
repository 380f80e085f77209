"""A thread and its jobs find each other, and what is told there keeps its order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from core.chat import Abilities, DeliveryError, Reply, Thread
from core.model import Account, Agent, Job
from core.notifier import Notifier
from tests.core.parts import Platform, Words
from tests.house import House

ROOM = Thread("chat", "C1")


class Board(Platform):
    """Where threads hang on posts."""

    async def send(self, reply: Reply) -> str | None:
        await super().send(reply)
        return reply.replaces or f"{reply.thread.channel_id}/{len(self.said)}"


async def submit(house: House, account: Account, agent: Agent, thread: Thread) -> Job:
    return await house.jobs.submit(
        account.id, agent, "uptime", source="chat", requested_by="identity:1", thread=thread
    )


async def ids_in(house: House, account: Account, thread: Thread) -> list[str]:
    return [job.id for job in await house.jobs.in_thread(account.id, thread)]


def tell(house: House, *boards: Board) -> Notifier:
    adapters = {board.name: board for board in boards}
    house.adapters.update(adapters)
    return Notifier(house.store, house.broker, adapters, Words(), house.accounts, clock=house.clock)


async def test_a_thread_below_a_jobs_post_is_the_jobs(house: House) -> None:
    ada, mallory = await house.people()
    agent, _ = await house.enrol(ada)
    notifier = tell(house, Board(Abilities(edits=True)))
    jobs = []
    for _ in range(2):
        jobs.append(await submit(house, ada, agent, ROOM))
        await notifier.tell_due()
    first, second = (replace(ROOM, thread_id=str(n)) for n in (1, 2))
    assert await ids_in(house, ada, first) == [jobs[0].id]
    assert await ids_in(house, ada, second) == [jobs[1].id]
    assert await ids_in(house, ada, ROOM) == [jobs[1].id, jobs[0].id]
    assert await ids_in(house, mallory, first) == [], "another account's"
    assert await ids_in(house, ada, replace(first, adapter="other")) == []
    assert await ids_in(house, ada, replace(first, channel_id="C2")) == []


async def test_what_was_asked_for_below_it_is_found_with_it(house: House) -> None:
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada)
    notifier = tell(house, Board(Abilities(edits=True)))
    root = await submit(house, ada, agent, ROOM)
    await notifier.tell_due()
    below = replace(ROOM, thread_id="1")
    again = await submit(house, ada, agent, below)
    await notifier.tell_due()
    assert await ids_in(house, ada, below) == [again.id, root.id]


async def test_a_post_that_was_made_anew_counts_from_then_on(house: House) -> None:
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada)

    class Anew(Board):
        async def send(self, reply: Reply) -> str | None:
            return await super().send(replace(reply, replaces=None))

    notifier = tell(house, Anew(Abilities(edits=True)))
    job = await submit(house, ada, agent, ROOM)
    await notifier.tell_due()
    await house.jobs.cancel(ada.id, job.id)
    await notifier.tell_due()
    assert await ids_in(house, ada, replace(ROOM, thread_id="1")) == []
    assert await ids_in(house, ada, replace(ROOM, thread_id="2")) == [job.id]


# Order.


def away(*, permanent: bool = False) -> DeliveryError:
    return DeliveryError("away", permanent=permanent)


async def speaker(house: House, board: Board) -> Callable[[str], Awaitable[None]]:
    """What it says is told in the room."""
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada)
    house.adapters[board.name] = board
    await house.accounts.set_home(ada.id, ROOM, "identity:1")

    async def say(words: str) -> None:
        house.clock.move(seconds=1)
        await house.agents.say(agent, "info", words)

    return say


async def test_what_came_later_is_not_told_before_what_has_to_wait(house: House) -> None:
    board = Board(troubles=[away() for _ in range(5)])
    say, notifier = await speaker(house, board), tell(house, board)
    await say("gone")
    await notifier.tell_due()
    for words in ("back", "gone again"):
        await say(words)
        await notifier.tell_due()
    while not board.said:
        house.clock.move(seconds=30)
        await notifier.tell_due()
    assert board.texts == ["gone", "back", "gone again"]
    assert board.tried == 8, "and what waits is not tried in vain"


@pytest.mark.parametrize("troubles", [1, 3])
async def test_an_hour_away_changes_no_order(house: House, troubles: int) -> None:
    board = Board(troubles=[away() for _ in range(500)])
    say, notifier = await speaker(house, board), tell(house, board)
    for minute in range(60):
        if minute % 7 == 0:
            await say(f"message {minute}")
        await notifier.tell_due()
        house.clock.move(minutes=1)
    board.troubles = board.troubles[:troubles]
    for _ in range(60):
        house.clock.move(minutes=1)
        await notifier.tell_due()
    assert board.texts == [f"message {minute}" for minute in range(0, 60, 7)]


async def test_in_other_threads_nobody_waits_for_it(house: House) -> None:
    board = Board(troubles=[away()])
    say, notifier = await speaker(house, board), tell(house, board)
    ada = (await house.accounts.list())[0]
    agent = (await house.agents.list(ada.id))[0]
    await say("gone")
    await notifier.tell_due()
    await submit(house, ada, agent, replace(ROOM, thread_id="elsewhere"))
    await notifier.tell_due()
    assert board.texts == ["queuing"]


async def test_what_is_given_up_holds_up_nobody(house: House) -> None:
    board = Board(troubles=[away(), away(permanent=True)])
    say, notifier = await speaker(house, board), tell(house, board)
    await say("never")
    await notifier.tell_due()
    await say("then")
    house.clock.move(minutes=1)
    await notifier.tell_due()
    assert board.texts == ["then"]


async def test_what_another_process_told_holds_up_nobody(house: House) -> None:
    board, other = Board(troubles=[away()]), Board()
    say, notifier = await speaker(house, board), tell(house, board)
    await say("one")
    await notifier.tell_due()
    await say("two")
    await notifier.tell_due()
    house.clock.move(seconds=10)
    second = tell(house, other)
    await second.tell_due()
    assert other.texts == ["one", "two"]
    house.clock.move(minutes=2)
    await say("three")
    await notifier.tell_due()
    assert board.texts == ["three"]


async def test_nobody_waits_for_ever(house: House) -> None:
    async def refuse_one(reply: Reply) -> None:
        if reply.text == "poison":
            raise away()

    board = Board(troubles=[refuse_one] * 500)
    say, notifier = await speaker(house, board), tell(house, board)
    await say("poison")
    await notifier.tell_due()
    await say("then")
    begun = house.clock()
    while not board.said:
        house.clock.move(minutes=5)
        await notifier.tell_due()
    assert board.texts == ["then"]
    assert timedelta(hours=1) < house.clock() - begun < timedelta(hours=3)
