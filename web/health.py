"""Whether the server is up, and whether all it needs is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core.events import rfc3339
from core.model import Clock
from web.answer import NO_CONTENT, Answer, in_json
from web.call import Call

Ready = Callable[[], Awaitable[Mapping[str, str]]]
"""Asks every part whether it can work: its name, and `ok` or what is wrong."""


class Health:
    def __init__(self, ready: Ready, clock: Clock) -> None:
        self._ready = ready
        self._clock = clock

    async def status(self, call: Call) -> Answer:
        return NO_CONTENT

    async def alive(self, call: Call) -> Answer:
        """The process answers. Its time shows a clock that goes wrong."""
        return in_json(200, {"status": "ok", "time": rfc3339(self._clock())})

    async def ready(self, call: Call) -> Answer:
        """Whether a load balancer should send calls here."""
        parts = await self._ready()
        fine = all(state == "ok" for state in parts.values())
        return in_json(200 if fine else 503, {"status": "ok" if fine else "away", "parts": parts})
