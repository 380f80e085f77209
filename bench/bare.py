"""The yardstick: what the same machine, loop, parser and client give when a route does nothing.

A figure in requests a second says little without the machine it was measured on. Beside each stands
the rate of this route, measured in the same run with as many connections.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.meter import Window, measure
from bench.wire import Connection, Door, Faults, dial_all, request


async def nothing(_: Request) -> Response:
    return Response(status_code=204)


app = Starlette(routes=[Route("/", nothing)])


class Looper(Connection):
    """Asks the same thing again as soon as it is answered."""

    done = 0

    def __init__(self, faults: Faults, asked: bytes) -> None:
        super().__init__(faults)
        self.asked = asked

    def start(self) -> None:
        self.transport.write(self.asked)

    def answered(self, status: int, body: bytes) -> None:
        if status != 204:
            self.faults.note("an empty answer", status, body)
        self.done += 1
        self.transport.write(self.asked)


async def loop_requests(
    door: Door, asked: list[bytes], seconds: float, faults: Faults, pids: Mapping[str, int]
) -> Window:
    """One connection a request, each repeating it in a closed loop; every answer must be 204."""
    makers = [lambda asked=one: Looper(faults, asked) for one in asked]
    loopers = await dial_all(door, makers)
    for looper in loopers:
        looper.start()
    await measure(seconds / 6, lambda: 0, pids)
    window = await measure(seconds, lambda: sum(looper.done for looper in loopers), pids)
    for looper in loopers:
        looper.leave()
    return window


async def bare_rate(door: Door, connections: int, seconds: float = 2.0) -> float:
    """Requests a second of the empty route over so many connections."""
    window = await loop_requests(door, [request("GET", "/")] * connections, seconds, Faults(), {})
    return window.rate
