"""What is measured, and what is wanted of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.agents import enrol
from bench.bare import bare_rate
from bench.calls import AgentKey
from bench.figures import Figure
from bench.held import ARRIVALS, Holding, run_held
from bench.lives import SUBMITTERS, run_lives
from bench.meter import Window, resident_mib
from bench.million import FEW, MANY, Comparison, compare
from bench.pace import bare_latency
from bench.polls import run_polls
from bench.slack import (
    AGENTS,
    JOBS,
    REQUESTS,
    WANTED,
    Acknowledged,
    run_acknowledged,
    settings,
    workspace,
)
from bench.stage import Stage, bare_server, embedded, production
from bench.wire import Caller, Door, Faults, dial_all, request
from tests.servers import MariaDB

CALLS_A_LIFE = 3
LIVES = ((20, 50, 2000), (50, 200, 2500), (200, 500, 2500))  # agents, outstanding, wanted a second
POLLERS, POLLS_WANTED = 256, 15_000
HOLDERS = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line."""

    app: Path
    seconds: float


Section = Callable[[Plan], AsyncIterator[Figure]]


async def lives(plan: Plan) -> AsyncIterator[Figure]:
    """Complete lives of jobs a second"""
    with MariaDB() as maria, production(plan.app, maria) as stage, bare_server() as (bare, _):
        agents = await enrol(stage, max(number for number, _, _ in LIVES), "lives")
        for number, limit, wanted in LIVES:
            yield await one_life_rate(stage, bare, agents[:number], limit, wanted, plan.seconds)


async def one_life_rate(
    stage: Stage,
    bare: Door,
    agents: Sequence[AgentKey],
    limit: int,
    wanted: float | None,
    seconds: float,
) -> Figure:
    rate = await bare_rate(bare, len(agents) + SUBMITTERS)
    window, faults = await run_lives(stage, agents, limit, seconds)
    return Figure(
        f"lives a second, {len(agents)} agents, {limit} outstanding",
        window.rate,
        "/s",
        at_least=wanted,
        bare=rate,
        calls=CALLS_A_LIFE,
        cpu=window.cpu,
        remark=f"{each_cost(window)}",
        faults=faults,
    )


def each_cost(window: Window) -> str:
    costs = ", ".join(f"{name} {cost:.0f}" for name, cost in window.costs.items())
    return f"processor time for one: {costs}; together {spent(window):.0f} µs"


def spent(window: Window) -> float:
    return sum(window.costs.values())


async def polls(plan: Plan) -> AsyncIterator[Figure]:
    """Empty polls a second"""
    with MariaDB() as maria, production(plan.app, maria) as stage, bare_server() as (bare, _):
        yield await one_poll_rate(stage, bare, POLLS_WANTED, plan.seconds)


async def one_poll_rate(stage: Stage, bare: Door, wanted: float | None, seconds: float) -> Figure:
    agents = await enrol(stage, POLLERS, "polls")
    rate = await bare_rate(bare, POLLERS)
    window, faults = await run_polls(stage, agents, seconds)
    return Figure(
        f"empty polls a second, {POLLERS} agents",
        window.rate,
        "/s",
        at_least=wanted,
        bare=rate,
        cpu=window.cpu,
        remark=f"{each_cost(window)}",
        faults=faults,
    )


async def held(plan: Plan) -> AsyncIterator[Figure]:
    """Ten thousand agents holding a poll, one web process"""
    with bare_server() as (bare, pid):
        latency = await bare_latency(bare, ARRIVALS)
        memory = await bare_memory(bare, pid, HOLDERS)
    with MariaDB() as maria, production(plan.app, maria) as stage:
        agents = await enrol(stage, HOLDERS, "held")
        holding = await run_held(stage, agents, plan.seconds)
    for figure in held_figures(holding, latency.p50, latency.p99, memory):
        yield figure


def held_figures(holding: Holding, p50: float, p99: float, memory: float) -> list[Figure]:
    figure = partial(Figure, faults=holding.faults)
    told = holding.latency
    return [
        figure(
            f"memory of the web process, {HOLDERS:,} polls held",
            max(holding.calm_mib, holding.busy_mib),
            "MiB",
            at_most=300,
            bare=memory,
            cpu=holding.calm.cpu,
            remark=f"{holding.calm_mib:.0f} MiB before jobs, {holding.busy_mib:.0f} MiB after",
        ),
        figure(
            f"submit to agent, median at {ARRIVALS:.0f} jobs/s",
            told.p50,
            "ms",
            at_most=2,
            bare=p50,
            cpu=holding.busy.cpu,
        ),
        figure(
            "submit to agent, 99th percentile",
            told.p99,
            "ms",
            at_most=10,
            bare=p99,
            remark=f"worst {told.worst:.1f} ms; {holding.busy.rate:.0f} lives/s; "
            f"{holding.late} submits waited for a free connection",
        ),
    ]


