"""Serving HTTP: by a role among others, or in somebody else's server."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import timedelta
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.connection import Connection
from core.broker import Broker
from core.errors import SettingsError, SkadiError, Unavailable
from core.model import utc_now
from core.settings import Web
from core.settings.hosts import advice
from web.door import Door

BACKLOG = 4096
"""Connections that wait to be accepted: thousands of agents come back at once after a restart."""
FINISH_WITHIN = 6
"""Seconds for requests in hand when the process stops."""
BEATS_MISSED = 3
"""So many in a row, and agents could not have been heard: their silence begins anew."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Neither owns the loop nor takes signals, and says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp,
    web: Web,
    *,
    ready: asyncio.Event,
    stop: Callable[[], None],
    section: str = "web",
) -> None:
    """Serve until cancelled; then let `stop` end what is held open, and finish what is in hand.

    `ready` is set when callers are served; `section` of the settings says where."""
    sockets = await listen(web.host, web.port, section)
    server = Server(configure(app, web), ready)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    serving = asyncio.create_task(server.serve(sockets))
    what = "HTTP" if section == "web" else section
    log.info("%s on http://%s:%d", what, web.host, web.port)
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        stop()
        await serving
        raise


async def beat(broker: Broker, every: timedelta) -> None:
    """Say that somebody listens; while nobody does, no agent's silence counts."""
    seconds = every.total_seconds()
    while True:
        with suppress(Unavailable):  # the broker says in the log that it is away
            await broker.listen(utc_now(), BEATS_MISSED * seconds)
        await asyncio.sleep(seconds)


class Hosted:
    """An application that opens and closes with the lifespan of a server that is not ours."""

    def __init__(self, open_door: Callable[[], AbstractAsyncContextManager[Door]]) -> None:
        self._open_door = open_door
        self._door: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._door:
            await self._door(scope, receive, send)
        else:
            raise RuntimeError("Skadi needs a server that speaks the ASGI lifespan protocol.")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._open_door() as self._door:
                with on_stopping(self._door.close):
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
        except (SettingsError, SkadiError) as error:
            return await send({"type": "lifespan.startup.failed", "message": f"skadi: {error}"})
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def on_stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` with the signal that stops the server: it waits for what is held open before it
    tells us so."""
    loop = asyncio.get_running_loop()
    known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def heed(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)
        handler = known[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in known:
        signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def configure(app: ASGIApp, web: Web) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
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


async def listen(host: str, port: int, section: str = "web") -> list[socket.socket]:
    """Bound sockets for every address of a host. Raises SettingsError, naming the setting."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return [bind(family, address) for family, _, _, _, address in dict.fromkeys(found)]
    except OSError as error:
        raise SettingsError(
            f"[{section}] HTTP cannot listen on {host}:{port}: {error.strerror or error}. "
            + advice(error, f"SKADI_{section.upper()}")
        ) from error


def bind(family: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    bound.bind(address)
    return bound
