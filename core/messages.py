"""Which messages have been answered: a repeat gets the same answer and changes nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from core.broker import Broker
from core.chat import Reply, Thread
from core.errors import Unavailable
from core.events import answer_news
from core.model import Clock, utc_now
from core.store import Store
from core.store.rows import digest

LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Answered:
    """A message that was answered before; `reply` None: nothing was said to it."""

    reply: Reply | None


class Messages:
    def __init__(self, store: Store, broker: Broker, *, clock: Clock = utc_now) -> None:
        self._store = store.messages
        self._deliveries = store.deliveries
        self._broker = broker
        self._clock = clock

    async def begin(self, key: str) -> Answered | None:
        """None: it is new, go on. Unavailable: it is being answered at this moment."""
        if await self._store.begin(key, self._clock(), LEASE):
            return None
        finished, _, reply = await self._store.answer(key)
        if not finished:
            raise Unavailable("The same message is being answered right now.")
        return Answered(reply)

    async def asked(self, thread: Thread, handle: str) -> frozenset[str]:
        """The accounts to which a post there was addressed; none where that is not known."""
        return await self._deliveries.owners_of_post(thread.adapter, thread.channel_id, handle)

    async def finish(
        self, key: str, account_id: str | None, reply: Reply | None, *, deliver: bool
    ) -> None:
        """Keep the answer; `deliver`: the platform takes none directly, so it becomes a delivery."""
        owner = (account_id or "") if deliver else None
        delivery_id = await self._store.finish(key, reply, self._clock(), deliver_for=owner)
        if delivery_id:
            with suppress(Unavailable):  # then the notifier finds it by itself, a little later
                await self._broker.tell([answer_news(delivery_id)])


def message_key(adapter: str, sender_id: str, platform_key: str) -> str:
    """What a repeat of a message has in common with it, in one digest."""
    return digest(adapter, sender_id, platform_key)
