"""Questions that come while one is asked wait for it, and are the next one together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from core.store.together import MOST, Together


class Oracle:
    """Answers twice the number, when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        self.asked.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise ValueError("thirteen")
        return [number * 2 for number in numbers]


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


async def ask(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """Questions put at this moment."""
    tasks = [asyncio.create_task(together.ask(number)) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_those_who_come_meanwhile_are_asked_for_together(oracle: Oracle) -> None:
    together = Together(oracle)
    tasks = [*await ask(together, 1), *await ask(together, 2, 3), *await ask(together, 2)]
    oracle.open.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 4]
    assert oracle.asked == [[1], [2, 3, 2]]


async def test_no_query_is_without_bounds(oracle: Oracle) -> None:
    together = Together(oracle)
    numbers = range(100, 100 + 2 * MOST)
    tasks = await ask(together, 1, *numbers)
    oracle.open.set()
    await asyncio.gather(*tasks)
    assert max(map(len, oracle.asked)) == MOST
    assert len(oracle.asked) == 3


async def test_a_failure_is_told_to_those_it_concerns_and_to_nobody_else(oracle: Oracle) -> None:
    together = Together(oracle)
    tasks = [*await ask(together, 1), *await ask(together, 13, 14)]
    oracle.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[0] == 2
    assert [type(answer) for answer in answers[1:]] == [ValueError, ValueError]
    assert await together.ask(4) == 8


async def test_one_who_gave_up_takes_nothing_from_the_others(oracle: Oracle) -> None:
    together = Together(oracle)
    tasks = [*await ask(together, 1), *await ask(together, 2, 3)]
    tasks[1].cancel()
    oracle.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], asyncio.CancelledError)
