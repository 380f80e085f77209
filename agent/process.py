"""Runs one command as a child of its own session: within a time, with bounded output, stoppable."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from .duration import spell
from .job import missing

OURS = "SKADI_"
TICK = 0.1


@dataclass(frozen=True)
class Limits:
    """Times in seconds, output in bytes. No time: a command may run for ever."""

    time: float | None = 3600.0
    output: int = 1 << 20
    kill_grace: float = 10.0
    # A child left in the background keeps our pipe open; so long it may still add to the result.
    linger: float = 2.0


@dataclass(frozen=True)
class Ended:
    output: str
    code: int
    stopped: str = ""

    @property
    def failure(self) -> str:
        """Why it counts as failed; empty for a success."""
        return self.stopped or exit_text(self.code)


def exit_text(code: int) -> str:
    if code >= 0:
        return f"exit status {code}" if code else ""
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def environment() -> dict[str, str]:
    """Ours without what is meant for us, or for a server started by the same hand: of its settings
    many are secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


class Output:
    """Keeps the first and the last half of what is written, and counts what falls between."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._lost = 0

    def add(self, chunk: bytes) -> None:
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        surplus = len(self._tail) - self._half
        if surplus > 0:
            self._lost += surplus
            del self._tail[:surplus]

    def text(self) -> str:
        if not self._lost:
            return decode(bytes(self._head + self._tail))
        head, tail = whole_end(bytes(self._head)), whole_start(bytes(self._tail))
        lost = self._lost + 2 * self._half - len(head) - len(tail)
        return decode(head) + missing(lost, "bytes") + decode(tail)


def decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def whole_start(data: bytes) -> bytes:
    """Without the rest of a character that was cut in two."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def whole_end(data: bytes) -> bytes:
    """Without the beginning of a character that was cut in two."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return data[:-back] if length > back else data
    return data


def run(argv: Sequence[str], folder: str, limits: Limits, stopping: threading.Event) -> Ended:
    """Raises OSError or ValueError when the command cannot be started at all."""
    process = subprocess.Popen(
        [word.encode("utf-8", "replace") for word in argv],
        cwd=folder or None,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with Watch(process, limits) as watch:
        return watch.end(stopping)


class Watch:
    """Reads a child's output until its end, or brings the end about."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._pipe = cast("IO[bytes]", process.stdout)
        self._output = Output(limits.output)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._open = True

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._rest(self._limits.linger)
        self._selector.close()
        self._pipe.close()

    def end(self, stopping: threading.Event) -> Ended:
        stopped = self._wait(stopping)
        if stopped:
            self._stop()
        self._drain(self._limits.linger)
        if self._process.poll() is None:
            stopped += "; it could not be killed and may still run"
        return Ended(self._output.text(), self._process.returncode or 0, stopped)

    def _wait(self, stopping: threading.Event) -> str:
        """Until the command ends by itself; else why it must be stopped."""
        limit = self._limits.time
        deadline = time.monotonic() + limit if limit else float("inf")
        while self._process.poll() is None:
            if stopping.is_set():
                return "stopped with the agent"
            if time.monotonic() >= deadline:
                return f"stopped: it ran longer than its time limit of {spell(limit or 0)}"
            self._read(min(TICK, deadline - time.monotonic()))
        return ""

    def _read(self, patience: float) -> None:
        if not self._open:
            self._rest(patience)
        elif self._selector.select(max(patience, 0)):
            chunk = os.read(self._pipe.fileno(), 65536)
            self._output.add(chunk)
            self._open = bool(chunk)

    def _rest(self, patience: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(patience, 0))

    def _drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self._read(deadline - time.monotonic())

    def _stop(self) -> None:
        """Asks the whole group to end, then makes it."""
        deadline = time.monotonic() + self._limits.kill_grace
        self._signal(signal.SIGTERM)
        while self._group_lives() and time.monotonic() < deadline:
            self._read(TICK)
            if not self._open:
                time.sleep(TICK / 10)
        self._signal(signal.SIGKILL)
        self._rest(self._limits.linger)

    def _group_lives(self) -> bool:
        self._process.poll()
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        """Whether anybody is left in the child's group, even one that we may not signal (sudo)."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
