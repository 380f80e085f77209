"""A mail adapter at work: a real listener, real clients, and the house around it kept small."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from zlib import crc32

from adapters import Surroundings
from adapters.smtp import Options, Smtp
from bots.words import remark
from core.chat import Message, Reply
from tests.clock import Clock

OWNER = "ada@corp.example"
TEAMMATE = "ben@corp.example"
STRANGER = "eve@evil.example"
SECRET = "abcdefghijklmnopqrstuvwxyz"
COMMAND = "agent@skadi.example"
SECRET_COMMAND = f"agent+{SECRET}@skadi.example"

Answer = tuple[int, str]


class Notes:
    """A notebook that lives as long as the test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: dict[str, tuple[Any, Any]] = {}

    async def get(self, key: str) -> Any | None:
        value, until = self.kept.get(key, (None, None))
        return value if until is None or self._clock() < until else None

    async def put(self, key: str, value: Any, seconds: float | None = None) -> None:
        until = self._clock() + timedelta(seconds=seconds) if seconds else None
        self.kept[key] = (value, until)

    async def add(self, key: str, amount: int, seconds: float) -> int:
        count = (await self.get(key) or 0) + amount
        until = self.kept[key][1] if count > amount else self._clock() + timedelta(seconds=seconds)
        self.kept[key] = (count, until)
        return count

    async def once(self, key: str, seconds: float) -> bool:
        return await self.add(key, 1, seconds) == 1


class Keys:
    """A keyring with one token of the owner's, and what is put on it besides."""

    def __init__(self) -> None:
        self.holders = {SECRET: ("account-ada", "token:1")}
        self.people: dict[str, str] = {}
        self.asked: list[str] = []

    async def holder(self, secret: str) -> tuple[str, str] | None:
        self.asked.append(secret)
        return self.holders.get(secret)

    async def alive(self, requested_by: str) -> bool:
        return any(token == requested_by for _, token in self.holders.values())

    async def speaks(self, account_id: str, platform: str, subject: str) -> bool:
        return self.people.get(subject, account_id) == account_id


class Inbox:
    """Keeps what it is given; or fails, or takes its time, as a test wants."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def __call__(self, message: Message) -> Reply | None:
        self.entered.set()
        await self.gate.wait()
        if self.failure:
            raise self.failure
        self.messages.append(message)
        return None

    @property
    def only(self) -> Message:
        [message] = self.messages
        return message


@dataclass
class Office:
    adapter: Smtp
    inbox: Inbox
    keys: Keys
    notes: Notes
    clock: Clock
    data: Path
    listening: asyncio.Task[None] | None = None
    clients: list[Client] = field(default_factory=list)

    async def post(self, raw: bytes, to: str | list[str] = SECRET_COMMAND, **more: Any) -> Answer:
        """Hand in a mail as a mail program does; the first refusal, or the verdict."""
        host, port = self.adapter.bound
        return await asyncio.to_thread(post, host, port, raw, to, **more)

    async def call(self) -> Client:
        client = await Client.connect(*self.adapter.bound)
        self.clients.append(client)
        return client

    def letter(self, text: str = "web-1 uptime", sender: str = OWNER, **headers: str) -> bytes:
        return letter(text, sender, date=self.clock(), **headers)


@asynccontextmanager
async def at_work(clock: Clock, data: Path, **options: Any) -> AsyncIterator[Office]:
    office = build(clock, data, **options)
    office.listening = asyncio.create_task(office.adapter.listen())
    await asyncio.wait_for(office.adapter.ready.wait(), 5)
    try:
        yield office
    finally:
        for client in office.clients:
            client.hang_up()
        office.inbox.gate.set()
        office.listening.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(office.listening, 15)
        await office.adapter.close()


def build(clock: Clock, data: Path, **options: Any) -> Office:
    inbox, keys, notes = Inbox(), Keys(), Notes(clock)
    around = Surroundings(
        inbox=inbox, notebook=notes, keyring=keys, clock=clock, data=data, remark=remark
    )
    settings = {"port": 0, "domain": "skadi.example", **options}
    return Office(Smtp("mail", Options(**settings), around), inbox, keys, notes, clock, data)


def letter(text: str, sender: str, *, date: Any, **headers: str) -> bytes:
    """A plain mail; `message_id="<a@b>"` is the header Message-Id, `subject=""` leaves Subject out."""
    fields = {
        "From": sender,
        "To": COMMAND,
        "Subject": "a matter",
        "Date": format_datetime(date),
        "Message-Id": f"<{crc32((text + sender).encode())}@corp.example>",
        **{name.replace("_", "-").title(): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"{head}\r\n{text}\r\n".encode()


def post(
    host: str,
    port: int,
    raw: bytes,
    to: str | list[str],
    *,
    mail_from: str = "someone@corp.example",
    tls: ssl.SSLContext | None = None,
    login: Callable[[smtplib.SMTP], Any] | None = None,
) -> Answer:
    with smtplib.SMTP(host, port, "client.example", timeout=60) as client:
        client.ehlo()
        if tls:
            client.starttls(context=tls)
            client.ehlo()
        if login:
            login(client)
        steps = [client.mail(mail_from)]
        steps += [client.rcpt(address) for address in ([to] if isinstance(to, str) else to)]
        refused = next((step for step in steps if step[0] >= 400), None)
        code, text = refused or client.data(raw)
    return code, text.decode()


class Client:
    """Says exactly what a test wants said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, host: str, port: int) -> Client:
        return cls(*await asyncio.open_connection(host, port))

    async def say(self, *lines: str) -> str:
        """Say lines one after the other, each when the last was answered; the last answer."""
        answer = ""
        for line in lines:
            self.throw(f"{line}\r\n".encode())
            answer = await self.hear()
        return answer

    async def begin(self, to: str = SECRET_COMMAND) -> None:
        """Come as far as the letter itself."""
        await self.hear()
        said = await self.say(
            "EHLO client.example", "MAIL FROM:<someone@corp.example>", f"RCPT TO:<{to}>", "DATA"
        )
        assert said.startswith("354"), said

    def throw(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self) -> str:
        """One answer, its lines together; empty when the other side has hung up."""
        lines = []
        while line := (await asyncio.wait_for(self._reader.readline(), 10)).decode():
            lines.append(line)
            if not re.match(r"\d{3}-", line):
                break
        return "".join(lines)

    async def hear_all(self) -> str:
        return (await asyncio.wait_for(self._reader.read(), 10)).decode()

    def hang_up(self) -> None:
        self._writer.close()


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something is true; fail if it does not become so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 — whatever it is, it sends no signal
            await asyncio.sleep(0.01)
