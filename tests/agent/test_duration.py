"""Lengths of time, as people write and as Go reads them."""

import time
from datetime import timedelta

import pytest

from agent import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("300ms", 0.3), ("1h0m0s", 3600), ("0", 0)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "1d", "-1s", "1h 30m", "s", "1h30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration.parse(text)


def test_an_endless_number_is_refused_at_once() -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="no duration") as refusal:
        duration.parse("1" * 200_000)
    assert time.perf_counter() - begun < 0.5
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (timedelta(hours=1, minutes=30), "1h30m0s"),
        (timedelta(days=2), "48h0m0s"),
        (90, "1m30s"),
        (0.25, "0.25s"),
        (59.9999, "1m0s"),
        (-5, "0s"),
        ("1h30m", "1h30m"),
    ],
)
def test_a_caller_may_give_it_in_three_ways(after: timedelta | float | str, said: str) -> None:
    assert duration.say(after) == said
