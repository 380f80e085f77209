"""What happened, and what was refused, in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bots.words import LANGUAGES, choose, say, word_refusal
from core.agents import Standing
from core.chat import Abilities, Action, Level, Reply, Thread
from core.errors import SkadiError
from core.model import FINAL, Agent, EventMessage, Job, JobStatus, Times

LEVELS: Mapping[JobStatus, Level] = {JobStatus.FAILED: "error", JobStatus.EXPIRED: "warning"}
WAITING = frozenset({JobStatus.DELAYED, JobStatus.QUEUING})

DEFAULT_TIMES = Times()

# Pieces of text.

MARKUP = re.compile(r"[\\`*_~#|<>\[\]]")


def one_line(text: str, longest: int) -> str:
    """A foreign text on one line, cut to a length, with nothing that could turn its direction."""
    seen = "".join(char for char in " ".join(text.split()) if not _is_control(char))
    return seen if len(seen) <= longest else seen[: longest - 1].rstrip() + "…"


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf") and char != "\N{ZERO WIDTH JOINER}"


def code(text: str, longest: int = 80) -> str:
    """What can be typed, or is not our own, as a span of code.

    A backtick would end the span early, so it is shown by one that looks like it."""
    return f"`{one_line(text, longest).replace('`', 'ˋ') or '…'}`"


def foreign(text: str, longest: int = 300) -> str:
    """Somebody's words: bare where nothing in them can be taken for markup."""
    return code(text, longest) if MARKUP.search(text) else one_line(text, longest)


def spell(language: str, duration: timedelta, units: int = 2) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 d 4 h`: the largest units, so many of them."""
    seconds = max(duration.total_seconds(), 0)
    if seconds < 0.05:
        return say(language, "instant")
    if seconds < 9.95:
        return say(language, "seconds", n=f"{seconds:.1f}".removesuffix(".0"))
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    amounts = {"days": day, "hours": hour, "minutes": minute, "seconds": second}
    first = next(index for index, n in enumerate(amounts.values()) if n)
    shown = list(amounts.items())[first : first + units]
    return say(language, "units").join(say(language, unit, n=n) for unit, n in shown if n)


def spell_ago(language: str, moment: datetime, now: datetime) -> str:
    """`1 s`, `12 min`, `3 d`: nobody minds the rest."""
    return spell(language, max(now - moment, timedelta(seconds=1)), units=1)


def spell_moment(moment: datetime, now: datetime) -> str:
    """`14:05 UTC`, with its date when that is not today's."""
    at = moment.astimezone(UTC)
    return at.strftime("%H:%M UTC" if at.date() == now.date() else "%Y-%m-%d %H:%M UTC")


def either(language: str, words: Iterable[str]) -> str:
    *most, last = map(code, words)
    return say(language, "or").join(filter(None, [say(language, "comma").join(most), last]))


# Jobs.


def is_stoppable(job: Job) -> bool:
    """Whether a wish to have it stopped is worth saying; only agents with a journal hear of one."""
    if job.status in WAITING:
        return True
    return job.status.active and bool(job.journal) and job.cancel_asked_at is None


def phase(job: Job, now: datetime, times: Times) -> str:
    """The status, told apart further where a person must know more than its name."""
    match job.status:
        case JobStatus.DELAYED if job.due_at is None or job.due_at <= now:
            return "due"
        case JobStatus.SENT | JobStatus.RUNNING if job.cancel_asked_at:
            return "stopping"
        case JobStatus.CANCELED if job.sent_at:
            return "stopped"
        case JobStatus.SUCCEEDED | JobStatus.FAILED if job.expired_at:
            return f"late_{job.status}"
        case JobStatus.EXPIRED:
            return _how_it_expired(job, times)
    return str(job.status)


def _how_it_expired(job: Job, times: Times) -> str:
    """Upstream systems and the removal of an agent let jobs expire too, without any silence."""
    expired_at = job.expired_at or job.created_at
    if job.sent_at is None:
        waited = expired_at - job.created_at
        return "offline" if waited >= times.offline_after else "given_up"
    silence = expired_at - (job.running_at or job.sent_at)
    return "silent" if silence >= times.lease else "unknown"


LISTED = {
    "stopped": "canceled",
    "late_succeeded": "succeeded",
    "late_failed": "failed",
    "offline": "expired",
    "given_up": "expired",
    "silent": "unknown",
}
"""Under which state a line of a list shows a phase."""


@dataclass(frozen=True, slots=True)
class Notices:
    """Words for what the notifier tells. `times` are the waits that the words speak of."""

    times: Times = DEFAULT_TIMES

    def job(
        self, job: Job, thread: Thread, *, language: str, abilities: Abilities, now: datetime
    ) -> Reply:
        """The job's present state as one message."""
        language = choose(language)
        facts = self._facts(job, language, now)
        return Reply(
            thread=thread,
            text=say(language, f"job.{phase(job, now, self.times)}", **facts),
            level=LEVELS.get(job.status, "info"),
            output=job.result,
            actions=self._actions(job, language) if abilities.buttons else (),
            subject=one_line(job.command, 100),
            language=language,
        )

    def _facts(self, job: Job, language: str, now: datetime) -> dict[str, str]:
        end = job.ended_at or now
        due = job.due_at or now
        return {
            "agent": code(job.agent_name or job.agent_id),
            "command": code(job.command),
            "tag": code(job.tag),
            "took": spell(language, end - (job.sent_at or job.created_at)),
            "ago": spell_ago(language, job.ended_at or job.sent_at or job.created_at, now),
            "wait": spell(language, due - now),
            "at": spell_moment(due, now),
            "lease": spell(language, self.times.lease),
        }

    def _actions(self, job: Job, language: str) -> Sequence[Action]:
        """By the whole id: another job may end in the same characters."""
        actions = []
        if is_stoppable(job):
            actions.append(Action(say(language, "button.cancel"), f"cancel {job.id}", "danger"))
        if job.status in FINAL:
            actions.append(Action(say(language, "button.again"), f"again {job.id}"))
        if job.result:
            actions.append(Action(say(language, "button.log"), f"log {job.id}"))
        return tuple(actions)

    def job_line(self, job: Job, *, language: str, now: datetime, tag: str = "") -> str:
        """One line of a list. `tag`: as much of the id as tells it from the others there."""
        facts = self._facts(job, language, now)
        facts |= {"command": code(job.command, 40), "tag": code(tag or job.tag)}
        name = phase(job, now, self.times)
        state = say(language, f"state.{LISTED.get(name, name)}", **facts)
        return say(language, "line.job", **facts, state=state)

    def message(self, event: EventMessage, thread: Thread, *, language: str) -> Reply:
        """An agent's words, or ours about it."""
        language = choose(language)
        return replace(say_event(event, thread, language), language=language)


def say_event(event: EventMessage, thread: Thread, language: str) -> Reply:
    agent = event.agent_name or event.agent_id
    if text := event_text(event, agent, language):
        subject = one_line(text.replace("`", ""), 100)
        return Reply(thread, text, level=event.level, subject=subject)
    subject = one_line(f"{agent}: {event.message}", 100)
    if "\n" in event.message.strip() or len(event.message) > 300:
        said = say(language, "event.output", agent=code(agent))
        return Reply(thread, said, level=event.level, output=event.message, subject=subject)
    said = say(language, "event.words", agent=code(agent), words=foreign(event.message))
    return Reply(thread, said, level=event.level, subject=subject)


