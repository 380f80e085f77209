"""Whole lives of jobs: submitted, claimed, succeeded; three calls, each answered after its commit.

Submitters and agents run closed loops. A fixed number of slots, dealt evenly to the agents, bounds
the jobs outstanding: a submitter takes a slot, the report that ends the job gives it back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from time import perf_counter

from bench.agents import greet
from bench.calls import REPORT, AgentKey, job_id, poll, report_tail, submission
from bench.ledger import count_since, mark
from bench.meter import Window, measure
from bench.stage import Stage
from bench.tally import Tally
from bench.wire import Connection, Faults, dial_all

SUBMITTERS = 32
WAIT = 5  # seconds an agent lets its poll be held: an idle one then costs nothing
WARM_UP = 1.5  # seconds
PATIENCE = 20.0  # seconds the jobs outstanding get to finish


class Run(Tally):
    """What the submitters and agents of one run have in common."""

    def __init__(self, token: str, agents: Sequence[AgentKey], limit: int) -> None:
        super().__init__()
        self.token = token
        self.open = True
        self.slots = deque(islice(cycle(submission(token, agent) for agent in agents), limit))
        self.idle: list[Submitter] = []

    def finish(self, slot: bytes) -> None:
        self.finished += 1
        self.slots.append(slot)
        if self.idle and self.open:
            self.idle.pop().submit()

    @property
    def drained(self) -> bool:
        return len(self.idle) == SUBMITTERS and self.finished == self.submitted


class Submitter(Connection):
    def __init__(self, run: Run) -> None:
        super().__init__(run.faults)
        self.run = run

    def submit(self) -> None:
        run = self.run
        if run.slots and run.open:
            self.transport.write(run.slots.popleft())
        else:
            run.idle.append(self)

    def answered(self, status: int, body: bytes) -> None:
        if status == 204:
            self.run.submitted += 1
        else:
            self.faults.note("submit", status, body)
        self.submit()


class Agent(Connection):
    """Polls, runs what it is given in no time, reports, and polls again."""

    def __init__(self, run: Run, key: AgentKey) -> None:
        super().__init__(run.faults)
        self.run = run
        self.slot = submission(run.token, key)
        self.asking = poll(key, WAIT)
        self.tail = report_tail(key)
        self.reporting = False

    def poll(self) -> None:
        self.transport.write(self.asking)

    def answered(self, status: int, body: bytes) -> None:
        if self.reporting:
            self._reported(status, body)
        elif status == 200:
            self._claimed(job_id(body))
        else:
            self._nothing(status, body)

    def _claimed(self, job: str) -> None:
        self.run.claimed += 1
        self.run.ids.add(job)
        self.reporting = True
        self.transport.write(REPORT + job.encode() + self.tail)

    def _reported(self, status: int, body: bytes) -> None:
        self.reporting = False
        if status == 204:
            self.run.finish(self.slot)
        else:
            self.faults.note("succeed", status, body)
        self.poll()

    def _nothing(self, status: int, body: bytes) -> None:
        if status == 204:
            self.poll()
        else:
            self.faults.note("poll", status, body)
            self.later(self.poll)


async def run_lives(
    stage: Stage, agents: Sequence[AgentKey], limit: int, seconds: float
) -> tuple[Window, Faults]:
    """Lives ended within so many seconds, after a warm-up; then all is drained and verified."""
    await greet(stage, agents)
    start_of_run, run = mark(stage.query), Run(stage.token, agents, limit)
    polling = await dial_all(stage.door, [partial(Agent, run, key) for key in agents])
    submitting = await dial_all(stage.door, [partial(Submitter, run)] * SUBMITTERS)
    start(polling, submitting)
    await measure(WARM_UP, lambda: 0, {})
    window = await measure(seconds, lambda: run.finished, stage.pids)
    await drain(run)
    for connection in [*polling, *submitting]:
        connection.leave()
    run.verify(count_since(stage.query, start_of_run))
    return window, run.faults


def start(polling: Sequence[Agent], submitting: Sequence[Submitter]) -> None:
    for agent in polling:
        agent.poll()
    for submitter in submitting:
        submitter.submit()


async def drain(run: Run) -> None:
    run.open = False
    deadline = perf_counter() + PATIENCE
    while not run.drained and perf_counter() < deadline:  # noqa: ASYNC110 - no clock in the hot path
        await asyncio.sleep(0.02)
