"""Callbacks: every event of a job goes to the address that the job names, signed as Standard Webhooks
prescribes.

address says which addresses may be called, names what a name leads to, line connects to nothing
else, turns how many are called at once, signature keeps each account's secret and signs with it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpcore
import httpx

from adapters import Surroundings
from adapters.callback.address import Allowed, ForbiddenAddress, plain, read_allowed, read_url
from adapters.callback.line import GuardedBackend
from adapters.callback.names import make_resolver
from adapters.callback.signature import Secrets, sign
from adapters.callback.turns import Turns
from core.chat import Abilities, DeliveryError, Notebook, Published, Reply, Thread
from core.errors import SettingsError
from core.settings.finding import Finding
from core.settings.values import Names

__all__ = ["Callback", "Options", "check", "make", "read_subject", "secrets"]

MOST_CONNECTIONS = 500
KEPT_FOR = 15.0
"""Seconds that a connection without work stays open."""
LONGEST_ANSWER = 64 * 1024
ANSWER_TIME = 1.0
"""Seconds for the body of an answer, which nobody reads: its status has said all by then."""
LONGEST_WISH = timedelta(days=1)
"""As long as somebody may have us wait by Retry-After."""
GONE = 410
TROUBLES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand in the section."""

    allow_hosts: Names = ()
    """Names, addresses and networks (`10.1.0.0/16`) that may be called although they are private."""
    http: bool = False
    """Whether `http://` may be called, where everybody on the way reads along."""
    timeout: timedelta = timedelta(seconds=15)
    """For everything from looking up the name to the status of the answer."""
    ca: str = ""
    """A file with certificates of authorities of one's own, believed beside this machine's."""
    dns_server: str = ""
    """`address:port` of the name server to ask; empty: those of this machine."""


def make(name: str, options: Options, around: Surroundings) -> Callback:
    """Raises SettingsError."""
    return Callback(name, options, around)


def check(name: str, options: Options, data: Path) -> Iterator[Finding]:
    """Raises SettingsError for what stops the start."""
    _read(name, "allow_hosts", options.allow_hosts)
    make_resolver(name, options.dns_server)
    _trust(name, options.ca)
    private = (
        f", and of private ones {', '.join(options.allow_hosts)}" if options.allow_hosts else ""
    )
    yield Finding("ok", name, f"Public addresses may be called{private}.")
    if options.http:
        todo = "Set http = false unless the way there is your own."
        yield Finding("warn", name, "Addresses with http:// may be called, without TLS.", todo)


def read_subject(text: str) -> str | None:
    """Nobody speaks from there."""
    return None


def secrets(notebook: Notebook, clock: Callable[[], datetime]) -> Secrets:
    """What an account's callbacks are signed with."""
    return Secrets(notebook, clock)


class Callback:
    """A Caller of the port."""

    platform = "callback"
    abilities = Abilities(events=True)

    def __init__(self, name: str, options: Options, around: Surroundings) -> None:
        self.name = name
        self._options, self._clock = options, around.clock
        self._secrets = Secrets(around.notebook, around.clock)
        self._allowed = _read(name, "allow_hosts", options.allow_hosts)
        # To wait for a turn takes no longer than the call: both together end within a try's lease.
        self._turns = Turns(options.timeout.total_seconds())
        resolver = make_resolver(name, options.dns_server)
        # Of proxies, cookies and redirects it knows nothing, as it should.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(name, options.ca),
            max_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEPT_FOR,
            network_backend=GuardedBackend(resolver, self._allowed),
        )

    def address(self, url: str) -> Thread:
        """A lane a URL. Raises ValueError, which says what is wrong with it."""
        read = read_url(url, self._allowed, http=self._options.http)
        return Thread(self.name, read.host, url)

    async def send(self, reply: Reply) -> str | None:
        """Raises DeliveryError only."""
        event = reply.event
        if event is None:
            raise DeliveryError("An address is told of events only.", permanent=True)
        url = self._read(reply.thread.thread_id)
        async with self._turns.take(event.account_id, plain(url.host)):
            answer = await self._call(url, event)
        self._judge(answer)
        return None

    async def close(self) -> None:
        await self._pool.aclose()

    async def _headers(self, event: Published) -> dict[str, str]:
        moment = int(self._clock().timestamp())
        secrets = await self._secrets.signing(event.account_id)
        signatures = (sign(secret, event.id, moment, event.body) for secret in secrets)
        return {
            "content-type": "application/json",
            "user-agent": "Skadi",
            "webhook-id": event.id,
            "webhook-timestamp": str(moment),
            "webhook-signature": " ".join(signatures),
        }

    def _read(self, text: str) -> httpx.URL:
        """Raises DeliveryError: the settings may have become stricter since it was taken."""
        try:
            return read_url(text, self._allowed, http=self._options.http)
        except ValueError as error:
            raise DeliveryError(f"The address {error}.", permanent=True) from error

    async def _call(self, url: httpx.URL, event: Published) -> httpcore.Response:
        """Raises DeliveryError."""
        headers = await self._headers(event)
        seconds = self._options.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._post(url, headers, event.body)
        except ForbiddenAddress as error:
            # What a name leads to may be another thing in a minute, and be a slip now.
            raise DeliveryError(str(error), permanent=False) from error
        except TimeoutError as error:
            text = f"There was no answer within {seconds:g} seconds."
            raise DeliveryError(text, permanent=False) from error
        except (*TROUBLES, OSError) as error:
            text = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise DeliveryError(text, permanent=False) from error

    async def _post(
        self, url: httpx.URL, headers: Mapping[str, str], body: str
    ) -> httpcore.Response:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        fields = {"host": url.netloc.decode(), **headers}
        async with self._pool.stream(
            "POST", target, headers=list(fields.items()), content=body.encode()
        ) as answer:
            # Once they have said that it arrived, a body that does not end changes nothing.
            with suppress(TimeoutError, *TROUBLES):
                async with asyncio.timeout(ANSWER_TIME):
                    await _drop(answer)
            return answer

    def _judge(self, answer: httpcore.Response) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        note = " (a redirect, which is not followed)" if 300 <= status < 400 else ""
        raise DeliveryError(
            f"The answer was {status}{note}.",
            permanent=status == GONE,
            retry_after=read_wish(answer, self._clock()) if status in (429, 503) else None,
        )


async def _drop(answer: httpcore.Response) -> None:
    """Read and forget, so that the connection may serve again; a long one is broken off."""
    size = 0
    async for piece in answer.aiter_stream():
        size += len(piece)
        if size > LONGEST_ANSWER:
            return


def read_wish(answer: httpcore.Response, now: datetime) -> float | None:
    """Seconds that Retry-After asks us to wait (RFC 9110, section 10.2.3)."""
    for name, value in answer.headers:
        if name.lower() == b"retry-after":
            seconds = _seconds(value.decode("latin-1").strip(), now)
            return max(0.0, min(seconds, LONGEST_WISH.total_seconds())) if seconds else None
    return None


def _seconds(text: str, now: datetime) -> float | None:
    if text.isdecimal() and text.isascii():
        return float(text[:10])
    try:
        return (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):  # TypeError: a moment without a zone
        return None


def _read(name: str, key: str, hosts: Names) -> Allowed:
    try:
        return read_allowed(hosts)
    except ValueError as error:
        raise SettingsError(f"[adapters.{name}] {key}: {error}.") from error


def _trust(name: str, ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if ca:
            context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[adapters.{name}] ca: {error}.") from error
    return context
