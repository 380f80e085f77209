"""Runs one command within a time, with bounded output, and ends all of it when that is asked.

The command is started by a supervisor, a small process of its own (see supervisor.py), which knows
whatever the command starts and does the killing. On Linux nothing gets away from it, short of asking
another daemon to start something; elsewhere what has left the command's process group is not found.
Who kills the supervisor gets away if it has left the command's session as well.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from .bundle import source
from .duration import spell
from .output import Output
from .supervisor import KILLING, Ending, Group, Session, session_of

OURS = "SKADI_"
TICK = 0.1
# Read once: the file that we came in may be replaced by a newer one while we run.
SUPERVISOR = source("supervisor.py")
# For a supervisor that has done its work to say so, on a machine that has much to do.
PATIENCE = 10.0
# Seconds between two wake-up calls for a supervisor that its job may have stopped.
NUDGE = 1.0


@dataclass(frozen=True)
class Limits:
    """Times in seconds, output in bytes. No time: a command may run for ever."""

    time: float | None = 3600.0
    output: int = 1 << 20
    kill_grace: float = 10.0
    # A child left in the background keeps our pipe open; so long it may still add to the result.
    linger: float = 2.0


@dataclass(frozen=True)
class Left:
    """Who could not be stopped. `unseen`: there is somebody that no look at the processes shows."""

    pids: tuple[int, ...] = ()
    unseen: bool = False

    def text(self) -> str:
        """What to add to the reason of a stop."""
        said = ""
        if self.pids:
            count = "1 process" if len(self.pids) == 1 else f"{len(self.pids)} processes"
            said = f"; {count} could not be stopped: {', '.join(map(str, self.pids))}"
        return said + "; at least one process could not be seen or stopped" * self.unseen


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


def never() -> str:
    return ""


def unheard(chunk: bytes) -> None:
    pass


def run(
    argv: Sequence[str],
    folder: str,
    limits: Limits,
    stop: Callable[[], str] = never,
    hear: Callable[[bytes], None] = unheard,
) -> Ended:
    """`stop` is asked again and again whether and why to stop; `hear` gets the output as it comes.

    Raises OSError or ValueError when the command cannot be started at all.
    """
    with Supervised(argv, folder, limits) as command:
        return Watch(command, limits, hear).end(stop)


class Supervised:
    """A command and the supervisor it runs under. `code` and `left` are known once it `ended`."""

    def __init__(self, argv: Sequence[str], folder: str, limits: Limits) -> None:
        self.ended = False
        # None: it could not be stopped, or nobody is left who knows.
        self.code: int | None = None
        self.left = Left()
        self.lost = False
        # None until it has begun.
        self.session: int | None = None
        # Whether it was, rather than to end by itself in the same moment.
        self.stopped = False
        self._said = b""
        order = spoken(folder, argv, limits)
        self.control, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = supervise(theirs)
        except BaseException:
            self.control.close()
            raise
        self.output = cast("IO[bytes]", self._process.stdout)
        self._send(len(order).to_bytes(8, "big") + order)

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.ended:
            self.stop(0)
            self.wait(KILLING + PATIENCE)
        with self.control, self.output:
            self._bury()

    def stop(self, grace: float) -> None:
        self.nudge()
        self._send(b"stop %f\n" % grace)

    def nudge(self) -> None:
        """A job may have stopped its supervisor, which then hears nothing and says nothing."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)

    def give_up(self) -> None:
        """It hangs: what it watched is now without a watch."""
        self._process.kill()
        self.ended = self.lost = True

    def wait(self, seconds: float) -> None:
        """For its end, reading nothing of what it writes."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            while not self.ended and selector.select(max(deadline - time.monotonic(), 0)):
                self.listen()

    def listen(self) -> None:
        """Call it when `control` can be read. Raises OSError if the command did not start."""
        try:
            chunk = self.control.recv(65536)
        except OSError:
            chunk = b""
        self._said += chunk
        if self.session is None and self._said.startswith(b"began ") and b"\n" in self._said:
            began, _, self._said = self._said.partition(b"\n")
            self.session = int(began.split()[1])
        if not chunk:
            # Somebody has killed it; whoever it watched is now without a watch.
            self.ended = self.lost = True
        elif self._said.endswith(b"\n"):
            self._understand(self._said.rstrip(b"\n"))

    def _understand(self, line: bytes) -> None:
        self.ended = True
        word, first, rest = (line + b"  ").split(b" ", 2)
        if word == b"fault":
            number = int(first)
            raise OSError(number, os.strerror(number), rest.rstrip(b" ").decode("utf-8", "replace"))
        self.stopped = word == b"stopped"
        self.code = None if first == b"-" else int(first)
        self.left = Left(tuple(map(int, filter(bytes.isdigit, rest.split()))), b"?" in rest)

    def _send(self, data: bytes) -> None:
        with suppress(OSError):
            self.control.sendall(data)

    def _bury(self) -> None:
        """It is gone in a moment; if it is not, it hangs, and has nothing more to do here."""
        try:
            self._process.wait(TICK if self.lost else PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def spoken(folder: str, argv: Sequence[str], limits: Limits) -> bytes:
    times = f"{limits.time or float('inf'):f} {limits.kill_grace:f}"
    words = [word.encode("utf-8", "replace") for word in (times, folder, *argv)]
    if any(b"\0" in word for word in words):
        raise ValueError("embedded null byte")
    return b"\0".join(words)


def supervise(control: socket.socket) -> subprocess.Popen[bytes]:
    """Start a supervisor. Its text travels through a pipe: the file may be inside of an archive."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            # The last word is for those who look at the list of processes.
            [sys.executable, "-I", "-S", f"/dev/fd/{reading}", "skadi-job"],
            env=environment(),
            stdin=control.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(reading,),
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    # It may be gone already, which shows on its socket.
    with suppress(BrokenPipeError), open(writing, "wb") as text:
        text.write(SUPERVISOR)
    return process


