"""Has each disaster of the plan happen when its turn comes, and everything come back after it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Protocol

from chaos.plan import SERVERS, Deed, Disaster
from chaos.town import WiredTown
from tests.servers import Server


class Mortal(Protocol):
    def kill(self) -> None: ...
    def start(self) -> object: ...


class Director:
    """`struck`: how often each kind did. `last`: in words, the newest."""

    def __init__(self, town: WiredTown, plan: Sequence[Disaster]) -> None:
        self.struck: Counter[str] = Counter()
        self.last = "none yet"
        self._town = town
        self._plan = deque(plan)
        self._threads = ThreadPoolExecutor(max_workers=8)
        self._deeds: list[Future[None]] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is going on and nothing will."""
        return not self._plan and not self._deeds

    def look(self, share: float) -> None:
        """Let strike what is due when so much has happened; a deed that failed raises here."""
        while self._plan and self._plan[0].share <= share:
            self._strike(self._plan.popleft())
        for deed in [deed for deed in self._deeds if deed.done()]:
            self._deeds.remove(deed)
            deed.result()

    def finish(self) -> None:
        """Wait until everything has come back."""
        self._threads.shutdown()
        for deed in self._deeds:
            deed.result()

    def _strike(self, disaster: Disaster) -> None:
        self.struck[disaster.name] += 1
        self.last = f"{disaster.name} ({disaster.victim})"
        self._deeds.append(self._threads.submit(self._carry_out, disaster))

    def _carry_out(self, disaster: Disaster) -> None:
        match disaster.deed:
            case Deed.CUT:
                self._town.wires[disaster.victim].cut(disaster.way, disaster.after)
            case Deed.EMPTIED:
                with self._alone("redis"):
                    self._town.redis.flush()
            case Deed.STOPPED:
                with self._alone("mysql"), stopped(self._town.maria):
                    time.sleep(disaster.seconds)
            case Deed.KILLED if disaster.victim == "all":
                self._kill(SERVERS, disaster.seconds)
            case Deed.KILLED:
                self._kill([disaster.victim], disaster.seconds)

    def _kill(self, names: Sequence[str], seconds: float) -> None:
        """All at once, and all back after so long."""
        with self._alone(*names):
            for name in names:
                self._find(name).kill()
            time.sleep(seconds)
            for name in names:
                self._find(name).start()

    def _find(self, name: str) -> Mortal:
        servers: dict[str, Server] = {"mysql": self._town.maria, "redis": self._town.redis}
        return servers.get(name) or self._town.processes[name]

    @contextmanager
    def _alone(self, *names: str) -> Iterator[None]:
        """One disaster at a time for each victim; always taken in the same order."""
        with ExitStack() as stack:
            for name in sorted(names):
                stack.enter_context(self._town.locks[name])
            yield


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()
