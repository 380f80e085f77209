"""Room for long bodies, which cost memory: for a few at a time, and for one of each agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Crowded(Exception):
    """There was no room within the time that one may wait for it."""

    body = b""
    """What had come until then."""


class Places:
    def __init__(self, most: int, patience: float) -> None:
        self._free = asyncio.Semaphore(most)
        self._patience = patience
        self._agents: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, agent_id: str) -> AsyncIterator[None]:
        """Raises Crowded."""
        mine = self._agents.setdefault(agent_id, asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience):
                    await held.enter_async_context(mine)
                    await held.enter_async_context(self._free)
            except TimeoutError as error:
                raise Crowded from error
            yield
