"""The bodies of requests: read no further than allowed, and understood as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
from starlette.types import Message

from core.errors import Invalid, TooLarge
from web.call import Call, Gone
from web.settings import WebSettings, spell_size

REPLACEMENT = "\ufffd"
NO_JSON = "The body is not valid JSON."


class Late(Invalid):
    """The body did not arrive in time."""

    code = "Timeout"


class Bodies:
    """Reads them. Who calls must be known before: a body is memory."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._long = asyncio.Semaphore(settings.long_bodies)

    async def fields(self, call: Call, longest: int | None = None) -> dict[str, Any]:
        """The body as an object; an empty one has no fields. Raises Invalid or TooLarge."""
        return parse(await self._read(call, longest or self._settings.longest_body))

    async def result(self, call: Call) -> tuple[str, bool]:
        """What an agent reports, and whether the rest of the body is still on its way.

        A report is sent once, so it counts whatever its output is like. Raises Invalid for what
        cannot be understood at all."""
        longest, seconds = self._settings.longest_report, self._settings.body_seconds
        try:
            return parse_report(await self._read(call, longest)), False
        except TooLarge:
            return f"[The output was dropped: it is larger than {spell_size(longest)}.]", True
        except Late:
            return f"[The output was dropped: it took more than {seconds:g} seconds.]", False

    async def drain(self, call: Call) -> None:
        """Throw the rest away for a while, so that who still writes comes to read the answer."""
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                while (await call.message()).get("more_body"):
                    pass
        except TimeoutError:
            return

    async def _read(self, call: Call, limit: int) -> bytes:
        message = call.peek()
        if message is not None and not message.get("more_body"):
            body = part_of(message)
            check_size(len(body), limit)
            return body
        check_size(declared_size(call), limit)
        async with punctual(self._settings.body_seconds):
            return await self._gather(call, message, limit)

    async def _gather(self, call: Call, first: Message | None, limit: int) -> bytes:
        longest = self._settings.longest_body
        body, message = bytearray(), first or await call.message()
        async with AsyncExitStack() as held:
            while True:
                before = len(body)
                body += part_of(message)
                check_size(len(body), limit)
                if not message.get("more_body"):
                    return bytes(body)
                if before <= longest < len(body):
                    await held.enter_async_context(self._long)
                message = await call.message()


@asynccontextmanager
async def punctual(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Late(f"The body did not arrive within {seconds:g} seconds.") from error


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


def parse(body: bytes) -> dict[str, Any]:
    try:
        return as_object(orjson.loads(body) if body.strip() else {})
    except orjson.JSONDecodeError as error:
        raise Invalid(NO_JSON) from error


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.")
    return value


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """The text of a field; empty where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"The field {name} must be a string.")
    return value


def parse_report(body: bytes) -> str:
    """The result in a report. What no text may contain is replaced, not refused."""
    try:
        result = spell(parse(body).get("result"))
    except Invalid:
        result = pair_up(spell(parse_broken(body).get("result")))
    return result.replace("\0", REPLACEMENT)


def spell(result: Any) -> str:
    """A result that is no text, as it stood in the JSON."""
    if isinstance(result, str):
        return result
    try:
        return "" if result is None else json.dumps(result, ensure_ascii=False)
    except RecursionError:
        return ""


def parse_broken(body: bytes) -> dict[str, Any]:
    """Read what is nearly JSON: broken UTF-8, raw control characters, halves of surrogate pairs."""
    text = body.decode("utf-8-sig", "replace")
    try:
        return as_object(json.loads(text, strict=False))
    except (ValueError, RecursionError) as error:
        raise Invalid(NO_JSON) from error


def pair_up(text: str) -> str:
    """Replace the halves of surrogate pairs that stand alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
