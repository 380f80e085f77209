"""When the server is told who is here: once it has been met, and after each of its absences."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from .client import Abandoned, Client
from .errors import ServerError
from .journal import Journal

log = logging.getLogger("skadi.agent")

AGAIN = 60.0  # seconds, for a server that can be polled and yet had no ear for it


class Greeting:
    def __init__(self, client: Client, journal: Journal, said: Mapping[str, object]) -> None:
        self._client = client
        self._journal = journal
        self._said = said
        self._due_at = 0.0
        # Whether the server has understood it, and so may have cancels to tell.
        self.understood = False

    @property
    def due(self) -> bool:
        return self._due_at <= time.monotonic()

    def missed(self) -> None:
        """The server is away: who comes back may be another."""
        self._due_at = 0.0

    def say(self) -> bool:
        """Whether it was understood. Nothing that goes wrong here is worth more than a try later:
        what matters shows at the next poll."""
        self._journal.note_contact()
        self._due_at = float("inf")
        try:
            self.understood = self._client.hello(self._said)
        except (ServerError, Abandoned) as error:
            log.debug("hello: %s", error)
            self._due_at = time.monotonic() + AGAIN
            return False
        return self.understood
