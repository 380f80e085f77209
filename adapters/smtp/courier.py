"""Outbound: a reply becomes a mail, with an address to write back to, and is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from email.errors import MessageError

from adapters.smtp.addresses import Addresses
from adapters.smtp.answer import Answer, compose
from adapters.smtp.conversation import digest
from adapters.smtp.post import Post, Signer
from adapters.smtp.return_address import Bond, ReturnAddresses
from core.chat import DeliveryError, Notebook, Reply

HOUR = 3600.0
PAUSE = 600.0
"""Seconds to wait where an address had its share of answers."""


@dataclass(frozen=True, slots=True)
class Courier:
    """`returns`: None where answers carry no address that proves who writes back. `remark`: as in
    adapters.Surroundings."""

    addresses: Addresses
    returns: ReturnAddresses | None
    notebook: Notebook
    post: Post
    signer: Signer | None
    clock: Callable[[], datetime]
    threads: Executor
    answers_per_hour: int
    remark: Callable[[str, str], str]

    async def send(self, reply: Reply) -> str:
        """Returns the Message-ID. Raises DeliveryError only."""
        try:
            return await self._send(reply)
        except DeliveryError:
            raise
        except (ValueError, MessageError) as error:
            raise DeliveryError(f"no mail can be made of it: {error}", permanent=True) from error
        except Exception as error:
            raise DeliveryError(f"mail failed: {type(error).__name__}", permanent=False) from error

    async def _send(self, reply: Reply) -> str:
        person = reply.thread.channel_id
        if self.addresses.find(person):
            raise DeliveryError("the thread leads back to ourselves", permanent=True)
        async with self._share(person) as last:
            answer = await self._compose(self._end(reply) if last else reply)
            await self.post.deliver(answer)
        return answer.message_id

    @asynccontextmanager
    async def _share(self, person: str) -> AsyncIterator[bool]:
        """One of the answers that an address gets within an hour; whether it is the last of them.
        It is given back when it does not get through."""
        note = f"answers:{digest(person)}"
        count = await self.notebook.add(note, 1, HOUR)
        try:
            if count > self.answers_per_hour:
                raise DeliveryError(
                    f"{self.answers_per_hour} answers went to this address within an hour",
                    permanent=False,
                    retry_after=PAUSE,
                )
            yield count == self.answers_per_hour
        except BaseException:
            await self.notebook.add(note, -1, HOUR)
            raise

    def _end(self, reply: Reply) -> Reply:
        """So that nobody waits in vain for the others."""
        return replace(reply, text=f"{reply.text}\n\n{self.remark(reply.language, 'brake')}")

    async def _compose(self, reply: Reply) -> Answer:
        reply_to = await self._reply_to(reply) or self.addresses.command
        return await asyncio.get_running_loop().run_in_executor(
            self.threads, self._write, reply, reply_to
        )

    async def _reply_to(self, reply: Reply) -> str | None:
        """For those who have proven themselves in this thread, lately enough."""
        ref = reply.thread.ref
        if self.returns is None or not ref.get("proved_at"):
            return None
        bond = Bond(
            person=reply.thread.channel_id,
            account_id=ref.get("account"),
            requested_by=ref.get("requested_by") or "",
            thread_id=reply.thread.thread_id,
            proved_at=datetime.fromisoformat(ref["proved_at"]),
        )
        return await self.returns.give(bond)

    def _write(self, reply: Reply, reply_to: str) -> Answer:
        answer = compose(
            reply,
            sender=self.addresses.sender,
            domain=self.addresses.domain,
            reply_to=reply_to,
            now=self.clock(),
        )
        return replace(answer, raw=self.signer.sign(answer.raw)) if self.signer else answer
