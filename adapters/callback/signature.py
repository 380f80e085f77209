"""Each account's secret for callbacks, and signatures by it as Standard Webhooks prescribes.

The rules: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from core.chat import Notebook

PREFIX = "whsec_"
LENGTH = 32
"""Bytes; the rules ask for 24 to 64."""
OVERLAP = timedelta(days=1)
"""As long as the secret before still signs, so that a receiver can change over."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A secret as it is noted. `until`: when it stops signing, as text; empty: not yet said."""

    secret: str
    until: str = ""
    shown: bool = False

    def signs(self, now: datetime) -> bool:
        return not self.until or now < datetime.fromisoformat(self.until)


class Secrets:
    def __init__(self, notebook: Notebook, clock: Callable[[], datetime]) -> None:
        self._notebook, self._clock = notebook, clock

    async def signing(self, account_id: str) -> Sequence[str]:
        """What an account's events are signed with, the newest first; made where there is none."""
        return [kept.secret for kept in await self._find(account_id)]

    async def show(self, account_id: str) -> str | None:
        """The newest, to be shown to its owner; None: that was done before."""
        newest, *older = await self._find(account_id)
        if newest.shown:
            return None
        await self._keep(account_id, [Kept(newest.secret, shown=True), *older])
        return newest.secret

    async def rotate(self, account_id: str) -> str:
        """A new one, shown. The one before signs for another day."""
        newest, *older = await self._find(account_id)
        until = (self._clock() + OVERLAP).isoformat()
        fresh = Kept(new_secret(), shown=True)
        await self._keep(account_id, [fresh, Kept(newest.secret, until, newest.shown), *older])
        return fresh.secret

    async def _find(self, account_id: str) -> Sequence[Kept]:
        """Made once, for all processes."""
        while True:
            if noted := await self._notebook.get(note(account_id)):
                return [kept for each in noted if (kept := Kept(**each)).signs(self._clock())]
            if await self._notebook.once(f"{note(account_id)}:made", 10):
                await self._keep(account_id, [Kept(new_secret())])
            else:
                await asyncio.sleep(0.1)

    async def _keep(self, account_id: str, all_kept: Sequence[Kept]) -> None:
        await self._notebook.put(note(account_id), [asdict(kept) for kept in all_kept])


def note(account_id: str) -> str:
    return f"secret:{account_id}"


def new_secret() -> str:
    return PREFIX + b64encode(secrets.token_bytes(LENGTH)).decode()


def sign(secret: str, event_id: str, moment: int, body: str) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, f"{event_id}.{moment}.{body}".encode(), "sha256")
    return f"v1,{b64encode(digest).decode()}"
