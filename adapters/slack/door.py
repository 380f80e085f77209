"""The door for what Slack sends by HTTP: how much, from whom and when, before anything is parsed.

https://docs.slack.dev/authentication/verifying-requests-from-slack/"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from slack_bolt.middleware.request_verification.async_request_verification import (
    AsyncRequestVerification,
)
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import Clock as SdkClock
from slack_sdk.signature import SignatureVerifier
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from adapters.slack.listeners import Listeners
from core.settings import Secret

LONGEST = 1024 * 1024
"""Bytes of a body."""
ARRIVING = 10.0
"""Seconds that it may take to arrive."""
WINDOW = timedelta(minutes=5)
"""How far the time that Slack signed may be from ours."""
SILENCE = timedelta(minutes=1)

log = logging.getLogger(__name__)


class Signatures:
    """`clock` is ours; the more it is off, the more of what is genuine looks stale."""

    def __init__(self, secret: Secret, clock: Callable[[], datetime]) -> None:
        self._secret, self._clock = secret.encode(), clock

    def fault(self, body: bytes, timestamp: str, signature: str) -> str:
        """Why it is not to be believed; empty for what is genuine and fresh."""
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            return "unsigned"
        signed = hmac.new(self._secret, f"v0:{timestamp}:".encode() + body, hashlib.sha256)
        if not hmac.compare_digest(f"v0={signed.hexdigest()}".encode(), signature.encode()):
            return "forged"
        off = abs(self._clock().timestamp() - int(timestamp))
        return "stale" if off > WINDOW.total_seconds() else ""


def second_look(secret: Secret, clock: Callable[[], datetime]) -> AsyncRequestVerification:
    """Bolt's own check, by our clock."""

    class Ours(SdkClock):
        def now(self) -> float:
            return clock().timestamp()

    check = AsyncRequestVerification(secret)
    check._verifier = SignatureVerifier(secret, Ours())
    return check


class Door:
    """Whoever is not Slack is answered 400, 401, 408 or 413, and nothing they sent is parsed."""

    def __init__(self, listeners: Listeners, secret: Secret, clock: Callable[[], datetime]) -> None:
        self._listeners = listeners
        self._signatures = Signatures(secret, clock)
        self._clock = clock
        self._said_at: datetime | None = None

    async def receive(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(ARRIVING):
                body = await read(request)
        except TimeoutError:
            return Response(status_code=408)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return Response(status_code=413, headers={"connection": "close"})
        if fault := self._fault(request, body):
            self._note(fault, body)
            return Response(status_code=401)
        return await self._pass_on(request, body)

    async def _pass_on(self, request: Request, body: bytes) -> Response:
        try:
            parsed = AsyncBoltRequest(body=body.decode(), headers={**request.headers})
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            # Signed, and yet nothing that Slack would send.
            return Response(status_code=400)
        if not isinstance(parsed.body, dict):
            return Response(status_code=400)
        return to_response(await self._listeners.take(parsed))

    def _fault(self, request: Request, body: bytes) -> str:
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        return self._signatures.fault(body, timestamp, request.headers.get("x-slack-signature", ""))

    def _note(self, fault: str, body: bytes) -> None:
        """For the operator, now and then: anybody may call, but a wrong setting looks the same."""
        now = self._clock()
        if fault == "unsigned" or (self._said_at and now - self._said_at < SILENCE):
            return
        self._said_at = now
        hint = {
            "forged": "if Slack sent it, signing_secret is another app's",
            "stale": "if Slack sent it just now, the clock of this machine is off",
        }
        log.warning("a request was refused as %s; %s", fault, hint[fault])


async def read(request: Request) -> bytes | None:
    """The body; None for one that is too long, which is not read to its end."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and len(said) < 20 and int(said) > LONGEST:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            return None
    return bytes(body)


def to_response(answer: BoltResponse) -> Response:
    return Response(
        answer.body, status_code=answer.status, headers=answer.first_headers_without_set_cookie()
    )
