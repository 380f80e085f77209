"""Brokers for tests: opened, closed whatever happens, and a look at Redis past them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import redis

from core.broker import JOB_STREAM, Broker, News, open_broker

SOON = 5.0
"""Seconds after which a test that waits for something fails."""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Broker]:
    """One process' broker."""
    broker = open_broker(url)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


def news(delivery_id: str = "", body: bytes = b"{}", stream: str = JOB_STREAM) -> News:
    return News(stream, body, delivery_id)


def raw(url: str) -> Any:
    """A plain client, to see and to spoil what Redis holds."""
    return cast(Any, redis.Redis.from_url(url, decode_responses=True))


async def eventually(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(SOON):
        while True:
            if await question():
                return
            await asyncio.sleep(0.01)
