"""One connection to Redis: commands go out in one piece, as many replies come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool, parse_url
from redis.exceptions import RedisError, ResponseError

from core.errors import SettingsError, Unavailable

PATIENCE = 2.0
"""Seconds after which Redis counts as away."""

Word = str | bytes | int | float
Command = tuple[Word, ...]

# The stub of hiredis allows for one argument only.
_pack = cast(Callable[[Command], bytes], hiredis.pack_command)


class Wire:
    """Opened by the first exchange, and again by the next one after it broke."""

    def __init__(self, url: str) -> None:
        self._connection = _connection(url)

    async def exchange(self, commands: Sequence[Command], patience: float = PATIENCE) -> list[Any]:
        """The replies in order; the reply to a command that Redis refused is its ResponseError.

        Raises Unavailable when they are not all here within `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._send(b"".join(map(_pack, commands)))
                return [await self._reply() for _ in commands]
        except (RedisError, OSError, RuntimeError) as error:
            # A RuntimeError is how uvloop says that the transport is closed.
            await self._hang_up()
            raise Unavailable("Redis does not answer.") from error
        except BaseException:
            # The replies still on their way must not be taken for those of the next commands.
            await self._hang_up()
            raise

    async def hear(self) -> Any:
        """The next message of a subscription, however long it takes."""
        try:
            return await self._connection.read_response()
        except (RedisError, OSError) as error:
            await self._hang_up()
            raise Unavailable("Redis hung up.") from error

    async def close(self) -> None:
        with suppress(RedisError):
            await self._connection.disconnect()

    async def _hang_up(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def _send(self, data: bytes) -> None:
        if self._connection.is_connected and await self._connection.can_read():
            # Redis hung up while we were silent. We ask on a new connection rather than fail.
            await self._hang_up()
        await self._connection.send_packed_command([data], check_health=False)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as refused:
            return refused


def _connection(url: str) -> AbstractConnection:
    # One timeout around the whole exchange is cheaper than one for each reply, hence none here.
    ours: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": False,
        "socket_connect_timeout": PATIENCE,
        "socket_timeout": None,
    }
    try:
        pool = ConnectionPool(**{**parse_url(url), **ours})
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # What went wrong may quote the password, hence neither it nor the address is told.
        raise SettingsError("redis.url is not the address of a Redis") from None
    return connection
