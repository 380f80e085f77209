"""Lines to a server that can be cut in the middle of what goes over them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

from chaos.plan import Way
from tests.servers import LOOPBACK

T = TypeVar("T")


class Exchange:
    """Carries all lines, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._wires: list[Wire] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wire_to(self, port: int) -> Wire:
        wire = Wire(port)
        wire.port = self.run(wire.open())
        self._wires.append(wire)
        return wire

    def run(self, deed: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(deed, self._loop).result()

    async def _hang_up(self) -> None:
        """End every line."""
        for wire in self._wires:
            wire.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # for the connections, which close in the next round


class Wire:
    """`port`: where callers find the server. `cuts`: lines that were cut so far."""

    def __init__(self, far_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._far_port = far_port
        self._wanted: dict[Way, deque[int]] = {"there": deque(), "back": deque()}

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        self._server.close()

    def cut(self, way: Way, after: Sequence[int]) -> None:
        """The next lines that something goes over this way end so many bytes later."""
        self._wanted[way].extend(after)

    async def _carry(self, near: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        try:
            far, server = await asyncio.open_connection(LOOPBACK, self._far_port)
        except OSError:
            caller.close()
            return
        async with asyncio.TaskGroup() as ways:
            ways.create_task(self._pump("there", near, server, caller))
            ways.create_task(self._pump("back", far, caller, server))

    async def _pump(
        self,
        way: Way,
        source: asyncio.StreamReader,
        goal: asyncio.StreamWriter,
        teller: asyncio.StreamWriter,
    ) -> None:
        """From one end to the other; `teller` leads back to the end that speaks."""
        left: int | None = None
        try:
            while data := await source.read(1 << 16):
                left = self._take_cut(way) if left is None else left
                goal.write(data[:left])
                await goal.drain()
                if left is not None and len(data) >= left:
                    left = None
                    self.cuts += 1
                    break
                left = None if left is None else left - len(data)
        except OSError:
            pass
        finally:
            if left is not None:
                self._wanted[way].appendleft(left)
            goal.close()
            teller.transport.abort()

    def _take_cut(self, way: Way) -> int | None:
        with suppress(IndexError):
            return self._wanted[way].popleft()
        return None
