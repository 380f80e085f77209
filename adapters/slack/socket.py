"""Socket Mode: Slack's words come over a websocket that we open, so that nobody need reach us.

A ticket opens one socket, once. What is said on a socket is answered there; what was not answered comes
again, on another. https://docs.slack.dev/apis/events-api/using-socket-mode/"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMsgType,
)
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from adapters.slack.web import TROUBLES, error_of, make_client, proxy_for
from core.settings import Secret

MOST_IN_HAND = 100
"""Envelopes being worked on; while there are so many, no more is read."""
LONGEST = 4 * 1024 * 1024
"""Bytes of one envelope."""
OPENING = 10.0
"""Seconds for a ticket, and for the handshake."""
LEAVING = 4.0
"""Seconds for what is in hand when a socket ends."""
CLOSING = 2.0
"""Seconds that the other side has to agree to a close."""
SHORT_LIFE = 5.0
"""Seconds; to follow up a socket which Slack closed sooner than that, there is no hurry."""
FIRST_PAUSE = 0.3
LONGEST_PAUSE = 30.0
MOST_ASKED = 600.0

Take = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds. `greeting`: from the handshake to the word hello; a socket that stays mute is given up.
    `heartbeat`: between two pings; without an answer to one for half as long the socket is dead.
    `lingering`: how long one that Slack is about to close is still read."""

    greeting: float = 20.0
    heartbeat: float = 20.0
    lingering: float = 30.0


