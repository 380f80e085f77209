"""An answer that goes on: begun at once, continued as things happen, ended when there is no more."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from core.errors import SkadiError
from web.answer import Answer, Headers
from web.call import Call, Gone, Tally
from web.errors import refusal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flow:
    """What an answer is made of, piece by piece."""

    pieces: AsyncGenerator[bytes]
    headers: Headers


class Streamed:
    """A raw route like an Endpoint. What goes wrong once the answer has begun can only end it."""

    __slots__ = ("_serve", "_tally")

    def __init__(self, serve: Callable[[Call], Awaitable[Answer | Flow]], tally: Tally) -> None:
        self._serve = serve
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        call.keep()
        try:
            answer = await self._begin(call)
            self._tally.count(200 if isinstance(answer, Flow) else answer.status)
            if isinstance(answer, Flow):
                await go_on(answer, send, empty=scope["method"] == "HEAD")
            else:
                await answer(scope, receive, send)
        except Gone:
            return
        finally:
            call.close()

    async def _begin(self, call: Call) -> Answer | Flow:
        try:
            return await self._serve(call)
        except Gone:
            raise
        except Exception as error:
            return refusal(error)


async def go_on(flow: Flow, send: Send, *, empty: bool) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(flow.headers)})
    async with aclosing(flow.pieces) as pieces:
        try:
            if not empty:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except SkadiError as error:
            log.info("A stream ended early: %s", error)
        except Exception:
            log.exception("A stream ended early.")
    await send({"type": "http.response.body", "body": b""})
