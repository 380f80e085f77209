"""A Skadi that is reached over HTTP, as a program with an account's token sees it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx

from core.errors import SkadiError, Unavailable

SILENCE = 50.0
"""Seconds after which a stream is given up: three signs of life did not come."""
PAUSE = 1.0
TRIES = 10
"""So often a call is made that meets nobody, a second apart: a restart takes less."""

Fields = dict[str, Any]


class Remote:
    """Raises the refusals of the server as errors of ours, and Unavailable when there is none."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30.0, read=SILENCE),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def submit(self, agent: str, command: str) -> Fields:
        """The key makes it harmless to say it again when an answer did not come."""
        body = {"agent": agent, "message": command, "source": "app.py submit"}
        return await self._call("POST", "/api/jobs", body, {"Idempotency-Key": uuid.uuid4().hex})

    async def job(self, job_id: str) -> Fields:
        return await self._call("GET", f"/api/jobs/{job_id}")

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
                fields: dict[str, str] = {}
                async for line in answer.aiter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif "data" in fields:
                        yield fields["id"], json.loads(fields["data"])
                        fields = {}
        except httpx.TransportError as error:
            raise away(error) from error

    async def _call(
        self, method: str, path: str, body: Fields | None = None, headers: Fields | None = None
    ) -> Fields:
        for _ in range(TRIES - 1):
            try:
                return await self._try(method, path, body, headers)
            except Unavailable:
                await asyncio.sleep(PAUSE)
        return await self._try(method, path, body, headers)

    async def _try(
        self, method: str, path: str, body: Fields | None, headers: Fields | None
    ) -> Fields:
        try:
            answer = await self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise away(error) from error
        if answer.is_success:
            return fields_of(answer)
        raise refusal_of(answer)


def is_final(fields: Fields) -> bool:
    return fields.get("status") in ("succeeded", "failed", "expired", "canceled")


def away(error: Exception) -> Unavailable:
    return Unavailable(f"The server cannot be reached: {error or type(error).__name__}.")


def fields_of(answer: httpx.Response) -> Fields:
    try:
        fields = answer.json()
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise SkadiError("What answers there is not Skadi.", code="NotSkadi")
    return fields


def refusal_of(answer: httpx.Response) -> SkadiError:
    if answer.status_code in (502, 503, 504):
        return Unavailable("The server is away.")
    fields = fields_of(answer)
    return SkadiError(str(fields.get("message")), code=str(fields.get("error")))
