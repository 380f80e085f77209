"""Time that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Called, it says what time it is, as every part of Skadi asks for it."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass; a negative amount is a clock set back."""
        self.now += timedelta(hours=hours, minutes=minutes, seconds=seconds)
