"""What each verb does, and the one table of them: help, suggestions and reserved words follow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bots import roster
from bots.language import fold, nearest, split_word, take_duration
from bots.notices import agent_line, code, is_stoppable
from bots.offers import about_agent, refuse_misspelt
from bots.pages import log
from bots.people import home, link, unlink, way_in, whoami
from bots.picks import agent_names, find_agent, find_job, pick_job
from bots.turn import Command, Desk, Linked, Open, Refusal, Submit, Turn
from bots.words import LANGUAGES, verb_word
from core.chat import Reply
from core.errors import NotFound
from core.messages import message_key
from core.model import Account, Agent, Job

ONE_CLICK = timedelta(seconds=10)
"""So long clicks on one button count as one."""
RECENT = 10
"""Jobs that status shows of all, and of an agent."""


# Verbs that make a job.


async def run(desk: Desk, turn: Turn, account: Account) -> Job:
    """The bare `<agent> <command>`."""
    word = turn.said.word
    try:
        agent = await find_agent(desk, account, word)
    except NotFound as error:
        near = nearest(word, [*await agent_names(desk, account), *OFFERED])
        raise Refusal("NoSuchWord", word=word, near=parted(word) or near) from error
    return await submit(desk, turn, account, agent, turn.rest)


def parted(word: str) -> list[str]:
    """Chinese is written without blanks: a verb may be the beginning of a word."""
    verbs = (verb for verb in OFFERED if not verb.isascii() and word.startswith(verb))
    return [f"{verb} {word.removeprefix(verb)}" for verb in sorted(verbs, key=len)][-1:]


async def delay(desk: Desk, turn: Turn, account: Account) -> Job:
    wait, rest = read_delay(turn.rest)
    word, command = split_word(rest)
    if not word:
        raise Refusal("Usage", verb="delay")
    agent = await find_agent(desk, account, word)
    return await submit(desk, turn, account, agent, command, wait)


def read_delay(text: str) -> tuple[timedelta, str]:
    if not text:
        raise Refusal("Usage", verb="delay")
    try:
        return take_duration(text)
    except ValueError as error:
        raise Refusal("InvalidDuration", given=split_word(text)[0]) from error


async def submit(
    desk: Desk,
    turn: Turn,
    account: Account,
    agent: Agent,
    command: str,
    delay: timedelta | None = None,
) -> Job:
    if not command:
        raise Refusal("NoCommand", name=agent.name, example=f"{agent.name} uptime")
    await refuse_misspelt(desk, turn, agent, command)
    return await desk.jobs.submit(
        account.id,
        agent,
        command,
        source=turn.platform,
        requested_by=turn.requested_by,
        thread=turn.message.thread,
        delay=delay,
        key=turn.job_key,
        told=turn.told,
    )


async def again(desk: Desk, turn: Turn, account: Account) -> Job:
    job = await pick_job(desk, turn, account, lambda job: job.status.final)
    if not job.status.final:
        raise Refusal("NotEnded", job=job.id, status=job.status)
    return await desk.jobs.again(
        account.id,
        job.id,
        requested_by=turn.requested_by,
        thread=turn.message.thread,
        key=await key_of_again(desk, turn, account, job),
        told=turn.told,
    )


async def key_of_again(desk: Desk, turn: Turn, account: Account, job: Job) -> str:
    """A button says the whole id. Who clicks it twice, or with somebody else at the same moment,
    means one job."""
    if turn.message.clicked or turn.rest != job.id:
        return turn.job_key
    thread, clicked_at = turn.message.thread, turn.message.sent_at
    moment = int(clicked_at.timestamp() // ONE_CLICK.total_seconds())
    before, this = (
        message_key(thread.adapter, job.id, f"{thread.channel_id}/{thread.thread_id}/{each}")
        for each in (moment - 1, moment)
    )
    made = await desk.jobs.known(account.id, before)
    return before if made and clicked_at - made.created_at < ONE_CLICK else this


# Verbs about jobs and agents.


async def cancel(desk: Desk, turn: Turn, account: Account) -> Reply | None:
    job = await pick_job(desk, turn, account, is_stoppable)
    after = await desk.jobs.cancel(account.id, job.id)
    if after.status.final:
        return None if hears_anyway(turn, job) else show(desk, turn, after)
    key = "cancel.asked_before" if job.cancel_asked_at else "cancel.asked"
    facts = {"agent": after.agent_name, "command": after.command, "tag": after.tag}
    return turn.say(key, **{name: code(fact) for name, fact in facts.items()})


def hears_anyway(turn: Turn, job: Job) -> bool:
    """Whether the job's own notice of its end comes to where the answer would come as well."""
    here, there = turn.message.thread, job.thread
    if turn.message.patience > 0 or there is None:
        return False
    return (there.adapter, there.channel_id) == (here.adapter, here.channel_id)


