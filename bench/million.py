"""The same load beside a thousand finished jobs and beside a million, by turns.

Two deployments share one MariaDB. They take turns so that whatever else the machine does meanwhile
falls on both; the one that rests is stopped, so that it costs the other nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.agents import enrol
from bench.calls import AgentKey
from bench.fill import fill
from bench.lives import SUBMITTERS, run_lives
from bench.meter import Window, cpu_seconds
from bench.stage import Stage
from bench.wire import Faults

FEW, MANY = 1_000, 1_000_000
AGENTS, OUTSTANDING = 50, 200
TURNS = 6  # few, many, many, few, few, many
SETTLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, and the agents it is loaded with."""

    stage: Stage
    agents: Sequence[AgentKey]
    windows: list[Window]


@dataclass(frozen=True, slots=True)
class Comparison:
    few: Window
    many: Window
    faults: Faults
    connections: int = AGENTS + SUBMITTERS


async def compare(few: Stage, many: Stage, seconds: float) -> Comparison:
    """Each side is measured for one and a half times so many seconds, in three turns."""
    sides = [Side(stage, await enrol(stage, AGENTS, "lives"), []) for stage in (few, many)]
    for side, finished in zip(sides, (FEW, MANY), strict=True):
        await run_lives(side.stage, side.agents, OUTSTANDING, 0.1)
        await asyncio.to_thread(fill, side.stage.query, finished)
    await settle(few.pids["db"])
    faults = Faults()
    for turn in range(TURNS):
        playing = sides[(turn + 1) // 2 % 2]
        resting = sides[1 - (turn + 1) // 2 % 2]
        with paused(own_processes(resting.stage)):
            window, wrong = await run_lives(playing.stage, playing.agents, OUTSTANDING, seconds / 2)
        playing.windows.append(window)
        faults.update(wrong)
    return Comparison(together(sides[0].windows), together(sides[1].windows), faults)


def own_processes(stage: Stage) -> list[int]:
    return [stage.pids[name] for name in ("web", "worker", "redis")]


@contextmanager
def paused(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def settle(pid: int) -> None:
    """Until the database has written out what the filling left it to write, or long enough."""
    for _ in range(int(SETTLE_SECONDS)):
        spent = cpu_seconds({"db": pid})["db"]
        await asyncio.sleep(1)
        if cpu_seconds({"db": pid})["db"] - spent < 0.05:
            return


def together(windows: Sequence[Window]) -> Window:
    """Several stretches as one."""
    seconds = sum(window.seconds for window in windows)
    return Window(seconds, sum(window.count for window in windows), mean_cpu(windows, seconds))


def mean_cpu(windows: Sequence[Window], seconds: float) -> Mapping[str, float]:
    return {
        name: sum(window.cpu[name] * window.seconds for window in windows) / seconds
        for name in windows[0].cpu
    }
