"""What we answer: which address is ours, who may come in, and what becomes of a letter."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException

from adapters.smtp.addresses import Addresses, Recipient
from adapters.smtp.letter import Letter, Unreadable, read_letter
from adapters.smtp.machines import why_machine
from adapters.smtp.message import compose_message
from adapters.smtp.outage import Outage
from adapters.smtp.proof import Claim, Holder, Prover
from adapters.smtp.return_address import ReturnAddresses
from adapters.smtp.signature import KeyAway
from core.chat import Inbox, Keyring
from core.errors import Unavailable

log = logging.getLogger(__name__)

SECONDS = 30.0
"""For one letter, from its last byte to our verdict; senders wait longer."""

ACCEPTED = "250 2.0.0 Accepted"
NOTED = "250 2.0.0 Noted, nothing done: a machine wrote this"
LATER = "451 4.3.0 Not now, try again later"
KEY_AWAY = "451 4.7.5 The key of the signature cannot be asked for, try again later"
UNKNOWN = "550 5.1.1 No such address here"
TOO_MANY = "452 4.5.3 Too many recipients"
NO_SENDER = "550 5.6.0 From must be one plain address, in one line"
UNPROVEN = "550 5.7.1 Nothing proves who sent this, so nothing was done"
WELCOME = "235 2.7.0 Authenticated"
WRONG_PASSWORD = "535 5.7.8 That is no valid token"  # noqa: S105
NO_AUTH = "502 5.5.1 AUTH is not offered"


class Errand(Envelope):
    """A mail on its way in; `claims` are the recipients that were accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[Claim] = []


@dataclass(frozen=True)
class Desk:
    adapter: str
    addresses: Addresses
    returns: ReturnAddresses
    keyring: Keyring
    prover: Prover
    inbox: Inbox
    clock: Callable[[], datetime]
    threads: Executor
    max_recipients: int
    offers_auth: bool
    outage: Outage
    in_hand: set[asyncio.Task[str]] = field(default_factory=set)

    # What the protocol asks us, under the names that aiosmtpd calls.

    async def handle_EHLO(
        self, server: SMTP, session: Session, errand: Errand, name: str, lines: list[str]
    ) -> list[str]:
        session.host_name = name
        return [line for line in lines if self.offers_auth or not line.startswith("250-AUTH")]

    async def handle_RCPT(
        self, server: SMTP, session: Session, errand: Errand, address: str, options: list[str]
    ) -> str:
        if len(errand.claims) >= self.max_recipients:
            return TOO_MANY
        claim = await self._find_claim(address, errand.mail_from or "")
        if claim is None:
            return UNKNOWN
        errand.claims.append(claim)
        errand.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_AUTH(
        self, server: SMTP, session: Session, errand: Errand, args: Sequence[str]
    ) -> str | None:
        if not self.offers_auth:
            return NO_AUTH
        password = await ask_password(server, args)
        if password is None:
            return None
        holder = await self.keyring.holder(password) if password else None
        if holder is None:
            log.warning("%r gave a token by AUTH that is not valid", session.peer)
            return WRONG_PASSWORD
        session.authenticated = True
        session.auth_data = holder  # type: ignore[assignment]
        return WELCOME

    async def handle_exception(self, error: Exception) -> str:
        """What went wrong is for our log alone: mail servers send our words on to the sender."""
        if isinstance(error, TLSSetupException):
            log.info("a client could not agree with us on TLS")
        elif isinstance(error, Unavailable):
            self.outage.note(error)
        else:
            log.error("a conversation failed", exc_info=error)
        return LATER

    # Letters.

    async def take(self, session: Session, errand: Errand, content: bytes) -> str:
        """The verdict on a letter. What was begun is finished, even if the client leaves."""
        login = session.auth_data if session.authenticated else None
        task = asyncio.create_task(
            self._decide(errand.mail_from or "", tuple(errand.claims), login, content)
        )
        self.in_hand.add(task)
        task.add_done_callback(self.in_hand.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(task), SECONDS)
        except TimeoutError:
            log.error("a mail was not taken in within %d s", SECONDS)
            return LATER

    async def finish(self) -> None:
        if self.in_hand:
            await asyncio.wait(self.in_hand, timeout=SECONDS)

    async def _decide(
        self, mail_from: str, claims: Sequence[Claim], login: Holder | None, content: bytes
    ) -> str:
        try:
            letter = await asyncio.get_running_loop().run_in_executor(self.threads, study, content)
            return self._set_aside(letter, mail_from) or await self._accept(
                letter, claims, login, content
            )
        except Unreadable as error:
            return str(error)
        except KeyAway as error:
            log.warning("a signature could not be verified, the DNS said %s", error)
            return KEY_AWAY
        except Unavailable as error:
            self.outage.note(error)
            return LATER
        except Exception:
            log.exception("a mail could not be taken in")
            return LATER

    def _set_aside(self, letter: Letter, mail_from: str) -> str:
        """The verdict on what is no person's mail; empty for one that is."""
        if why := why_machine(letter, mail_from, self.addresses.sender):
            log.info("a machine's mail was set aside (%s)", why)
            return NOTED
        if letter.sender is None:
            return NO_SENDER
        if self.addresses.find(letter.sender.address):
            log.warning("a mail that bears an address of ours as its sender was set aside")
            return NOTED
        return ""

    async def _accept(
        self, letter: Letter, claims: Sequence[Claim], login: Holder | None, content: bytes
    ) -> str:
        proven = await self.prover.prove(letter, claims, login)
        if proven is None:
            log.info("a mail from %r was refused, nothing proves it", letter.sender)
            return UNPROVEN
        message = compose_message(
            letter,
            content,
            proven,
            adapter=self.adapter,
            domain=self.addresses.domain,
            now=self.clock(),
        )
        await self.inbox(message)
        self.outage.end()
        return ACCEPTED

    async def _find_claim(self, address: str, mail_from: str) -> Claim | None:
        """The recipient, if it is ours and, where it holds a secret, the secret is right."""
        match self.addresses.find(address):
            case Recipient(kind="plain") as recipient:
                return Claim(recipient)
            case Recipient(kind="bounce") as recipient if mail_from == "<>":
                return Claim(recipient)
            case Recipient(kind="token") as recipient:
                holder = await self.keyring.holder(recipient.secret)
                return Claim(recipient, holder) if holder else None
            case Recipient(kind="return") as recipient:
                ref = await self.returns.find_ref(recipient.secret)
                return Claim(recipient, ref=ref) if ref else None
        return None


def study(content: bytes) -> Letter:
    """Read all of a letter that is asked for later; for a thread, as it takes a while."""
    letter = read_letter(content)
    _ = letter.fresh, letter.attachments
    return letter


async def ask_password(server: SMTP, args: Sequence[str]) -> str | None:
    """The password by PLAIN (RFC 4616) or LOGIN; the name beside it is not looked at.

    None: the client was told already that it cannot be understood."""
    given = read_base64(args[1]) if len(args) > 1 else await challenge(server, args[0])
    if args[0] == "LOGIN" and given is not None:
        given = await challenge(server, "LOGIN", "Password")
    elif given is not None:
        given = given.rpartition(b"\0")[2] if given.count(b"\0") == 2 else b""
    return None if given is None else given.decode("utf-8", "replace")


async def challenge(server: SMTP, mechanism: str, question: str = "User Name") -> bytes | None:
    answer = await server.challenge_auth(question if mechanism == "LOGIN" else "")
    return answer if isinstance(answer, bytes) else None


def read_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""
