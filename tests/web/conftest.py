"""A server with everything real in it: uvicorn on a socket, core on SQLite, the embedded broker."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from agent.bundle import bundle, script
from cli.connection import Connection
from core.accounts import Accounts
from core.agents import Agents
from core.broker.embedded import EmbeddedBroker
from core.following import Following
from core.jobs import Jobs
from core.memory import Memory
from core.model import Account, Agent, Job, JobStatus
from core.store import Store, migrate
from core.store.depths import Depths
from core.watcher import Watcher
from tests.clock import Clock
from tests.web.wire import Line, Said, request
from web.door import Door, make_app, route
from web.enrol import Handout
from web.metrics import MetricsApi
from web.settings import WebSettings

METRICS_TOKEN = "a-secret-of-the-watch"
LISTENING = 3600.0
"""Seconds for which one word that we listen is enough; only the tests' clock moves on."""


@dataclass
class Machine:
    """An agent and the token it calls with."""

    agent: Agent
    token: str


@dataclass
class House:
    """The parts of a server that is running, its people, and how to talk to it."""

    clock: Clock
    broker: EmbeddedBroker
    accounts: Accounts
    agents: Agents
    jobs: Jobs
    store: Store
    watcher: Watcher
    owner: Account
    stranger: Account
    parts: dict[str, str] = field(default_factory=lambda: {"database": "ok"})
    server: "Server | None" = None

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    async def in_hand(self) -> int:
        """How many calls the server is busy with."""
        assert self.server is not None
        return len(self.server.server_state.tasks)

    async def enrol(self, name: str, account: Account | None = None) -> Machine:
        """An agent that has shown itself."""
        agent, token = await self.agents.enrol((account or self.owner).id, name)
        await self.agents.authenticate(token)
        return Machine(agent, token)

    async def submit(self, machine: Machine, command: str = "uptime") -> Job:
        return await self.jobs.submit(
            machine.agent.account_id,
            machine.agent,
            command,
            source="test",
            requested_by="token:test",
        )

    async def job(self, job: Job) -> Job:
        """What is known of the job now."""
        return await self.jobs.get(job.account_id, job.id)

    async def sweep(self) -> None:
        """What the watcher does every second."""
        await self.broker.listen(self.clock(), LISTENING)
        for sweep in self.watcher.sweeps:
            await sweep.run()

    async def has_come(self, job: Job, status: JobStatus) -> bool:
        return (await self.job(job)).status == status

    async def system_token(self) -> str:
        _, secret = await self.accounts.add_token("system", None, "upstream")
        return secret

    async def account_token(self, account: Account | None = None) -> str:
        _, secret = await self.accounts.add_token("account", (account or self.owner).id, "ci")
        return secret

    async def ask(
        self, method: str, path: str, token: str = "", fields: Any = None, **headers: str
    ) -> Said:
        """A call on a connection of its own; `fields` that are bytes are the body as it is."""
        async with self.line() as line:
            return await line.ask(request(method, path, token, body_of(fields), **headers))

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        line = await Line.open(self.port)
        try:
            yield line
        finally:
            await line.close()

    @asynccontextmanager
    async def serving(
        self,
        settings: WebSettings | None = None,
        http: type[Connection] = Connection,
        *,
        url: str = "",
        **parts: Any,
    ) -> AsyncIterator[Door]:
        """Serve meanwhile, with some parts exchanged. `url`: where the operator says we are."""
        given: dict[str, Any] = {
            "agents": self.agents,
            "jobs": self.jobs,
            "accounts": self.accounts,
            "broker": self.broker,
            "following": Following(self.store, self.broker, (settings or WebSettings()).look_again),
        }
        metrics = MetricsApi(self._depths, METRICS_TOKEN, "1.2.3", self.clock)
        given["extra_routes"] = [route("GET", "/metrics", metrics.show)]
        door = make_app(
            **(given | parts),
            ready=self._ready,
            clock=self.clock,
            settings=settings or WebSettings(),
            handout=Handout(bundle, script, url),
        )
        async with serving(door, http) as self.server:
            yield door

    async def _depths(self) -> Depths:
        return await self.store.depths.look(self.clock())

    async def _ready(self) -> dict[str, str]:
        return self.parts


def body_of(fields: Any) -> bytes | None:
    return fields if fields is None or isinstance(fields, bytes) else json.dumps(fields).encode()


class Server(uvicorn.Server):
    """Leaves the signals to the tests, and stops without waiting for its next tick."""

    def __init__(self, config: uvicorn.Config, port: int) -> None:
        super().__init__(config)
        self.port = port
        self.stop = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.stop.wait()


@asynccontextmanager
async def serving(app: ASGIApp, http: type[Connection] = Connection) -> AsyncIterator[Server]:
    """Serve on a free port, and stop as a deployment does."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, door.getsockname()[1])
    task = asyncio.create_task(server.serve([door]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    try:
        yield server
    finally:
        server.stop.set()
        if isinstance(app, Door):
            app.close()
        await task


@asynccontextmanager
async def open_house(
    url: str, clock: Clock, broker: EmbeddedBroker | None = None
) -> AsyncIterator[House]:
    """Everything but the server."""
    await migrate(url)
    store, broker = await Store.open(url, clock=clock), broker or EmbeddedBroker()
    memory = Memory(store.facts, broker)
    accounts = Accounts(store, clock=clock, memory=memory)
    agents = Agents(
        store, broker, accounts, clock=clock, reserved=frozenset({"help"}), memory=memory
    )
    jobs = Jobs(store, broker, agents, accounts, clock=clock)
    watcher = Watcher(store, broker, agents, jobs, clock=clock)
    owner, stranger = await accounts.add("ada"), await accounts.add("mallory")
    await broker.listen(clock(), LISTENING)
    yield House(clock, broker, accounts, agents, jobs, store, watcher, owner, stranger)
    await store.close()


@pytest.fixture
async def quiet_house(sqlite_url: str, clock: Clock) -> AsyncIterator[House]:
    async with open_house(sqlite_url, clock) as house:
        yield house


@pytest.fixture
async def house(quiet_house: House) -> AsyncIterator[House]:
    async with quiet_house.serving():
        yield quiet_house
