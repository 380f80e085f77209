"""Connections to addresses that were judged: what is checked is what is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import httpcore

from adapters.callback.address import Address, Allowed, ForbiddenAddress, as_address, may_call
from adapters.callback.names import Resolve

MOST_TRIES = 4
"""Addresses of one name that are tried."""
CONNECT_TIME = 5.0
"""Seconds for each of them."""

Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """A name is looked up once a connection, and only the addresses that were found good are used.

    Above it the name stays the name: for TLS, for the certificate, and for the header Host."""

    def __init__(self, resolve: Resolve, allowed: Allowed) -> None:
        self._resolve, self._allowed = resolve, allowed
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        trouble: Exception = httpcore.ConnectError(f"{host} has no address.")
        for address in (await self.find(host))[:MOST_TRIES]:
            try:
                return await self._plain.connect_tcp(str(address), port, timeout=CONNECT_TIME)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise ForbiddenAddress("A socket in the file system is no address.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def find(self, host: str) -> Sequence[Address]:
        """Where a name leads, without what is closed. Raises ForbiddenAddress when nothing is left."""
        literal = as_address(host)
        found = [literal] if literal else await self._resolve(host)
        if self._allowed.name(host):
            return found
        good = [address for address in found if may_call(address, self._allowed)]
        if found and not good:
            listed = ", ".join(map(str, found[:MOST_TRIES]))
            raise ForbiddenAddress(f"{host} leads to {listed}, which is not called from here.")
        return good
