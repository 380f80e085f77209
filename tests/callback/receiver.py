"""Programs that are called back: real servers, which take only what is signed for them; and names."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer
from standardwebhooks import Webhook, WebhookVerificationError

Speak = Callable[[asyncio.StreamWriter], Awaitable[None]]
Answer = bytes | Speak

SILENT = "silent.example"
"""For names below this one the name server never answers."""
THANKS = b"HTTP/1.1 204 No Content\r\n\r\n"


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def silence(_writer: asyncio.StreamWriter) -> None:
    """Say nothing until they hang up."""
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Call:
    """One POST, as it came in."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """`secret`: what a call must be signed with, by the judgement of the rules' own library. `answers`:
    one a call; when there are none left, thanks."""

    secret: str = ""
    answers: list[Answer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    forged: int = 0
    connections: int = 0
    names: list[str] = field(default_factory=list)
    """What callers took us for, by TLS."""
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                call = await read_call(reader)
                answer = self.judge(call)
                if not isinstance(answer, bytes):
                    return await answer(writer)
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def judge(self, call: Call) -> Answer:
        if self.secret:
            try:
                Webhook(self.secret).verify(call.body, call.headers)
            except WebhookVerificationError:
                self.forged += 1
                return status(401)
        self.calls.append(call)
        return self.answers.pop(0) if self.answers else THANKS

    @property
    def told(self) -> list[str]:
        return [call.event["status"] for call in self.calls]

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


async def read_call(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _version = first.split()
    assert method == "POST"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Call(target, headers, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def receiving(
    *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(receiver.serve(reader, writer))
        conversations.add(task)
        await task

    if tls:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
    server = await asyncio.start_server(serve, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


# Names.


@dataclass
class Names(BaseResolver):  # type: ignore[misc]
    """A name server whose answers a test may change from one question to the next: each list of
    addresses answers one question of its kind, the last one all that follow."""

    known: dict[str, list[list[str]]]
    asked: list[tuple[str, str]] = field(default_factory=list)
    mute: set[tuple[str, str]] = field(default_factory=set)
    """Names and kinds that are never answered, besides those below SILENT."""

    def resolve(self, request: DNSRecord, _handler: DNSHandler) -> DNSRecord:
        name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
        earlier = self.asked.count((name, kind))
        self.asked.append((name, kind))
        if name.endswith(f".{SILENT}") or (name, kind) in self.mute:
            raise DNSError("The server drops what it cannot read, and this as well.")
        reply = request.reply()
        if name not in self.known:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        answers = self.known[name]
        for address in answers[min(earlier, len(answers) - 1)]:
            if kind == ("AAAA" if ":" in address else "A"):
                data = AAAA(address) if ":" in address else A(address)
                reply.add_answer(RR(request.q.qname, request.q.qtype, rdata=data, ttl=0))
        return reply


@contextmanager
def naming(**known: Sequence[Sequence[str]]) -> Iterator[tuple[Names, str]]:
    """A name server for `<key>.example`, and `address:port` of it."""
    names = Names(
        {f"{key}.example": [list(each) for each in value] for key, value in known.items()}
    )
    server = DNSServer(
        names, address="127.0.0.1", port=0, logger=DNSLogger("-request,-reply,-error")
    )
    server.start_thread()
    try:
        yield names, f"127.0.0.1:{server.server.server_address[1]}"
    finally:
        server.stop()
        server.server.server_close()
        server.thread.join(5)
