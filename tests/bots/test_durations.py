"""Durations as Go writes them, read and written."""

import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.durations import parse_duration, parse_period, spell_duration, spell_period


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("+0", 0),
        ("90s", 90),
        ("1h30m", 5400),
        ("1h0m0s", 3600),
        ("1.5h", 5400),
        (".5m", 30),
        ("5.s", 5),
        ("-5m", -300),
        ("+5m", 300),
        ("300ms", 0.3),
        ("15us", 0.000015),
        ("15µs", 0.000015),
        ("15μs", 0.000015),
        ("1500ns", 0.000001),
        ("1m1m", 120),
        ("30m1h", 5400),
    ],
)
def test_gos_syntax_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+",
        "1",
        "1.5",
        "s",
        ".s",
        "1d",
        "1 h",
        "1H",
        "--1s",
        "1h-5m",
        "h1",
        "1e3s",
        "１s",
        "∞",
    ],
)
def test_what_go_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_a_duration_beyond_gos_292_years_is_refused() -> None:
    assert parse_duration("2562047h47m16.854775807s") > timedelta(days=292 * 365)
    with pytest.raises(ValueError, match="too long"):
        parse_duration("2562047h47m16.854775808s")
    with pytest.raises(ValueError, match="too long"):
        parse_duration("9" * 90 + "h")


@pytest.mark.parametrize("text", ["1" * 200_000, "1" * 200_000 + "h", "0." * 100_000 + "1s"])
def test_an_endless_number_is_refused_at_once(text: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="not a duration") as refusal:
        parse_duration(text)
    assert time.perf_counter() - begun < 0.5
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (60, "1m"),
        (5400, "1h30m"),
        (3601, "1h1s"),
        (172_800, "48h"),
        (0.3, "0.3s"),
        (61.5, "1m1.5s"),
        (-90, "-1m30s"),
    ],
)
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert spell_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_what_is_written_is_read_as_the_same(duration: timedelta) -> None:
    assert parse_duration(spell_duration(duration)) == duration


@given(st.text("0123456789.hmsnuµ+-", max_size=20) | st.text(max_size=20))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert isinstance(duration, timedelta)


@pytest.mark.parametrize(
    ("text", "hours"), [("90d", 2160), ("1d12h", 36), ("0d90m", 1.5), ("36h", 36), ("1d0.5h", 24.5)]
)
def test_a_period_may_have_days(text: str, hours: float) -> None:
    assert parse_period(text) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text", ["d", "1.5d", "-1d", "+1d", "1d-1h", "1d+1h", "1dd", "1h1d", "1 d", "123456d"]
)
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_period(text)


def test_agents_durations_have_no_days() -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration("1d")


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=99_999)))
def test_a_period_is_written_as_it_is_read(period: timedelta) -> None:
    assert parse_period(spell_period(period)) == period


def test_a_period_is_written_in_days() -> None:
    hours = (2160, 36, 23, 0)
    assert [spell_period(timedelta(hours=n)) for n in hours] == ["90d", "1d12h", "23h", "0s"]
