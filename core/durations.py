"""Durations as programs write them: the syntax of Go, as agents and settings speak it."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # the micro sign
    "μs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
LONGEST = 2**63 - 1
"""Go counts nanoseconds in 64 bits: some 292 years."""
MOST_CHARACTERS = 100
"""Far more than any length of time needs; the pattern below takes its time over long runs of digits."""

PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
WHOLE = re.compile(rf"(?:{PART.pattern})+")


def parse_duration(text: str) -> timedelta:
    """Read `1h30m`, `90s`, `1.5h`, `300ms`, `-5m` or `0`. Raises ValueError.

    What is finer than a microsecond is dropped."""
    sign = -1 if text.startswith("-") else 1
    digits = text[1:] if text[:1] in ("-", "+") else text
    if digits == "0":
        return timedelta()
    if len(digits) > MOST_CHARACTERS or not WHOLE.fullmatch(digits):
        raise ValueError(f"not a duration: {text[:40]!r}")
    nanoseconds = sum(Decimal(number) * NANOSECONDS[unit] for number, unit in PART.findall(digits))
    if nanoseconds > LONGEST:
        raise ValueError(f"too long a duration: {text[:40]!r}")
    return sign * timedelta(microseconds=int(nanoseconds) // 1_000)


def parse_period(text: str) -> timedelta:
    """The same, with days before it all: `90d`, `1d12h`. For operators; agents' Go has no days.

    Raises ValueError."""
    days, found, rest = text.partition("d")
    if not found:
        return parse_duration(text)
    if not re.fullmatch("[0-9]{1,5}", days) or rest[:1] in ("-", "+"):
        raise ValueError(f"not a duration: {text[:40]!r}")
    return timedelta(days=int(days)) + (parse_duration(rest) if rest else timedelta())


def spell_duration(duration: timedelta) -> str:
    """Write a duration so that parse_duration reads the same one: `1h30m`, `45s`, `0.3s`, `0s`."""
    if duration < timedelta():
        return "-" + spell_duration(-duration)
    minutes, rest = divmod(duration, timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    seconds = (Decimal(rest // timedelta(microseconds=1)) / 1_000_000).normalize()
    amounts = ((f"{hours}h", hours), (f"{minutes}m", minutes), (f"{seconds:f}s", seconds))
    return "".join(spelled for spelled, amount in amounts if amount) or "0s"


def spell_period(duration: timedelta) -> str:
    """Write a duration that is not negative so that parse_period reads the same one: `90d`, `1d12h`."""
    days, rest = divmod(duration, timedelta(days=1))
    return f"{days}d{spell_duration(rest) if rest else ''}" if days else spell_duration(rest)
