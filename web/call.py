"""One HTTP request as the raw routes see it: nothing is parsed before somebody asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, cast

from starlette.types import Message, Receive, Scope, Send

from core.metrics import REQUESTS
from web.answer import Answer
from web.errors import refusal


class Gone(Exception):
    """The caller left before its request was complete; there is nobody to answer."""


class Call:
    """Knows what has arrived, and whether the caller is still there, without a task of its own:
    the server's `receive` is advanced by hand, a step at a time. So a held poll stays small."""

    __slots__ = ("_gone", "_kept", "_receive", "_receiving", "_step", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self._receiving: Generator[Any, None, Message] | None = None
        self._step: asyncio.Future[Any] | None = None
        self._kept: Message | None = None
        self._gone = False

    def header(self, name: bytes) -> bytes:
        """The first header of that (lower-case) name, or nothing."""
        for key, value in self.scope["headers"]:
            if key == name:
                found: bytes = value
                return found
        return b""

    def last_header(self, name: bytes) -> bytes:
        """The last one, where there may be several."""
        found: list[bytes] = [value for key, value in self.scope["headers"] if key == name]
        return found[-1] if found else b""

    def param(self, name: str) -> str:
        """What stands in the path in that place."""
        value: str = self.scope["path_params"][name]
        return value

    def accepts_json(self) -> bool:
        return b"application/json" in self.header(b"accept")

    def gone(self) -> bool:
        """Whether the caller has left. What else arrived and was not read yet is thrown away."""
        while not self._gone and (message := self.peek()) is not None:
            self._gone = message["type"] == "http.disconnect"
        return self._gone

    def keep(self) -> None:
        """Take in what has come with the request. A server has forgotten it once the caller is gone,
        and what was said to the end counts even then."""
        self._kept = self.peek()

    def peek(self) -> Message | None:
        """The server's next message if it is here already."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        if self._receiving is None:
            self._receiving = self._receive().__await__()
        elif self._step is not None and not self._step.done():
            return None
        try:
            self._step = next(self._receiving)
        except StopIteration as end:
            self._receiving = self._step = None
            message: Message = end.value
            return message
        return None

    async def message(self) -> Message:
        """The server's next message, waited for."""
        message = self.peek()
        return await self._arrival() if message is None else message

    @coroutine
    def _arrival(self) -> Generator[Any, Any, Message]:
        # Goes on where peek stopped, in the same task: with a turn of the loop between the coming and
        # the reading, the caller might be gone and the message with it.
        receiving = cast("Generator[Any, Any, Message]", self._receiving)
        try:
            yield self._step
            return (yield from receiving)
        finally:
            self.close()

    def when_something_arrives(self, tell: Callable[[object], None]) -> None:
        """Have `tell` called for the message that `gone` did not find. To ask again is harmless."""
        if self._step is not None:
            self._step.remove_done_callback(tell)
            self._step.add_done_callback(tell)

    def close(self) -> None:
        """Let go of the server."""
        if self._receiving is not None:
            self._receiving.close()
            self._receiving = self._step = None


Serve = Callable[[Call], Awaitable[Answer]]


class Tally:
    """Counts the answers of one route, by their hundreds, for little."""

    __slots__ = ("_keys",)

    def __init__(self, method: str, path: str) -> None:
        self._keys = [(method, path, f"{hundred}xx") for hundred in range(6)]

    def count(self, status: int) -> None:
        REQUESTS.values[self._keys[status // 100]] += 1


class Endpoint:
    """A raw route: calls, answers, and turns whatever goes wrong into an answer."""

    __slots__ = ("_serve", "_tally")

    def __init__(self, serve: Serve, tally: Tally) -> None:
        self._serve = serve
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        call.keep()
        try:
            answer = await self._serve(call)
        except Gone:
            return
        except Exception as error:
            answer = refusal(error)
        finally:
            call.close()
        self._tally.count(answer.start["status"])
        await send(answer.start)
        await send(answer.end)
