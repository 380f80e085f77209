"""A Skadi that is reached over HTTP, as a program with an account's token sees it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx

from core.errors import SkadiError, Unavailable

SILENCE = 50.0
"""Seconds after which a stream is given up: three signs of life did not come."""
PAUSE = 1.0
TRIES = 10
"""So often a call is made that meets nobody, a second apart: a restart takes less."""

LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")
"""Of server-sent events; str.splitlines knows more, and JSON holds those as they are. Whether a CR at
the end of what is there is one shows with the next byte.
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""
UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)
"""After these the server has heard nothing of the call."""

NOT_SKADI = "What answers there is not Skadi."

Fields = dict[str, Any]


class Unreached(Unavailable):
    """The server is away, and has heard nothing."""


class Remote:
    """Raises the refusals of the server as errors of ours, and Unavailable when there is none. `key`: by
    which the server knows a submit that is said again."""

    def __init__(self, url: str, token: str, key: str) -> None:
        self._key = key
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30.0, read=SILENCE),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def submit(self, agent: str, command: str) -> Fields:
        """The key makes it harmless to say it again when an answer did not come. Unavailable: nobody
        knows whether there is a job now; by any other error there is none."""
        body = {"agent": agent, "message": command, "source": "app.py submit"}
        headers, tries, heard = {"Idempotency-Key": self._key}, 0, False
        while True:
            try:
                return job_of(await self._try("POST", "/api/jobs", body, headers))
            except SkadiError as error:
                tries += 1
                passing = isinstance(error, Unavailable)
                heard = heard or (passing and not isinstance(error, Unreached))
                if not passing or tries == TRIES:
                    raise (Unavailable(error.message) if heard else error) from error
            await asyncio.sleep(PAUSE)

    async def job(self, job_id: str) -> Fields:
        return job_of(await self._call("GET", f"/api/jobs/{job_id}"))

    async def events(self, job_id: str) -> AsyncIterator[Fields]:
        """What becomes of the job up to its end, across whatever cuts us off."""
        last = ""
        while True:
            try:
                async for place, event in self._stream(job_id, last):
                    last = place
                    yield event
                    if is_final(event):
                        return
            except Unavailable:
                await self.job(job_id)  # it raises when nobody is there for long
            if is_final(await self.job(job_id)):
                return
            await asyncio.sleep(PAUSE)

    async def _stream(self, job_id: str, last: str) -> AsyncIterator[tuple[str, Fields]]:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            path = f"/api/jobs/{job_id}/events"
            async with self._client.stream("GET", path, headers=headers) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise refusal_of(answer)
                async for fields in events_of(answer.aiter_bytes()):
                    yield fields.get("id", last), json.loads(fields["data"])
        except httpx.RequestError as error:
            raise away(error) from error

    async def _call(self, method: str, path: str) -> Fields:
        for _ in range(TRIES - 1):
            try:
                return await self._try(method, path)
            except Unavailable:
                await asyncio.sleep(PAUSE)
        return await self._try(method, path)

    async def _try(
        self, method: str, path: str, body: Fields | None = None, headers: Fields | None = None
    ) -> Fields:
        try:
            answer = await self._client.request(method, path, json=body, headers=headers)
        except httpx.RequestError as error:
            raise away(error) from error
        if answer.is_success:
            return fields_of(answer)
        raise refusal_of(answer)


def is_final(fields: Fields) -> bool:
    return fields.get("status") in ("succeeded", "failed", "expired", "canceled")


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, str]]:
    """The fields of each event that has data; one that is cut off is none."""
    fields: dict[str, str] = {}
    async for line in lines_of(pieces):
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "data" in fields:
                yield fields
            fields = {}


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = b""
    async for piece in pieces:
        *lines, rest = LINE_END.split(rest + piece)
        for line in lines:
            yield line.decode("utf-8", "replace")


def away(error: httpx.RequestError) -> Unavailable:
    """What is wrong with a call itself is not shown: it may hold the token."""
    kind = Unreached if isinstance(error, UNSENT) else Unavailable
    own = isinstance(error, httpx.LocalProtocolError) or not str(error)
    return kind(f"The server cannot be reached: {type(error).__name__ if own else error}.")


def fields_of(answer: httpx.Response) -> Fields:
    try:
        fields = answer.json()
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        return fields
    if answer.is_server_error:
        raise Unavailable(f"The server is away: {answer.status_code}.")
    raise SkadiError(NOT_SKADI, code="NotSkadi")


def job_of(fields: Fields) -> Fields:
    if {"id", "status", "agent_name", "result"}.issubset(fields):
        return fields
    raise SkadiError(NOT_SKADI, code="NotSkadi")


def refusal_of(answer: httpx.Response) -> SkadiError:
    if answer.status_code in (502, 503, 504):
        return Unavailable("The server is away.")
    fields = fields_of(answer)
    kind = Unavailable if answer.is_server_error else SkadiError
    return kind(str(fields.get("message")), code=str(fields.get("error")))
