"""Whose turn it is to call: nobody's silence may take the connections that all share."""

from __future__ import annotations

import asyncio
from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from core.chat import DeliveryError

AT_ONCE = 20
"""Calls of an account."""
AT_ONE_HOST = 10
"""Of these, calls of one host, so that one that is silent leaves room for the account's others."""
BY_ALL_AT_ONE_HOST = 100
"""Calls of one host by all accounts. More than one account's share of it: a host may serve many, and
none of them may shut out the others."""


class Turns:
    """`patience`: seconds that one waits for a turn."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lines: WeakValueDictionary[tuple[str, ...], Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, account_id: str, host: str) -> AsyncIterator[None]:
        """Who comes first calls first. Raises DeliveryError."""
        # What is shared with others comes last: who waits holds up nobody but the own account.
        lines = (
            self._line(AT_ONE_HOST, "account's host", account_id, host),
            self._line(AT_ONCE, "account", account_id),
            self._line(BY_ALL_AT_ONE_HOST, "host", host),
        )
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._patience):
                    for line in lines:
                        await held.enter_async_context(line)
            except TimeoutError as error:
                text = f"Its turn did not come within {self._patience:g} seconds."
                raise DeliveryError(text, permanent=False) from error
            yield

    def _line(self, most: int, *key: str) -> Semaphore:
        """It lives as long as somebody stands in it or calls."""
        return self._lines.setdefault(key, Semaphore(most))
