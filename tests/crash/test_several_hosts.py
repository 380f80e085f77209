"""Two processes of each role behind one address, as on several hosts: while one web and one worker are
stopped in good order, nothing is lost, nothing runs twice and everybody is told once."""

import asyncio
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import pytest

from chaos.wire import Exchange
from core.model import JobStatus
from tests.app.program import PATIENCE, wait_for
from tests.crash.books import END, Rules, settle
from tests.crash.town import Role, Town
from tests.crash.traffic import Traffic, make_home, wishes
from tests.servers import LOOPBACK, MariaDB, Redis, free_port

ROLES = {
    **{name: ["web"] for name in ("web-1", "web-2")},
    **{name: ["worker"] for name in ("worker-1", "worker-2")},
    **{name: ["watcher"] for name in ("watcher-1", "watcher-2")},
    "smtp": ["smtp"],
}
AGENTS = ["new-1", "new-2", "new-3"]
HTTP, MAIL = 240, 60
LEAVES_WITHIN = 10.0
WAITING = "skadi_jobs_waiting"


class Proxy:
    """Passes each connection on to the next server in turn, and to the one after where that is gone."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._turn = count()

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self._server.close()

    async def _carry(self, near: asyncio.StreamReader, caller: asyncio.StreamWriter) -> None:
        first = next(self._turn)
        for turn in range(len(self._ports)):
            port = self._ports[(first + turn) % len(self._ports)]
            with suppress(OSError):
                far, server = await asyncio.open_connection(LOOPBACK, port)
                break
        else:
            return caller.close()
        await asyncio.gather(pump(near, server), pump(far, caller))


async def pump(source: asyncio.StreamReader, goal: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 16):
            goal.write(data)
            await goal.drain()
    goal.close()


class Hosts(Town):
    """The one door there is leads to all web processes."""

    def __init__(self, folder: Path, maria: MariaDB, redis: Redis, exchange: Exchange) -> None:
        settings = {"SKADI_JOBS__OFFLINE_AFTER": "30s", "SKADI_JOBS__LEASE": "30s"}
        super().__init__(folder, maria, redis, ROLES, AGENTS, **settings)
        self._exchange = exchange
        self.proxy = Proxy(super().doors)
        self._port = exchange.run(self.proxy.open())
        for name in ("worker-2", "watcher-2"):
            self.role(name).program.environment["SKADI_METRICS__PORT"] = str(free_port())

    @property
    def doors(self) -> list[int]:
        return [self._port]

    def close(self) -> None:
        super().close()
        self._exchange.run(self.proxy.close())

    def role(self, name: str) -> Role:
        role = self.processes[name]
        assert isinstance(role, Role)
        return role

    def number(self, name: str, metric: str) -> float:
        """What a process shows of a metric, all its labels together."""
        program = self.role(name).program
        port = program.environment.get("SKADI_METRICS__PORT", program.port)
        with urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE) as answer:
            shown = answer.read().decode()
        found = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", shown, re.MULTILINE)
        return sum(map(float, found))


@pytest.fixture
def hosts(
    tmp_path_factory: pytest.TempPathFactory, maria: MariaDB, redis: Redis
) -> Iterator[Hosts]:
    redis.flush()
    with Exchange() as exchange:
        hosts = Hosts(tmp_path_factory.mktemp("hosts"), maria, redis, exchange)
        try:
            hosts.open()
            for name in AGENTS:
                hosts.new_agent(name, 0)
            hosts.wait_until_seen(*AGENTS)
            make_home(hosts)
            yield hosts
        finally:
            hosts.close()


def test_a_host_goes_in_the_middle_of_it_and_nobody_notices(hosts: Hosts) -> None:
    wait_for(lambda: hosts.number("web-1", "skadi_held_polls") or None, "polls at the first door")
    wait_for(lambda: hosts.number("web-2", "skadi_held_polls") or None, "polls at the second door")
    traffic = Traffic(hosts, wishes(AGENTS, HTTP, MAIL))
    traffic.until(0.3)
    assert hosts.number("web-1", "skadi_http_requests_total") > 0
    stop(hosts, "web-1")
    traffic.until(0.6)
    stop(hosts, "worker-1")
    wanted = traffic.finish()

    books = settle(hosts, wanted, Rules())
    ended = Counter(record.status for wish in wanted for record in books.records[wish.number])
    assert ended == {JobStatus.SUCCEEDED: HTTP + MAIL}
    told = Counter(int(found[2]) for text in hosts.letters() if (found := END.search(text)))
    assert told == Counter(wish.number for wish in wanted)
    assert hosts.number("web-2", "skadi_jobs_total") > 0
    assert hosts.number("worker-2", "skadi_delivery_tries_total") > 0
    assert hosts.number("worker-2", "skadi_telling_seconds_count") > 0
    wait_for(lambda: hosts.number("watcher-2", WAITING) == 0 or None, "a look that finds nothing")


def stop(hosts: Hosts, name: str) -> None:
    """As a service manager does."""
    process = hosts.role(name).process
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(LEAVES_WITHIN)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{name} does not leave")
