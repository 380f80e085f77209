"""What a process may go on believing, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from core.broker.embedded import EmbeddedBroker
from core.memory import FRESH, Memory

COLOUR, SHAPE = ("colour",), ("shape",)


class Counter:
    """The database's epoch."""

    def __init__(self) -> None:
        self.number = 1

    async def epoch(self) -> int:
        return self.number


class Seconds:
    """A stopwatch that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def broker() -> EmbeddedBroker:
    return EmbeddedBroker()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def memory(broker: EmbeddedBroker, seconds: Seconds) -> Memory:
    """One that has just heard the epoch, and remembers a colour."""
    one = Memory(Counter(), broker, seconds=seconds)
    await one.refresh()
    one.put(COLOUR, "red")
    return one


async def test_what_another_process_changed_is_forgotten_within_a_tenth_of_a_second(
    memory: Memory, broker: EmbeddedBroker, seconds: Seconds
) -> None:
    await broker.set_epoch(2)
    seconds.now += FRESH - 0.001
    await memory.refresh()
    assert memory.get(COLOUR) == "red"
    seconds.now += 0.001
    await memory.refresh()
    assert memory.get(COLOUR) is None


async def test_each_word_of_the_same_epoch_counts_as_having_asked(
    memory: Memory, broker: EmbeddedBroker, seconds: Seconds
) -> None:
    seconds.now += FRESH
    assert memory.learn(1)
    await broker.set_epoch(2)
    seconds.now += FRESH / 2
    await memory.refresh()
    assert memory.get(COLOUR) == "red"
    assert not memory.learn(2)
    assert memory.get(COLOUR) is None


async def test_what_this_process_changed_is_forgotten_at_once(memory: Memory) -> None:
    await memory.changed()
    assert memory.get(COLOUR) is None


async def test_who_forgot_asks_again_whatever_the_time(
    memory: Memory, broker: EmbeddedBroker
) -> None:
    memory.forget()
    await broker.set_epoch(7)
    await memory.refresh()
    assert memory.learn(7)


async def test_what_was_looked_up_before_a_change_is_not_kept(memory: Memory) -> None:
    """Not even when the epoch of before is heard once more, from an answer that was late."""
    go_on = asyncio.Event()

    async def look_up() -> str:
        await go_on.wait()
        return "square"

    looking = asyncio.create_task(memory.recall(SHAPE, look_up))
    await asyncio.sleep(0)
    memory.learn(2)
    memory.learn(1)
    go_on.set()
    assert await looking == "square"
    assert memory.get(SHAPE) is None
