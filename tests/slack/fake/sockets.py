"""Socket Mode: one-time URLs, envelopes that must be acknowledged, and lines that break."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import WSMsgType, web

from tests.slack.fake.rules import Refused
from tests.slack.fake.slack import Kind, Unanswered

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

PATIENCE = 3.0
TICKET_LIVES = timedelta(seconds=30)
MOST_LINES = 10
KINDS: dict[Kind, str] = {
    "event": "events_api",
    "command": "slash_commands",
    "action": "interactive",
}

Manner = Literal[
    "abrupt", "refresh", "warning", "refused", "late", "mid", "deaf", "no_url", "garbled"
]
"""How a line ends. `refused`: and the next handshake fails, its URL being spent by then; `late`: the
next hello takes its time; `mid`: between the next envelope and its acknowledgement; `deaf`: it stays
open, and nothing comes or is heard; `no_url`: and for the next URLs we are told to wait."""


@dataclass(eq=False)
class Line:
    socket: web.WebSocketResponse
    request: web.Request
    greeted: bool = False
    leaving: bool = False
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return self.greeted and not self.leaving and not self.socket.closed

    async def send(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionError):
            await self.socket.send_str(json.dumps(message))

    def abort(self) -> None:
        """Nobody says goodbye."""
        self.leaving = True
        if transport := self.request.transport:
            transport.abort()

    def turn_deaf(self) -> None:
        """Nothing is read any more, so that not even pings are answered."""
        self.leaving = True
        if transport := self.request.transport:
            transport.pause_reading()


class Sockets:
    """A Carrier, for an app that holds sockets."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._tickets: dict[str, datetime] = {}
        self.lines: list[Line] = []
        self.opened = 0
        self.refusals: deque[int] = deque()
        """Status with which the next handshakes are refused, whatever their ticket."""
        self.hello_takes: deque[float] = deque()
        """Seconds that the next hellos take."""
        self.urls_refused = 0
        """So often nobody is given a URL."""
        self.cut_mid = 0
        """So many lines are cut as soon as they have been given an envelope."""
        self.twice = 0
        """So many envelopes are sent a second time although they were acknowledged."""

    # How one connects.

    def url(self) -> str:
        """For one use. Raises Refused."""
        if self.urls_refused:
            self.urls_refused -= 1
            raise Refused("internal_error")
        ticket = self._slack.secret("ticket")
        self._tickets[ticket] = self._slack.clock() + TICKET_LIVES
        address = self._slack.address.replace("http", "ws", 1)
        return f"{address}/link/?ticket={ticket}&app_id={self._slack.app.id}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        until = self._tickets.pop(request.query.get("ticket", ""), None)
        if self.refusals:
            return web.Response(status=self.refusals.popleft())
        if until is None or self._slack.clock() >= until:
            return web.Response(status=404)
        if len(self.lines) >= MOST_LINES:
            return await self._turn_away(request)
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        line = Line(socket, request)
        self.lines.append(line)
        self.opened += 1
        try:
            await self._greet(line)
            await self._listen(line)
        finally:
            self._forget(line)
        return socket

    async def _turn_away(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(json.dumps({"type": "disconnect", "reason": "too_many_websockets"}))
        await socket.close()
        return socket

    async def _greet(self, line: Line) -> None:
        await asyncio.sleep(self.hello_takes.popleft() if self.hello_takes else 0)
        debug = {"host": "applink-1", "build_number": 1, "approximate_connection_time": 18060}
        await line.send(
            {
                "type": "hello",
                "num_connections": len(self.lines),
                "debug_info": debug,
                "connection_info": {"app_id": self._slack.app.id},
            }
        )
        line.greeted = True

    async def _listen(self, line: Line) -> None:
        async for message in line.socket:
            if message.type is not WSMsgType.TEXT:
                continue
            said = json.loads(message.data)
            waiting = line.waiting.pop(said.get("envelope_id", ""), None)
            if waiting and not waiting.done():
                waiting.set_result(said.get("payload"))

    def _forget(self, line: Line) -> None:
        line.leaving = True
        if line in self.lines:
            self.lines.remove(line)
        for waiting in line.waiting.values():
            if not waiting.done():
                waiting.set_exception(Unanswered("connection_failed"))

    # How we are told something.

    async def carry(self, kind: Kind, payload: dict[str, Any], retry: int, reason: str) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self._line()
                return await self._send(line, kind, payload, retry, reason)
        except TimeoutError as error:
            raise Unanswered("timeout") from error

    async def _line(self) -> Line:
        """One that may be used; the next one takes its turn."""
        while not (usable := [line for line in self.lines if line.usable]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self.lines.append(self.lines.pop(0))
        return usable[0]

    async def _send(
        self, line: Line, kind: Kind, payload: dict[str, Any], retry: int, reason: str
    ) -> Any:
        envelope_id = self._slack.secret("envelope-")
        acknowledged = asyncio.get_running_loop().create_future()
        line.waiting[envelope_id] = acknowledged
        envelope = {
            "envelope_id": envelope_id,
            "type": KINDS[kind],
            "accepts_response_payload": kind == "command",
            "payload": payload,
        }
        if kind == "event":
            envelope |= {"retry_attempt": retry, "retry_reason": reason}
        try:
            await line.send(envelope)
            if self.cut_mid:
                self.cut_mid -= 1
                line.abort()
            answer = await acknowledged
        finally:
            line.waiting.pop(envelope_id, None)
            if not acknowledged.done():
                acknowledged.cancel()
            elif not acknowledged.cancelled():
                acknowledged.exception()
        if self.twice:
            self.twice -= 1
            await line.send(envelope)
        return answer

    # How lines end.

    async def cut(self, manner: Manner) -> None:
        if manner in ("refresh", "warning"):
            return await self._say_goodbye(manner)
        if manner == "mid":
            self.cut_mid += 1
            return
        if manner == "deaf":
            for line in list(self.lines):
                line.turn_deaf()
                self._slack.meanwhile(self._bury(line))
            return
        if manner == "garbled":
            for line in list(self.lines):
                with suppress(ConnectionError):
                    await line.socket.send_str("{not json")
        if manner == "refused":
            self.refusals.append(404)
        if manner == "late":
            self.hello_takes.append(1.5)
        if manner == "no_url":
            self.urls_refused += 1
        self.abort_all()

    async def _say_goodbye(self, manner: Manner) -> None:
        reason = "refresh_requested" if manner == "refresh" else "warning"
        for line in list(self.lines):
            line.leaving = manner == "refresh"
            await line.send(
                {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}}
            )
            self._slack.meanwhile(self._hang_up(line, 0.5 if manner == "warning" else 0.0))

    async def _bury(self, line: Line) -> None:
        await asyncio.sleep(60)
        line.abort()

    async def _hang_up(self, line: Line, seconds: float) -> None:
        await asyncio.sleep(seconds)
        line.leaving = True
        with suppress(ConnectionError):
            await line.socket.close()

    def abort_all(self) -> None:
        for line in list(self.lines):
            line.abort()
