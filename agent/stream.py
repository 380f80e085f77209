"""What a job writes while it runs, as text in chunks whose offsets the server can check."""

from __future__ import annotations

import codecs

from .job import missing
from .output import whole_end, whole_start

CHUNK = 64 << 10
# So much may wait to be sent. Of a command that writes faster the newest is shown, and how much is
# left out; the report of its end has what the limits allow.
BACKLOG = 256 << 10
# So much that was sent is kept, for a server that has lost some of it.
KEPT = 256 << 10


class Stream:
    """Not safe to use from several threads: see Live."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fresh = bytearray()
        self._lost = 0
        # What was offered, from `base` on, and how far the server has it.
        self._offered = bytearray()
        self._base = 0
        self._have = 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything that the server does not have."""
        return bool(self._fresh) or self._have < self._end

    @property
    def _end(self) -> int:
        return self._base + len(self._offered)

    def add(self, chunk: bytes) -> None:
        text = self._decoder.decode(chunk).replace("\0", "\ufffd")
        self._fresh += text.encode()
        surplus = len(self._fresh) - BACKLOG
        if surplus > 0:
            rest = whole_start(bytes(self._fresh[surplus:]))
            self._lost += len(self._fresh) - len(rest)
            self._fresh = bytearray(rest)

    def chunk(self) -> tuple[int, str]:
        """Where the next piece begins and what it is: the same again until it is settled."""
        if self._have == self._end:
            self._offer()
        piece = bytes(self._offered[self._have - self._base :][:CHUNK])
        return self._have, whole_end(piece).decode("utf-8", "replace")

    def _offer(self) -> None:
        gap = missing(self._lost, "bytes").encode() if self._lost else b""
        self._lost = 0
        piece = whole_end(bytes(self._fresh[: CHUNK - len(gap)]))
        del self._fresh[: len(piece)]
        self._offered += gap + piece
        surplus = max(len(self._offered) - KEPT, 0)
        del self._offered[:surplus]
        self._base += surplus

    def settle(self, have: int) -> bool:
        """False: the server lacks what is no longer kept, or has what was never written."""
        if not self._base <= have <= self._end:
            return False
        self._have = have
        while self._have > self._base and self._inside_of_character():
            self._have -= 1
        return True

    def _inside_of_character(self) -> bool:
        place = self._have - self._base
        return place < len(self._offered) and self._offered[place] & 0xC0 == 0x80
