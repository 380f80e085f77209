"""What a command has written: its head and its tail, as text that everybody can carry."""

from __future__ import annotations

from .job import missing


class Output:
    """Keeps the first and the last half of what is written, and counts what falls between."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._lost = 0

    def add(self, chunk: bytes) -> None:
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        surplus = len(self._tail) - self._half
        if surplus > 0:
            self._lost += surplus
            del self._tail[:surplus]

    def text(self) -> str:
        if not self._lost:
            return decode(bytes(self._head + self._tail))
        head, tail = whole_end(bytes(self._head)), whole_start(bytes(self._tail))
        lost = self._lost + 2 * self._half - len(head) - len(tail)
        return decode(head) + missing(lost, "bytes") + decode(tail)


def decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def whole_start(data: bytes) -> bytes:
    """Without the rest of a character that was cut in two."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def whole_end(data: bytes) -> bytes:
    """Without the beginning of a character that was cut in two."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return data[:-back] if length > back else data
    return data
