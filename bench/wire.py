"""HTTP/1.1 from the client's side, as cheap as Python speaks it: it shares the server's cores.

A connection carries one request at a time. What an answer leads to is a method of a subclass and
not a future, because waking a coroutine costs more than splitting the answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

HEAD_END = b"\r\n\r\n"
AFTER_A_FAULT = 1.0  # seconds
DIALS_AT_ONCE = 200  # well below the accept backlog of any server


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens."""

    host: str
    port: int


class Faults(Counter[str]):
    """What was answered that should not have been, and how often."""

    def note(self, asked: str, status: int, body: bytes) -> None:
        self[f"{asked}: {status} {body[:80].decode(errors='replace')}".rstrip()] += 1


class Connection(asyncio.Protocol):
    """One keep-alive connection. `answered` is called for every answer."""

    transport: asyncio.Transport

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._part = b""
        self._leaving = False

    def answered(self, status: int, body: bytes) -> None:
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
            self._part = b""
        end = data.find(HEAD_END)
        if end < 0:
            self._part = data
        elif data[9:12] == b"204":
            self.answered(204, b"")
        else:
            self._split(data, end)

    def _split(self, data: bytes, end: int) -> None:
        start = end + len(HEAD_END)
        stop = start + body_length(data[:end])
        if len(data) < stop:
            self._part = data
        else:
            self.answered(int(data[9:12]), data[start:stop])

    def later(self, act: Callable[[], None]) -> None:
        """After a fault, which shall not become a storm."""
        asyncio.get_running_loop().call_later(AFTER_A_FAULT, act)

    def leave(self) -> None:
        self._leaving = True
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._leaving:
            self.faults[f"connection lost: {exc or 'closed by the server'}"] += 1


def body_length(head: bytes) -> int:
    """The Content-Length an answer declares; no answer that is measured is chunked."""
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


class Caller(Connection):
    """For setting the stage: a call that is awaited."""

    _answer: asyncio.Future[tuple[int, bytes]]

    async def call(self, request: bytes) -> tuple[int, bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def answered(self, status: int, body: bytes) -> None:
        self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed by the server"))


C = TypeVar("C", bound=Connection)


def request(
    method: str, path: str, *, token: str = "", body: bytes | None = None, accept: str = ""
) -> bytes:
    """The bytes of a request, made once and sent many times."""
    head = [f"{method} {path} HTTP/1.1", "Host: skadi"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    if accept:
        head.append(f"Accept: {accept}")
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + HEAD_END + (body or b"")


async def dial(door: Door, make: Callable[[], C]) -> C:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(make, door.host, door.port)
    return connection


async def dial_all(door: Door, makers: Iterable[Callable[[], C]]) -> list[C]:
    """Open many connections, some at a time, in the order of their makers."""
    waiting: list[Callable[[], C]] = list(makers)
    opened: list[C] = []
    while waiting:
        some, waiting = waiting[:DIALS_AT_ONCE], waiting[DIALS_AT_ONCE:]
        opened += await asyncio.gather(*(dial(door, make) for make in some))
    return opened
