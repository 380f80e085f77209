"""When a job is stopped, all that it started is gone, and nothing else is."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.process import Ended, Left, Limits, run
from agent.supervisor import Session, Tree
from tests.agent.daemon import ROOT
from tests.agent.deadline import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

LIMITS = Limits(time=20, linger=0.3, kill_grace=0.4)
PATIENT = Limits(time=20, linger=0.3, kill_grace=8)

# Each leaves processes that do not go when a plain TERM reaches the command's group.
FUGITIVES = {
    "ignores TERM": "trap '' TERM; echo up; sleep 60; sleep 60; sleep 60",
    "forks twice": "(setsid sh -c \"trap '' TERM; sleep 60 & echo up; sleep 60\" &); sleep 60",
    "nohup": "nohup sleep 60 >/dev/null 2>&1 & echo up; sleep 60",
    "setsid": "setsid sleep 60 & setsid -f sleep 60; echo up; sleep 60",
    "all of these": "setsid nohup sh -c \"trap '' TERM HUP; (sleep 60 &); echo up; sleep 60\" & wait",
    "closes its output": "echo up; exec >&- 2>&-; trap '' TERM; sleep 60 & sleep 60",
    "is stopped": "(kill -STOP $(sh -c 'echo $PPID')) & sleep 0.1; echo up; sleep 60",
    "its parents are gone": 'sh -c \'sh -c "sh -c \\"sleep 60 &\\" &" &\' ; echo up; sleep 60',
}

# Whenever a child dies, another is started: as many as 2000 of them.
RESPAWNS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
for n in range(2000):
    child = os.fork()
    if not child:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    os.waitpid(child, 0)
"""
# Every child's only care is to have one of its own, in a session of its own: a run, not a bomb.
RUNS_AWAY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
if os.fork():
    time.sleep(60)
for n in range(3000):
    if os.fork():
        time.sleep(0.002)
        os._exit(0)
    os.setsid()
