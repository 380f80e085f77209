"""The parent of one job's processes: starts its command, tells of its end, can end all of it.

It is a process of its own, and a small one: nothing but the standard library, no module of ours,
one thread. On Linux it is a subreaper. However often a command forks, whatever session it flees
into, whoever of its parents dies: what it started stays below this process in the tree, and what
belongs to another job never gets there. Elsewhere only the command's process group is known, which
a command leaves by `setsid`.

Standard input is a socket. In comes `length` (8 bytes) and as many bytes of `LIMIT GRACE NUL folder
NUL word NUL word …`, then perhaps `stop GRACE` and a newline. Out goes `began SESSION`, and then one
line more: `fault ERRNO PATH` when the command could not be started, `ended CODE` when it ended by
itself, or `stopped CODE [PID …] [?]` with the processes that a stop has left, and `?` if there are
some that cannot be seen; a command that is among them has `-` for a code. What a command leaves
behind that ends by itself stays, as daemons that a deploy has started must.

The agent stops a command whose time is over. An agent that was killed, or hangs, does not: then it
is done here.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

CONTROL = 0
# How long a KILL is repeated for what is still there.
KILLING = 5.0
TICK = 0.05
FREEZES = 20
# Seconds that an agent which is there is left to see that a command's time is over.
COURTESY = 2.0
LONGEST_PAUSE = 3600.0
# Of prctl(2).
SET_NAME, SET_CHILD_SUBREAPER = 15, 36
# Not for us: the agent says through its socket what is to be done.
DEAF = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# What Python has turned off for itself and a command expects as it was.
USUAL = (*DEAF, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
# A process and the moment it was started: numbers are given anew, pairs are not.
Processes = dict[int, bytes]


def main() -> None:
    for number in DEAF:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError, ValueError):
        # The pipe that this text came through.
        os.close(int(sys.argv[0].rpartition("/")[2]))
    limits, folder, *words = receive(int.from_bytes(receive(8), "big")).split(b"\0")
    wake = wake_on_children()
    adopt_orphans()
    command, fault = start(folder, words)
    if fault:
        tell(b"fault " + fault)
    else:
        let_go_of_output()
        limit, grace = map(float, limits.split())
        Supervisor(command, wake, tree_of(command), limit, grace).work()


def receive(length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = os.read(CONTROL, length - len(data))
        if not chunk:
            raise SystemExit("the agent went before it said what to do")
        data += chunk
    return data


def tell(line: bytes) -> None:
    # The agent may have been killed meanwhile.
    with suppress(OSError):
        os.write(CONTROL, line + b"\n")


def wake_on_children() -> int:
    """A handle that can be read from whenever a child has ended."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reading


def adopt_orphans() -> None:
    """Without it (no Linux, a Python without ctypes) the session's members are still found."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            prctl = ctypes.CDLL(None).prctl
            prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            prctl(SET_NAME, b"skadi-job", 0, 0, 0)


def start(folder: bytes, words: list[bytes]) -> tuple[int, bytes]:
    """The command's number, and `ERRNO PATH` if it could not be started."""
    reading, writing = os.pipe()
    command = os.fork()
    if command == 0:
        become(folder, words, writing)
    os.close(writing)
    fault = os.read(reading, 65536)
    os.close(reading)
    return command, fault


def become(folder: bytes, words: list[bytes], writing: int) -> None:
    place = folder
    try:
        os.setsid()
        # Before it can do anything, such as killing us.
        tell(b"began %d" % os.getpid())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in USUAL:
            signal.signal(number, signal.SIG_DFL)
        if folder:
            os.chdir(folder)
        place = words[0]
        os.execvp(place, words)  # noqa: S606 - a shell is the agent's to choose
    except OSError as error:
        os.write(writing, b"%d %s" % (error.errno or 0, place))
    finally:
        os._exit(127)


