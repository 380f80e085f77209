"""A server for the agent, agents that are quick, and a check that no thread of theirs stays."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Handler, Pace
from tests.agent.daemon import Daemon
from tests.agent.fake_skadi import TOKEN, FakeSkadi

QUICK = Pace(
    wait=2,
    interval=0.2,
    beat=0.2,
    progress_gap=0.05,
    output_gap=0.1,
    first_retry=0.05,
    longest_retry=0.2,
    timeout=3,
    grace=2,
    kill_grace=1,
    farewell=1,
)
Employ = Callable[..., Agent]
Settle = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SKADI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def skadi() -> Iterator[FakeSkadi]:
    with FakeSkadi() as fake:
        yield fake


@pytest.fixture
def employ(skadi: FakeSkadi) -> Iterator[Employ]:
    """Start an agent for the fake server; all of them are gone when the test is over."""
    agents: list[Agent] = []

    def start(handler: Handler, pace: Pace = QUICK, **options: Any) -> Agent:
        agents.append(Agent(skadi.url, TOKEN, pace=pace, **options).start(handler))
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop(0)
    assert all(agent.join(10) for agent in agents)
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"skadi-reporter", "skadi-live"}


@pytest.fixture
def daemon(skadi: FakeSkadi, tmp_path: Path) -> Iterator[Settle]:
    """Start the program itself, on a skadi.yml with these lines."""
    daemons: list[Daemon] = []

    def start(text: str = "", *arguments: str, **options: Any) -> Daemon:
        daemons.append(Daemon(tmp_path, skadi.url, text, *arguments, **options))
        return daemons[-1]

    yield start
    for each in daemons:
        each.clear_away()
