"""What an account's dead addresses cost, they cost that account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from adapters.callback import MOST_CONNECTIONS, Callback
from adapters.callback.turns import AT_ONCE, AT_ONE_HOST, BY_ALL_AT_ONE_HOST, Turns
from core.chat import DeliveryError
from tests.callback.caller import call, calling
from tests.callback.receiver import SILENT, naming, receiving, silence

SOON = 3.0
"""Seconds: far less than a call that hangs takes."""
MANY = MOST_CONNECTIONS + 100
LOOPBACK = ("127.0.0.0/8",)


@asynccontextmanager
async def under_way(adapter: Callback, account_id: str, urls: Iterable[str]) -> AsyncIterator[None]:
    """Calls that hang, as the notifier makes them: all at once."""
    calls = [
        asyncio.create_task(call(adapter, url, f"e{number}", account_id))
        for number, url in enumerate(urls)
    ]
    try:
        yield
    finally:
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def settle(count: Callable[[], int]) -> int:
    """What it stays at, once it has begun."""
    seen, now = 0, count()
    while not now or now > seen:
        await asyncio.sleep(0.3)
        seen, now = now, count()
    return now


# Accounts.


async def test_a_name_that_is_never_answered_holds_up_no_other_callback() -> None:
    dead = [f"http://n{number}.{SILENT}/" for number in range(MANY)]
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        names, server = stack.enter_context(naming(ci=[["127.0.0.1"]]))
        adapter = await stack.enter_async_context(
            calling(http=True, dns_server=server, allow_hosts=LOOPBACK)
        )

        def looked_up() -> set[str]:
            return {name for name, _ in names.asked if name.endswith(SILENT)}

        await stack.enter_async_context(under_way(adapter, "eve", dead))
        under_look_up = await settle(lambda: len(looked_up()))
        async with asyncio.timeout(SOON):
            await call(adapter, receiver.url(host="ci.example"))
        assert under_look_up == AT_ONCE
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(("hosts", "connections"), [(1, AT_ONE_HOST), (100, AT_ONCE)])
async def test_an_account_whose_addresses_hang_holds_up_no_other_account(
    hosts: int, connections: int
) -> None:
    async with (
        receiving() as receiver,
        receiving(host="0.0.0.0") as tarpit,
        calling(http=True, allow_hosts=LOOPBACK) as adapter,
    ):
        tarpit.answers = [silence] * MANY
        dead = [tarpit.url(f"/{n}", f"127.0.0.{n % hosts + 1}") for n in range(MANY)]
        async with under_way(adapter, "eve", dead):
            taken = await settle(lambda: tarpit.connections)
            async with asyncio.timeout(SOON):
                await call(adapter, receiver.url())
            assert taken == connections
    assert len(receiver.calls) == 1


async def test_a_host_that_hangs_leaves_room_for_the_other_hosts_of_its_account() -> None:
    async with (
        receiving() as receiver,
        receiving(host="127.0.0.2") as tarpit,
        calling(http=True, allow_hosts=LOOPBACK) as adapter,
    ):
        tarpit.answers = [silence] * MANY

        dead = [tarpit.url(f"/{n}", "127.0.0.2") for n in range(AT_ONCE * 2)]
        async with under_way(adapter, "ada", dead):
            assert await settle(lambda: tarpit.connections) == AT_ONE_HOST
            async with asyncio.timeout(SOON):
                await call(adapter, receiver.url())
    assert len(receiver.calls) == 1


async def test_who_waited_for_a_turn_has_the_whole_time_for_the_call() -> None:
    timeout = timedelta(seconds=1.5)
    async with (
        receiving() as receiver,
        calling(http=True, allow_hosts=LOOPBACK, timeout=timeout) as adapter,
    ):

        async def answer_late(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.9)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()

        receiver.answers = [answer_late] * (AT_ONE_HOST * 2)
        urls = [receiver.url(f"/{number}") for number in range(AT_ONE_HOST * 2)]
        await asyncio.gather(*(call(adapter, url) for url in urls))
    assert len(receiver.calls) == AT_ONE_HOST * 2


# Turns.


async def test_who_gets_no_turn_is_tried_later() -> None:
    turns = Turns(0.05)
    async with AsyncExitStack() as held:
        for _ in range(AT_ONE_HOST):
            await held.enter_async_context(turns.take("ada", "ci"))
        with pytest.raises(DeliveryError, match=r"within 0\.05 seconds") as failed:
            async with turns.take("ada", "ci"):
                pass
        assert not failed.value.permanent
    async with turns.take("ada", "ci"):
        pass


async def test_a_turn_that_was_given_up_is_free_again() -> None:
    turns = Turns(5)
    async with AsyncExitStack() as held:
        for _ in range(AT_ONE_HOST):
            await held.enter_async_context(turns.take("ada", "ci"))
        waiting = asyncio.create_task(held.enter_async_context(turns.take("ada", "ci")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with AsyncExitStack() as held, asyncio.timeout(1):
        for number in range(AT_ONCE):
            await held.enter_async_context(turns.take("ada", f"ci{number // AT_ONE_HOST}"))


async def test_one_account_cannot_shut_a_host_that_others_call_too() -> None:
    turns = Turns(0.05)
    async with AsyncExitStack() as held:
        for _ in range(AT_ONE_HOST):
            await held.enter_async_context(turns.take("eve", "ci"))
        async with turns.take("ada", "ci"):
            pass


async def test_a_host_that_hangs_for_all_does_not_take_all_connections() -> None:
    turns = Turns(0.05)
    async with AsyncExitStack() as held:
        for number in range(BY_ALL_AT_ONE_HOST):
            await held.enter_async_context(turns.take(f"account{number}", "ci"))
        with pytest.raises(DeliveryError):
            async with turns.take("ada", "ci"):
                pass
        async with turns.take("ada", "elsewhere"):
            pass
    assert BY_ALL_AT_ONE_HOST < MOST_CONNECTIONS
