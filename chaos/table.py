"""The outcome of a run as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.plan import KINDS
from chaos.run import Outcome
from chaos.verdict import WRONGS, Verdict
from core.model import JobStatus
from tests.crash.books import explain

SHOWN = 20
"""Wrongs that are named one by one."""
MEANINGS = {
    JobStatus.SUCCEEDED: "",
    JobStatus.FAILED: "interrupted, as its agent was killed at work",
    JobStatus.EXPIRED: "outcome unknown, and said so",
    JobStatus.CANCELED: "as a caller wanted",
}


def report(outcome: Outcome) -> Iterator[str]:
    yield from count_jobs(outcome.verdict)
    yield ""
    yield from count_disasters(outcome)
    yield ""
    yield from count_wrongs(outcome.verdict)
    if not outcome.verdict.good:
        yield ""
        yield from name_wrongs(outcome)


def count_jobs(verdict: Verdict) -> Iterator[str]:
    yield row("submitted", verdict.submitted)
    yield row("accepted", verdict.accepted, f"in {verdict.tries:,} tries")
    yield row("begun", verdict.begun, "the command left its line")
    for status, meaning in MEANINGS.items():
        yield row(status, verdict.ended.get(status, 0), meaning)


def count_disasters(outcome: Outcome) -> Iterator[str]:
    yield row("disasters", sum(outcome.struck.values()), f"in {outcome.seconds:,.0f} s")
    yield from (row(f"  {name}", outcome.struck.get(name, 0)) for name in KINDS)
    yield row("lines cut", outcome.cuts, "each disaster of lines cuts up to four")
    for name, times in outcome.ended.items():
        yield row(f"{name} ended by itself", times, "and was started again")


def count_wrongs(verdict: Verdict) -> Iterator[str]:
    for name, meaning in WRONGS.items():
        yield row(name, len(verdict.wrongs[name]), meaning)


def name_wrongs(outcome: Outcome) -> Iterator[str]:
    faults = [fault for faults in outcome.verdict.wrongs.values() for fault in faults]
    yield from (explain(outcome.books, fault) for fault in faults[:SHOWN])
    if len(faults) > SHOWN:
        yield f"and {len(faults) - SHOWN} more"


def row(name: str, number: int, meaning: str = "") -> str:
    return f"{name:26}{number:>8,}   {meaning}".rstrip()
