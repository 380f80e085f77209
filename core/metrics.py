"""What a process counts about itself: plain numbers, which whoever asks is shown as they stand.

A process counts as a whole, whatever its roles, so that there is one of each here."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Labels = tuple[str, ...]

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
"""Seconds that something takes of which nobody should notice."""
LONG = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800, 43200, 86400)
"""Seconds that a command takes."""
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(eq=False, slots=True)
class Number:
    """A number for each combination of labels. A counter only grows; a gauge goes up and down."""

    name: str
    help: str
    labels: Labels = ()
    kind: Literal["counter", "gauge"] = "counter"
    values: defaultdict[Labels, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, *labels: str, by: float = 1) -> None:
        self.values[labels] += by


@dataclass(eq=False, slots=True)
class Histogram:
    """How often what was measured lay between two bounds; the last place is for all above."""

    name: str
    help: str
    bounds: Sequence[float]
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        # Clocks of several hosts differ a little; nothing has happened before it began.
        value = max(value, 0.0)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(eq=False, slots=True)
class Outage:
    """How long a part has been away, as far as this process noticed. Times in seconds."""

    part: str
    over: float = 0.0
    since: float | None = None

    def begin(self) -> bool:
        """Whether that is news."""
        if self.since is not None:
            return False
        self.since = time.monotonic()
        return True

    def end(self) -> bool:
        """Whether that is news."""
        if self.since is None:
            return False
        self.over += time.monotonic() - self.since
        self.since = None
        return True

    @property
    def seconds(self) -> float:
        """All outages together, one that goes on included."""
        return self.over + (0.0 if self.since is None else time.monotonic() - self.since)


JOBS = Number("skadi_jobs", "Jobs that came into a status, by this process.", ("status",))
DISPATCH = Histogram(
    "skadi_dispatch_seconds",
    "From the submit of a job that was not delayed to its first handing out to its agent.",
    QUICK,
)
RUN = Histogram(
    "skadi_job_run_seconds", "From the handing out of a job to its agent's report of the end.", LONG
)
BATCH_FACTS = Histogram("skadi_batch_facts", "Facts that were committed together.", SIZES)
COMMIT = Histogram("skadi_commit_seconds", "Reading, deciding and committing a batch.", QUICK)
DELIVERY_TRIES = Number(
    "skadi_delivery_tries", "Tries to tell somebody, by how they ended.", ("adapter", "outcome")
)
TELLING = Histogram(
    "skadi_telling_seconds",
    "From the end of a job to the moment its thread was told so.",
    QUICK,
)
HELD_POLLS = Number("skadi_held_polls", "Polls of agents that are held open.", kind="gauge")
REQUESTS = Number(
    "skadi_http_requests", "HTTP calls that were answered.", ("method", "route", "class")
)
ROUND_TRIPS = Histogram("skadi_broker_round_trip_seconds", "Exchanges with Redis.", QUICK)
DATABASE_AWAY = Outage("database")
BROKER_AWAY = Outage("broker")

NUMBERS = (JOBS, DELIVERY_TRIES, HELD_POLLS, REQUESTS)
HISTOGRAMS = (DISPATCH, RUN, BATCH_FACTS, COMMIT, TELLING, ROUND_TRIPS)
OUTAGES = (DATABASE_AWAY, BROKER_AWAY)
