"""How soon Slack hears that its request is kept, while jobs of others are run.

Slack waits three seconds and takes for lost what was not answered by then; so an acknowledgement comes
after the commit, whatever else goes on. Ada's mentions and slash commands arrive at an even pace.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from time import perf_counter

from bench.agents import greet
from bench.calls import AgentKey, submission
from bench.held import SUBMITTERS, Run, Submitter, drain, hold
from bench.ledger import count_since, mark
from bench.meter import Window, measure
from bench.pace import Latency, Pacer
from bench.stage import Stage
from bench.wire import HEAD_END, Connection, Faults, dial_all
from tests.slack.fake import Person, Room, Server, Slack, open_slack, sign
from tests.slack.fake.calls import encode
from tests.slack.fake.server import now
from tests.slack.fake.slack import Kind

AGENTS = 200
JOBS = 200.0
"""A second, of programs."""
REQUESTS = 20.0
"""A second, of Slack's; each asks for a job as well."""
ROOMS = 100
"""In which Ada speaks by turns: one message a second and channel is all that Slack takes."""
CALLERS = 16
WARM_UP = 2.0  # seconds
WANTED = 300
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """`told`: posts and edits that Slack got meanwhile. `late`: requests that waited for a connection."""

    latency: Latency
    window: Window
    requests: int
    told: int
    late: int
    faults: Faults


@asynccontextmanager
async def workspace() -> AsyncIterator[Server]:
    """A Slack with Ada in it."""
    async with open_slack(Slack(now, echoes=False)) as server:
        team = server.slack.team()
        ada = server.slack.person(team, "ada")
        for number in range(ROOMS):
            server.slack.room(team, f"room{number}", ada)
        yield server


def settings(server: Server) -> Mapping[str, str]:
    """Of the program's, as its environment has them."""
    slack = server.slack
    return {
        "SKADI_ADAPTERS__SLACK__BOT_TOKEN": slack.teams["T1"].token,
        "SKADI_ADAPTERS__SLACK__SIGNING_SECRET": slack.app.signing_secret,
        "SKADI_ADAPTERS__SLACK__API": server.api,
    }


class Callers:
    """Slack's side: requests over a few connections, each answered before the next is sent on it."""

    def __init__(self, server: Server, run: Run, agents: Sequence[str]) -> None:
        self.slack, self.run = server.slack, run
        self.free: list[Caller] = []
        self.backlog: deque[bytes] = deque()
        self.latencies: list[float] = []
        self.late = self.requests = 0
        self._orders = self._make_orders(agents)

    def _make_orders(self, agents: Sequence[str]) -> Iterator[bytes]:
        """A mention, a slash command, a mention …, each in another room."""
        team = self.slack.teams["T1"]
        ada, rooms = team.people["UADA"], cycle(team.rooms.values())
        for number, (agent, room) in enumerate(zip(cycle(agents), rooms, strict=False)):
            make = self._command if number % 2 else self._mention
            yield make(ada, room, f"{agent} uptime")

    def _mention(self, ada: Person, room: Room, text: str) -> bytes:
        team = self.slack.teams["T1"]
        post = self.slack.put(room, ada, f"<@{team.bot.id}> {text}")
        [event] = self.slack.payloads.events_of(team, room, post)
        return self._signed("event", self.slack.payloads.event(team, event, room=room))

    def _command(self, ada: Person, room: Room, text: str) -> bytes:
        team = self.slack.teams["T1"]
        return self._signed("command", self.slack.payloads.command(team, room, ada, text))

    def _signed(self, kind: Kind, payload: dict[str, object]) -> bytes:
        body, content_type = encode(kind, payload)
        moment = int(self.slack.clock().timestamp())
        head = [
            "POST /slack/events HTTP/1.1",
            "Host: skadi",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            f"X-Slack-Request-Timestamp: {moment}",
            f"X-Slack-Signature: {sign(self.slack.app.signing_secret, moment, body)}",
        ]
        return "\r\n".join(head).encode() + HEAD_END + body

    def ask(self) -> None:
        order = next(self._orders)
        if self.free:
            self.free.pop().ask(order)
        else:
            self.late += 1
            self.backlog.append(order)

    def release(self, caller: Caller, seconds: float) -> None:
        self.latencies.append(seconds)
        self.requests += 1
        self.free.append(caller)
        if self.backlog:
            self.free.pop().ask(self.backlog.popleft())

    @property
    def quiet(self) -> bool:
        return len(self.free) == CALLERS


class Caller(Connection):
    def __init__(self, callers: Callers) -> None:
        super().__init__(callers.run.faults)
        self.callers = callers

    def ask(self, order: bytes) -> None:
        self.written = perf_counter()
        self.transport.write(order)

    def answered(self, status: int, body: bytes) -> None:
        if status == 200 and not body:
            self.callers.run.submitted += 1
        else:
            self.faults.note("Slack's request", status, body)
        self.callers.release(self, perf_counter() - self.written)


async def run_acknowledged(
    stage: Stage, server: Server, agents: Sequence[AgentKey], names: Sequence[str], seconds: float
) -> Acknowledged:
    """`names`: the agents that Ada may command."""
    await greet(stage, agents)
    start_of_run, run = mark(stage.query), Run()
    holding = await hold(stage.door, run, agents)
    run.free = await dial_all(stage.door, [partial(Submitter, run)] * SUBMITTERS)
    submitting = list(run.free)
    callers = Callers(server, run, names)
    callers.free = await dial_all(stage.door, [partial(Caller, callers)] * CALLERS)
    calling = list(callers.free)
    window = await arrive(stage, run, callers, agents, seconds)
    for connection in [*holding, *submitting, *calling]:
        connection.leave()
    run.verify(count_since(stage.query, start_of_run))
    told = [call for call in server.slack.asked if call.method.startswith("chat.")]
    for call in told:
        if call.error:
            run.faults[f"Slack refused {call.method}: {call.error}"] += 1
    latency = Latency.of(callers.latencies)
    return Acknowledged(latency, window, callers.requests, len(told), callers.late, run.faults)


async def arrive(
    stage: Stage, run: Run, callers: Callers, agents: Sequence[AgentKey], seconds: float
) -> Window:
    """Both at their even pace, until the last job has ended."""
    shuffled = random.Random(1).sample(agents, len(agents))
    calls = cycle([(agent, submission(stage.token, agent)) for agent in shuffled])
    jobs = Pacer(JOBS, lambda: run.submit(*next(calls)))
    requests = Pacer(REQUESTS, callers.ask)
    await measure(WARM_UP, lambda: 0, {})
    callers.latencies.clear()
    callers.requests = 0
    window = await measure(seconds, lambda: run.finished, stage.pids)
    requests.stop()
    jobs.stop()
    while not callers.quiet:  # noqa: ASYNC110 - no clock in the hot path
        await asyncio.sleep(0.02)
    await drain(run)
    return window
