"""Addresses that come with an answer: who writes back to one has proven whose thread it is."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from base64 import b32encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from adapters.smtp.addresses import Addresses
from core.chat import Notebook

VALID = timedelta(days=7)
REF_LENGTH, MAC_LENGTH = 16, 26
"""Characters of five bits each; with `agent+r.` before them within the 64 of a local part."""
LONGEST_LOCAL = 64 - len("+r.") - REF_LENGTH - len(".") - MAC_LENGTH
KEY = "return-key"


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
    def __init__(
        self, addresses: Addresses, notebook: Notebook, clock: Callable[[], datetime]
    ) -> None:
        self._addresses, self._notebook, self._clock = addresses, notebook, clock
        self._key = b""

    async def give(self, bond: Bond) -> str | None:
        """The same address whenever the bond is the same. None: it is too late for one."""
        left = (bond.until - self._clock()).total_seconds()
        if left <= 0:
            return None
        kept = {**asdict(bond), "proved_at": bond.proved_at.isoformat()}
        key = await self._find_key()
        ref = sign(key, "ref", json.dumps(kept, sort_keys=True))[:REF_LENGTH]
        await self._notebook.put(f"return:{ref}", kept, left)
        return self._addresses.extend(f"r.{ref}.{await self._mac(ref)}")

    async def find_ref(self, secret: str) -> str | None:
        """The reference in `r.<ref>.<mac>`, if we made it."""
        _, ref, mac = (*secret.split("."), "", "")[:3]
        genuine = hmac.compare_digest(mac.encode(), (await self._mac(ref)).encode())
        return ref if genuine and len(ref) == REF_LENGTH else None

    async def bond(self, ref: str) -> Bond | None:
        kept = await self._notebook.get(f"return:{ref}")
        if not kept:
            return None
        bond = Bond(**{**kept, "proved_at": datetime.fromisoformat(kept["proved_at"])})
        return bond if self._clock() < bond.until else None

    async def _mac(self, ref: str) -> str:
        return sign(await self._find_key(), "address", ref)[:MAC_LENGTH]

    async def _find_key(self) -> bytes:
        """Made once, for all processes."""
        while not self._key:
            if known := await self._notebook.get(KEY):
                self._key = bytes.fromhex(known)
            elif await self._notebook.once(f"{KEY}:made", 10):
                await self._notebook.put(KEY, secrets.token_hex(32))
            else:
                await asyncio.sleep(0.1)
        return self._key


def sign(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(key, f"{purpose}\n{text}".encode(), "sha256")
    return b32encode(digest).decode().lower()