async def status(desk: Desk, turn: Turn, account: Account) -> Reply:
    if turn.rest:
        return await status_of(desk, turn, account)
    jobs = await desk.jobs.in_thread(account.id, turn.message.thread) if turn.in_thread else ()
    if len(jobs) == 1:
        return show(desk, turn, jobs[0])
    return (
        turn.reply("\n".join(job_lines(desk, turn, jobs)))
        if jobs
        else await overview(desk, turn, account)
    )


def show(desk: Desk, turn: Turn, job: Job) -> Reply:
    return desk.notices.job(
        job,
        turn.message.thread,
        language=turn.language,
        abilities=turn.abilities,
        now=turn.now,
    )


def job_lines(desk: Desk, turn: Turn, jobs: Sequence[Job]) -> list[str]:
    return [desk.notices.job_line(job, language=turn.language, now=turn.now) for job in jobs]


async def status_of(desk: Desk, turn: Turn, account: Account) -> Reply:
    """An agent's, or else a job's: a name is what somebody chose, an id is chance."""
    try:
        agent = await find_agent(desk, account, turn.rest)
    except NotFound as unknown:
        return await status_of_job(desk, turn, account, unknown)
    standing = await desk.agents.standing([agent])
    line = agent_line(agent, standing.get(agent.id), language=turn.language, now=turn.now)
    jobs = await desk.jobs.recent(account.id, agent.id, limit=RECENT)
    return turn.reply("\n".join([line, *job_lines(desk, turn, jobs)]))


async def status_of_job(desk: Desk, turn: Turn, account: Account, unknown: NotFound) -> Reply:
    try:
        return show(desk, turn, await find_job(desk, turn, account))
    except (NotFound, Refusal) as error:
        if error.code == "WhichJob":
            raise
        raise Refusal("NeitherOne", word=turn.rest, near=unknown.facts["near"]) from error


async def overview(desk: Desk, turn: Turn, account: Account) -> Reply:
    agents = await desk.agents.list(account.id)
    if not agents:
        return roster.no_agents(turn)
    lines = [turn.words("status.agents"), *await roster.agent_lines(desk, turn, agents)]
    jobs = job_lines(desk, turn, await desk.jobs.recent(account.id, limit=RECENT))
    nothing = turn.words("status.no_jobs", example=code(f"{agents[0].name} uptime"))
    lines += [turn.words("status.jobs"), *jobs] if jobs else [nothing]
    return turn.reply("\n".join(lines))


async def not_yet(desk: Desk, turn: Turn, account: Account) -> Reply:
    raise Refusal("NotYet", verb=turn.said.verb)


# Help.


async def help(desk: Desk, turn: Turn) -> Reply:
    if turn.rest:
        return turn.reply(await explain(desk, turn), quiet=True)
    if turn.account is None:
        ways = {name: code(way) for name, way in way_in(turn.language).items()}
        return turn.reply(turn.words("help.stranger", **ways), quiet=True)
    shown = [command for command in COMMANDS if turn.message.private or not command.private]
    lines = [turn.words("help.run"), *(help_line(turn, command.verb) for command in shown)]
    names = [agent.name for agent in await desk.agents.list(turn.account.id)]
    if names:
        example = code(turn.words("typed.help", name=names[0]))
        lines.append(turn.words("help.agents", agents=spelled(turn, names), example=example))
    more = code(f"{verb_word(turn.language, 'help')} {verb_word(turn.language, 'delay')}")
    return turn.reply("\n".join([*lines, turn.words("help.footer", more=more)]), quiet=True)