time.sleep(60)
"""


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """What all processes of this test have in their environment."""
    name = f"mark-{os.getpid()}-{abs(hash(request.node.nodeid))}"
    monkeypatch.setenv("MARK", name)
    yield name
    for pid in alive(name):
        os.kill(pid, signal.SIGKILL)


def alive(mark: str) -> list[int]:
    """Who has the mark and more than its name in the table of processes."""
    wanted = f"MARK={mark}".encode()
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and wanted in environ(folder)
    ]


def environ(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


class Stopper:
    """Stops the command when it is told to, or as soon as the command says "up"."""

    def __init__(self) -> None:
        self._now = threading.Event()

    def hear(self, chunk: bytes) -> None:
        if b"up" in chunk:
            self._now.set()

    def reason(self) -> str:
        return "canceled" if self._now.is_set() else ""


def stop_when_up(text: str, limits: Limits = LIMITS) -> Ended:
    stopper = Stopper()
    return run(["/bin/sh", "-c", text], "", limits, stopper.reason, stopper.hear)


@pytest.mark.parametrize("text", FUGITIVES.values(), ids=FUGITIVES.keys())
def test_nothing_is_left_of_what_was_canceled(text: str, mark: str) -> None:
    began = time.monotonic()
    ended = stop_when_up(text)
    assert alive(mark) == []
    assert ended.failure == "canceled"
    assert ended.output.startswith("up\n")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("program", [RESPAWNS, RUNS_AWAY], ids=["respawns", "runs away"])
def test_nothing_is_left_of_what_forks_in_a_loop(program: str, mark: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(program)
    ended = stop_when_up(f"exec {sys.executable} {file}")
    assert alive(mark) == []
    assert ended.failure == "canceled"
    time.sleep(0.1)
    assert alive(mark) == []


def test_a_time_limit_leaves_nothing_either(mark: str) -> None:
    ended = run(["/bin/sh", "-c", FUGITIVES["all of these"]], "", Limits(time=0.5, kill_grace=0.2))
    assert ended.failure == "stopped: it ran longer than its time limit of 0.5s"
    assert alive(mark) == []


def test_a_command_is_asked_before_it_is_made(mark: str) -> None:
    text = "trap 'sleep 0.1; echo tidied; exit 7' TERM; sleep 60 & echo up; wait"
    ended = stop_when_up(text, PATIENT)
    assert ended.output == "up\ntidied\n"
    assert (ended.code, ended.failure) == (7, "canceled")


def test_what_a_command_does_to_tidy_up_is_not_asked_to_end(mark: str) -> None:
    text = "trap 'sh -c \"sleep 0.2; echo tidied\"; exit' TERM; sleep 60 & echo up; wait"
    ended = stop_when_up(text, PATIENT)
    assert ended.output == "up\ntidied\n"


def test_a_job_beside_it_is_not_touched(mark: str, tmp_path: Path) -> None:
    """Of the same text, with orphans of its own."""
    text = f"(setsid sleep 60 &); sleep 60 & echo $$ >> {tmp_path}/beside; wait"
    beside, done = Stopper(), []

    def work() -> None:
        done.append(run(["/bin/sh", "-c", text], "", LIMITS, beside.reason))

    thread = threading.Thread(target=work)
    thread.start()
    eventually(lambda: (tmp_path / "beside").exists())
    eventually(lambda: len(alive(mark)) == 4)  # supervisor, shell, and a sleep on either side
    before = set(alive(mark))
    ended = stop_when_up(text.replace("; wait", "; echo up; wait"))
    assert ended.failure == "canceled"
    assert set(alive(mark)) == before
    beside.hear(b"up")
    thread.join(8)
    assert [ended.failure for ended in done] == ["canceled"]
    assert alive(mark) == []


def test_what_a_command_leaves_that_ends_by_itself_stays(mark: str) -> None:
    began = time.monotonic()
    ended = run(["/bin/sh", "-c", "nohup sleep 60 & echo done"], "", Limits(linger=0.3))
    assert (ended.output, ended.failure) == ("done\n", "")
    assert time.monotonic() - began < 3
    assert len(alive(mark)) == 1


def test_a_command_that_ends_as_it_is_canceled_has_ended_by_itself(
    mark: str, tmp_path: Path
) -> None:
    def stop() -> str:
        eventually((tmp_path / "begun").exists)
        eventually(lambda: alive(mark) == [])
        return "canceled"

    ended = run(["/bin/sh", "-c", f"touch {tmp_path}/begun; exit 3"], "", LIMITS, stop)
    assert (ended.code, ended.failure) == (3, "exit status 3")


def test_who_kills_the_supervisor_is_stopped_and_told_so(mark: str) -> None:
    text = "sleep 60 & kill -KILL $PPID; echo on; trap '' TERM; sleep 60; sleep 60"
    ended = run(["/bin/sh", "-c", text], "", LIMITS)
    assert ended.failure == "its supervisor was killed; what had left its session may still run"
    assert ended.output == "on\n"
    assert alive(mark) == []


def test_who_stops_the_supervisor_holds_nothing_up(mark: str) -> None:
    began = time.monotonic()
    ended = run(["/bin/sh", "-c", "kill -STOP $PPID; echo on"], "", LIMITS)
    assert (ended.output, ended.failure) == ("on\n", "")
    assert time.monotonic() - began < 4


def test_who_stops_the_supervisor_is_canceled_all_the_same(mark: str) -> None:
    began = time.monotonic()
    ended = stop_when_up("sh -c 'while :; do kill -STOP $0; sleep 0.2; done' $PPID & echo up; wait")
    assert ended.failure == "canceled"
    assert alive(mark) == []
    assert time.monotonic() - began < 4


def test_a_supervisor_hears_of_nothing_but_its_agent(mark: str) -> None:
    ended = run(["/bin/sh", "-c", "kill -TERM $PPID; kill -INT $PPID; echo on"], "", LIMITS)
    assert (ended.output, ended.failure) == ("on\n", "")


LIBC_S_OWN = 1 << 31 | 1 << 32
"""Signals 32 and 33, which no program can set, stay as whoever started us has left them."""


def test_a_command_gets_its_signals_and_no_handles_of_ours(mark: str) -> None:
    shown = run(["/bin/sh", "-c", "ls /proc/self/fd; grep SigIgn /proc/self/status"], "", LIMITS)
    *handles, _, ignored = shown.output.split()
    assert handles == ["0", "1", "2", "3"]
    assert int(ignored, 16) & ~LIBC_S_OWN == 0


# The agent is killed, its commands are not: they are told of as interrupted when it is back.

AGENT = """
import os, sys
from agent.process import Limits, run
stop = lambda: "canceled" if os.path.exists(sys.argv[2]) else ""
limits = Limits(time=float(sys.argv[3]), kill_grace=0.5)
run(["/bin/sh", "-c", sys.argv[1]], "", limits, stop)
"""


@contextmanager
def agent_for(text: str, stop: Path, limit: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that runs this, and stops it as soon as there is such a file."""
    words = [sys.executable, "-c", AGENT, text, str(stop), str(limit)]
    with subprocess.Popen(words, cwd=ROOT) as agent:
        try:
            yield agent
        finally:
            agent.kill()


