"""A server with everything real in it: uvicorn on a socket, core on SQLite, the embedded broker."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from core.accounts import Accounts
from core.agents import Agents
from core.jobs import Jobs
from core.store.migrate import migrate

from core.broker.embedded import EmbeddedBroker
from core.model import Account, Agent, Job, Times
from core.store import Store
from tests.clock import Clock
from tests.web.wire import Line, Said, request
from web.door import Door, make_app
from web.settings import WebSettings

TIMES = Times()


@dataclass
class House:
    """The parts of a server, and how to talk to it."""

    clock: Clock
    store: Store
    broker: EmbeddedBroker
    accounts: Accounts
    agents: Agents
    jobs: Jobs
    parts: dict[str, str] = field(default_factory=lambda: {"database": "ok"})
    port: int = 0

    async def ready(self) -> dict[str, str]:
        return self.parts

    def app(self, settings: WebSettings | None = None, **parts: Any) -> Door:
        """The web application on these parts, some of them exchanged."""
        given = {"agents": self.agents, "jobs": self.jobs, "accounts": self.accounts}
        return make_app(
            **(given | parts),
            broker=self.broker,
            ready=self.ready,
            clock=self.clock,
            settings=settings or WebSettings(),
        )

    async def ask(
        self, method: str, path: str, token: str = "", fields: Any = None, **headers: str
    ) -> Said:
        """A call on a connection of its own. `fields` that are bytes are the body as it is."""
        body = fields if fields is None or isinstance(fields, bytes) else json.dumps(fields).encode()
        line = await Line.open(self.port)
        try:
            return await line.ask(request(method, path, token, body, **headers))
        finally:
            await line.close()
