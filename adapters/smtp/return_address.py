"""Addresses that come with an answer: who writes back to one has proven whose thread it is."""

from __future__ import annotations

import secrets
from base64 import b32encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from adapters.smtp.addresses import Addresses
from core.chat import Notebook

VALID = timedelta(days=7)
KNOWN = timedelta(days=30)
"""So long an address that proves nothing any more is still taken for one of ours: a mail to it may
be proven otherwise."""
SECRET_LENGTH = 26
"""Characters of five bits each; with `agent+r.` before them within the 64 of a local part."""
LONGEST_LOCAL = 64 - len("+r.") - SECRET_LENGTH
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Bond:
    """What an address of return stands for. `proved_at`: when a proof of another kind was given;
    a mail sent to the address is none that would prolong it."""

    person: str
    account_id: str | None
    requested_by: str
    thread_id: str
    proved_at: datetime

    @property
    def until(self) -> datetime:
        return self.proved_at + VALID


class ReturnAddresses:
    """Of an address only the hash of its secret is kept, so that who reads what we keep cannot
    write to it."""

    def __init__(
        self, addresses: Addresses, notebook: Notebook, clock: Callable[[], datetime]
    ) -> None:
        self._addresses, self._notebook, self._clock = addresses, notebook, clock
        self._given: OrderedDict[Bond, str] = OrderedDict()

    async def give(self, bond: Bond) -> str | None:
        """For a bond that is the same mostly the same address, as long as this process lives.
        None: it is too late for one."""
        left = bond.until - self._clock()
        if left <= timedelta(0):
            return None
        kept = {**asdict(bond), "proved_at": bond.proved_at.isoformat()}
        secret = self._find_secret(bond)
        await self._notebook.put(note(hash_secret(secret)), kept, (left + KNOWN).total_seconds())
        return self._addresses.extend(f"r.{secret}")

    def _find_secret(self, bond: Bond) -> str:
        secret = self._given.setdefault(bond, new_secret())
        self._given.move_to_end(bond)
        if len(self._given) > MOST_REMEMBERED:
            self._given.popitem(last=False)
        return secret

    async def find_ref(self, extension: str) -> str | None:
        """What an address of ours is known by, given its `r.<secret>`."""
        ref = hash_secret(extension.removeprefix("r."))
        return ref if await self._notebook.get(note(ref)) else None

    async def bond(self, ref: str) -> Bond | None:
        kept = await self._notebook.get(note(ref))
        if not kept:
            return None
        bond = Bond(**{**kept, "proved_at": datetime.fromisoformat(kept["proved_at"])})
        return bond if self._clock() < bond.until else None


def note(ref: str) -> str:
    return f"return:{ref}"


def new_secret() -> str:
    return b32encode(secrets.token_bytes(20)).decode().lower()[:SECRET_LENGTH]


def hash_secret(secret: str) -> str:
    """It is random and long, so that a plain digest will do."""
    return sha256(secret.encode()).hexdigest()
