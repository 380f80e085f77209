"""Things that happen at an even pace, whatever the answers do, and how long the answers took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from bench.wire import Connection, Door, Faults, dial_all, request

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Latency:
    """In milliseconds."""

    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        ordered = sorted(one * 1000 for one in seconds) or [float("inf")]
        return cls(percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Pacer:
    """Acts `rate` times a second, and catches up where it was kept from it."""

    def __init__(self, rate: float, act: Callable[[], None]) -> None:
        self.step = 1 / rate
        self.act = act
        self.loop = asyncio.get_running_loop()
        self.due = self.loop.time()
        self.tick()

    def tick(self) -> None:
        while self.due <= self.loop.time():
            self.act()
            self.due += self.step
        # The loop's timers count whole milliseconds: a shorter delay would spin.
        self.timer = self.loop.call_later(max(self.due - self.loop.time(), 0.001), self.tick)

    def stop(self) -> None:
        self.timer.cancel()


class Asker(Connection):
    """Asks for the empty route once, and is free again when it is answered."""

    def __init__(self, free: list[Asker], latencies: list[float]) -> None:
        super().__init__(Faults())
        self.free = free
        self.latencies = latencies

    def ask(self) -> None:
        self.written = perf_counter()
        self.transport.write(request("GET", "/"))

    def answered(self, status: int, body: bytes) -> None:
        self.latencies.append(perf_counter() - self.written)
        self.free.append(self)


async def bare_latency(door: Door, rate: float, seconds: float = 3.0) -> Latency:
    """A round trip to the empty route at this pace."""
    free: list[Asker] = []
    latencies: list[float] = []
    askers = await dial_all(door, [partial(Asker, free, latencies)] * CONNECTIONS)
    free += askers
    pacer = Pacer(rate, lambda: free.pop().ask() if free else None)
    await asyncio.sleep(seconds)
    pacer.stop()
    for asker in askers:
        asker.leave()
    return Latency.of(latencies)
