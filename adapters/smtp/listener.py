"""One client's conversation with us in SMTP, and the door that counts and closes them all.

aiosmtpd speaks the protocol. What is replaced here is its reading of a letter: it takes many times
the letter's size in memory if its lines are short, and refuses lines that are long."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Session, syntax

from adapters.smtp.desk import Desk, Errand
from adapters.smtp.options import Options

# It logs at INFO whom mails are for, secret addresses included, and at WARNING what it did not
# understand, which may be a password.
for _name in ("mail.log", "mail.debug"):
    logging.getLogger(_name).setLevel(logging.ERROR)

READ = 64 * 1024
MOST = 16 * READ
"""More than the reader ever holds: it stops the client at twice READ."""
DOT = b".\r\n"
MEMORY = 64 * 1024 * 1024
"""Of letters that are being received or taken in, all together."""
LEAVING = 10.0
"""Seconds that clients have to leave when we close."""
LONGEST_COMMAND = 512
CALLS = {"MAIL": 1000, "RCPT": 1000, "DATA": 1000, "RSET": 1000, "AUTH": 5, "*": 50}
"""How often a client may give a command. A mail server in front of us stays for many mails."""
TAKING = 40.0
"""Seconds a client waits for our verdict at most, before we think it gone."""

FULL = b"421 4.7.0 Too many connections, come back later\r\n"
CLOSING = b"421 4.3.2 Closing, come back later\r\n"
TOO_BIG = "552 5.3.4 The mail is too big"
NO_ROOM = "452 4.3.1 Too many mails at once, come back later"


@dataclass(frozen=True, slots=True)
class Limits:
    size: int
    connections: int
    connections_per_host: int
    idle: float
    data: float


def read_limits(options: Options) -> Limits:
    return Limits(
        options.size_limit,
        options.max_connections,
        options.max_connections_per_host,
        options.idle_timeout.total_seconds(),
        options.data_timeout.total_seconds(),
    )


class Door:
    """Who is in, and how much they hold."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.memory = 0
        self.closing = False
        self._inside: set[Conversation] = set()
        self._hosts: Counter[str] = Counter()
        self._empty = asyncio.Event()

    def enter(self, client: Conversation, host: str) -> bool:
        full = len(self._inside) >= self.limits.connections
        if self.closing or full or self._hosts[host] >= self.limits.connections_per_host:
            return False
        self._inside.add(client)
        self._hosts[host] += 1
        return True

    def leave(self, client: Conversation, host: str) -> None:
        if client in self._inside:
            self._inside.remove(client)
            self._hosts[host] -= 1
            self._hosts += Counter()  # forgets those at zero
        if not self._inside:
            self._empty.set()

    async def close(self) -> None:
        """Those who wait for a verdict get it; all others are sent away at once."""
        self.closing = True
        for client in list(self._inside):
            client.dismiss()
        if self._inside:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), LEAVING)
        for client in list(self._inside):
            client.abort()