def let_go_of_output() -> None:
    """Else the agent would never see its end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)


class Ending:
    """How all of a tree is brought to its end."""

    def __init__(self, tree: Tree | Group) -> None:
        self._tree = tree

    def stop(self, grace: float) -> None:
        """Ask everybody to end, once; then make whoever is left, and whoever they start."""
        self._send(self.living(), signal.SIGTERM, signal.SIGCONT)
        deadline = time.monotonic() + grace
        while not self.is_over() and time.monotonic() < deadline:
            self.pause(TICK)
        deadline = time.monotonic() + KILLING
        while not self.is_over() and time.monotonic() < deadline:
            self._kill()
            self.pause(TICK / 5)

    def living(self) -> Processes:
        return self._tree.living()

    def is_over(self) -> bool:
        return not self.living()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _kill(self) -> None:
        """Who is frozen starts nobody, so that none is born between the look and the blow."""
        frozen: Processes = {}
        for _ in range(FREEZES):
            self._tree.freeze_children()
            moving = {pid: born for pid, born in self.living().items() if pid not in frozen}
            if not moving:
                break
            self._send(moving, signal.SIGSTOP)
            frozen.update(moving)
        self._send(self.living(), signal.SIGKILL)

    def _send(self, processes: Processes, *numbers: int) -> None:
        for pid, born in processes.items():
            for number in numbers:
                self._tree.send(pid, born, number)


class Supervisor(Ending):
    def __init__(
        self, command: int, wake: int, tree: Tree | Group, limit: float, grace: float
    ) -> None:
        """`limit` and `grace`, in seconds, count when the agent does not say otherwise."""
        super().__init__(tree)
        self._command = command
        self._wake = wake
        self._deadline = time.monotonic() + limit
        self._grace = grace
        self._code: int | None = None
        self._listening = True
        self._alone = False

    def work(self) -> None:
        while self._code is None:
            self._pause(min(max(self._left(), 0.0), LONGEST_PAUSE))
            grace = self._order()
            if grace is not None and self._code is None:
                self.stop(grace)
                return self._tell(b"stopped", self._survivors())
        return self._tell(b"ended", ())

    def _tell(self, how: bytes, left: Iterable[bytes]) -> None:
        code = b"-" if self._code is None else str(self._code).encode()
        tell(b" ".join([how, code, *left]))

    def _left(self) -> float:
        """Seconds until the command's time is over, for us."""
        return self._deadline + COURTESY * self._listening - time.monotonic()

    def _order(self) -> float | None:
        """With which grace to stop. If the agent is gone, the command has its time all the same."""
        if self._listening and select.select([CONTROL], [], [], 0)[0]:
            try:
                order = os.read(CONTROL, 4096)
            except OSError:
                order = b""
            self._listening = bool(order)
            if order:
                return float(order.split()[1])
        return self._grace if self._left() <= 0 else None

    def _pause(self, seconds: float, *, heed: bool = True) -> None:
        """Until a child ends, until the agent speaks, or for so long; buries who has ended."""
        handles = [self._wake, *([CONTROL] if self._listening and heed else [])]
        ready, _, _ = select.select(handles, [], [], seconds)
        if self._wake in ready:
            os.read(self._wake, 4096)
        self._bury()

    def _bury(self) -> None:
        try:
            while True:
                child, status = os.waitpid(-1, os.WNOHANG)
                if not child:
                    return
                if child == self._command:
                    self._code = os.waitstatus_to_exitcode(status)
                    self._tree.leader_is_buried = True
        except ChildProcessError:
            self._alone = True

    def pause(self, seconds: float) -> None:
        self._pause(seconds, heed=False)

    def living(self) -> Processes:
        self._bury()
        return super().living()

    def is_over(self) -> bool:
        """A look at /proc takes its time, and misses who forks and dies meanwhile. But whoever is
        left has a child of ours above it, or is one, and of those the kernel knows."""
        living = self.living()
        return self._alone and not living

    def _survivors(self) -> list[bytes]:
        """Whom /proc does not show (hidepid), the kernel may name as our child all the same; what it
        has started itself, nobody does."""
        living = self.living()
        children = [] if self._alone else self._tree.children()
        hidden = [pid for pid in children if pid not in living]
        unseen = not self._alone and bool(hidden or not living)
        return [*(b"%d" % pid for pid in (*living, *hidden)), *([b"?"] if unseen else [])]


