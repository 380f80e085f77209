"""Empty polls: agents that ask for work as fast as they are answered, and there is none."""

from __future__ import annotations

from collections.abc import Sequence

from bench.agents import greet
from bench.bare import loop_requests
from bench.calls import AgentKey, poll
from bench.meter import Window
from bench.stage import Stage
from bench.wire import Faults


async def run_polls(
    stage: Stage, agents: Sequence[AgentKey], seconds: float
) -> tuple[Window, Faults]:
    await greet(stage, agents)
    faults = Faults()
    asked = [poll(agent) for agent in agents]
    return await loop_requests(stage.door, asked, seconds, faults, stage.pids), faults
