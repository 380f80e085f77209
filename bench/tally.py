"""Nothing lost, nothing doubled: what the clients saw beside what the database holds."""

from __future__ import annotations

from collections.abc import Iterator

from bench.ledger import Counts
from bench.wire import Faults

EVENTS_A_LIFE = 3  # queuing, sent, succeeded


class Tally:
    """What the clients of one run have seen."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.submitted = 0
        self.claimed = 0
        self.finished = 0
        self.ids: set[str] = set()

    def verify(self, held: Counts) -> None:
        """Compare with the database once nothing is under way; what differs becomes a fault."""
        for what, seen, wanted in self._comparisons(held):
            if seen != wanted:
                self.faults[f"{what}: {seen:,} where {wanted:,} were expected"] += 1

    def _comparisons(self, held: Counts) -> Iterator[tuple[str, int, int]]:
        lives = self.submitted
        yield "jobs claimed", self.claimed, lives
        yield "different jobs claimed", len(self.ids), lives
        yield "reports accepted", self.finished, lives
        yield "jobs in the database", held.jobs, lives
        yield "jobs succeeded in the database", held.succeeded, lives
        yield "events in the database", held.events, lives * EVENTS_A_LIFE
