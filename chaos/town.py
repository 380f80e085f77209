"""The town of the crash tests with two of everything, and a wire on every line in it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from pathlib import Path

from chaos.plan import NEW, OLD, SERVERS
from chaos.wire import Exchange, Wire
from tests.crash.town import OldAgent, Town
from tests.crash.traffic import make_home
from tests.servers import MariaDB, Redis

TWINS = "twins"
"""The agent whose token two of the old programs share."""
AGENTS = (*NEW, OLD[0], TWINS)
OFFLINE_AFTER = 30
"""Seconds; no disaster is as long."""
LEASE = 6
"""Seconds; many a report comes later."""


class WiredTown(Town):
    """`locks`: who has one decides over that victim. `ended`: processes that ended by themselves."""

    def __init__(self, folder: Path, maria: MariaDB, redis: Redis, exchange: Exchange) -> None:
        self.wires: dict[str, Wire] = {
            "mysql": exchange.wire_to(maria.port),
            "redis": exchange.wire_to(redis.port),
        }
        self.locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self.ended: Counter[str] = Counter()
        database = folder.name.replace("-", "_")
        super().__init__(
            folder,
            *(maria, redis),
            {name: [name.partition("-")[0]] for name in SERVERS},
            AGENTS,
            SKADI_DATABASE__URL=maria.url(database).replace(
                str(maria.port), str(self.wires["mysql"].port)
            ),
            SKADI_REDIS__URL=redis.url.replace(str(redis.port), str(self.wires["redis"].port)),
            SKADI_JOBS__OFFLINE_AFTER=f"{OFFLINE_AFTER}s",
            SKADI_JOBS__LEASE=f"{LEASE}s",
        )
        ports = [*super().doors, super().inbox]
        for name, port in zip(["web-1", "web-2", "smtp"], ports, strict=True):
            self.wires[name] = exchange.wire_to(port)

    @property
    def doors(self) -> list[int]:
        return [self.wires[name].port for name in ("web-1", "web-2")]

    @property
    def inbox(self) -> int:
        return self.wires["smtp"].port

    def settle_down(self) -> None:
        """Have everybody at work, and Ada told at home."""
        self.open()
        for turn, name in enumerate(NEW):
            self.new_agent(name, turn % 2)
        self.old_agent(OLD[0], 1)
        for turn, name in enumerate(OLD[1:]):
            words = self.doors[turn], self.keys.agents[TWINS][1], self.runs
            self.settle(name, OldAgent(self.folder / name, *words))
        self.wait_until_seen(*AGENTS)
        make_home(self)

    def keep(self) -> None:
        """Start again what ended by itself, as an init system does."""
        for name, process in self.processes.items():
            lock = self.locks[name]
            if process.process.poll() is not None and lock.acquire(blocking=False):
                try:
                    if process.process.poll() is not None:
                        self.ended[name] += 1
                        process.restart()
                finally:
                    lock.release()
