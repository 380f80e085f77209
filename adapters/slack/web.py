"""How Slack's Web API is called for what is asked seldom: who somebody is, who we are, a socket."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

PATIENCE = 10
"""Seconds that a call may take where nobody waits for it."""
TROUBLES = (SlackClientError, ClientError, TimeoutError, OSError, ValueError)
"""What a call raises besides SlackApiError, which is one of these: the library lets through what the
connection or the body of an answer raised."""

# It logs at DEBUG what is sent, tokens included.
log = logging.getLogger("adapters.slack.sdk")
log.setLevel(logging.ERROR)


def make_client(api: str, token: str = "", *, timeout: int = PATIENCE) -> AsyncWebClient:
    """Each call is made once and has a connection of its own, as only then `timeout` counts."""
    client = AsyncWebClient(
        token or None, base_url=api, timeout=timeout, retry_handlers=[], logger=log
    )
    client.proxy = proxy_for(api)
    return client


def proxy_for(url: str) -> str | None:
    """As the environment says, NO_PROXY included, which the library does not look at."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def error_of(error: BaseException) -> str:
    """The word of Slack's for what is wrong (`invalid_auth`); empty where it said none."""
    if not isinstance(error, SlackApiError):
        return ""
    answer: Any = error.response
    try:
        return str(answer.get("error") or "")
    except (AttributeError, ValueError):  # an answer that is no JSON
        return ""
