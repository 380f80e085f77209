"""Word of a cancel reaches the job that it is about, and what came of it reaches the server."""

import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from agent import Failed, Job
from agent.journal import INTERRUPTED
from agent.worker import UNBEGUN, WAITING
from tests.agent.conftest import QUICK, Employ, Settle
from tests.agent.deadline import eventually
from tests.agent.fake_skadi import FakeJob, FakeSkadi

MENU = """\
kill_grace: 300ms
shortcuts:
  - short: long
    cmd: echo $$ >> {home}/runs; (setsid sleep 60 &); sleep 60
  - short: deaf
    cmd: trap '' TERM; echo $$ >> {home}/runs; sleep 60; sleep 60
  - short: chatty
    cmd: while :; do echo on and on; sleep 0.05; done
  - short: short
    cmd: echo $$ >> {home}/runs; sleep 0.5; echo done
"""


@pytest.fixture
def menu(tmp_path: Path) -> str:
    return MENU.format(home=tmp_path)


def runs(home: Path) -> list[int]:
    file = home / "runs"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def session(leader: int) -> list[int]:
    """Who lives in the session that a command was started in, or was born into another of it."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(leader) and fields[0] not in "ZX":
            found.append(int(folder.name))
    return found


def cancel(skadi: FakeSkadi, *jobs: FakeJob) -> None:
    with skadi.changed:
        skadi.cancel += [job.id for job in jobs]
        skadi.changed.notify_all()


def heed(job: Job) -> str:
    assert job.stopping.wait(8)
    raise Failed(f"{job.reason_to_stop()} half-way")


def test_a_running_command_is_canceled_at_once(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    daemon(menu)
    job = skadi.submit("long")
    eventually(lambda: runs(tmp_path))
    began = time.monotonic()
    cancel(skadi, job)
    skadi.until_ended(job)
    assert time.monotonic() - began < 2
    assert job.ends == [("canceled", "canceled")]
    assert session(runs(tmp_path)[0]) == []


def test_who_is_deaf_is_killed_after_the_grace(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    daemon(menu)
    job = skadi.submit("deaf")
    eventually(lambda: runs(tmp_path))
    cancel(skadi, job)
    skadi.until_ended(job)
    assert job.ends == [("canceled", "canceled")]
    assert session(runs(tmp_path)[0]) == []


def test_the_job_beside_it_runs_on(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    daemon("slots: 2\n" + menu)
    stays, goes = skadi.submit("short"), skadi.submit("deaf")
    eventually(lambda: len(runs(tmp_path)) == 2)
    cancel(skadi, goes)
    skadi.until_ended(stays, goes)
    assert (stays.ends, goes.ends) == ([("succeed", "done\n")], [("canceled", "canceled")])


def test_what_was_written_before_is_in_the_result(
    skadi: FakeSkadi, daemon: Settle, menu: str
) -> None:
    daemon(menu)
    job = skadi.submit("chatty")
    skadi.until(lambda: job.pieces)
    cancel(skadi, job)
    skadi.until_ended(job)
    assert job.result.startswith("on and on\n")
    assert job.result.endswith("\ncanceled")


def test_word_of_it_may_come_in_the_answer_to_output(
    skadi: FakeSkadi, daemon: Settle, menu: str
) -> None:
    skadi.cancel_by_output = True
    daemon(menu)
    job = skadi.submit("chatty")
    skadi.until(lambda: job.pieces)
    cancel(skadi, job)
    skadi.until_ended(job)
    assert job.ends[0][0] == "canceled"


def test_an_older_server_is_told_of_a_failure_with_the_same_text(
    skadi: FakeSkadi, employ: Employ
) -> None:
    employ(heed)
    job = skadi.submit("long")
    skadi.until(lambda: job.runnings)
    skadi.no_cancels = True
    cancel(skadi, job)
    skadi.until_ended(job)
    assert job.ends == [("fail", "canceled half-way")]


def test_a_cancel_is_heard_while_all_slots_are_taken(skadi: FakeSkadi, employ: Employ) -> None:
    employ(heed, dataclasses.replace(QUICK, wait=30))
    job = skadi.submit("long")
    skadi.until(lambda: skadi.polls and skadi.polls[-1].slots == 0)
    began = time.monotonic()
    cancel(skadi, job)
    skadi.until_ended(job)
    assert time.monotonic() - began < 1


def test_a_cancel_is_heard_from_a_server_that_does_not_hold_polls(
    skadi: FakeSkadi, employ: Employ
) -> None:
    skadi.never_hold = True
    employ(heed)
    skadi.until(lambda: len(skadi.polls) > 4)
    job = skadi.submit("long")
    skadi.until(lambda: job.runnings)
    cancel(skadi, job)
    skadi.until_ended(job, seconds=2)


def test_a_cancel_that_is_repeated_does_not_make_it_spin(skadi: FakeSkadi, employ: Employ) -> None:
    let_go = threading.Event()

    def handle(job: Job) -> str:
        assert let_go.wait(8)
        return "done all the same"

    employ(handle, dataclasses.replace(QUICK, interval=0.5))
    job = skadi.submit("long")
    skadi.until(lambda: job.runnings)
    before = len(skadi.polls)
    cancel(skadi, job)
    time.sleep(0.9)
    assert 1 <= len(skadi.polls) - before <= 5
    let_go.set()
    skadi.until_ended(job)
    assert job.ends == [("succeed", "done all the same")]


def test_a_job_that_comes_canceled_is_not_begun(skadi: FakeSkadi, employ: Employ) -> None:
    begun: list[str] = []
    skadi.cancel = ["job00000000000000000"]
    employ(lambda job: begun.append(job.id))
    job = skadi.submit("deploy")
    skadi.until_ended(job)
    assert (job.ends, begun) == ([("canceled", UNBEGUN)], [])


def test_a_job_that_waits_for_another_is_canceled_unbegun(skadi: FakeSkadi, employ: Employ) -> None:
    skadi.unasked = True
    first, second = skadi.submit("one"), skadi.submit("two")
    begun: list[str] = []

    def handle(job: Job) -> str:
        begun.append(job.id)
        return heed(job)

    employ(handle)
    skadi.until(lambda: WAITING in second.runnings)
    skadi.unasked = False
    cancel(skadi, second)
    skadi.until_ended(second)
    assert second.ends == [("canceled", UNBEGUN)]
    cancel(skadi, first)
    skadi.until_ended(first)
    assert begun == [first.id]


def test_a_cancel_of_what_is_not_here_changes_nothing(skadi: FakeSkadi, employ: Employ) -> None:
    skadi.cancel = ["somebody-elses"]
    employ(lambda job: "pong")
    job = skadi.submit("ping")
    skadi.until_ended(job)
    assert job.ends == [("succeed", "pong")]


def test_a_job_canceled_while_the_agent_is_killed_is_reported_as_interrupted(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    program = daemon(menu.replace("300ms", "700ms"))
    job = skadi.submit("deaf")
    eventually(lambda: runs(tmp_path))
    cancel(skadi, job)
    eventually(lambda: "it is to be canceled" in program.log)
    time.sleep(0.2)
    program.kill()
    daemon(menu)
    skadi.until_ended(job)
    assert job.ends == [("fail", INTERRUPTED)]
    # What had been asked for is still done.
    eventually(lambda: session(runs(tmp_path)[0]) == [])


def test_a_stop_of_the_agent_ends_the_whole_tree(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    program = daemon(
        menu + "  - short: pids\n    cmd: setsid sh -c "
        f"'echo $$ >> {tmp_path}/runs; exec sleep 60' & sleep 60\n",
        "--grace",
        "100ms",
    )
    job = skadi.submit("pids")
    eventually(lambda: runs(tmp_path))
    program.terminate()
    assert program.exit_status() == 0
    assert job.ends == [("fail", "stopped with the agent")]
    with pytest.raises(ProcessLookupError):
        os.kill(runs(tmp_path)[0], signal.SIGKILL)
