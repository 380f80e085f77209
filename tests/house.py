"""The real parts put together for a test, on a clock that it moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker, open_broker
from core.chat import Adapter
from core.jobs import Jobs
from core.memory import Memory
from core.messages import Messages
from core.model import Account, Agent, Times
from core.store import Store, migrate
from core.watcher import Watcher
from tests.clock import Clock

GAP = 15.0


@dataclass
class House:
    """One process's worth of core, as app.py composes it."""

    store: Store
    broker: Broker
    accounts: Accounts
    agents: Agents
    jobs: Jobs
    messages: Messages
    watcher: Watcher
    clock: Clock
    adapters: dict[str, Adapter] = field(default_factory=dict)

    async def people(self) -> tuple[Account, Account]:
        """Ada, the owner, and Mallory, a stranger with an account of her own."""
        return await self.accounts.add("Ada"), await self.accounts.add("Mallory")

    async def enrol(self, account: Account, name: str = "web-1") -> tuple[Agent, str]:
        """An agent that has just been seen, and its token."""
        _agent, token = await self.agents.enrol(account.id, name)
        return await self.agents.authenticate(token), token


@asynccontextmanager
async def open_house(
    database_url: str,
    clock: Clock,
    *,
    redis_url: str = "",
    times: Times | None = None,
    adapters: dict[str, Adapter] | None = None,
) -> AsyncIterator[House]:
    """A second house on the same addresses is a second process."""
    await migrate(database_url)
    times = times or Times()
    store = await Store.open(database_url, clock=clock, times=times)
    broker = open_broker(redis_url)
    await broker.open()
    await broker.listen(clock(), GAP)
    memory = Memory(store.facts, broker)
    accounts = Accounts(store, clock=clock, memory=memory)
    agents = Agents(store, broker, accounts, clock=clock, times=times, memory=memory)
    adapters = adapters if adapters is not None else {}
    jobs = Jobs(store, broker, agents, accounts, clock=clock, times=times, adapters=adapters)
    watcher = Watcher(store, broker, agents, jobs, clock=clock)
    messages = Messages(store, broker, clock=clock)
    try:
        yield House(store, broker, accounts, agents, jobs, messages, watcher, clock, adapters)
    finally:
        # What was committed last is still to be announced.
        await store.close()
        await broker.close()
