"""The chaos run: a small one with every kind of disaster in it, and that it would notice a wrong."""

import socket
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from email.message import EmailMessage
from itertools import cycle
from mailbox import Maildir
from pathlib import Path
from typing import Any

import pytest

from chaos.__main__ import main
from chaos.callers import Manner, Wanted
from chaos.plan import KINDS, NEW, Way, draw
from chaos.run import run, wishes
from chaos.table import report
from chaos.town import AGENTS, TWINS
from chaos.verdict import Verdict, judge
from chaos.wire import Exchange, Wire
from core.model import JobStatus
from tests.crash.books import OWNER, Books, Record, read_letters
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
    assert outcome.verdict.ended[JobStatus.CANCELED], found


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

D, Q, SENT, RUN = JobStatus.DELAYED, JobStatus.QUEUING, JobStatus.SENT, JobStatus.RUNNING
S, F, X, C = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED, JobStatus.CANCELED
STRUCK = dict.fromkeys(KINDS, 1)
MANY = 1000


def record(*path: JobStatus, told: bool = True, result: str = "") -> Record:
    path = path or (Q, SENT, S)
    return Record("id", path[-1], len(path), range(1, len(path) + 1), path, told, result)


INTERRUPTED = record(Q, SENT, F, result="interrupted: the agent stopped")


def wrongs(
    *records: Record,
    runs: int = 1,
    said: Collection[str] = ("Succeeded",),
    ended: str = "web-1",
    unsaid: int = 0,
    strangers: Collection[str] = (),
    struck: Mapping[str, int] = STRUCK,
    **wish: Any,
) -> set[str]:
    """Of the books of one job; `said`: how its mails begin."""
    fields: dict[str, Any] = {
        "agent": "new-1",
        "by_mail": False,
        "words": "run 1",
        "accepted": True,
        "tries": 1,
    }
    wanted = Wanted(1, **(fields | wish))
    others = {1: set(strangers)} if strangers else {}
    books = Books({1: records}, Counter({1: runs}), {1: set(said)}, unsaid, others)
    return found_in(judge(books, [wanted], {ended: 1}, struck))


def found_in(verdict: Verdict) -> set[str]:
    found = {name for name, faults in verdict.wrongs.items() if faults}
    assert verdict.good == (not found)
    return found


def test_a_wrong_is_noticed() -> None:
    assert wrongs(record()) == set()
    assert wrongs(record(D, Q, SENT, RUN, S)) == set()
    assert "lost" in wrongs()
    assert "lost" in wrongs(record(Q, SENT))
    assert wrongs(record(), runs=2) == {"doubled"}
    assert wrongs(record(), record()) == {"doubled"}
    assert wrongs(record(), said=[]) == {"untold"}
    assert wrongs(record(told=False)) == {"untold"}
    assert wrongs(record(), said=["Outcome unknown"]) == {"untold"}
    assert wrongs(record(), said=["Succeeded", "Failed"]) == {"untold"}
    assert wrongs(record(), strangers=["mallory@example.org"]) == {"untold"}
    assert wrongs(record(), runs=0) == {"crooked"}
    assert wrongs(record(Q, S)) == {"crooked"}
    assert wrongs(record(SENT, S)) == {"crooked"}
    assert wrongs(record(), heard={F}) == {"crooked"}
    assert wrongs(record(), unsaid=1) == {"unsaid"}
    assert wrongs(runs=0, accepted=False) == {"refused"}
    assert wrongs(record(), refusals=["401"]) == {"refused"}
    assert wrongs(runs=0, accepted=False, tries=0) == {"stuck"}
    assert wrongs(record(), ended="old-1") == {"deserted"}


def test_a_status_that_its_events_do_not_end_with_is_noticed() -> None:
    crooked = replace(record(), status=F, result="interrupted: ")
    assert "crooked" in wrongs(crooked, said=["Failed"])


def test_only_an_agent_of_today_that_was_killed_has_interrupted_jobs() -> None:
    assert wrongs(INTERRUPTED, said=["Failed"]) == set()
    assert wrongs(INTERRUPTED, said=["Failed"], agent="old-1") == {"groundless"}
    assert wrongs(INTERRUPTED, said=["Failed"], struck=STRUCK | {"agent killed": 0}) == {
        "groundless"
    }
    other = replace(INTERRUPTED, result="no such command")
    assert wrongs(other, said=["Failed"]) == {"groundless"}


