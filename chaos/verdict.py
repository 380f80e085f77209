"""What became of each job, counted, and every promise that was broken, named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.callers import Wanted
from chaos.plan import NEW
from chaos.town import AGENTS
from core.model import JobStatus
from tests.crash.books import (
    Books,
    Fault,
    Record,
    Rules,
    judge_end,
    judge_events,
    judge_strangers,
    judge_telling,
)

WRONGS = {
    "lost": "accepted, but not there or not ended",
    "doubled": "ran twice, or is there twice",
    "untold": "ended, but its end reached nobody, or it was told otherwise",
    "unsaid": "commits whose events were never announced",
    "deserted": "an agent that ended by itself, as only a dead token may make it",
    "crooked": "events or answers that do not fit it, or a success that never ran",
    "groundless": "failed, expired or canceled without anything that explains it",
    "idle": "so few succeeded that the disasters do not explain it",
    "refused": "never accepted, or a caller was told off",
    "stuck": "not asked for any more, as nothing moved",
}
AT_WORK = 4
"""Jobs that an agent does at the same time: so many are interrupted when it is killed."""
COST = 1
"""Jobs that a disaster may keep from succeeding, taken together: reports of old agents that were
cut off, what is lost on the wire and not fetched again in time, what was interrupted."""


@dataclass(frozen=True)
class Verdict:
    submitted: int
    accepted: int
    tries: int
    begun: int
    ended: Mapping[JobStatus, int]
    wrongs: Mapping[str, Sequence[Fault]]

    @property
    def good(self) -> bool:
        return not any(self.wrongs.values())


def judge(
    books: Books, wanted: Sequence[Wanted], ended: Mapping[str, int], struck: Mapping[str, int]
) -> Verdict:
    """`ended`: how often each process ended by itself, by name. `struck`: how often each kind of
    disaster did."""
    rules = rules_for(wanted)
    wrongs: dict[str, list[Fault]] = {name: [] for name in WRONGS}
    for wish in wanted:
        for name, what in find_wrongs(books, wish, rules):
            wrongs[name].append(Fault(wish.number, what))
    for name, what in find_wrongs_of_all(books, wanted, ended, struck):
        wrongs[name].append(Fault(0, what))
    records = records_of(books, wanted)
    return Verdict(
        submitted=sum(wish.tries > 0 for wish in wanted),
        accepted=sum(wish.accepted for wish in wanted),
        tries=sum(wish.tries for wish in wanted),
        begun=sum(books.runs[wish.number] for wish in wanted),
        ended=Counter(record.status for record in records if record.status.final),
        wrongs=wrongs,
    )


def rules_for(wanted: Sequence[Wanted]) -> Rules:
    """Every agent is killed at some moment."""
    return Rules(
        old=frozenset(AGENTS).difference(NEW),
        killed=frozenset(NEW),
        canceled=frozenset(wish.number for wish in wanted if wish.canceled),
    )


def records_of(books: Books, wanted: Sequence[Wanted]) -> list[Record]:
    return [record for wish in wanted for record in books.records.get(wish.number, ())]


def find_wrongs(books: Books, wish: Wanted, rules: Rules) -> Iterator[tuple[str, str]]:
    """Each with the name of its kind."""
    records, runs = books.records.get(wish.number, ()), books.runs[wish.number]
    if not wish.tries:
        yield "stuck", "was not asked for"
    elif not wish.accepted:
        yield "refused", f"no yes in {wish.tries} tries: {wish.refusals[-1:]}"
    elif not records:
        yield "lost", "accepted, and not there"
    if wish.accepted and wish.refusals:
        yield "refused", f"told off: {wish.refusals[-1]}"
    if runs > 1:
        yield "doubled", f"ran {runs} times"
    if len(records) > 1:
        yield "doubled", f"is there {len(records)} times"
    for record in records:
        yield from judge_record(books, wish, record, rules)
    yield from (("untold", what) for what in judge_strangers(books, wish))


def judge_record(
    books: Books, wish: Wanted, record: Record, rules: Rules
) -> Iterator[tuple[str, str]]:
    status, runs = record.status, books.runs[wish.number]
    yield from (("crooked", what) for what in judge_events(record))
    if false := wish.heard.difference(record.statuses):
        yield "crooked", f"a caller was answered {sorted(false)}, which it never was"
    if wish.stopping and status is JobStatus.SUCCEEDED:
        yield "crooked", "was to be stopped, and ran to its end"
    if not status.final:
        yield "lost", f"still {status}"
        return
    kind = "crooked" if status is JobStatus.SUCCEEDED else "groundless"
    yield from ((kind, what) for what in judge_end(record, wish, runs, rules))
    said = books.ends.get(wish.number, set())
    yield from (("untold", what) for what in judge_telling(record, said))


def find_wrongs_of_all(
    books: Books, wanted: Sequence[Wanted], ended: Mapping[str, int], struck: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What no job alone shows."""
    yield from (("deserted", f"{name} ended by itself") for name in ended if is_agent(name))
    if books.unsaid:
        yield "unsaid", f"{books.unsaid} commits"
    counts = Counter(record.status for record in records_of(books, wanted))
    killed = struck.get("agent killed", 0)
    if counts[JobStatus.FAILED] > AT_WORK * killed:
        yield "groundless", f"{counts[JobStatus.FAILED]} interrupted by {killed} kills of agents"
    meant = sum(wish.accepted and not wish.canceled for wish in wanted)
    least = max(meant - COST * sum(struck.values()), meant // 2)
    if counts[JobStatus.SUCCEEDED] < least:
        yield "idle", f"{counts[JobStatus.SUCCEEDED]} succeeded, {least} at least were to"


def is_agent(name: str) -> bool:
    return name.startswith(("new-", "old-", "twin-"))
