"""Serving HTTP: uvicorn as a role among others, which neither owns the loop nor takes signals."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from core.errors import SettingsError
from core.settings import Web

BACKLOG = 4096
"""Connections that wait to be accepted: thousands of agents come back at once after a restart."""
FINISH_WITHIN = 8
"""Seconds for requests in hand when the process stops."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: ASGIApp, web: Web, *, ready: asyncio.Event, stop: Callable[[], None]) -> None:
    """Serve until cancelled; then let `stop` end what is held open, and finish what is in hand.

    `ready` is set when callers are served."""
    sockets = await listen(web.host, web.port)
    server = Server(configure(app, web), ready)
    serving = asyncio.create_task(server.serve(sockets))
    log.info("HTTP on http://%s:%d", web.host, web.port)
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        stop()
        await serving
        raise


def configure(app: ASGIApp, web: Web) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe is decided at the door, where it is cheaper
        timeout_keep_alive=round(web.keep_alive.total_seconds()),
        timeout_graceful_shutdown=FINISH_WITHIN,
        backlog=BACKLOG,
    )


async def listen(host: str, port: int) -> list[socket.socket]:
    """Bound sockets for every address of a host. Raises SettingsError, naming the setting."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return [bind(family, address) for family, _, _, _, address in dict.fromkeys(found)]
    except OSError as error:
        raise SettingsError(
            f"[web] HTTP cannot listen on {host}:{port}: {error.strerror or error}. "
            "Does Skadi run already? Choose another port with SKADI_WEB__PORT."
        ) from error


def bind(family: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind(address)
    return bound
