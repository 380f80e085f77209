"""What the bells of a process promise to those who wait there."""

import asyncio
import tracemalloc
from contextlib import ExitStack

import pytest

from core.broker.bells import Bells


async def test_one_ring_wakes_once() -> None:
    bells = Bells()
    with bells.bell("a") as bell:
        bells.ring("a")
        bells.ring("a")
        assert await bell.wait(0)
        assert not await bell.wait(0.01)
        bells.ring("a")
        assert await bell.wait(0)


async def test_who_stops_waiting_may_wait_again() -> None:
    bells = Bells()
    with bells.bell("a") as bell:
        waiting = asyncio.create_task(bell.wait(60))
        await asyncio.sleep(0)
        waiting.cancel()
        bells.ring("a")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await bell.wait(0)


async def test_ten_thousand_are_cheap() -> None:
    bells = Bells()
    agents = [f"agent{number}" for number in range(10_000)]
    with ExitStack() as held:
        tracemalloc.start()
        try:
            for agent_id in agents:
                held.enter_context(bells.bell(agent_id))
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size < 10_000 * 600


async def test_a_bell_that_is_taken_down_leaves_nothing() -> None:
    bells = Bells()
    with bells.bell("a"), bells.bell("a"), bells.bell("b"):
        pass
    assert not vars(bells)["_held"]


async def test_one_job_is_given_to_one_of_those_who_wait() -> None:
    bells = Bells()
    with bells.bell("a", takes=True) as one, bells.bell("a", takes=True) as two:
        waiting = [asyncio.create_task(bell.wait(60)) for bell in (one, two)]
        await asyncio.sleep(0)
        assert [bells.give("a", job_id) for job_id in ("j1", "j2", "j3")] == [True, True, False]
        assert await asyncio.gather(*waiting) == [True, True]
        assert (one.job(), two.job()) == ("j1", "j2")


async def test_who_has_stopped_waiting_is_given_nothing() -> None:
    bells = Bells()
    with bells.bell("a", takes=True) as bell:
        assert not await bell.wait(0.001)
        assert not bells.give("a", "j1")
    assert not bells.give("a", "j1")
