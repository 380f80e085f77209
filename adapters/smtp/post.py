"""Where answers go: to a smarthost, or into a Maildir on this machine."""

from __future__ import annotations

import asyncio
import mailbox
import os
import ssl
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiosmtplib
import dkim

from adapters.smtp.answer import Answer
from adapters.smtp.options import Server
from core.chat import DeliveryError

SECONDS = 30.0
MOST_AT_ONCE = 5
SIGNED = (
    *("from", "from", "to", "reply-to", "subject", "date", "message-id", "in-reply-to"),
    *("references", "mime-version", "content-type", "content-transfer-encoding", "auto-submitted"),
)
"""From twice: a second one cannot be added then."""


class Post(Protocol):
    place: str
    """For people: where answers go."""

    async def deliver(self, answer: Answer) -> None:
        """Raises DeliveryError."""


class Smarthost:
    def __init__(
        self, server: Server, *, sender: str, domain: str, context: ssl.SSLContext | None
    ) -> None:
        self.place = f"{server.host}:{server.port}"
        self._server, self._sender, self._domain, self._context = server, sender, domain, context
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def deliver(self, answer: Answer) -> None:
        async with self._turns:
            try:
                await self._send(answer)
            except Exception as error:
                raise judge(error) from error

    async def _send(self, answer: Answer) -> None:
        server = self._server
        await aiosmtplib.send(
            answer.raw,
            sender=self._sender,
            recipients=[answer.recipient],
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=self._context,
            local_hostname=self._domain,
            timeout=SECONDS,
        )


def judge(error: Exception) -> DeliveryError:
    """Permanent is what the smarthost says of this mail; a refusal of ourselves can be mended."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return judge(first)
        case (
            aiosmtplib.SMTPRecipientRefused()
            | aiosmtplib.SMTPSenderRefused()
            | aiosmtplib.SMTPDataError()
        ):
            # 530 asks for a password: not this mail is wrong, but our settings.
            return DeliveryError(said(error), permanent=error.code >= 500 and error.code != 530)
        case aiosmtplib.SMTPResponseException():
            return DeliveryError(said(error), permanent=False)
    return DeliveryError(f"the smarthost is away: {type(error).__name__}", permanent=False)


def said(error: aiosmtplib.SMTPResponseException) -> str:
    return f"the smarthost said {error.code} {' '.join(error.message.split())[:300]}"


class Maildir:
    """For a machine without a smarthost: every answer is a file that mail programs can read."""

    def __init__(self, folder: Path, threads: Executor) -> None:
        self.place = str(folder)
        self._folder, self._threads = folder, threads

    async def deliver(self, answer: Answer) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._add, answer.raw)
        except OSError as error:
            raise DeliveryError(f"{self.place}: {error.strerror}", permanent=False) from error

    def _add(self, raw: bytes) -> None:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        mailbox.Maildir(self._folder, create=True).add(raw)
        sync_folder(self._folder / "new")


def sync_folder(folder: Path) -> None:
    """The file was flushed when it was written; its name is in the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs our mails by DKIM, for smarthosts that do not."""

    domain: str
    selector: str
    key: bytes

    def sign(self, raw: bytes) -> bytes:
        """Raises ValueError if the key is none."""
        head = raw.partition(b"\r\n\r\n")[0]
        present = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")}
        names = [name.encode() for name in SIGNED if name.encode() in present]
        try:
            header = dkim.sign(
                raw,
                self.selector.encode(),
                self.domain.encode(),
                self.key,
                canonicalize=(b"relaxed", b"relaxed"),
                include_headers=names,
            )
        except (dkim.DKIMException, ValueError) as error:
            raise ValueError(str(error)) from error
        return bytes(header) + raw
