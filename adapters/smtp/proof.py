"""Who may command: what proves that a mail is from somebody, and from whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from adapters.smtp.addresses import Addresses, Recipient
from adapters.smtp.letter import Letter
from adapters.smtp.return_address import Bond, ReturnAddresses
from adapters.smtp.signature import Verifier
from core.chat import Keyring, Proof

PLATFORM = "smtp"
Holder = tuple[str, str]
"""(account id, `token:<id>`), as the keyring says it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A recipient that was accepted, and whose secret or thread it is the address of."""

    recipient: Recipient
    holder: Holder | None = None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """`scope`: the command address that was written to. `seal`: what identifies a signed mail.
    `thread_id`: the thread that an address of return belongs to."""

    proof: Proof
    scope: str
    proved_at: datetime
    account_id: str | None = None
    requested_by: str = ""
    seal: str = ""
    thread_id: str = ""


class Prover:
    def __init__(
        self,
        addresses: Addresses,
        returns: ReturnAddresses | None,
        keyring: Keyring,
        verifier: Verifier,
        threads: Executor,
        clock: Callable[[], datetime],
    ) -> None:
        """`returns`: None where answers carry no address of return; old ones prove nothing then."""
        self._addresses, self._returns, self._keyring = addresses, returns, keyring
        self._verifier, self._threads, self._clock = verifier, threads, clock

    async def prove(
        self, letter: Letter, claims: Sequence[Claim], login: Holder | None
    ) -> Proven | None:
        """The strongest proof there is; None: anybody may have written this. Raises KeyAway.

        A token may have been revoked since this conversation began, so that each is asked for
        again."""
        claimed = [(claim.holder, claim) for claim in claims if claim.holder]
        if len({account for (account, _), _ in claimed} | ({login[0]} if login else set())) > 1:
            return None  # It cannot be one account's command, whichever of them holds.
        login = login if await self._holds(login, letter) else None
        held = [each for each in claimed if await self._holds(each[0], letter)]
        if login:
            return self._by_secret("auth", login, claims[0])
        for holder, claim in held:
            return self._by_secret("token", holder, claim)
        return await self._by_return(letter, claims) or await self._by_domain(letter, claims)

    async def _holds(self, holder: Holder | None, letter: Letter) -> bool:
        """Nor may anybody write in the name of another account's person, who would get the answer."""
        if holder is None or not await self._keyring.alive(holder[1]):
            return False
        subject = f"-/{letter.sender.address}" if letter.sender else ""
        return await self._keyring.speaks(holder[0], PLATFORM, subject)

    def _by_secret(self, proof: Proof, holder: Holder, claim: Claim) -> Proven:
        return Proven(proof, claim.recipient.address, self._clock(), *holder)

    async def _by_return(self, letter: Letter, claims: Sequence[Claim]) -> Proven | None:
        for claim in claims:
            bond = await self._bond(claim)
            if bond and letter.sender and letter.sender.address == bond.person:
                return Proven(
                    proof="token",
                    scope=self._addresses.command,
                    proved_at=bond.proved_at,
                    account_id=bond.account_id,
                    requested_by=bond.requested_by,
                    thread_id=bond.thread_id,
                )
        return None

    async def _bond(self, claim: Claim) -> Bond | None:
        bond = await self._returns.bond(claim.ref) if self._returns and claim.ref else None
        if bond and bond.requested_by and not await self._keyring.alive(bond.requested_by):
            return None
        return bond

    async def _by_domain(self, letter: Letter, claims: Sequence[Claim]) -> Proven | None:
        if letter.sender is None or not self._verifier.trusts(letter.sender.domain):
            return None
        seal = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._verifier.seal, letter, self._is_ours
        )
        if seal is None:
            return None
        return Proven("dkim", self._addresses.command, self._clock(), seal=seal.digest)

    def _is_ours(self, address: str) -> bool:
        return self._addresses.find(address) is not None
