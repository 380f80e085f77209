"""The verb `agent`: a person's own agents, made, named and taken away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from bots.language import fold, plain, split_word
from bots.notices import agent_line, code, spell
from bots.offers import about_agent
from bots.picks import find_agent
from bots.turn import Answer, Desk, Once, Refusal, Turn
from core.chat import Action, Reply
from core.errors import NotFound
from core.model import ACTIVE, UNFINISHED, Account, Agent, Job, is_id

LISTED = 20
"""Most agents that are named one by one, and most jobs."""
OPERATOR = "python app.py agent add ACCOUNT NAME"
"""How the operator makes an agent."""
YES = frozenset({"yes", "y", "是", "确认", "确定"})


async def agent(desk: Desk, turn: Turn, account: Account) -> Answer:
    word, rest = split_word(turn.rest)
    deed = DEEDS.get(fold(word))
    if deed is None:
        return await show(desk, turn, account, turn.rest)
    return await deed(desk, turn, account, rest)


def usage(turn: Turn) -> Refusal:
    return Refusal("Usage", verb="agent")


async def list_agents(desk: Desk, turn: Turn, account: Account, rest: str) -> Reply:
    agents = await desk.agents.list(account.id)
    if not agents:
        return no_agents(turn)
    return turn.reply("\n".join(await agent_lines(desk, turn, agents)))


async def show(desk: Desk, turn: Turn, account: Account, rest: str) -> Reply:
    """How an agent is, and what it says of itself."""
    agent = await find_agent(desk, account, named(turn, rest))
    lines = [*await agent_lines(desk, turn, [agent]), *await about_agent(desk, turn, agent)]
    return turn.reply("\n".join(lines))


async def agent_lines(desk: Desk, turn: Turn, agents: Sequence[Agent]) -> list[str]:
    shown = agents[:LISTED]
    standing = await desk.agents.standing(shown)
    lines = [
        agent_line(agent, standing.get(agent.id), language=turn.language, now=turn.now)
        for agent in shown
    ]
    more = len(agents) - len(shown)
    return [*lines, turn.words("and_more", n=more)] if more else lines


def no_agents(turn: Turn) -> Reply:
    if is_kept(turn):
        return turn.say("status.no_agents.operator", operator=code(OPERATOR))
    return turn.say("status.no_agents", add=typed(turn, "add", "web-1"))


def typed(turn: Turn, deed: str, name: str) -> str:
    return code(turn.words(f"typed.{deed}", name=name))


async def add(desk: Desk, turn: Turn, account: Account, rest: str) -> Once:
    refuse_to_show_tokens(turn)
    name, remark = split_word(rest)
    if not name:
        raise Refusal("MissingName")
    agent, token = await desk.agents.enrol(account.id, plain(name), remark=remark)
    way = await line_to_paste(desk, turn, agent)
    return with_token(turn, "agent.added", agent, token=token, way=way)


async def line(desk: Desk, turn: Turn, account: Account, rest: str) -> Once:
    refuse_to_show_tokens(turn)
    agent = await find_agent(desk, account, named(turn, rest))
    return with_token(turn, "agent.line", agent, way=await line_to_paste(desk, turn, agent))


async def line_to_paste(desk: Desk, turn: Turn, agent: Agent) -> str:
    """The line that installs the agent, and what is to be known of it."""
    enrolment = desk.agents.enrolment
    within = spell(turn.language, enrolment.way.life)
    typed = await enrolment.new_line(agent)
    key = "way.here" if enrolment.way.local else "way"
    return turn.words(key, line=typed, within=within, url=enrolment.way.url)


async def rotate(desk: Desk, turn: Turn, account: Account, rest: str) -> Once:
    refuse_to_show_tokens(turn)
    agent = await find_agent(desk, account, named(turn, rest))
    token = await desk.agents.rotate(account.id, agent.id)
    return with_token(turn, "agent.rotated", agent, token=token)


def refuse_to_show_tokens(turn: Turn) -> None:
    """Where no direct answer is taken, it would lie in the database until it is delivered."""
    if is_kept(turn):
        raise Refusal("TokenInChat", operator=OPERATOR)
    if not turn.message.private:
        raise Refusal("TokenInPublic")
    if turn.message.patience <= 0:
        raise Refusal("TokenInMail")


def is_kept(turn: Turn) -> bool:
    """Whether this is a chat whose answers are all delivered, and none of them given directly."""
    return turn.message.patience <= 0 and turn.abilities.private_answers


def with_token(turn: Turn, key: str, agent: Agent, **secrets: str) -> Once:
    name = code(agent.name)
    ways = {deed: typed(turn, deed, agent.name) for deed in ("rotate", "line")}
    return Once(turn.say(key, name=name, **secrets), turn.say(f"{key}.kept", name=name, **ways))


def named(turn: Turn, rest: str) -> str:
    """The one word that must follow."""
    name, more = split_word(rest)
    if not name or more:
        raise usage(turn)
    return name


async def rename(desk: Desk, turn: Turn, account: Account, rest: str) -> Reply:
    old, new = split_word(rest)
    agent = await find_agent(desk, account, named(turn, old))
    renamed = await desk.agents.rename(account.id, agent.id, plain(named(turn, new)))
    return turn.say("agent.renamed", old=code(agent.name), name=code(renamed.name))


async def remove(desk: Desk, turn: Turn, account: Account, rest: str) -> Reply:
    """Only on a second word, as it cannot be undone."""
    name, sure = split_word(rest)
    agent = await find_asked_about(desk, account, named(turn, name))
    if not sure:
        return await ask_to_remove(desk, turn, account, agent)
    if fold(sure) not in YES:
        raise usage(turn)
    await desk.agents.remove(account.id, agent.id)
    return turn.say("agent.removed", name=code(agent.name))


async def find_asked_about(desk: Desk, account: Account, word: str) -> Agent:
    """By its id, as the button says it, so that nobody's agent of the same name is meant; else by name."""
    if is_id(word):
        with suppress(NotFound):
            return await desk.agents.get(account.id, word)
    return await find_agent(desk, account, word)