class Conversation(SMTP):
    # The longest line of a command; a letter's lines have no limit of their own.
    line_length_limit = READ

    def __init__(self, door: Door, desk: Desk, **settings: Any) -> None:
        super().__init__(desk, **settings)
        # The library shares one table among all clients, and it grows with every EHLO.
        self.command_size_limits = defaultdict(lambda: LONGEST_COMMAND)
        self._door, self._desk = door, desk
        self._host = ""
        self._refused = self._held = False

    def _create_envelope(self) -> Errand:
        return Errand()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._original_transport is None and not self._admit(cast(asyncio.Transport, transport)):
            return
        super().connection_made(transport)

    def _admit(self, transport: asyncio.Transport) -> bool:
        self._host = str((transport.get_extra_info("peername") or ("",))[0])
        self._refused = not self._door.enter(self, self._host)
        if self._refused:
            transport.write(FULL)
            transport.close()
        return not self._refused

    def connection_lost(self, error: Exception | None) -> None:
        if not self._refused:
            self._door.leave(self, self._host)
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return None if self._refused else super().eof_received()

    def dismiss(self) -> None:
        if self._held or self.transport is None or self.transport.is_closing():
            return
        if self._tls_protocol and not (self.session and self.session.ssl):
            self.abort()  # In the midst of the handshake nothing can be said.
        else:
            self._writer.write(CLOSING)
            self.transport.close()

    def abort(self) -> None:
        outer = self._original_transport or self.transport
        if outer is not None:
            cast(asyncio.Transport, outer).abort()

    async def smtp_MAIL(self, arg: str | None) -> None:
        # Some mail servers send it as soon as AUTH is offered (RFC 4954 section 5).
        await super().smtp_MAIL(re.sub(r"(?i)\s+AUTH=\S*", "", arg) if arg else arg)

    async def smtp_AUTH(self, arg: str | None) -> None:
        # The names of mechanisms have no case (RFC 4422 section 3.1).
        mechanism, blank, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(mechanism.upper() + blank + rest)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        if not cast(Errand, self.envelope).claims or arg:
            await self.push("501 Syntax: DATA" if arg else "503 Error: need RCPT command")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        letter = Receiver(self._door)
        try:
            await self._receive(letter)
        finally:
            self._held = False
            letter.drop()
        self.envelope = self._create_envelope()
        self._reset_timeout()
        if self._door.closing:
            self.dismiss()

    async def _receive(self, letter: Receiver) -> None:
        self._reset_timeout(self._door.limits.data)
        await letter.read(self._reader)
        self._reset_timeout(max(TAKING, self._door.limits.idle))
        self._held = True
        session, errand = cast(Session, self.session), cast(Errand, self.envelope)
        await self.push(letter.refusal or await self._desk.take(session, errand, letter.content()))


class Receiver:
    """Reads one letter to the line that is a single dot; only CR LF ends a line (RFC 5321
    section 4.1.1.4), so that nobody hides a second letter in the first."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept = bytearray()
        self._size = self._held = 0
        self.refusal = ""

    async def read(self, reader: asyncio.StreamReader) -> None:
        before = b"\r\n"  # the end of the command's own line
        while piece := await reader.read(MOST):
            whole = before + piece
            end = whole.find(b"\r\n" + DOT)
            if end >= 0:
                length = end + len(b"\r\n" + DOT) - len(before)
                self._add(piece[:length])
                self._give_back(reader, piece[length:])
                return
            self._add(piece)
            before = whole[-4:]
        raise ConnectionResetError("the client left in the midst of a letter")

    def _give_back(self, reader: asyncio.StreamReader, rest: bytes) -> None:
        """Commands that came together with the letter. The reader is empty, so the order stays."""
        if rest and not reader.at_eof():
            reader.feed_data(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        limits = self._door.limits
        if self._size > limits.size + len(DOT):
            self._refuse(TOO_BIG)
        elif self._door.memory + len(piece) > max(MEMORY, limits.size + len(DOT)):
            self._refuse(NO_ROOM)
        if not self.refusal:
            self._kept += piece
            self._held += len(piece)
            self._door.memory += len(piece)

    def _refuse(self, answer: str) -> None:
        """Said when the client has sent all; until then what comes is thrown away."""
        self.refusal = self.refusal or answer
        self.drop()

    def drop(self) -> None:
        self._door.memory -= self._held
        self._held = 0
        self._kept = bytearray()

    def content(self) -> bytes:
        """The letter, its doubled dots made single again."""
        whole = bytes(self._kept[: -len(DOT)])
        self._kept = bytearray()
        undotted = whole[1:] if whole.startswith(b".") else whole
        return undotted.replace(b"\r\n.", b"\r\n")


def make_factory(
    door: Door,
    desk: Desk,
    *,
    hostname: str,
    tls: ssl.SSLContext | None,
    auth_needs_tls: bool,
    loop: asyncio.AbstractEventLoop,
) -> Callable[[], Conversation]:
    """What the loop calls for each client."""
    return lambda: Conversation(
        door,
        desk,
        # Without a name the library asks the DNS for one, and all wait.
        hostname=hostname,
        ident="Skadi",
        loop=loop,
        tls_context=tls,
        auth_require_tls=auth_needs_tls,
        data_size_limit=door.limits.size,
        enable_SMTPUTF8=True,
        timeout=door.limits.idle,
        command_call_limit=CALLS,
    )
