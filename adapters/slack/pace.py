"""When we may speak: one message a second and channel, so many edits a minute, and what Slack asked.

Whoever has to wait long is told until when and keeps that moment, so that many who wait come one
after the other, in the order in which they asked, and not all at once again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from core.chat import DeliveryError

SHORT = 2.0
"""Seconds that are simply waited."""
KEPT = 60.0
"""Seconds for which a moment is kept for who does not come."""
MOST = 10_000
"""Places whose past is remembered."""


@dataclass(slots=True)
class Place:
    """`following`: the first moment that nobody has; `last`: when somebody spoke; `kept`: whose a moment
    is that has not come."""

    following: float = 0.0
    last: float = 0.0
    kept: dict[Hashable, float] = field(default_factory=dict)


@dataclass(slots=True)
class Turns:
    """Moments `gap` seconds apart, at each place; after a silence `burst` of them may come at once."""

    gap: float
    burst: int = 1
    _places: dict[Hashable, Place] = field(default_factory=dict)

    async def take(self, place: Hashable, who: Hashable) -> None:
        """Wait for a moment. Raises DeliveryError when it is far; it is kept for `who` then."""
        now = asyncio.get_running_loop().time()
        if len(self._places) > MOST:
            self._forget(now)
        there = self._places.setdefault(place, Place())
        moment = self._find(there, who, now)
        wait = moment - now
        if wait > SHORT:
            there.kept[who] = moment
            text = f"Slack takes nothing more there for {wait:.0f} s."
            raise DeliveryError(text, permanent=False, retry_after=wait)
        there.last = max(moment, now)
        await asyncio.sleep(max(wait, 0))

    def rest(self, place: Hashable, seconds: float) -> None:
        """It is nobody's turn for so long, whatever moments were given: Slack said so."""
        there = self._places.setdefault(place, Place())
        until = asyncio.get_running_loop().time() + seconds
        there.following = max(there.following, until + self._lead)
        there.kept.clear()

    @property
    def _lead(self) -> float:
        return (self.burst - 1) * self.gap

    def _find(self, there: Place, who: Hashable, now: float) -> float:
        moment = there.kept.pop(who, None)
        if moment is None or moment < now - KEPT:
            following = max(there.following, now)
            there.following = following + self.gap
            moment = following - self._lead
        # Who comes late for a moment must not come too close to the next.
        return max(moment, there.last + self.gap) if self.burst == 1 else moment

    def _forget(self, now: float) -> None:
        self._places = {
            name: place for name, place in self._places.items() if place.following > now - KEPT
        }