async def ask_to_remove(desk: Desk, turn: Turn, account: Account, agent: Agent) -> Reply:
    confirm = turn.words("typed.remove", name=agent.name)
    jobs = await desk.jobs.recent(account.id, agent.id, limit=100)
    lost = [
        *job_list(desk, turn, "agent.remove.waiting", jobs_in(jobs, UNFINISHED - ACTIVE)),
        *job_list(desk, turn, "agent.remove.active", jobs_in(jobs, ACTIVE)),
    ]
    question = turn.words("agent.remove", name=code(agent.name), confirm=code(confirm))
    click = turn.words("typed.remove", name=agent.id)
    button = Action(turn.words("button.remove", name=agent.name), click, "danger", once=True)
    return turn.reply("\n".join([*lost, question]), actions=(button,))


def jobs_in(jobs: Sequence[Job], statuses: frozenset[str]) -> Sequence[Job]:
    return [job for job in jobs if job.status in statuses]


def job_list(desk: Desk, turn: Turn, heading: str, jobs: Sequence[Job]) -> list[str]:
    """The jobs under a heading; nothing without jobs."""
    if not jobs:
        return []
    shown = jobs[:LISTED]
    lines = [desk.notices.job_line(job, language=turn.language, now=turn.now) for job in shown]
    more = len(jobs) - len(shown)
    return [turn.words(heading), *lines, *([turn.words("and_more", n=more)] if more else [])]


Deed = Callable[[Desk, Turn, Account, str], Awaitable[Answer]]

DEEDS: Mapping[str, Deed] = {
    **dict.fromkeys(("", "list", "列表"), list_agents),
    **dict.fromkeys(("show", "查看"), show),
    **dict.fromkeys(("add", "添加", "新增"), add),
    **dict.fromkeys(("line", "安装"), line),
    **dict.fromkeys(("remove", "删除", "移除"), remove),
    **dict.fromkeys(("rename", "改名", "重命名"), rename),
    **dict.fromkeys(("rotate", "换令牌", "轮换"), rotate),
}
