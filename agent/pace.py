"""Every waiting time of the agent, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    # How long the server may hold a poll open.
    wait: int = 30
    # The rest between two polls when the server answers at once that there is nothing.
    interval: float = 10.0
    # How often a job that runs says so.
    beat: float = 60.0
    # The least time between two progress texts of one job.
    progress_gap: float = 1.0
    # The least time between two chunks of one job's output, and before the first.
    output_gap: float = 1.0
    # Between two tries while the server is away: at first, and at the longest.
    first_retry: float = 1.0
    longest_retry: float = 30.0
    # For an answer, beyond what was asked for with `wait`.
    timeout: float = 10.0
    # When told to stop: for jobs to end by themselves, to be stopped, and for the last reports.
    grace: float = 30.0
    kill_grace: float = 20.0
    farewell: float = 10.0
