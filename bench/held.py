"""Ten thousand agents that let their polls be held, and how soon one hears of a job for it."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from time import perf_counter

from bench.agents import greet
from bench.calls import REPORT, AgentKey, job_id, poll, report_tail, submission
from bench.ledger import count_since, mark
from bench.meter import Window, measure, resident_mib
from bench.pace import Latency, Pacer
from bench.stage import Stage
from bench.tally import Tally
from bench.wire import Connection, Door, Faults, dial_all

WAIT = 30  # seconds each poll is held
SUBMITTERS = 64
ARRIVALS = 500.0  # jobs a second
WARM_UP = 1.0  # seconds
CALM = 3.0  # seconds of nothing but holding
PATIENCE = 20.0  # seconds the jobs outstanding get to finish


@dataclass(frozen=True, slots=True)
class Holding:
    """Memory and work while all are calm, and while jobs arrive.

    `late`: arrivals that were put off because every submitter's connection was busy."""

    calm_mib: float
    busy_mib: float
    calm: Window
    busy: Window
    latency: Latency
    late: int
    faults: Faults


class Run(Tally):
    """`written` remembers when the job that an agent is to hear of was submitted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[str, float] = {}
        self.latencies: list[float] = []
        self.free: list[Submitter] = []
        self.backlog: deque[tuple[AgentKey, bytes]] = deque()
        self.late = 0

    def submit(self, agent: AgentKey, call: bytes) -> None:
        if self.free:
            self.written[agent.id] = perf_counter()
            self.free.pop().transport.write(call)
        else:
            self.late += 1
            self.backlog.append((agent, call))

    def release(self, submitter: Submitter) -> None:
        self.free.append(submitter)
        if self.backlog:
            self.submit(*self.backlog.popleft())

    @property
    def drained(self) -> bool:
        return len(self.free) == SUBMITTERS and self.finished == self.submitted

    def hear(self, agent: AgentKey) -> None:
        self.claimed += 1
        if written := self.written.pop(agent.id, 0.0):
            self.latencies.append(perf_counter() - written)


class Submitter(Connection):
    def __init__(self, run: Run) -> None:
        super().__init__(run.faults)
        self.run = run

    def answered(self, status: int, body: bytes) -> None:
        if status == 204:
            self.run.submitted += 1
        else:
            self.faults.note("submit", status, body)
        self.run.release(self)


class Agent(Connection):
    def __init__(self, run: Run, key: AgentKey) -> None:
        super().__init__(run.faults)
        self.run = run
        self.key = key
        self.asking = poll(key, WAIT)
        self.reporting = False

    def answered(self, status: int, body: bytes) -> None:
        if status == 200 and not self.reporting:
            self._claimed(body)
        else:
            self._answered_empty(status, body)

    def _claimed(self, body: bytes) -> None:
        self.run.hear(self.key)
        job = job_id(body)
        self.run.ids.add(job)
        self.reporting = True
        self.transport.write(REPORT + job.encode() + report_tail(self.key))

    def _answered_empty(self, status: int, body: bytes) -> None:
        if status != 204:
            self.faults.note("succeed" if self.reporting else "held poll", status, body)
        elif self.reporting:
            self.run.finished += 1
        self.reporting = False
        self.poll() if status == 204 else self.later(self.poll)

    def poll(self) -> None:
        self.transport.write(self.asking)


async def run_held(stage: Stage, agents: Sequence[AgentKey], seconds: float) -> Holding:
    await greet(stage, agents)
    start_of_run, run = mark(stage.query), Run()
    holding = await hold(stage.door, run, agents)
    calm = await measure(CALM, lambda: 0, stage.pids)
    calm_mib = resident_mib(stage.pids["web"])
    run.free = await dial_all(stage.door, [partial(Submitter, run)] * SUBMITTERS)
    submitting = list(run.free)
    busy = await arrive(stage, run, agents, seconds)
    busy_mib = resident_mib(stage.pids["web"])
    for connection in [*holding, *submitting]:
        connection.leave()
    run.verify(count_since(stage.query, start_of_run))
    return Holding(calm_mib, busy_mib, calm, busy, Latency.of(run.latencies), run.late, run.faults)


async def hold(door: Door, run: Run, agents: Sequence[AgentKey]) -> list[Agent]:
    """Every agent with a poll open, the first of all lengths: they must not end all at once."""
    holding = await dial_all(door, [partial(Agent, run, key) for key in agents])
    for index, agent in enumerate(holding):
        agent.transport.write(poll(agent.key, 1 + index % WAIT))
        if index % 100 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    return holding


async def arrive(stage: Stage, run: Run, agents: Sequence[AgentKey], seconds: float) -> Window:
    """Jobs at an even pace, each for another agent, in no order; until the last one has ended."""
    shuffled = random.Random(1).sample(agents, len(agents))
    calls = cycle([(agent, submission(stage.token, agent)) for agent in shuffled])
    gc.collect()
    gc.freeze()  # a collection over so many connections would count as the server's delay
    pacer = Pacer(ARRIVALS, lambda: run.submit(*next(calls)))
    await measure(WARM_UP, lambda: 0, {})
    run.latencies.clear()
    window = await measure(seconds, lambda: run.finished, stage.pids)
    pacer.stop()
    await drain(run)
    gc.unfreeze()
    return window


async def drain(run: Run) -> None:
    deadline = perf_counter() + PATIENCE
    while not run.drained and perf_counter() < deadline:  # noqa: ASYNC110 - no clock in the hot path
        await asyncio.sleep(0.02)
