"""Lengths of time as they are written: "10m", "90s", "1h30m0s", "1.5h", "300ms"."""

from __future__ import annotations

import re
from datetime import timedelta

SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
MOST_CHARACTERS = 100
"""As the server has it: the pattern takes its time over long runs of digits."""


def parse(text: str) -> float:
    """Seconds. Raises ValueError, saying how a duration is written."""
    if text == "0":
        return 0.0
    if not text or len(text) > MOST_CHARACTERS or PART.sub("", text):
        raise ValueError(f"{text[:40]!r} is no duration: write 10m, 90s or 1h30m")
    return sum(float(number) * SECONDS[unit] for number, unit in PART.findall(text))


def spell(seconds: float) -> str:
    """The way Go writes one, to the millisecond: 5400 is 1h30m0s. Nothing is less than 0s."""
    minutes, rest = divmod(round(max(seconds, 0.0), 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if hours or minutes else ""]
    return "".join(parts) + f"{rest:.3f}".rstrip("0").rstrip(".") + "s"


def say(after: timedelta | float | str) -> str:
    """Any of the three ways a caller may give a length of time, as the server reads it."""
    if isinstance(after, str):
        parse(after)
        return after
    return spell(after.total_seconds() if isinstance(after, timedelta) else after)