@pytest.mark.parametrize("agent", ["old-1", TWINS])
def test_the_outcome_of_an_old_agents_job_may_be_unknown(agent: str) -> None:
    for runs in (0, 1):
        assert wrongs(record(Q, SENT, X), runs=runs, said=["Outcome unknown"], agent=agent) == set()


def test_an_agent_of_today_knows_what_became_of_what_it_began() -> None:
    lost = record(Q, SENT, X)
    assert wrongs(lost, runs=0, said=["Outcome unknown"]) == set()
    assert wrongs(lost, runs=1, said=["Outcome unknown"]) == {"groundless"}
    late = record(Q, SENT, X, S)
    assert wrongs(late, said=["Outcome unknown", "Succeeded"]) == set()


@pytest.mark.parametrize("path", [(Q, X), (D, Q, X), (Q, SENT, Q, X)])
def test_what_was_never_handed_out_does_not_expire(path: tuple[JobStatus, ...]) -> None:
    assert wrongs(record(*path), runs=0, said=["Expired"], agent="old-1") == {"groundless"}


def test_what_nobody_canceled_is_not_canceled() -> None:
    for path in ((Q, C), (Q, SENT, C)):
        assert wrongs(record(*path), said=["Canceled"]) == {"groundless"}
        assert wrongs(record(*path), said=["Canceled"], canceled=True) == set()


def test_what_is_to_be_stopped_does_not_run_to_its_end() -> None:
    assert wrongs(record(), canceled=True) == set()
    assert wrongs(record(), canceled=True, stopping=True) == {"crooked"}


def false_books(path: Sequence[JobStatus], runs: int, said: str) -> set[str]:
    """Of many jobs that all went the same way; every disaster struck as often as in a run of so many."""
    numbers = range(1, MANY + 1)
    wanted = [
        Wanted(number, agent, by_mail=False, words=f"run {number}", accepted=True, tries=1)
        for number, agent in zip(numbers, cycle(AGENTS), strict=False)
    ]
    books = Books(
        {number: [record(*path)] for number in numbers},
        Counter(dict.fromkeys(numbers, runs)),
        {number: {said} for number in numbers},
        unsaid=0,
    )
    return found_in(judge(books, wanted, {}, Counter(each.name for each in draw(7, MANY))))


def test_books_in_which_nothing_was_done_are_refused() -> None:
    assert false_books([Q, SENT, S], 1, "Succeeded") == set()
    assert false_books([Q, X], 0, "Expired") == {"groundless", "idle"}
    assert false_books([Q, C], 0, "Canceled") == {"groundless", "idle"}
    assert false_books([Q, SENT, X], 0, "Outcome unknown") == {"idle"}
    assert false_books([Q, SENT, X], 1, "Outcome unknown") == {"groundless", "idle"}
    assert "untold" in false_books([Q, SENT, S], 1, "Outcome unknown")


def test_a_letter_to_somebody_else_tells_its_owner_nothing(tmp_path: Path) -> None:
    maildir = Maildir(tmp_path / "answers")
    for number, recipient in ((1, OWNER), (2, "mallory@example.org")):
        letter = EmailMessage()
        letter["To"] = recipient
        letter.set_content(f"Succeeded in 1 s on new-1: run {number} (abcd)\n")
        maildir.add(letter.as_bytes())
    found = {letter.number: letter.recipient for letter in read_letters(tmp_path / "answers")}
    assert found == {1: OWNER, 2: "mallory@example.org"}


def test_some_wait_for_the_end_and_some_change_their_minds() -> None:
    wanted = wishes(600)
    manners = Counter(wish.manner for wish in wanted)
    assert len({wish.number for wish in wanted}) == len(wanted) == 600
    assert manners[Manner.CANCELS] == 12
    assert manners[Manner.WAITS] > 50
    assert {wish.agent for wish in wanted if wish.manner is Manner.CANCELS} == set(NEW)
    assert {wish.agent for wish in wanted} == set(AGENTS)