class Tree:
    """All below this process, and all of the command's session, as /proc shows them."""

    def __init__(self, command: int, proc: bytes = b"/proc") -> None:
        self.leader_is_buried = False
        self._session = b"%d" % command
        self._root = b"%d" % os.getpid()
        self._proc = proc

    def living(self) -> Processes:
        children: dict[bytes, list[bytes]] = {}
        born: dict[bytes, bytes] = {}
        members: list[bytes] = []
        for pid in filter(bytes.isdigit, os.listdir(self._proc)):
            facts = facts_of(pid, self._proc)
            if facts and pid != self._root:
                state, parent, session, moment = facts
                children.setdefault(parent, []).append(pid)
                if session == self._session:
                    members.append(pid)
                if state not in b"ZX":
                    born[pid] = moment
        self._remember_session(members)
        children.setdefault(self._root, []).extend(members)
        return {int(pid): born[pid] for pid in below(self._root, children) if pid in born}

    def _remember_session(self, members: list[bytes]) -> None:
        """The number of a session is not given anew while it has members, and then to strangers."""
        if self.leader_is_buried and not members:
            self._session = b""

    def children(self) -> list[int]:
        """Of this very process, even those that /proc hides."""
        with suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
        return []

    def freeze_children(self) -> None:
        """Quicker than a look at all there is: whoever flees from parent to parent is our child
        by the time that its parent is gone. A number is not given anew before we bury its owner."""
        for pid in self.children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)

    def send(self, pid: int, born: bytes, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            facts = facts_of(b"%d" % pid, self._proc)
            if facts and facts[3] == born:
                os.kill(pid, number)


class Session(Tree):
    """All of a command's session and below it, for a process that is not the command's parent."""

    def __init__(self, command: int, proc: bytes = b"/proc") -> None:
        super().__init__(command, proc)
        self.leader_is_buried = True
        # No number of anybody's: what is below the process itself is none of its business.
        self._root = b"-"

    def children(self) -> list[int]:
        return []


def facts_of(pid: bytes, proc: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """State, parent, session and moment of birth: fields 3, 4, 6 and 22 of proc_pid_stat(5)."""
    try:
        handle = os.open(b"%b/%b/stat" % (proc, pid), os.O_RDONLY)
    except OSError:
        return None
    try:
        # A name may hold blanks and brackets; the last bracket ends it.
        fields = os.read(handle, 4096).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(handle)
    return (fields[0], fields[1], fields[3], fields[19]) if len(fields) > 19 else None


def below(root: bytes, children: dict[bytes, list[bytes]]) -> list[bytes]:
    """Parents come before their children, so that a shell is gone before it can remark on theirs."""
    found = dict.fromkeys(children.get(root, ()))
    pending = list(found)
    for pid in pending:
        new = [child for child in children.get(pid, ()) if child not in found]
        found.update(dict.fromkeys(new))
        pending += new
    return pending


class Group:
    """The command's process group, where there is no /proc to look into."""

    def __init__(self, command: int) -> None:
        self.leader_is_buried = False
        self._group = command
        self._is_gone = False

    def living(self) -> Processes:
        """Once it is empty its number may become that of strangers."""
        try:
            if not self._is_gone:
                os.killpg(self._group, 0)
        except ProcessLookupError:
            self._is_gone = True
        except PermissionError:
            pass
        return {} if self._is_gone else {self._group: b""}

    def children(self) -> list[int]:
        return []

    def freeze_children(self) -> None:
        """A group is frozen as a whole."""

    def send(self, pid: int, born: bytes, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def tree_of(command: int) -> Tree | Group:
    return Tree(command) if os.path.exists("/proc/self/stat") else Group(command)


def session_of(command: int) -> Session | Group:
    return Session(command) if os.path.exists("/proc/self/stat") else Group(command)


if __name__ == "__main__":
    main()
    # Past the interpreter's own tidying: there is nothing to tidy.
    os._exit(0)
