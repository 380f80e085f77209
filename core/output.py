"""What a job says while it runs: taken in pieces from its agent, read by those who follow it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from core import settings
from core.chat import Adapter
from core.errors import Invalid, NotFound
from core.model import Agent, Clock, Job, JobStatus, is_id, utc_now
from core.store import AddOutput, Store
from core.store.chunks import Said, up_to

LONGEST = settings.Jobs().output_limit  # bytes
MOST_SEEN = 10_000
LAST = 9  # decimal digits of an offset
OWN_WORDS = 2000
"""Bytes that a report may have beyond the limit: an agent cuts an output to the same limit and adds how
much is missing and how it ended, which is not to be cut once more."""
MISSING = re.compile(rb"\n\[\.\.\. (\d{1,15} (?:bytes|characters)) left out \.\.\.\]\n")
"""How agents say it."""
LONGEST_WORDS = 120
LOST = b"\n[... %d bytes of this report left out%b ...]\n"
CUT_SHORT = re.compile("\n… \\(cut: [^\n]{1,99}\\)\\Z".encode())
"""The last words of a report of which only the beginning could be read."""
LACKED = b"; it said that it lacked %b of the output"


@dataclass(frozen=True, slots=True)
class Kept:
    """How many bytes of a job's output are here; whether no more are taken, and whether somebody wants
    the job stopped."""

    have: int
    full: bool
    cancel: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Output from an offset on. `next`: where to go on; `ended`: nothing will follow."""

    text: bytes
    next: int
    ended: bool


class Output:
    def __init__(
        self,
        store: Store,
        *,
        adapters: Mapping[str, Adapter] | None = None,
        clock: Clock = utc_now,
        limit: int = LONGEST,
    ) -> None:
        self._store = store
        self._adapters = adapters if adapters is not None else {}
        self._clock = clock
        self._limit = limit
        self._seen: OrderedDict[str, bool] = OrderedDict()

    async def add(self, agent: Agent, job_id: str, offset: int, text: str) -> Kept:
        """Keep what is new of a piece that begins after `offset` bytes. A repeat is harmless, and of a
        piece after a gap nothing is kept.

        NotFound: not a job that this agent has in hand."""
        if not is_id(job_id):
            raise NotFound("This agent has no such job.", job=job_id)
        if offset < 0 or offset >= 10**LAST:
            raise Invalid("offset is how many bytes of output came before.")
        seen = await self._is_seen(job_id)
        piece = AddOutput(job_id, agent.id, offset, same_size(text), self._limit, seen)
        change = await self._store.outputs.add(piece)
        cancel = change.job.cancel_asked_at is not None
        return Kept(change.have, change.full, cancel)

    async def _is_seen(self, job_id: str) -> bool:
        """Whether a post of the job is kept up to date somewhere; it does not change while it lives."""
        seen = self._seen.get(job_id)
        if seen is None:
            seen = self._seen[job_id] = await self._is_edited(job_id)
            while len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)
        return seen

    async def _is_edited(self, job_id: str) -> bool:
        edits = {name for name, each in self._adapters.items() if each.abilities.edits}
        return bool(edits) and not edits.isdisjoint(await self._store.outputs.shown_by(job_id))

    # Read

    async def known(self, job: Job) -> str:
        """All that is known of a job's output: what it has said so far, or what its report brought."""
        if leans_on_report(job):
            return job.result
        return (await self._store.outputs.read(job.id)).decode() or job.result

    async def tail(self, job: Job, longest: int) -> tuple[str, int]:
        """The last lines of what a job has said so far, and how many bytes that is in all."""
        size = await self._store.outputs.size(job.id)
        raw = await self._store.outputs.read(job.id, max(size - 4 * longest, 0)) if size else b""
        return last_lines(raw.decode(errors="ignore"), longest), size

    async def since(self, job: Job, offset: int) -> Piece:
        """What came after so many bytes. Who has followed an unfinished job is told the rest of its
        report where that goes on as the pieces did, else the whole of it after them."""
        if not job.status.final:
            raw = await self._store.outputs.read(job.id, offset)
            return Piece(raw, offset + len(raw), False)
        said, result = await self._store.outputs.said(job.id), job.result.encode()
        if not leans_on_report(job):
            raw = said.since(offset) if said.size else result[offset:]
            return Piece(raw, max(offset, said.size or len(result)), True)
        if job.expired_at and not said.size:
            said = FORGOTTEN
        return since_reported(said, result, offset)


SEAM = "\n… (all of it, as it was reported at the end:)\n".encode()
FORGOTTEN = Said(10 ** (LAST - 1))
"""Of a job that ended after it had expired: what was told of it then, more than which nothing can be."""


def since_reported(said: Said, report: bytes, offset: int) -> Piece:
    """Places go on from what was said into the report, or into the seam and the report after it. Who
    knows nothing yet is told the report alone, and has its end for a place all the same."""
    if said.goes_on_in(report):
        return Piece(report[offset:], max(offset, len(report)), True)
    after = SEAM + report
    end = max(offset, said.size + len(after))
    if not offset:
        return Piece(report, end, True)
    return Piece(said.since(offset) + after[max(offset - said.size, 0) :], end, True)


def leans_on_report(job: Job) -> bool:
    """Whether the report at a job's end has brought its output; an end that nobody reported has not."""
    return job.status.final and job.status is not JobStatus.EXPIRED and bool(job.result)


def same_size(text: str) -> str:
    """Text that every database takes, and as many bytes as was sent: offsets count them."""
    return text.replace("\0", " ")


def fit(report: str, limit: int) -> str:
    """The beginning and the end of a report that is too long, so many bytes in all, and between them how
    much of it is missing. Where the agent's own words about a gap are lost with that, they are repeated."""
    raw = report.encode()
    if len(raw) <= limit + OWN_WORDS:
        return report
    end, start = limit - limit // 2, len(raw) - limit // 2
    if cut := CUT_SHORT.search(raw, len(raw) - LONGEST_WORDS):
        return (up_to(raw, limit) + cut[0]).decode()
    lacked = b""
    if gap := gap_within(raw, end, start):
        end, start, lacked = min(end, gap.start()), max(start, gap.end()), LACKED % gap[1]
    head, tail = up_to(raw, end), raw[start:].lstrip(REST)
    lost = LOST % (len(raw) - len(head) - len(tail), lacked)
    return (head + lost + tail).decode()


def gap_within(raw: bytes, start: int, end: int) -> re.Match[bytes] | None:
    """What tells of a gap and does not stand wholly outside of a part."""
    found = MISSING.finditer(raw, max(start - LONGEST_WORDS, 0), end + LONGEST_WORDS)
    return next((gap for gap in found if gap.end() > start and gap.start() < end), None)


REST = bytes(range(0x80, 0xC0))
"""Bytes that no character of UTF-8 begins with."""


def last_lines(text: str, longest: int) -> str:
    """So many characters, from a line's beginning where that is near."""
    if len(text) <= longest:
        return text
    text = text[-longest:]
    first, _, rest = text.partition("\n")
    return f"…\n{rest}" if rest and len(first) < longest // 2 else f"…{text}"
