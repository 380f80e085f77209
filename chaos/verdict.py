"""What became of each job, counted, and every promise that was broken, named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.plan import NEW, OLD
from core.model import JobStatus
from tests.crash.books import WORDS, Books, Fault, judge_events
from tests.crash.traffic import Wish

WRONGS = {
    "lost": "accepted, but not there or not ended",
    "doubled": "ran twice, or is there twice",
    "untold": "ended, but its end reached nobody",
    "deserted": "an agent that ended by itself, as only a dead token may make it",
    "crooked": "events that do not fit its status, or a success that never ran",
    "refused": "never accepted, however often it was asked for",
    "stuck": "not asked for any more, as nothing moved",
}


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


def judge(books: Books, wanted: Sequence[Wish], ended: Mapping[str, int]) -> Verdict:
    """`ended`: how often each process ended by itself, by name."""
    wrongs: dict[str, list[Fault]] = {name: [] for name in WRONGS}
    agents = [name for name in ended if name in (*NEW, *OLD)]
    wrongs["deserted"] += [Fault(0, f"{name} ended by itself") for name in agents]
    for wish in wanted:
        for name, what in find_wrongs(books, wish):
            wrongs[name].append(Fault(wish.number, what))
    records = [record for wish in wanted for record in books.records.get(wish.number, ())]
    return Verdict(
        submitted=sum(wish.tries > 0 for wish in wanted),
        accepted=sum(wish.accepted for wish in wanted),
        tries=sum(wish.tries for wish in wanted),
        begun=sum(books.runs[wish.number] for wish in wanted),
        ended=Counter(record.status for record in records if record.status.final),
        wrongs=wrongs,
    )


def find_wrongs(books: Books, wish: Wish) -> Iterator[tuple[str, str]]:
    """Each with the name of its kind."""
    records, runs = books.records.get(wish.number, ()), books.runs[wish.number]
    if not wish.tries:
        yield "stuck", "was not asked for"
    elif not wish.accepted:
        yield "refused", f"no yes in {wish.tries} tries: {wish.refusals[-1:]}"
    elif not records:
        yield "lost", "accepted, and not there"
    if runs > 1:
        yield "doubled", f"ran {runs} times"
    if len(records) > 1:
        yield "doubled", f"is there {len(records)} times"
    for record in records:
        yield from (("crooked", what) for what in judge_events(record))
        if record.status is JobStatus.SUCCEEDED and not runs:
            yield "crooked", "succeeded without having run"
        if not record.status.final:
            yield "lost", f"still {record.status}"
        elif not WORDS[record.status] & books.ends.get(wish.number, set()):
            yield "untold", f"{record.status}, and nobody was told so"
