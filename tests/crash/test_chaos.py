"""The chaos run: a small one with every kind of disaster in it, and that it would notice a wrong."""

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from chaos.__main__ import main
from chaos.plan import KINDS, Way, draw
from chaos.run import run
from chaos.table import report
from chaos.verdict import judge
from chaos.wire import Exchange, Wire
from core.model import JobStatus
from tests.crash.books import Books, Record
from tests.crash.traffic import Wish
from tests.servers import LOOPBACK, MariaDB, Redis

JOBS = 300


def test_no_job_is_lost_doubled_or_untold_whatever_dies(
    tmp_path_factory: pytest.TempPathFactory, maria: MariaDB, redis: Redis
) -> None:
    redis.flush()
    folder, said = tmp_path_factory.mktemp("chaos"), list[str]()
    outcome = run(folder, maria, redis, JOBS, 1, said.append)
    found = "\n".join([*said, *report(outcome), f"logs: {folder}"])
    assert outcome.verdict.good, found
    assert outcome.verdict.accepted == sum(outcome.verdict.ended.values()) == JOBS, found
    assert set(outcome.struck) == set(KINDS), found
    assert outcome.cuts, found
    # Agents that were killed had a few at work; all others did what they were told.
    assert outcome.verdict.ended[JobStatus.SUCCEEDED] >= 0.8 * JOBS, found


# The plan.


def test_a_seed_makes_the_same_plan_again() -> None:
    assert draw(7, 10_000) == draw(7, 10_000) != draw(8, 10_000)


@pytest.mark.parametrize("jobs", [1, 300, 10_000])
def test_a_plan_has_every_kind_of_disaster_in_the_order_of_their_time(jobs: int) -> None:
    plan = draw(7, jobs)
    shares = [disaster.share for disaster in plan]
    assert {disaster.name for disaster in plan} == set(KINDS)
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] < 1


def test_what_is_not_understood_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("jobs", "jobs=0", "seed=x", "speed=7"):
        assert main([word]) == 2
        assert "usage: make chaos" in capsys.readouterr().err


# The lines.


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def wire(far: socket.socket) -> Iterator[Wire]:
    with Exchange() as exchange:
        yield exchange.wire_to(far.getsockname()[1])


def call(wire: Wire, far: socket.socket) -> tuple[socket.socket, socket.socket]:
    """The two ends of a line."""
    caller = socket.create_connection((LOOPBACK, wire.port), timeout=5)
    server, _ = far.accept()
    server.settimeout(5)
    return caller, server


def read_all(end: socket.socket) -> bytes:
    data = b""
    while more := end.recv(1 << 16):
        data += more
    return data


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_line_is_cut_behind_so_many_bytes(wire: Wire, far: socket.socket, way: Way) -> None:
    caller, server = call(wire, far)
    with caller, server:
        speaks, hears = (caller, server) if way == "there" else (server, caller)
        wire.cut(way, [3000])
        speaks.sendall(b"x" * 2000)
        assert len(hears.recv(2000, socket.MSG_WAITALL)) == 2000
        speaks.sendall(b"x" * 2000)
        assert len(read_all(hears)) == 1000
        assert wire.cuts == 1


def test_a_line_that_ends_first_leaves_the_cut_to_the_next(wire: Wire, far: socket.socket) -> None:
    wire.cut("there", [10])
    for said, heard, cuts in ((b"1234", b"1234", 0), (b"567890...", b"567890", 1), (b"+", b"+", 1)):
        caller, server = call(wire, far)
        with caller, server:
            caller.sendall(said)
            caller.shutdown(socket.SHUT_WR)
            assert read_all(server) == heard
            assert wire.cuts == cuts


def test_a_server_that_is_away_ends_the_call(wire: Wire, far: socket.socket) -> None:
    far.close()
    with socket.create_connection((LOOPBACK, wire.port), timeout=5) as caller:
        assert caller.recv(1) == b""


# The verdict.

S, F = JobStatus.SUCCEEDED, JobStatus.FAILED
PATH = (JobStatus.QUEUING, JobStatus.SENT, S)


def record(status: JobStatus = S, path: tuple[JobStatus, ...] = PATH) -> Record:
    return Record("id", status, len(path), range(1, len(path) + 1), path, told=True)


def wrongs(
    *records: Record,
    runs: int = 1,
    ends: frozenset[str] = frozenset({"Succeeded"}),
    yes: bool = True,
    tries: int = 1,
    ended: str = "web-1",
) -> set[str]:
    wish = Wish(1, "new-1", by_mail=False, words="run 1", accepted=yes, tries=tries)
    books = Books({1: records}, Counter({1: runs}), {1: set(ends)}, unsaid=0)
    verdict = judge(books, [wish], {ended: 1})
    found = {name for name, faults in verdict.wrongs.items() if faults}
    assert verdict.good == (not found)
    return found


def test_a_wrong_is_noticed() -> None:
    assert wrongs(record()) == set()
    assert wrongs() == {"lost"}
    assert wrongs(record(JobStatus.SENT, PATH[:2])) == {"lost"}
    assert wrongs(record(), runs=2) == {"doubled"}
    assert wrongs(record(), record()) == {"doubled"}
    assert wrongs(record(), ends=frozenset()) == {"untold"}
    assert wrongs(record(), ends=frozenset({"Outcome unknown"})) == {"untold"}
    assert wrongs(record(), runs=0) == {"crooked"}
    assert wrongs(record(F, PATH), ends=frozenset({"Failed"})) == {"crooked"}
    assert wrongs(record(S, (PATH[0], S))) == {"crooked"}
    assert wrongs(yes=False, runs=0) == {"refused"}
    assert wrongs(yes=False, runs=0, tries=0) == {"stuck"}
    assert wrongs(record(), ended="old-1") == {"deserted"}
