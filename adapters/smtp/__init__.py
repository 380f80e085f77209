"""Mail: commands come to an address of ours, answers go back in their thread.

In:   listener speaks SMTP, counts and limits; desk answers, and outage says in our log why it puts
      mails off; letter reads a mail as it really is
      (headers, charsets, hypertext, quotes, machines); proof finds what proves its sender
      (signature, return_address); message makes of it what the bot is given.
Out:  courier sends; answer makes a mail of a reply (markup, conversation); post carries it away.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dns.exception import DNSException

from adapters import Surroundings
from adapters.smtp.addresses import Addresses, read_address
from adapters.smtp.answer import LONGEST
from adapters.smtp.checkup import check, mailbox
from adapters.smtp.courier import Courier
from adapters.smtp.desk import Desk
from adapters.smtp.listener import Door, make_factory, read_limits
from adapters.smtp.options import (
    Options,
    client_tls,
    read_file,
    read_smarthost,
    refuse_faults,
    server_tls,
)
from adapters.smtp.outage import Outage
from adapters.smtp.post import Maildir, Post, Signer, Smarthost
from adapters.smtp.proof import PLATFORM, Prover
from adapters.smtp.return_address import ReturnAddresses
from adapters.smtp.signature import FindKey, KeyDirectory, Verifier
from core.chat import Abilities, Reply
from core.errors import SettingsError

__all__ = ["Options", "Smtp", "check", "mailbox", "make", "read_subject"]

ACCEPTS_AFTER = 10.0
"""Seconds: who gets the end of a job sooner than that needs no mail about its beginning."""


def make(name: str, options: Options, around: Surroundings) -> Smtp:
    """Raises SettingsError."""
    refuse_faults(name, options)
    return Smtp(name, options, around)


def read_subject(text: str) -> str | None:
    """As in a message's sender_id, by the same reading of the address."""
    address = read_address(text.removeprefix("-/"))
    return f"-/{address}" if address else None


class Smtp:
    """A Listener of the port."""

    platform = PLATFORM
    abilities = Abilities(threads=True, files=True, longest=LONGEST, accepts_after=ACCEPTS_AFTER)

    def __init__(self, name: str, options: Options, around: Surroundings) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.bound: tuple[str, int] = (options.host, options.port)
        """Where the listener is, once `ready`."""
        self._options, self._around = options, around
        self._letters = ThreadPoolExecutor(2, f"{name}-letters")
        self._proofs = ThreadPoolExecutor(4, f"{name}-proofs")
        self._outgoing = ThreadPoolExecutor(1, f"{name}-outgoing")
        self._addresses = Addresses(
            options.address, options.domain, options.aliases, options.from_address
        )
        self._returns = ReturnAddresses(self._addresses, around.notebook, around.clock)
        self._tls = server_tls(name, options)
        self._door = Door(read_limits(options))
        self._desk = self._make_desk()
        self._post = self._make_post()
        self._courier = self._make_courier()

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        factory = make_factory(
            self._door,
            self._desk,
            hostname=self._options.domain,
            tls=self._tls,
            auth_needs_tls=self._options.require_tls_for_auth,
            loop=loop,
        )
        server = await loop.create_server(factory, self._options.host, self._options.port)
        self.bound = server.sockets[0].getsockname()[:2]
        self.ready.set()
        try:
            await loop.create_future()
        finally:
            # Not wait_closed(): from Python 3.12 on it waits for clients that only idle.
            server.close()
            await self._door.close()
            await self._desk.finish()

    async def send(self, reply: Reply) -> str | None:
        """Returns the Message-ID. Raises DeliveryError only."""
        return await self._courier.send(reply)

    async def close(self) -> None:
        await self._desk.finish()
        for threads in (self._letters, self._proofs, self._outgoing):
            threads.shutdown(wait=False, cancel_futures=True)

    def describe(self) -> str:
        """Where mail is taken and where answers go, in one line for the start-up."""
        host, port = self.bound
        return (
            f"mail to {self._addresses.command} at {host}:{port}, answers into {self._post.place}"
        )

    # The parts.

    def _make_desk(self) -> Desk:
        options, around = self._options, self._around
        prover = Prover(
            self._addresses,
            self._returns if options.signed_replies else None,
            around.keyring,
            Verifier(options.dkim_domains, self._make_directory(), around.clock),
            self._proofs,
            around.clock,
        )
        return Desk(
            adapter=self.name,
            addresses=self._addresses,
            returns=self._returns,
            keyring=around.keyring,
            prover=prover,
            inbox=around.inbox,
            clock=around.clock,
            threads=self._letters,
            max_recipients=options.max_recipients,
            offers_auth=options.auth,
            outage=Outage(around.clock),
        )

    def _make_directory(self) -> FindKey:
        if not self._options.dkim_domains:
            return lambda name, timeout: None
        try:
            return KeyDirectory(self._options.dns_server).find
        except DNSException as error:
            raise SettingsError(
                f"[adapters.{self.name}] dns_server is needed: this machine names none."
            ) from error

    def _make_post(self) -> Post:
        options = self._options
        server = read_smarthost(self.name, options)
        if server is None:
            folder = Path(options.maildir or self._around.data / "outbox")
            return Maildir(folder, self._outgoing)
        context = client_tls(self.name, options)
        return Smarthost(
            server, sender=self._addresses.sender, domain=options.domain, context=context
        )

    def _make_courier(self) -> Courier:
        options, around = self._options, self._around
        return Courier(
            addresses=self._addresses,
            returns=self._returns if options.signed_replies else None,
            notebook=around.notebook,
            post=self._post,
            signer=self._make_signer(),
            clock=around.clock,
            threads=self._outgoing,
            answers_per_hour=options.answers_per_hour,
            remark=around.remark,
        )

    def _make_signer(self) -> Signer | None:
        options = self._options
        if not options.dkim_key:
            return None
        key = read_file(self.name, "dkim_key", options.dkim_key)
        signer = Signer(self._addresses.sender.rpartition("@")[2], options.dkim_selector, key)
        try:
            signer.sign(b"From: somebody@example.org\r\n\r\nA letter.\r\n")
        except ValueError as error:
            raise SettingsError(
                f"[adapters.{self.name}] dkim_key is a file with an RSA key in PEM."
            ) from error
        return signer
