"""One connection of HTTP: bounded in what its caller makes us keep, in time and in memory."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

LONGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers, and of all else that is neither body nor request."""
STEP = 16 * 1024
"""So much is read before it is looked whether that is too long."""
LATE = 30.0
"""Seconds for a head to arrive, and for the rest of a body whose request is answered already."""
IN_RESERVE = 256
"""Files that connections leave to databases, brokers, mail and the log; a quarter where there are few."""
QUIET = 60.0
"""Seconds between two complaints."""

log = logging.getLogger(__name__)


class Connection(HttpToolsProtocol):
    """What costs a poll time here is a few additions; a timer runs only for those who dawdle."""

    late: ClassVar[float] = LATE
    complains_at: ClassVar[float] = 0.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._unused = 0  # bytes since the parser last got anywhere
        self._in_body = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = self.most()
        if len(self.connections) > most:
            self._turn_away(most)
        else:
            self._expect_soon()

    @staticmethod
    def most() -> int:
        return most_connections()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > STEP:
            return self._receive_long(data)
        # Named, as super() takes its time, and this is done for every poll.
        self._unused += len(data)
        HttpToolsProtocol.data_received(self, data)
        if self._unused:
            self._look()

    def _receive_long(self, data: bytes) -> None:
        for start in range(0, len(data), STEP):
            if self.transport.is_closing():
                return
            self.data_received(data[start : start + STEP])

    def _look(self) -> None:
        if self._unused > LONGEST_HEAD:
            self._refuse(431, "The headers are too long.")
        elif not self._in_body and self._deadline is None:
            self._expect_soon()

    # What the parser says

    def on_headers_complete(self) -> None:
        self._unused = 0
        self._in_body = True
        if self._deadline is not None:
            self._has_come()
        HttpToolsProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused = 0
        self._in_body = False
        if self._deadline is not None:
            self._has_come()
        HttpToolsProtocol.on_message_complete(self)

    def on_response_complete(self) -> None:
        HttpToolsProtocol.on_response_complete(self)
        if self._in_body and self._deadline is None:
            self._expect_soon()

    # In time

    def _expect_soon(self) -> None:
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.late, self.transport.close)

    def _has_come(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _turn_away(self, most: int) -> None:
        now = self.loop.time()
        if now >= Connection.complains_at:
            Connection.complains_at = now + QUIET
            log.warning("Connections are refused: %d are open. See `ulimit -n`.", most)
        self._refuse(503, "There are too many connections.")

    def _refuse(self, status: int, text: str) -> None:
        head = b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + head % len(text) + text.encode())
            self.transport.close()


def most_connections() -> int:
    """By how many files the process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return sys.maxsize
    return files - min(IN_RESERVE, files // 4)
