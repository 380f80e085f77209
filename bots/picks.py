"""Which agent and which job a person means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bots.language import nearest, readings, tail, tails
from bots.turn import Desk, Refusal, Turn
from core.chat import Action
from core.errors import NotFound
from core.model import Account, Agent, Job

OFFERED = 5
"""Most jobs that a question lists."""


async def find_agent(desk: Desk, account: Account, word: str) -> Agent:
    """By its name or alias as typed, else as it was before a keyboard changed it.

    NotFound (AgentNotFound) with the nearest names."""
    for reading in readings(word):
        try:
            return await desk.agents.find(account.id, reading)
        except NotFound:
            continue
    near = nearest(word, await agent_names(desk, account))
    raise NotFound("There is no such agent.", code="AgentNotFound", name=word, near=near)


async def agent_names(desk: Desk, account: Account) -> Sequence[str]:
    agents = await desk.agents.list(account.id)
    return [name for agent in agents for name in (agent.name, agent.alias) if name]


async def find_job(desk: Desk, turn: Turn, account: Account) -> Job:
    """The one job whose id ends as typed. Refusal, NotFound (JobNotFound)."""
    end = tail(turn.rest)
    if len(end) < 4:
        raise Refusal("ShortId", job=turn.rest)
    jobs = await desk.jobs.find(account.id, end)
    if not jobs:
        raise NotFound("There is no such job.", code="JobNotFound", job=end)
    if len(jobs) > 1:
        raise which(desk, turn, jobs)
    return jobs[0]


async def pick_job(
    desk: Desk, turn: Turn, account: Account, fits: Callable[[Job], bool], *, newest: bool = False
) -> Job:
    """The job that was named, else the one here that the verb fits.

    When several fit it asks, unless the newest will do; when none does, it is the newest here, and
    what is wrong with that one is for the verb to say."""
    if turn.rest:
        return await find_job(desk, turn, account)
    jobs = await desk.jobs.in_thread(account.id, turn.message.thread)
    if not jobs:
        raise Refusal("NoJobHere", usage=f"{turn.said.verb} k3f9")
    fitting = [job for job in jobs if fits(job)] or jobs[:1]
    if len(fitting) > 1 and not newest:
        raise which(desk, turn, fitting)
    return fitting[0]


def which(desk: Desk, turn: Turn, jobs: Sequence[Job]) -> Refusal:
    """The question which of these is meant, each by as much of its id as tells it apart."""
    verb, offered = turn.said.verb, jobs[:OFFERED]
    ends = tails([job.id for job in jobs])
    lines = [
        desk.notices.job_line(job, language=turn.language, now=turn.now, tag=ends[job.id])
        for job in offered
    ]
    if len(jobs) > OFFERED:
        lines.append(turn.words("and_more", n=len(jobs) - OFFERED))
    actions = [Action(f"{verb} {ends[job.id]}", f"{verb} {job.id}", once=True) for job in offered]
    question = Refusal("WhichJob", usage=verb, jobs="\n".join(lines))
    question.actions = actions
    return question