class Remains(Ending):
    """What a supervisor that was killed has left; `pause` does something else meanwhile."""

    def __init__(self, session: Session | Group, pause: Callable[[float], None]) -> None:
        super().__init__(session)
        self._pause = pause

    def pause(self, seconds: float) -> None:
        self._pause(seconds)


class Watch:
    """Reads a command's output until its end, or brings the end about."""

    def __init__(self, command: Supervised, limits: Limits, hear: Callable[[bytes], None]) -> None:
        self._command = command
        self._limits = limits
        self._hear = hear
        self._output = Output(limits.output)
        self._open = True

    def end(self, stop: Callable[[], str]) -> Ended:
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._command.control, selectors.EVENT_READ)
            self._selector.register(self._command.output, selectors.EVENT_READ)
            why = self._wait(stop)
            if self._command.ended:
                why = self._reason()
            elif why:
                why = self._stop(why)
            self._drain(self._limits.linger)
        return Ended(self._output.text(), self._command.code or 0, why)

    def _wait(self, stop: Callable[[], str]) -> str:
        """Until the command ends by itself; else why it must be stopped."""
        limit = self._limits.time
        deadline = time.monotonic() + limit if limit else float("inf")
        nudge_at = time.monotonic() + NUDGE
        while not self._command.ended:
            why = stop()
            if why:
                return why
            if time.monotonic() >= deadline:
                return self._overdue()
            if time.monotonic() >= nudge_at:
                self._command.nudge()
                nudge_at = time.monotonic() + NUDGE
            self._turn(min(TICK, deadline - time.monotonic()))
        return ""

    def _overdue(self) -> str:
        return f"stopped: it ran longer than its time limit of {spell(self._limits.time or 0)}"

    def _reason(self) -> str:
        """Why it ended, if not by itself, though it was not told to."""
        if self._command.lost:
            return "its supervisor was killed" + self._stop_session()
        return self._overdue() + self._command.left.text() if self._command.stopped else ""

    def _stop(self, why: str) -> str:
        """An empty answer: it had just ended by itself."""
        self._command.stop(self._limits.kill_grace)
        deadline = time.monotonic() + self._limits.kill_grace + KILLING + PATIENCE
        while not self._command.ended and time.monotonic() < deadline:
            self._turn(TICK)
            self._command.nudge()
        if not self._command.ended:
            self._command.give_up()
        if self._command.lost:
            return why + self._stop_session()
        return why + self._command.left.text() if self._command.stopped else ""

    def _stop_session(self) -> str:
        """Of what has lost its supervisor, so much can still be found."""
        if self._command.session is None:
            return "; what it had started may still run"
        session = Remains(session_of(self._command.session), self._read_for)
        session.stop(self._limits.kill_grace)
        return "; what had left its session may still run" + Left(tuple(session.living())).text()

    def _read_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._turn(deadline - time.monotonic())

    def _turn(self, patience: float) -> None:
        for key, _ in self._selector.select(max(patience, 0)):
            if key.fileobj is self._command.control:
                self._listen()
            else:
                self._read()

    def _listen(self) -> None:
        self._command.listen()
        if self._command.ended:
            self._selector.unregister(self._command.control)

    def _read(self) -> None:
        chunk = os.read(self._command.output.fileno(), 65536)
        if chunk:
            self._output.add(chunk)
            self._hear(chunk)
        else:
            self._open = False
            self._selector.unregister(self._command.output)

    def _drain(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self._turn(deadline - time.monotonic())
