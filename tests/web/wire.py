"""HTTP/1.1 spoken by hand over a real socket, so that a test can say and see every byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

PATIENCE = 10.0
"""Seconds after which a test no longer waits for an answer."""


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """The status and the key, of an answer that must have the form of a refusal."""
        assert set(self.json) == {"error", "message"}
        assert self.json["message"].endswith(".")
        return self.status, self.json["error"]


class Line:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ask(self, request: bytes) -> Said:
        await self.write(request)
        return await self.answer(head=request.startswith(b"HEAD "))

    async def answer(self, *, head: bool = False) -> Said:
        async with asyncio.timeout(PATIENCE):
            raw = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
            headers = dict(line.lower().split(": ", 1) for line in lines)
            size = 0 if head else int(headers.get("content-length", "0"))
            return Said(int(first.split()[1]), headers, await self._reader.readexactly(size))

    async def chunk(self) -> bytes:
        """The next piece of an answer that goes on; nothing when it is over."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]

    async def ended(self) -> bool:
        """Whether the server closes the connection without another word."""
        async with asyncio.timeout(PATIENCE):
            return not await self._reader.read(1)

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        await asyncio.wait([asyncio.ensure_future(self._writer.wait_closed())])


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what a caller cannot see happen."""
    async with asyncio.timeout(PATIENCE):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def request(
    method: str,
    path: str,
    token: str = "",
    body: bytes | None = None,
    **headers: str,
) -> bytes:
    """The bytes of a call; a header's name is written with underscores."""
    lines = [f"{method} {path} HTTP/1.1", "Host: skadi"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
