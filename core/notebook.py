"""What an adapter remembers, in a book of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from core.model import Clock, utc_now
from core.store import Store


class Notes:
    """core.chat.Notebook, in the database."""

    def __init__(self, store: Store, book: str, *, clock: Clock = utc_now) -> None:
        self._store = store.notes
        self._book = book
        self._clock = clock

    async def get(self, key: str) -> Any | None:
        return await self._store.get(self._book, key, self._clock())

    async def put(self, key: str, value: Any, seconds: float | None = None) -> None:
        until = None if seconds is None else self._clock() + timedelta(seconds=seconds)
        await self._store.put(self._book, key, value, until)

    async def add(self, key: str, amount: int, seconds: float) -> int:
        now = self._clock()
        return await self._store.add(self._book, key, amount, now, now + timedelta(seconds=seconds))

    async def once(self, key: str, seconds: float) -> bool:
        now = self._clock()
        return await self._store.once(self._book, key, now, now + timedelta(seconds=seconds))
