"""How Slack calls us over HTTP: signed, and with three seconds' patience."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp

from tests.slack.fake.slack import Kind, Unanswered

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

PATIENCE = 3.0
"""Seconds within which an answer must be there."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def sign(secret: str, moment: int, body: bytes) -> str:
    """By Slack's rule: HMAC-SHA256 over version, moment and the raw body."""
    base = f"v0:{moment}:".encode() + body
    return f"v0={hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()}"


def encode(kind: Kind, payload: dict[str, Any]) -> tuple[bytes, str]:
    """A body and its content type."""
    if kind == "event":
        return json.dumps(payload).encode(), JSON
    fields = {"payload": json.dumps(payload)} if kind == "action" else payload
    return urlencode(fields).encode(), FORM


class Caller:
    """A Carrier, for an app with a URL."""

    def __init__(self, slack: Slack, session: aiohttp.ClientSession) -> None:
        self._slack, self._session = slack, session

    async def carry(self, kind: Kind, payload: dict[str, Any], retry: int, reason: str) -> Any:
        body, content_type = encode(kind, payload)
        headers = self.headers(body, content_type)
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason}
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._post(body, headers)
        except TimeoutError as error:
            raise Unanswered("http_timeout") from error
        except aiohttp.ClientError as error:
            raise Unanswered("connection_failed") from error

    def headers(self, body: bytes, content_type: str) -> dict[str, str]:
        moment = int(self._slack.clock().timestamp())
        return {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": str(moment),
            "X-Slack-Signature": sign(self._slack.app.signing_secret, moment, body),
        }

    async def _post(self, body: bytes, headers: dict[str, str]) -> Any:
        url = self._slack.app.url
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            said = await answer.text()
            if answer.status != 200:
                raise Unanswered("http_error", answer.status)
            return json.loads(said) if answer.content_type == JSON and said else said
