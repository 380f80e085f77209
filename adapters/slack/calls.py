"""What is said to Slack, each time once, and its answers told apart: yes, no, later, not ours any more."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from slack_sdk.errors import SlackApiError
from yarl import URL

from adapters.slack.installations import Installations
from adapters.slack.web import TROUBLES, error_of, make_client, proxy_for
from core.chat import DeliveryError

PATIENCE = 10
"""Seconds for a call."""
UPLOAD_PATIENCE = 25
TIMED_OUT, TOO_MANY = 408, 429
DEFAULT_PAUSE = 5.0
"""Seconds to wait where Slack says that it is too much, and not for how long."""
LONGEST_PAUSE = 3600.0
LONGEST_ANSWER = 64 * 1024

LATER = frozenset(
    {
        *("fatal_error", "internal_error", "service_unavailable", "request_timeout"),
        *("accesslimited", "team_added_to_org"),
    }
)
"""What says nothing about that which we wanted."""
TOO_FAST = frozenset({"ratelimited", "rate_limited"})
GONE = frozenset({"account_inactive", "token_revoked"})
"""Nobody can speak by this token again: https://docs.slack.dev/reference/methods/auth.test#errors"""
DEAD = GONE | {"invalid_auth"}
"""The token is not taken, for a moment or for ever."""
SLACK = ("slack.com", "slack-gov.com")

log = logging.getLogger(__name__)

Answer = Mapping[str, Any]
BROKEN = (*TROUBLES, AttributeError)
"""AttributeError: the library took the answer for an object."""


class Refused(Exception):
    """Slack understood and said no; `error` is its word for why."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class Calls:
    api: str
    installations: Installations
    clock: Callable[[], datetime]

    async def call(self, team: str, method: str, **args: Any) -> Answer:
        """Raises Refused, DeliveryError."""
        begun_at = self.clock().timestamp()
        client = make_client(self.api, await self.installations.token(team), timeout=PATIENCE)
        try:
            answer = await client.api_call(method, **carried(method, args))
        except SlackApiError as error:
            word = error_of(error)
            if word in GONE:
                await self.installations.forget(team, before=begun_at)
            raise judge(method, word, error) from None
        except BROKEN as error:
            raise away(method, error) from None
        return answer.data if isinstance(answer.data, dict) else {}

    async def answer(self, url: str, said: Mapping[str, Any]) -> None:
        """By a response_url, which needs no token. Raises Refused, DeliveryError."""
        self._check(url)
        status, headers, body = await self._post(url, json.dumps(said).encode(), PATIENCE)
        if status == TOO_MANY:
            raise too_fast("response_url", headers)
        if status >= 500:
            raise DeliveryError(f"response_url: Slack answered {status}.", permanent=False)
        if status != 200 or is_no(body):
            raise Refused(body[:100] or str(status))

    async def upload(self, url: str, content: bytes) -> None:
        """To the place that was given for a file. Raises Refused, DeliveryError."""
        self._check(url)
        kind = "application/octet-stream"
        status, headers, body = await self._post(url, content, UPLOAD_PATIENCE, kind)
        if status == TOO_MANY:
            raise too_fast("The file", headers)
        if 400 <= status < 500 and status != TIMED_OUT:
            raise Refused(str(status))
        if status != 200 or is_no(body):
            raise DeliveryError(f"The file: Slack answered {status}.", permanent=False)

    def _check(self, url: str) -> None:
        """What we say is for Slack alone, whatever address we were given. Raises Refused."""
        if not is_slacks(url, self.api):
            raise Refused("foreign_address")

    async def _post(
        self, url: str, content: bytes, seconds: float, kind: str = "application/json"
    ) -> tuple[int, Mapping[str, str], str]:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=seconds)) as session,
                session.post(
                    url,
                    data=content,
                    headers={"content-type": kind},
                    proxy=proxy_for(url),
                    allow_redirects=False,
                ) as answer,
            ):
                body = await answer.content.read(LONGEST_ANSWER)
                return answer.status, answer.headers, body.decode("utf-8", "replace")
        except BROKEN as error:
            # The address is a key to the conversation and stays out of the log.
            raise away("response", error) from None


def is_slacks(url: str, api: str) -> bool:
    """Whether such an address can be given by who answers at `api`; read as it will be called."""
    try:
        to, asked = URL(url), URL(api)
    except ValueError:
        return False
    if not to.host or to.user is not None or to.password is not None:
        return False
    if not is_below(asked.host, SLACK):
        return (to.scheme, to.host, to.port) == (asked.scheme, asked.host, asked.port)
    return (to.scheme, to.port) == ("https", 443) and is_below(to.host, SLACK)


def is_below(host: str | None, domains: tuple[str, ...]) -> bool:
    return any(f".{host}".endswith(f".{domain}") for domain in domains)


def is_no(body: str) -> bool:
    """What is not one of Slack's answers in JSON is no refusal: such an address says `ok` as well."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("ok") is False


def carried(method: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Those about files are taken as a form only."""
    given = {name: value for name, value in args.items() if value is not None}
    if not method.startswith("files."):
        return {"json": given}
    return {"data": {name: as_text(value) for name, value in given.items()}}


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def judge(method: str, word: str, error: SlackApiError) -> Exception:
    status = int(getattr(error.response, "status_code", 0) or getattr(error.response, "status", 0))
    headers = getattr(error.response, "headers", None) or {}
    if status == TOO_MANY or word in TOO_FAST:
        return too_fast(method, headers)
    if word in DEAD:
        return DeliveryError(f"{method}: Slack said {word}.", permanent=False)
    if not word or status >= 500 or word in LATER:
        return DeliveryError(f"{method}: Slack answered {word or status}.", permanent=False)
    return Refused(word)


def too_fast(method: str, headers: Mapping[str, str]) -> DeliveryError:
    said = str(headers.get("Retry-After") or "").strip()
    seconds = float(said[:9]) if said.isascii() and said.isdecimal() else DEFAULT_PAUSE
    pause = min(max(seconds, 1.0), LONGEST_PAUSE)
    text = f"{method}: Slack asks to wait for {pause:.0f} s."
    return DeliveryError(text, permanent=False, retry_after=pause)


def away(method: str, error: BaseException) -> DeliveryError:
    return DeliveryError(f"{method}: no answer of Slack's: {type(error).__name__}", permanent=False)
