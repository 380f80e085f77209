"""Trying again: ever more slowly, never in step with others, and without filling the log."""

from __future__ import annotations

import logging
import random

from .errors import ServerError

log = logging.getLogger("skadi.agent")


class Patience:
    def __init__(self, what: str, first: float, longest: float) -> None:
        self._what = what
        self._first = first
        self._longest = longest
        self._failures = 0
        self._reason = ""

    def failed(self, error: ServerError) -> float:
        """Seconds until the next try. A reason is logged once, however often it comes."""
        if str(error) != self._reason:
            self._reason = str(error)
            log.warning("%s: %s; trying again until it works", self._what, self._reason)
        pause = min(self._longest, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

    def succeeded(self) -> None:
        if self._failures:
            log.info("%s: works again after %d failures", self._what, self._failures)
        self._failures = 0
        self._reason = ""
