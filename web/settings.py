"""What the door allows, each value a setting."""

from __future__ import annotations

from dataclasses import dataclass

from core.settings import Web
from core.settings.values import MIB

DEFAULTS = Web()


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Sizes in bytes, times in seconds."""

    trust_proxy: bool = DEFAULTS.trust_proxy
    """Believe X-Forwarded-For: only where every caller comes through a proxy that sets it."""
    longest_body: int = DEFAULTS.body_limit
    longest_report: int = DEFAULTS.report_limit
    body_seconds: float = DEFAULTS.body_time.total_seconds()
    """How long a body may take to arrive."""
    drain_seconds: float = 10.0
    """How long the rest of a report that is too large is read and thrown away."""
    long_bodies: int = 8
    """How many bodies beyond `longest_body` are read at the same time: what they cost in memory."""
    place_seconds: float = 5.0
    """How long such a body waits for its turn before it is cut."""
    longest_wait: float = DEFAULTS.max_wait.total_seconds()
    """How long a poll may ask to be held."""
    longest_follow: float = DEFAULTS.max_job_wait.total_seconds()
    """How long a program may wait for the end of its job."""
    pulse: float = 15.0
    """After so long a silence a stream of events gives a sign of life."""
    look_again: float = DEFAULTS.look_again.total_seconds()
    """How often a held poll looks without having been rung for, as a bell may be lost."""


def spell_size(size: int) -> str:
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size} bytes"
