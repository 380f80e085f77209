"""Waiting for what the fake server does not see."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
