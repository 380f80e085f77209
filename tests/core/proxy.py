"""A wire to MariaDB that a test can cut at the very moment a COMMIT goes over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Cut = Literal["before", "meanwhile", "after"]
COMMIT = b"; COMMIT"
"""How the packet ends that writes a batch; a COMMIT alone is the driver's own, when it opens a line."""
MORE_RESULTS = 8  # SERVER_MORE_RESULTS_EXISTS


class Wire:
    """`cuts`: what happens to the next COMMITs that follow a write, one each: cut before the server
    hears of it, while it may be at work on it, or after it was carried out and before its answer comes
    back. A server that is at work does not notice that its caller has gone."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.cuts: list[Cut] = []
        self.commits = 0
        self.port = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        back = asyncio.create_task(pump(far_reader, writer))
        try:
            while data := await reader.read(1 << 16):
                cut = self._cut(data)
                if cut == "before":
                    break
                if cut == "meanwhile":
                    far_writer.write(data)
                    writer.close()
                    await far_reader.read()
                    break
                if cut == "after":
                    back.cancel()
                    await asyncio.wait({back})
                    far_writer.write(data)
                    await all_is_done(far_reader)
                    break
                far_writer.write(data)
        except OSError:
            pass
        finally:
            back.cancel()
            for end in (far_writer, writer):
                end.close()

    def _cut(self, data: bytes) -> Cut | None:
        if not data.endswith(COMMIT):
            return None
        self.commits += 1
        return self.cuts.pop(0) if self.cuts else None


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


async def all_is_done(server: asyncio.StreamReader) -> None:
    """Read what the server says of each statement, until it says that none is left."""
    more = True
    while more:
        length = int.from_bytes((await server.readexactly(4))[:3], "little")
        said = await server.readexactly(length)
        if said[0] == 0xFF:
            return
        # OK: rows touched and the last id, both below 251 here and thus a byte each; then the status.
        more = bool(said[3] & MORE_RESULTS)


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    wire = Wire(port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        # The lines that are still open end with those who hold them, who close before us.
        await asyncio.sleep(0)
