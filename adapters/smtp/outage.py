"""What our log says while mails are put off: when it begins, now and then, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

SILENCE = timedelta(minutes=1)
"""Between two lines about one outage: senders come by the hundred, and each comes again."""


@dataclass(slots=True)
class Outage:
    clock: Callable[[], datetime]
    put_off: int = 0
    _said_at: datetime | None = None

    def note(self, error: Exception) -> None:
        """A mail was put off, because a part of ours is away."""
        self.put_off += 1
        now = self.clock()
        if self._said_at is None or now - self._said_at >= SILENCE:
            self._said_at = now
            log.warning("mails are put off (451), %d until now: %s", self.put_off, error)

    def end(self) -> None:
        """A mail was taken in."""
        if self.put_off:
            log.warning("mails are taken in again; %d had been put off", self.put_off)
            self.put_off, self._said_at = 0, None
