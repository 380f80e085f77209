"""What a job writes is seen while it runs, and neither it nor its end waits for that."""

import dataclasses
import threading
import time
from itertools import pairwise

import pytest

from agent import Job
from tests.agent.conftest import QUICK, Employ, Settle
from tests.agent.deadline import eventually
from tests.agent.fake_skadi import FakeJob, FakeSkadi


class Writer:
    """A handler that shows what a test gives it, until it is let go."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._open = threading.Event()

    def __call__(self, job: Job) -> str:
        self.job = job
        assert self._open.wait(8)
        return "all of it"

    def show(self, text: str | bytes) -> None:
        eventually(lambda: self.job)
        assert self.job
        self.job.show(text.encode() if isinstance(text, str) else text)

    def let_go(self) -> None:
        self._open.set()


@pytest.fixture
def writer() -> Writer:
    return Writer()


def until_shown(skadi: FakeSkadi, job: FakeJob, text: str) -> None:
    skadi.until(lambda: job.output.decode() == text)


def test_output_is_seen_while_a_command_runs(skadi: FakeSkadi, daemon: Settle) -> None:
    daemon("shortcuts:\n  - short: steps\n    cmd: echo one; sleep 1.2; echo two; sleep 60\n")
    job = skadi.submit("steps")
    until_shown(skadi, job, "one\n")
    until_shown(skadi, job, "one\ntwo\n")
    assert job.ends == []
    assert job.pieces[1].at - job.pieces[0].at >= 0.9


def test_a_job_that_ends_at_once_sends_no_chunk(skadi: FakeSkadi, daemon: Settle) -> None:
    daemon("shortcuts:\n  - short: quick\n    cmd: echo one; sleep 0.3; echo two\n")
    jobs = [skadi.submit("quick") for _ in range(2)]
    skadi.until_ended(*jobs)
    assert [job.result for job in jobs] == ["one\ntwo\n"] * 2
    assert [job.pieces for job in jobs] == [[], []]


def test_chunks_of_a_job_keep_their_distance(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    employ(writer, dataclasses.replace(QUICK, output_gap=0.2))
    job = skadi.submit("long")
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        writer.show("on ")
        time.sleep(0.01)
    writer.let_go()
    skadi.until_ended(job)
    assert 2 <= len(job.pieces) <= 5
    assert all(later.at - earlier.at > 0.15 for earlier, later in pairwise(job.pieces))


def test_the_end_says_everything_and_is_the_last_word(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    until_shown(skadi, job, "some")
    writer.let_go()
    skadi.until_ended(job)
    assert job.ends == [("succeed", "all of it")]
    pieces = len(job.pieces)
    writer.show("too late")
    time.sleep(0.3)
    assert len(job.pieces) == pieces


def test_a_server_that_lost_some_is_sent_it_again(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    employ(writer)
    job = skadi.submit("long")
    skadi.lose_output = 3
    writer.show("abcdef")
    until_shown(skadi, job, "abcdef")
    assert [piece.offset for piece in job.pieces] == [0, 3]
    writer.let_go()
    skadi.until_ended(job)


def test_a_chunk_whose_answer_was_lost_does_no_harm(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    employ(writer)
    job = skadi.submit("long")
    skadi.lose_output_answer = True
    writer.show("abc")
    skadi.until(lambda: len(job.pieces) == 2)
    writer.show("def")
    until_shown(skadi, job, "abcdef")
    writer.let_go()
    skadi.until_ended(job)


@pytest.mark.parametrize("status", [404, 405, 413, 400])
def test_who_does_not_want_it_is_sent_no_more(
    skadi: FakeSkadi, employ: Employ, writer: Writer, status: int
) -> None:
    skadi.answer_output = status
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    skadi.until(lambda: job.pieces)
    writer.show("more")
    time.sleep(0.4)
    assert len(job.pieces) == 1
    writer.let_go()
    skadi.until_ended(job)
    assert job.ends == [("succeed", "all of it")]


def test_a_server_that_is_full_is_sent_no_more(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    skadi.full = True
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    skadi.until(lambda: job.pieces)
    writer.show("more")
    time.sleep(0.4)
    assert len(job.pieces) == 1
    writer.let_go()
    skadi.until_ended(job)


def test_an_old_server_hears_of_the_end_alone(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    skadi.old = True
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    time.sleep(0.4)
    writer.let_go()
    skadi.until_ended(job)
    assert (job.ends, job.pieces) == ([("succeed", "all of it")], [])


def test_while_the_server_is_away_it_waits_and_then_is_sent(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    skadi.answer_output = 503
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    skadi.until(lambda: len(job.pieces) >= 2)
    skadi.answer_output = None
    until_shown(skadi, job, "some")
    writer.let_go()
    skadi.until_ended(job)


def test_a_server_that_takes_its_time_holds_up_neither_command_nor_end(
    skadi: FakeSkadi, employ: Employ, writer: Writer
) -> None:
    skadi.slow_output = 2.5
    employ(writer)
    job = skadi.submit("long")
    writer.show("some")
    skadi.until(lambda: job.pieces)
    began = time.monotonic()
    for _ in range(500):
        writer.show(b"x" * 65536)
    writer.let_go()
    skadi.until_ended(job)
    assert time.monotonic() - began < 2


def test_two_jobs_are_shown_side_by_side(skadi: FakeSkadi, daemon: Settle) -> None:
    daemon("slots: 2\ncommands:\n  - prefix: sh\n")
    jobs = [skadi.submit(f"sh -c 'echo {n}; sleep 60'") for n in (1, 2)]
    for number, job in enumerate(jobs, 1):
        until_shown(skadi, job, f"{number}\n")