def test_a_command_outlives_an_agent_that_was_killed(mark: str, tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"
    with agent_for(f"touch {begun}; sleep 0.6; touch {done}", tmp_path / "never"):
        eventually(begun.exists)
    eventually(done.exists)
    eventually(lambda: alive(mark) == [])


def test_what_is_being_stopped_goes_even_if_the_agent_is_killed(mark: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with agent_for(f"trap '' TERM; touch {begun}; sleep 60; sleep 60; sleep 60", begun):
        eventually(begun.exists)
        # The first sleep ends by the TERM, and so the stop is under way; the shell does not end.
        eventually(lambda: len(alive(mark)) == 4)
        sleeper = max(alive(mark))
        eventually(lambda: sleeper not in alive(mark))
    eventually(lambda: alive(mark) == [])


def test_a_time_limit_holds_even_if_the_agent_is_killed(mark: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    text = f"(setsid sleep 60 &); trap '' TERM; touch {begun}; sleep 60; sleep 60; sleep 60"
    with agent_for(text, tmp_path / "never", limit=0.7):
        eventually(begun.exists)
    assert len(alive(mark)) >= 3
    eventually(lambda: alive(mark) == [], seconds=4)


def test_a_time_limit_holds_even_if_the_agent_hangs(mark: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with agent_for(f"touch {begun}; sleep 60", tmp_path / "never", limit=0.3) as agent:
        eventually(begun.exists)
        agent.send_signal(signal.SIGSTOP)
        eventually(lambda: set(alive(mark)) <= {agent.pid}, seconds=5)


# Numbers of processes and sessions are given anew.


def fake_process(proc: Path, pid: int, session: int, state: str = "S") -> None:
    (proc / str(pid)).mkdir()
    fields = [state, "1", "0", str(session), *["0"] * 15, "77"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a name) {' '.join(fields)}\n")


def test_a_session_that_was_empty_is_nobodys_any_more(tmp_path: Path) -> None:
    tree = Tree(4711, os.fsencode(tmp_path))
    fake_process(tmp_path, 4711, 4711, "Z")
    fake_process(tmp_path, 4712, 4711)
    assert list(tree.living()) == [4712]
    tree.leader_is_buried = True
    assert list(tree.living()) == [4712]
    shutil.rmtree(tmp_path / "4712")
    shutil.rmtree(tmp_path / "4711")
    assert list(tree.living()) == []
    fake_process(tmp_path, 4711, 4711)
    assert list(tree.living()) == []


def test_a_session_whose_leader_cannot_be_seen_is_not_forgotten(tmp_path: Path) -> None:
    tree = Tree(4711, os.fsencode(tmp_path))
    assert list(tree.living()) == []
    fake_process(tmp_path, 4712, 4711)
    assert list(tree.living()) == [4712]


def test_a_session_is_not_its_watchers_family(tmp_path: Path) -> None:
    """Init's parent, and the kernel's, is 0."""
    for pid, session in ((1, 1), (os.getpid(), 1), (4712, 4711)):
        fake_process(tmp_path, pid, session)
    assert list(Session(4711, os.fsencode(tmp_path)).living()) == [4712]


# Those that we may not kill, or do not see.

# A supervisor that no look at /proc shows anybody, as where it is mounted with hidepid.
BLIND = """
import os, signal, sys
from agent import supervisor
class Blind(supervisor.Tree):
    def living(self):
        return {}
    def freeze_children(self):
        pass
    def children(self):
        return super().children() if sys.argv[1] == "kernel" else []
supervisor.KILLING = 0.2
wake = supervisor.wake_on_children()
supervisor.adopt_orphans()
command, _ = supervisor.start(b"", [b"sleep", b"60"])
supervisor.Supervisor(command, wake, Blind(command), 60, 0.1).work()
os.kill(command, signal.SIGKILL)
"""


@pytest.mark.parametrize("who", ["nobody", "kernel"])
def test_who_is_not_seen_is_told_of(who: str) -> None:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", BLIND, who]
    with ours, subprocess.Popen(words, cwd=ROOT, stdin=theirs.fileno()) as done:
        theirs.close()
        ours.sendall(b"stop 0.1\n")
        ours.settimeout(8)
        with ours.makefile("rb") as said:
            session = said.readline().split()[1].decode()
            last = said.readline().decode().split()
        assert done.wait(8) == 0
    assert last == ["stopped", "-", *([session] if who == "kernel" else []), "?"]


def test_what_is_said_of_them() -> None:
    assert Left().text() == ""
    assert Left((7,)).text() == "; 1 process could not be stopped: 7"
    assert Left((7, 8)).text() == "; 2 processes could not be stopped: 7, 8"
    assert Left((), True).text() == "; at least one process could not be seen or stopped"
    assert Left((7,), True).text().startswith("; 1 process could not be stopped: 7; at least one ")


@pytest.fixture
def hiding() -> list[str]:
    """What hides from a user the processes of others, put before a command."""
    text = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", text, "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can hide processes")
    return words


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def become_root(open_folder: Path) -> Path:
    """A program that makes any user root, as sudo does."""
    if os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists():
        pytest.skip("only root can lend its rights")
    program = open_folder / "as-root"
    program.write_bytes(Path("/usr/bin/setpriv").read_bytes())
    program.chmod(0o4755)
    return program


def test_who_cannot_be_stopped_is_counted_and_named(
    become_root: Path, open_folder: Path, mark: str, nobody: Callable[[str], str]
) -> None:
    pids = open_folder / "pids"
    pids.touch()
    pids.chmod(0o666)
    said = nobody(
        f"{become_root} --reuid 0 --clear-groups sh -c 'echo $$ > {pids}; exec sleep 60' & "
        f"while [ ! -s {pids} ]; do sleep 0.05; done; echo up; wait"
    )
    survivor = int(pids.read_text())
    assert said == f"canceled; 1 process could not be stopped: {survivor}\n"
    os.kill(survivor, signal.SIGKILL)


def test_who_is_hidden_and_cannot_be_stopped_is_named_too(
    become_root: Path,
    open_folder: Path,
    mark: str,
    nobody: Callable[..., str],
    hiding: list[str],
) -> None:
    pids = open_folder / "pids"
    pids.touch()
    pids.chmod(0o666)
    said = nobody(
        f"{become_root} --reuid 0 --clear-groups sh -c 'echo $$ > {pids}; exec sleep 60' & "
        f"while [ ! -s {pids} ]; do sleep 0.05; done; echo up; wait",
        hiding,
    )
    survivor = int(pids.read_text())
    os.kill(survivor, signal.SIGKILL)
    assert said == (
        f"canceled; 1 process could not be stopped: {survivor}; "
        "at least one process could not be seen or stopped\n"
    )


@pytest.fixture
def nobody(open_folder: Path) -> Callable[..., str]:
    """Runs a command the way an agent of a user without any rights does; what became of it."""
    (open_folder / "agent").mkdir()
    for file in (ROOT / "agent").glob("*.py"):
        (open_folder / "agent" / file.name).write_bytes(file.read_bytes())
    program = (
        "import sys, threading\n"
        "from agent.process import Limits, run\n"
        "up = threading.Event()\n"
        "hear = lambda chunk: up.set() if b'up' in chunk else None\n"
        "stop = lambda: 'canceled' if up.is_set() else ''\n"
        "limits = Limits(kill_grace=0.2, linger=0.2)\n"
        "print(run(['/bin/sh', '-c', sys.argv[1]], '', limits, stop, hear).failure)\n"
    )

    def start(text: str, before: Sequence[str] = ()) -> str:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*before, *user, "/usr/bin/python3", "-c", program, text],
            cwd=open_folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout

    return start