async def bare_memory(door: Door, pid: int, connections: int) -> float:
    """MiB of the bare server once it has so many connections open, each used once."""
    callers = await dial_all(door, [partial(Caller, Faults())] * connections)
    for caller in callers:
        await caller.call(request("GET", "/"))
    memory = resident_mib(pid)
    for caller in callers:
        caller.leave()
    return memory


async def million(plan: Plan) -> AsyncIterator[Figure]:
    """The cost of a job beside a million finished ones"""
    with ExitStack() as stack:
        maria = stack.enter_context(MariaDB())
        few = stack.enter_context(production(plan.app, maria, "few"))
        many = stack.enter_context(production(plan.app, maria, "many"))
        bare, _ = stack.enter_context(bare_server())
        comparison = await compare(few, many, plan.seconds)
        rate = await bare_rate(bare, comparison.connections)
    for figure in million_figures(comparison, rate):
        yield figure


def million_figures(comparison: Comparison, bare: float) -> list[Figure]:
    rate = partial(Figure, unit="/s", bare=bare, calls=CALLS_A_LIFE, faults=comparison.faults)
    few, many = comparison.few, comparison.many
    return [
        rate(f"lives a second, {FEW:,} finished", few.rate, cpu=few.cpu, remark=each_cost(few)),
        rate(f"lives a second, {MANY:,} finished", many.rate, cpu=many.cpu, remark=each_cost(many)),
        Figure(
            "time a life takes: many ÷ few",
            few.rate / many.rate,
            "×",
            at_most=1.2,
            faults=comparison.faults,
            remark=f"processor time: {spent(many):.0f} ÷ {spent(few):.0f} µs"
            f" = {spent(many) / spent(few):.2f}",
        ),
    ]


async def out_of_the_box(plan: Plan) -> AsyncIterator[Figure]:
    """The embedded default: SQLite and the broker in the one process (web) that plays all roles"""
    with embedded(plan.app) as stage, bare_server() as (bare, _):
        agents = await enrol(stage, max(number for number, _, _ in LIVES), "lives")
        for number, limit, _ in LIVES:
            yield await one_life_rate(stage, bare, agents[:number], limit, None, plan.seconds / 2)
        yield await one_poll_rate(stage, bare, None, plan.seconds / 2)


async def slack(plan: Plan) -> AsyncIterator[Figure]:
    """Slack's requests, acknowledged while others' jobs are run"""
    with bare_server() as (bare, _):
        latency = await bare_latency(bare, REQUESTS)
    async with workspace() as server:
        with MariaDB() as maria, production(plan.app, maria, settings=settings(server)) as stage:
            agents = await enrol(stage, AGENTS, "slack")
            stage.tell("identity", "add", "slack0", "slack", "T1/UADA", "--name", "ada")
            names = [f"slack-{nth}" for nth, key in enumerate(agents) if key.user_id == "slack0"]
            done = await run_acknowledged(stage, server, agents, names, plan.seconds)
    for figure in slack_figures(done, latency.p50, latency.p99):
        yield figure


def slack_figures(done: Acknowledged, p50: float, p99: float) -> list[Figure]:
    told = done.latency
    figure = partial(Figure, unit="ms", faults=done.faults)
    return [
        figure(
            f"acknowledgement, median at {JOBS:.0f} jobs/s",
            told.p50,
            bare=p50,
            cpu=done.window.cpu,
        ),
        figure(
            "acknowledgement, 99th percentile",
            told.p99,
            at_most=WANTED,
            bare=p99,
            remark=f"worst {told.worst:.1f} ms of {done.requests:,} at {REQUESTS:.0f}/s;"
            f" {done.window.rate:.0f} lives/s; {done.told:,} posts and edits;"
            f" {done.late} requests waited for a free connection",
        ),
    ]


SECTIONS: dict[str, Section] = {
    "lives": lives,
    "polls": polls,
    "held": held,
    "million": million,
    "slack": slack,
    "embedded": out_of_the_box,
}
