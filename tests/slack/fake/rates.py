"""How often one may ask: a message a second and channel, and so many calls a minute and method."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

MESSAGE_GAP = 1.0
GRACE = 0.1
"""Seconds by which one message may follow the other too early: the way here takes its time, and
not always the same."""
TIERS = {
    "chat.update": 50,
    "chat.postEphemeral": 100,
    "conversations.open": 50,
    "conversations.info": 50,
    "users.info": 100,
    "files.getUploadURLExternal": 100,
    "files.completeUploadExternal": 100,
    "apps.connections.open": 50,
}
"""Calls a minute, of a method in a workspace."""


class Rates:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._spoken: dict[tuple[str, str], float] = {}
        self._left: dict[tuple[str, str], tuple[float, float]] = {}
        self.grace = GRACE
        self.refused = 0

    def speak(self, team: str, room: str) -> int | None:
        """Seconds to wait before the next message there; None: it may be said now."""
        now, key = self._clock().timestamp(), (team, room)
        if now - self._spoken.get(key, 0.0) < MESSAGE_GAP - self.grace:
            self.refused += 1
            return math.ceil(MESSAGE_GAP)
        self._spoken[key] = now
        return None

    def ask(self, team: str, method: str) -> int | None:
        """The same, of a method with a tier: a bucket that fills evenly."""
        most = TIERS.get(method)
        if most is None:
            return None
        now, key = self._clock().timestamp(), (team, method)
        left, since = self._left.get(key, (float(most), now))
        left = min(most, left + (now - since) * most / 60)
        if left < 1:
            self.refused += 1
            self._left[key] = (left, now)
            return math.ceil((1 - left) * 60 / most)
        self._left[key] = (left - 1, now)
        return None
