"""The cast: agents that have been made and seen before the measuring begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import orjson

from bench.calls import AgentKey, making, poll
from bench.stage import Stage
from bench.wire import Caller, Door, Faults, dial_all

CALLERS = 32
AGENTS_AN_ACCOUNT = 20


async def enrol(stage: Stage, number: int, prefix: str) -> list[AgentKey]:
    """Make agents as an upstream system makes them, a score to an account."""
    users = [f"{prefix}{index // AGENTS_AN_ACCOUNT}" for index in range(number)]
    calls = [making(stage.token, user, f"{prefix}-{nth}") for nth, user in enumerate(users)]
    made = [orjson.loads(body) for body in await call_all(stage.door, calls, 201)]
    pairs = zip(made, users, strict=True)
    return [AgentKey(agent["id"], user, agent["secret"]) for agent, user in pairs]


async def greet(stage: Stage, agents: Sequence[AgentKey]) -> None:
    """Let each agent be seen: jobs are refused for one that is not there."""
    await call_all(stage.door, [poll(agent) for agent in agents], 204)


async def call_all(door: Door, calls: Sequence[bytes], wanted: int) -> list[bytes]:
    """Make all calls over a few connections; the bodies of the answers, in the calls' order."""
    bodies = [b""] * len(calls)
    left = iter(enumerate(calls))

    async def work(caller: Caller) -> None:
        for index, call in left:
            status, bodies[index] = await caller.call(call)
            if status != wanted:
                asked = call.split(b" HTTP/", 1)[0].decode()
                raise RuntimeError(f"{asked} was answered {status}: {bodies[index]!r}")

    callers = await dial_all(door, [partial(Caller, Faults())] * CALLERS)
    await asyncio.gather(*map(work, callers))
    for caller in callers:
        caller.leave()
    return bodies