def event_text(event: EventMessage, agent: str, language: str) -> str:
    """Our own words about an agent; empty for what the agent said itself."""
    since = moment_of(event.facts.get("since"))
    rotate = say(language, "typed.rotate", name=agent)
    facts = {"agent": code(agent), "rotate": code(rotate)}
    if since:
        facts["since"] = spell_moment(since, event.created_at)
    keys = [f"event.{event.code}.since"] if since else []
    known = LANGUAGES[language].sentences
    key = next((key for key in [*keys, f"event.{event.code}"] if event.code and key in known), None)
    return say(language, key, **facts) if key else ""


def moment_of(fact: object) -> datetime | None:
    """A moment among the facts of an event, which may have been through JSON."""
    if isinstance(fact, str) and fact:
        return datetime.fromisoformat(fact)
    return fact if isinstance(fact, datetime) else None


# Agents.


def agent_line(agent: Agent, standing: Standing | None, *, language: str, now: datetime) -> str:
    name = code(agent.name) + (f" ({code(agent.alias)})" if agent.alias else "")
    state = agent_state(agent, standing, language, now)
    if agent.remark:
        remark = foreign(agent.remark, 60)
        return say(language, "line.agent.remark", name=name, state=state, remark=remark)
    return say(language, "line.agent", name=name, state=state)


def agent_state(agent: Agent, standing: Standing | None, language: str, now: datetime) -> str:
    if not agent.available:
        return say(language, "agent.off")
    if agent.activated_at is None:
        return say(language, "agent.new")
    if standing and standing.busy:
        return say(language, "agent.busy")
    if standing and standing.online:
        return say(language, "agent.online")
    if standing is None or standing.last_seen is None:
        return say(language, "agent.gone")
    return say(language, "agent.offline", ago=spell_ago(language, standing.last_seen, now))


# Refusals.


def refuse(error: SkadiError, language: str, now: datetime | None = None) -> str:
    """An error in words, with what to do next. With `now`, moments are told as so long ago.

    A fact that is simply true may have a wording of its own (`InvalidName.reserved`)."""
    special = [f"{error.code}.{name}" for name, fact in error.facts.items() if fact is True]
    kinds = [kind.code for kind in type(error).__mro__ if issubclass(kind, SkadiError)]
    facts = {
        name: worded
        for name, fact in error.facts.items()
        if (worded := word_fact(name, fact, language, now))
    }
    verb = LANGUAGES[language].verbs.get(str(error.facts.get("verb", error)))
    if verb:
        facts |= {"usage": code(verb.usage), "example": code(verb.example)}
    return word_refusal(language, (*special, error.code, *kinds), facts)


def word_fact(name: str, fact: object, language: str, now: datetime | None) -> str:
    """A fact of an error as people read it; empty when there is nothing to be read."""
    if not fact:
        return ""
    if name in FACTS:
        return FACTS[name](str(fact), language)
    if name == "near":
        return either(language, fact) if isinstance(fact, list | tuple) else ""
    if name == "last_seen":
        seen = moment_of(fact)
        return spell_ago(language, seen, now) if now and seen else ""
    return code(str(fact))


FACTS: Mapping[str, Callable[[str, str], str]] = {
    "status": lambda status, language: say(language, f"status.{status}"),
    "job": lambda job, language: code(job[-4:] if len(job) == 20 else job),
    "limit": lambda limit, language: f"{int(limit):,}",
    "account": lambda name, language: foreign(name, 60),
    "jobs": lambda lines, language: lines,
}
