"""The bodies of requests: read no further than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.types import Message

from core.errors import Invalid, TooLarge
from web.call import Call, Gone
from web.fields import parse
from web.places import Crowded, Places
from web.report import parse_cut, parse_long, parse_report
from web.settings import WebSettings, spell_size

Ask = Callable[[], Awaitable[None]]


class Late(Invalid):
    """The body did not arrive in time."""

    code = "Timeout"


class Bodies:
    """Reads them. Who calls must be known before: a body is memory."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._places = Places(settings.long_bodies, settings.place_seconds)

    async def fields(self, call: Call, longest: int | None = None) -> dict[str, Any]:
        """The body as an object; an empty one has no fields. Raises Invalid or TooLarge."""
        return parse(await self._read(call, longest or self._settings.longest_body))

    async def result(self, call: Call, agent_id: str, expect: Ask) -> tuple[str, bool]:
        """What an agent reports, and whether the rest of the body is still on its way.

        `expect` raises where the report will not be taken; asked before a long one is read. Raises
        Invalid for what cannot be understood at all."""
        longest, seconds = self._settings.longest_report, self._settings.body_seconds
        try:
            return await self._result(call, agent_id, expect), False
        except Crowded as crowded:
            return parse_cut(crowded.body), True
        except TooLarge:
            return f"[The output was dropped: it is larger than {spell_size(longest)}.]", True
        except Late:
            return f"[The output was dropped: it took more than {seconds:g} seconds.]", False

    async def _result(self, call: Call, agent_id: str, expect: Ask) -> str:
        async with AsyncExitStack() as held:

            async def grow() -> None:
                await expect()
                await held.enter_async_context(self._places.taken(agent_id))

            body = await self._read(call, self._settings.longest_report, grow)
            if len(body) <= self._settings.longest_body:
                return parse_report(body)
            return await asyncio.to_thread(parse_long, body)

    async def drain(self, call: Call) -> None:
        """Throw the rest away for a while, so that who still writes comes to read the answer."""
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                while (await call.message()).get("more_body"):
                    pass
        except TimeoutError:
            return

    async def _read(self, call: Call, limit: int, grow: Ask | None = None) -> bytes:
        """`grow` is asked before more than `longest_body` is read."""
        message = call.peek()
        if message is not None and not message.get("more_body"):
            body = part_of(message)
            check_size(len(body), limit)
            return body
        check_size(declared_size(call), limit)
        async with punctual(self._settings.body_seconds):
            return await self._gather(call, message, limit, grow)

    async def _gather(
        self, call: Call, first: Message | None, limit: int, grow: Ask | None
    ) -> bytes:
        longest = self._settings.longest_body
        body, message = bytearray(), first or await call.message()
        while True:
            before = len(body)
            body += part_of(message)
            check_size(len(body), limit)
            if not message.get("more_body"):
                return bytes(body)
            if grow and before <= longest < len(body):
                await grown(grow, body)
            message = await call.message()


@asynccontextmanager
async def punctual(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Late(f"The body did not arrive within {seconds:g} seconds.") from error


async def grown(grow: Ask, body: bytearray) -> None:
    try:
        await grow()
    except Crowded as crowded:
        crowded.body = bytes(body)
        raise


def part_of(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise Gone
    part: bytes = message.get("body", b"")
    return part


def declared_size(call: Call) -> int:
    length = call.header(b"content-length")
    return int(length) if length.isdigit() else 0


def check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"The body is larger than {spell_size(limit)}.")
