"""A piece of what a job says while it runs, and how it joins what is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.model import WHEN_DUE, Job, Times
from core.store.moves import weight

FULL_ROW = 4096
"""Bytes from which on a row is left as it is; smaller ones grow, so that many small pieces make few
rows."""
RENEWAL = timedelta(minutes=1)
"""Output is a sign of life, but not each piece is worth a change of the job's row."""


@dataclass(frozen=True, slots=True)
class AddOutput:
    """A piece of output as its agent sent it. `offset` and `limit` are bytes of UTF-8: what came before
    this piece, and what is kept of all. `seen`: somebody is shown the job and should see it."""

    job_id: str
    agent_id: str
    offset: int
    text: str
    limit: int
    seen: bool = False

    @property
    def size(self) -> int:
        return 500 + FULL_ROW + weight(self.text)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row of output. `start` and `size` are bytes; of a row that is full the text is not read."""

    start: int = 0
    size: int = 0
    text: str = ""

    @property
    def end(self) -> int:
        return self.start + self.size

    def followed_by(self, text: str, size: int) -> Chunk:
        """The row that holds the new text: this one grown, or the next."""
        if self.size >= FULL_ROW:
            return Chunk(self.end, size, text)
        return Chunk(self.start, self.size + size, self.text + text)


@dataclass(frozen=True, slots=True)
class Said:
    """All that a job said while it ran: `size` bytes. `text`: the last of them that are still here."""

    size: int = 0
    text: bytes = b""

    def since(self, offset: int) -> bytes:
        return self.text[max(offset - self.size + len(self.text), 0) :]

    def goes_on_in(self, report: bytes) -> bool:
        """Whether a report begins with it. What is forgotten goes on in none."""
        return len(self.text) == self.size and report.startswith(self.text)


def new_part(piece: AddOutput, have: int) -> tuple[bytes, bool]:
    """What of a piece is not there yet, and whether some of it will never be: the limit is reached.

    Nothing after a gap, as what is kept has no holes."""
    if piece.offset > have:
        return b"", have >= piece.limit
    fresh = piece.text.encode()[have - piece.offset :]
    kept = up_to(fresh, max(piece.limit - have, 0))
    return kept, len(kept) < len(fresh)


def up_to(raw: bytes, size: int) -> bytes:
    """So many bytes, or a few less: no character is cut."""
    if len(raw) <= size:
        return raw
    while size and raw[size] & 0xC0 == 0x80:
        size -= 1
    return raw[:size]


def readable(raw: bytes) -> str:
    """As text of as many bytes, even if it begins within a character."""
    rest = 0
    while rest < len(raw) and raw[rest] & 0xC0 == 0x80:
        rest += 1
    return "?" * rest + raw[rest:].decode()


def renewed(job: Job, at: datetime, times: Times) -> Job:
    """The job with a lease that is no older than a minute."""
    wait = WHEN_DUE[job.status](times)
    if wait is None or (job.due_at and job.due_at > at + wait - RENEWAL):
        return job
    return replace(job, due_at=at + wait)
