"""The wire: Skadi's agent API over one kept connection, every fault mapped where it enters."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from .errors import BadToken, ConfigError, Refused, Unreachable
from .job import clean
from .proxy import Proxy, proxy_for

LARGEST_ANSWER = 1 << 20
PASSING = (408, 425, 429)
HTTPS = 443
VERSION = "1.1"
USER_AGENT = f"skadi-agent/{VERSION}"
# What a server answers that has no such path, whatever else it says.
UNKNOWN_PATH = (404, 405)


# An id as the server makes them, of a job that it has never made.
NO_JOB = "0" * 20


class Abandoned(Exception):
    """The call was given up by our own side."""


@dataclass(frozen=True)
class Order:
    """A job as the server hands it out."""

    id: str
    message: str


@dataclass(frozen=True)
class Answer:
    """What a poll brought: a job or none, and the jobs somebody wants stopped."""

    order: Order | None = None
    cancel: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """How many bytes of a job's output the server has, and what it wants of the job."""

    have: int
    cancel: bool = False
    full: bool = False


@dataclass(frozen=True)
class Address:
    """A server's URL, taken apart once."""

    secure: bool
    host: str
    port: int | None
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"server {url!r}: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"server {url!r}: write it as https://host or https://host/path")
        if parts.username or parts.query or parts.fragment:
            raise ConfigError(
                f"server {parts.hostname}: only scheme, host, port and path belong here"
            )
        if not re.fullmatch(r"[\x21-\x7e]*", parts.path):
            raise ConfigError(f"server {url!r}: write the path percent-encoded")
        return cls(parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/"))

    def proxy(self) -> Proxy | None:
        """In clear there is none: whoever calls a server that way has it near."""
        return proxy_for(self.host, self.port or HTTPS) if self.secure else None

    def connection(self, timeout: float, proxy: Proxy | None) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        host, port = (proxy.host, proxy.port) if proxy else (self.host, self.port)
        context = ssl.create_default_context()
        line = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        if proxy:
            line.set_tunnel(self.host, self.port or HTTPS, proxy.headers)
        return line


class Client:
    """One connection, for one thread; only `abandon` may be called from another."""

    def __init__(self, server: str, token: str | None, timeout: float = 10.0) -> None:
        """Without a token only `status` and `enrol` are answered."""
        if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ConfigError("the token is empty or holds blanks or foreign characters")
        self._address = Address.parse(server)
        self._proxy = self._address.proxy()
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": USER_AGENT,
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        # The server's own word on what time it is, as of its last answer.
        self.date = ""
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._abandoned = threading.Event()

    def status(self) -> None:
        self._call("GET", "/status")

    def poll(
        self, wait: int, slots: int, journal: str | None = None, holding: Iterable[str] = ()
    ) -> Answer:
        """Ask for a job; a server that can holds the call open for up to `wait` seconds."""
        asked = {"wait": str(wait), "slots": str(slots)}
        if journal is not None:
            asked.update(journal=journal, holding=",".join(holding))
        body = self._call("GET", f"/agent/job?{urlencode(asked, safe=',')}", patience=wait)
        return understand(body)

    def report(self, job: str, verb: str, result: str) -> None:
        """`verb` is running, succeed, fail or canceled."""
        self._call("PUT", f"/agent/jobs/{quote(job, safe='')}/{verb}", {"result": clean(result)})

    def submit(self, path: str, fields: Mapping[str, str]) -> None:
        self._call("POST", path, {name: clean(text) for name, text in fields.items()})

    def output(self, job: str, offset: int, text: str) -> Kept:
        """`offset` is how many bytes of UTF-8 came before this text."""
        path = f"/agent/jobs/{quote(job, safe='')}/output"
        return kept(self._call("POST", path, {"offset": offset, "text": text}))

    def hello(self, offer: Mapping[str, object]) -> bool:
        """Whether the server knows what to do with it."""
        try:
            self._call("POST", "/agent/hello", offer)
        except (Refused, Unreachable) as error:
            if error.status not in UNKNOWN_PATH:
                raise
            return False
        return True

    def prove_token(self) -> bool:
        """Whether the server knew how to answer that. An older one is told of how a job goes that
        nobody has, which it refuses to those whose token it knows; that counts as a sign of life.

        Raises BadToken."""
        try:
            self._call("GET", "/agent/self")
        except (Refused, Unreachable) as error:
            if error.status not in UNKNOWN_PATH:
                raise
        else:
            return True
        try:
            self.report(NO_JOB, "running", "")
        except Refused as error:
            if isinstance(error, BadToken):
                raise
        return False

    def enrol(self, fields: Mapping[str, str]) -> object:
        return self._call("POST", "/agent/enrol", fields)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abandon(self) -> None:
        """End the call under way, from another thread; calls raise Abandoned until `resume`."""
        self._abandoned.set()
        connection = self._connection
        sock = connection.sock if connection else None
        try:
            if sock is not None:
                # Past SSLSocket.shutdown, which would take the TLS state from under the reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass

    def resume(self) -> None:
        self._abandoned.clear()

    def _call(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        patience: float = 0,
    ) -> object:
        body = None if fields is None else json.dumps(fields).encode()
        reused = self._connection is not None
        try:
            return self._attempt(method, path, body, patience)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            self._check_abandoned(error)
            if not (reused and isinstance(error, ConnectionError)):
                raise Unreachable(reason(error)) from error
        # A server may close a quiet connection at the very moment we use it again.
        return self._call(method, path, fields, patience)

    def _attempt(self, method: str, path: str, body: bytes | None, patience: float) -> object:
        connection = self._connect()
        connection.sock.settimeout(patience + self._timeout)
        connection.request(method, self._address.path + path, body, self._headers)
        with connection.getresponse() as response:
            content = response.read(LARGEST_ANSWER + 1)
        if len(content) > LARGEST_ANSWER:
            self.close()
            raise Unreachable("the answer is larger than any that Skadi gives")
        self.date = response.getheader("Date") or ""
        if response.will_close:
            self.close()
        return judge(response.status, content, response.getheader("Location") or "")

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._address.connection(self._timeout, self._proxy)
            self._connection.connect()
        self._check_abandoned(None)
        return self._connection

    def _check_abandoned(self, cause: Exception | None) -> None:
        if self._abandoned.is_set():
            self.close()
            raise Abandoned from cause


def reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def judge(status: int, content: bytes, location: str) -> object:
    """The parsed body of a success; everything else raises."""
    if 200 <= status < 300:
        return parse(content) if content else None
    if status == 401:
        raise BadToken
    if 300 <= status < 400:
        raise Unreachable(
            f"it sends us on ({status}) to {location}; if that is right, make it the server",
            status,
        )
    if status >= 500 or status in PASSING:
        text = f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
        raise Unreachable(text, status)
    error = parse(content, status)
    if not isinstance(error, dict) or not isinstance(error.get("error"), str):
        text = f"it answers {status} as Skadi does not; is the address right?"
        raise Unreachable(text, status)
    raise Refused(status, error["error"], str(error.get("message", "")))


def parse(content: bytes, status: int = 0) -> object:
    try:
        return json.loads(content)
    except ValueError:
        text = "it answers something that is no JSON; is the address right?"
        raise Unreachable(text, status) from None


def kept(body: object) -> Kept:
    if isinstance(body, dict):
        have, full = body.get("have"), body.get("full") is True
        if (isinstance(have, int) and have >= 0) or full:
            return Kept(have if isinstance(have, int) else 0, body.get("cancel") is True, full)
    raise Unreachable("it answers a piece of output with something else than how much it has")


def understand(body: object) -> Answer:
    if body is None:
        return Answer()
    if not isinstance(body, dict):
        raise Unreachable("it answers a poll with something that is no job")
    cancel = body.get("cancel")
    ids = (
        tuple(each for each in cancel if isinstance(each, str)) if isinstance(cancel, list) else ()
    )
    return Answer(order_of(body), ids)


def order_of(body: Mapping[str, object]) -> Order | None:
    job, message = body.get("id"), body.get("message")
    if job is None and "cancel" in body:
        return None
    if not isinstance(job, str) or not isinstance(message, str):
        raise Unreachable("it answers a poll with something that is no job")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", job):
        raise Unreachable("it answers a poll with an id that is none of Skadi's")
    return Order(job, clean(message))