def help_line(turn: Turn, verb: str) -> str:
    described = LANGUAGES[turn.language].verbs[verb]
    return turn.words("help.line", usage=code(described.usage), does=described.does)


def spelled(turn: Turn, names: Sequence[str]) -> str:
    shown = [code(name) for name in names[: roster.LISTED]]
    if len(names) > len(shown):
        shown.append(turn.words("and_more", n=len(names) - len(shown)))
    return turn.words("comma").join(shown)


async def explain(desk: Desk, turn: Turn) -> str:
    command = WORDS.get(fold(turn.rest))
    if command is None:
        return await explain_agent(desk, turn)
    if command.run is not_yet:
        raise Refusal("NotYet", verb=fold(turn.rest))
    described = LANGUAGES[turn.language].verbs[command.verb]
    lines = [help_line(turn, command.verb), described.more]
    if command.private:
        lines.append(turn.words("help.private"))
    lines.append(turn.words("help.example", example=code(described.example)))
    if others := other_words(turn, command):
        lines.append(turn.words("help.aliases", aliases=spelled(turn, others)))
    return "\n".join(filter(None, lines))


async def explain_agent(desk: Desk, turn: Turn) -> str:
    """What can be run on an agent. Refusal for a word that is neither a verb nor an agent's name."""
    names: Sequence[str] = ()
    if turn.account:
        try:
            agent = await find_agent(desk, turn.account, turn.rest)
            return "\n".join(await about_agent(desk, turn, agent))
        except NotFound:
            names = await agent_names(desk, turn.account)
    raise Refusal("NoHelp", word=turn.rest, near=nearest(turn.rest, [*OFFERED, *names]))


def other_words(turn: Turn, command: Command) -> list[str]:
    """What else is understood; to readers of English only what they can type."""
    used = verb_word(turn.language, command.verb)
    words = [word for word in (command.verb, *command.aliases) if word not in ("", used)]
    return [word for word in words if word.isascii() or not used.isascii()]


# The table.


RUN = Submit("", (), run)

COMMANDS: tuple[Command, ...] = (
    RUN,
    Linked("status", ("状态",), status),
    Linked("log", ("日志", "输出"), log),
    Submit("delay", ("延时", "延迟", "推迟"), delay),
    Linked("cancel", ("取消",), cancel),
    Submit("again", ("重来", "再来", "再来一次"), again),
    Linked("agent", ("代理",), roster.agent),
    Linked("home", ("主页",), home),
    Open("whoami", ("我是谁",), whoami),
    Open("link", ("绑定",), link, private=True),
    Linked("unlink", ("解绑",), unlink),
    Open("help", ("帮助", "?"), help),
)

COMING = (
    Linked("login", ("登录",), not_yet),
    Linked("plan", ("计划",), not_yet),
    Linked("group", ("分组",), not_yet),
    Linked("poster", (), not_yet),
    Linked("follow", ("关注",), not_yet),
    Linked("unfollow", ("取消关注",), not_yet),
    Linked("sub", ("订阅",), not_yet),
    Linked("unsub", ("退订",), not_yet),
    Linked("approve", ("批准",), not_yet),
    Linked("deny", ("拒绝",), not_yet),
    Linked("why", ("为什么",), not_yet),
    Linked("halt", ("停机",), not_yet),
    Linked("resume", ("恢复",), not_yet),
    Linked("run", ("运行",), not_yet),
)
"""Words that are kept for what is to come, so that no agent bears them."""

WORDS: dict[str, Command] = {
    word: command
    for command in (*COMMANDS[1:], *COMING)
    for word in (command.verb, *command.aliases)
}

OFFERED = [word for word, command in WORDS.items() if command in COMMANDS]
"""What an unknown word may have been meant as."""

RESERVED = frozenset(WORDS)
"""What no agent may be called, whatever its letters' case."""


def find_command(verb: str) -> Command:
    """By a folded word. Nothing said is a cry for help; an unknown word is an agent's name."""
    return WORDS.get(verb or "help", RUN)