class Lost(Exception):
    """There is no socket, or no longer."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass
class Line:
    """One socket. `greeted`: Slack speaks on it; `leaving`: it is time for the next one."""

    take: Take
    room: asyncio.Semaphore
    patience: Patience
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    in_hand: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, socket: ClientWebSocketResponse) -> None:
        """Until it ends, by either side or by cancelling; what is in hand is answered then.
        Raises Lost."""
        try:
            await self._read_until(socket, self.greeted, self.patience.greeting)
            await self._read_until(socket, self.leaving, None)
            await self._read_until(socket, asyncio.Event(), self.patience.lingering)
        finally:
            if self.in_hand:
                await asyncio.wait(self.in_hand, timeout=LEAVING)

    async def _read_until(
        self, socket: ClientWebSocketResponse, event: asyncio.Event, seconds: float | None
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not event.is_set():
                    await self._read(socket)
        except TimeoutError:
            raise Lost("left" if self.leaving.is_set() else "it said nothing") from None

    async def _read(self, socket: ClientWebSocketResponse) -> None:
        """One thing that is said, when there is room for it."""
        await self.room.acquire()
        taken = False
        try:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                taken = self._heed(socket, read(message.data))
            elif message.type is not WSMsgType.BINARY:
                raise Lost(f"closed ({socket.close_code})")
        finally:
            if not taken:
                self.room.release()

    def _heed(self, socket: ClientWebSocketResponse, said: dict[str, Any]) -> bool:
        """Whether it is work, which takes room until it is done."""
        if said.get("type") == "hello":
            self.greeted.set()
        elif said.get("type") == "disconnect":
            self._part(str(said.get("reason")))
        elif request := envelope(said):
            task = asyncio.create_task(self._answer(socket, request))
            self.in_hand.add(task)
            task.add_done_callback(self._done)
            return True
        return False

    def _part(self, reason: str) -> None:
        log.log(
            logging.WARNING if reason == "link_disabled" else logging.DEBUG,
            "Slack closes a socket: %s",
            reason,
        )
        self.greeted.set()
        self.leaving.set()
        if reason == "too_many_websockets":
            raise Lost(reason)

    async def _answer(self, socket: ClientWebSocketResponse, request: SocketModeRequest) -> None:
        answer = await self._take(request)
        if answer.status >= 500:
            return  # without an answer it comes again
        said = SocketModeResponse(request.envelope_id, content(answer)).to_dict()
        with suppress(ClientError, ConnectionError):  # it comes again, and is known by then
            await socket.send_str(json.dumps(said))

    async def _take(self, request: SocketModeRequest) -> BoltResponse:
        payload: Any = request.payload
        try:
            parsed = AsyncBoltRequest(mode="socket_mode", body=payload)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            return BoltResponse(status=400)  # nothing that Slack would send
        return await self.take(parsed)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.in_hand.discard(task)
        self.room.release()
        if not task.cancelled() and (error := task.exception()):
            log.error("an envelope of Slack's could not be worked on", exc_info=error)


class Socket:
    """Keeps one socket open, and opens the next before Slack closes it."""

    def __init__(
        self, api: str, token: Secret, take: Take, patience: Patience | None = None
    ) -> None:
        self._api, self._token, self._take = api, token, take
        self._patience = patience or Patience()
        self._room = asyncio.Semaphore(MOST_IN_HAND)
        self._serving: set[asyncio.Task[None]] = set()
        self._pause = FIRST_PAUSE
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with ClientSession(timeout=ClientTimeout(total=None, connect=OPENING)) as session:
            try:
                while True:
                    await self._live(session)
            finally:
                await self._leave()

    async def _live(self, session: ClientSession) -> None:
        """One socket's life, and the pause after it."""
        now = asyncio.get_running_loop().time
        line, began = Line(self._take, self._room, self._patience), now()
        wish = 0.0
        try:
            await self._hold(session, line)
        except Lost as lost:
            known = line.greeted.is_set()
            log.log(logging.INFO if known else logging.WARNING, "Socket Mode, again: %s", lost)
            wish = lost.retry_after
        if line.greeted.is_set():
            self._pause = FIRST_PAUSE
        if line.leaving.is_set() and now() - began > SHORT_LIFE:
            return
        await asyncio.sleep(max(wish, self._pause * random.uniform(0.5, 1)))  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _hold(self, session: ClientSession, line: Line) -> None:
        """Open a socket and stay until it is time for the next one. Raises Lost."""
        socket = await self._connect(session)
        serving = asyncio.create_task(self._serve(line, socket))
        self._serving.add(serving)
        serving.add_done_callback(self._forget)
        waits = [asyncio.create_task(self._greet(line)), asyncio.create_task(line.leaving.wait())]
        try:
            await asyncio.wait([serving, waits[1]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if serving.done():
            await serving

    async def _greet(self, line: Line) -> None:
        await line.greeted.wait()
        self.ready.set()

    async def _serve(self, line: Line, socket: ClientWebSocketResponse) -> None:
        try:
            await line.serve(socket)
        finally:
            await socket.close()

    def _forget(self, serving: asyncio.Task[None]) -> None:
        self._serving.discard(serving)
        if not serving.cancelled() and (error := serving.exception()):
            level = logging.DEBUG if isinstance(error, Lost) else logging.ERROR
            log.log(level, "a socket ended: %s", error)

    async def _connect(self, session: ClientSession) -> ClientWebSocketResponse:
        url = await self._ask_ticket()
        try:
            async with asyncio.timeout(OPENING):
                return await session.ws_connect(
                    url,
                    heartbeat=self._patience.heartbeat,
                    max_msg_size=LONGEST,
                    proxy=proxy_for(secure(url)),
                    timeout=ClientWSTimeout(ws_close=CLOSING),
                )
        except TROUBLES as error:
            # Each ticket is good for one handshake only, so the next try needs a new one.
            raise Lost(f"no handshake: {type(error).__name__}") from error

    async def _ask_ticket(self) -> str:
        try:
            answer = await make_client(self._api).apps_connections_open(app_token=self._token)
            return str(answer["url"])
        except (*TROUBLES, KeyError) as error:
            said = error_of(error) or repr(error)
            raise Lost(f"no ticket: {said}", asked_pause(error)) from error

    async def _leave(self) -> None:
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=LEAVING + CLOSING)


def asked_pause(error: BaseException) -> float:
    """Seconds that Slack asks us to wait before the next try."""
    if not isinstance(error, SlackApiError) or error_of(error) != "ratelimited":
        return 0.0
    said = str(error.response.headers.get("Retry-After", ""))
    return min(float(said), MOST_ASKED) if said.isdecimal() else LONGEST_PAUSE


def read(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def envelope(said: dict[str, Any]) -> SocketModeRequest | None:
    if isinstance(said.get("payload"), dict) and isinstance(said.get("envelope_id"), str):
        return SocketModeRequest.from_dict(said)
    return None


def content(answer: BoltResponse) -> dict[str, Any] | None:
    """What is shown to whoever gave a slash command; most answers are a bare yes."""
    if answer.status != 200 or not answer.body:
        return None
    return read(answer.body) or {"text": answer.body}


def secure(url: str) -> str:
    """As a proxy is chosen for it."""
    return url.replace("ws", "http", 1) if url.startswith("ws") else url
