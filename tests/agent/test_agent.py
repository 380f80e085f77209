"""The agent as a thread in a service, against a server that keeps to the protocol."""

import dataclasses
import threading
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from agent import Agent, AgentError, BadToken, Failed, Job, JournalError, Refused, Unreachable
from agent.journal import Journal
from agent.worker import AGAIN, LATE, LEFT, WAITING
from tests.agent.conftest import QUICK, Employ
from tests.agent.deadline import eventually
from tests.agent.disk import full_disk
from tests.agent.fake_skadi import TOKEN, FakeSkadi


def pong(job: Job) -> str:
    return f"pong {job.message}"


class Gate:
    """A handler whose jobs begin, and end when they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._open = threading.Event()

    def __call__(self, job: Job) -> str:
        self.begun.append(job.id)
        assert self._open.wait(8)
        return "let go"

    def let_go(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


# Jobs and their ends.


def test_what_a_handler_returns_is_the_result(skadi: FakeSkadi, employ: Employ) -> None:
    employ(pong)
    job = skadi.submit("ping")
    skadi.until_ended(job)
    assert job.ends == [("succeed", "pong ping")]


def test_nothing_returned_is_an_empty_result(skadi: FakeSkadi, employ: Employ) -> None:
    employ(lambda job: None)
    job = skadi.submit("ping")
    skadi.until_ended(job)
    assert job.ends == [("succeed", "")]


@pytest.mark.parametrize("error", [Failed("no disk"), ValueError("no disk"), SystemExit("no disk")])
def test_what_a_handler_raises_is_a_failure(
    skadi: FakeSkadi, employ: Employ, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def handle(job: Job) -> str:
        raise error

    employ(handle)
    job = skadi.submit("ping")
    skadi.until_ended(job)
    assert job.ends == [("fail", "no disk")]
    assert ("Traceback" in caplog.text) != isinstance(error, Failed)


def test_a_result_is_bounded_and_made_clean(skadi: FakeSkadi, employ: Employ) -> None:
    employ(lambda job: "a\0\ud800" + "x" * 100_000 + "end", output_limit=10_000)
    job = skadi.submit("ping")
    skadi.until_ended(job)
    assert job.result.startswith("a\ufffd?xxx")
    assert job.result.endswith("xend")
    assert "characters left out" in job.result
    assert len(job.result) < 12_000


def test_a_job_is_begun_the_moment_it_is_submitted(skadi: FakeSkadi, employ: Employ) -> None:
    employ(pong)
    skadi.until(lambda: skadi.polls)
    took = []
    for _ in range(5):
        began = time.monotonic()
        skadi.until_ended(skadi.submit("ping"))
        took.append(time.monotonic() - began)
    assert min(took) < 0.2


def test_jobs_run_one_at_a_time(skadi: FakeSkadi, employ: Employ, gate: Gate) -> None:
    employ(gate)
    first, second = skadi.submit("one"), skadi.submit("two")
    skadi.until(lambda: any(poll.slots == 0 for poll in skadi.polls))
    assert gate.begun == [first.id]
    assert second.status == "queuing"
    gate.let_go()
    skadi.until_ended(first, second)


def test_a_freed_slot_is_offered_at_once(skadi: FakeSkadi, employ: Employ, gate: Gate) -> None:
    employ(gate, dataclasses.replace(QUICK, wait=30))
    first, second = skadi.submit("one"), skadi.submit("two")
    skadi.until(lambda: any(poll.slots == 0 for poll in skadi.polls))
    gate.let_go()
    skadi.until_ended(first, second, seconds=3)


def test_as_many_jobs_run_together_as_there_are_slots(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    employ(gate, slots=2)
    jobs = [skadi.submit(name) for name in ("one", "two", "three")]
    skadi.until(lambda: any(poll.slots == 0 for poll in skadi.polls))
    assert set(gate.begun) == {jobs[0].id, jobs[1].id}
    gate.let_go()
    skadi.until_ended(*jobs)


# While a job runs.


def test_a_job_that_runs_says_so_again_and_again(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    employ(gate)
    job = skadi.submit("long")
    skadi.until(lambda: len(job.runnings) >= 3)
    gate.let_go()
    skadi.until_ended(job)
    assert set(job.runnings) == {""}


def test_progress_is_told_soon_and_the_newest_only(skadi: FakeSkadi, employ: Employ) -> None:
    done = threading.Event()

    def handle(job: Job) -> str:
        for percent in range(1000):
            job.running(f"{percent / 10} %")
        assert done.wait(8)
        return "all"

    employ(handle, dataclasses.replace(QUICK, beat=60, progress_gap=0.2))
    job = skadi.submit("long")
    skadi.until(lambda: "99.9 %" in job.runnings)
    assert len(job.runnings) < 10
    done.set()
    skadi.until_ended(job)


def test_a_job_the_server_gave_up_on_runs_on_and_its_end_is_told(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    employ(gate)
    job = skadi.submit("long")
    skadi.until(lambda: job.runnings)
    with skadi.changed:
        job.status = "expired"
    time.sleep(0.3)
    gate.let_go()
    skadi.until_ended(job)
    assert job.ends == [("succeed", "let go")]


# A server that knows only the original protocol.


def test_an_old_server_is_not_asked_without_rest(skadi: FakeSkadi, employ: Employ) -> None:
    skadi.old = True
    employ(pong)
    skadi.until(lambda: len(skadi.polls) >= 4)
    times = [poll.at for poll in skadi.polls]
    assert all(later - earlier > 0.15 for earlier, later in pairwise(times))


def test_an_old_servers_jobs_are_all_run_one_by_one(skadi: FakeSkadi, employ: Employ) -> None:
    skadi.old = True
    running: list[str] = []
    together = []

    def handle(job: Job) -> str:
        running.append(job.id)
        together.append(len(running))
        time.sleep(0.05)
        running.remove(job.id)
        return "done"

    jobs = [skadi.submit(f"number {n}") for n in range(5)]
    employ(handle)
    skadi.until_ended(*jobs)
    assert set(together) == {1}


def test_a_job_that_was_not_asked_for_waits_and_says_so(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    skadi.old = True
    first, second, third = [skadi.submit(name) for name in ("one", "two", "three")]
    employ(gate)
    skadi.until(lambda: WAITING in second.runnings)
    time.sleep(0.5)
    assert third.status == "queuing"
    assert gate.begun == [first.id]
    gate.let_go()
    skadi.until_ended(first, second, third)


def test_an_old_server_is_asked_at_once_when_a_job_has_ended(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    skadi.old = True
    job = skadi.submit("one")
    employ(gate, dataclasses.replace(QUICK, interval=30))
    skadi.until(lambda: any(poll.slots == 0 for poll in skadi.polls))
    gate.let_go()
    skadi.until_ended(job)
    skadi.until(lambda: skadi.polls[-1].slots == 1, seconds=0.8)


def test_a_waiting_job_that_was_given_up_on_is_not_started(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    skadi.old = True
    first, second = skadi.submit("one"), skadi.submit("two")
    employ(gate)
    skadi.until(lambda: WAITING in second.runnings)
    with skadi.changed:
        second.status = "expired"
    gate.let_go()
    skadi.until_ended(first, second)
    assert second.ends == [("fail", LATE)]
    assert gate.begun == [first.id]


# Never twice, never lost.


def test_a_job_lost_on_its_way_comes_again_and_runs_once(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path
) -> None:
    begun: list[str] = []
    skadi.lose_answers = 1
    employ(lambda job: begun.append(job.id), state=tmp_path)
    job = skadi.submit("deploy")
    skadi.until_ended(job)
    assert (job.handed, begun) == (2, [job.id])


def test_an_agent_without_a_folder_names_no_journal(skadi: FakeSkadi, employ: Employ) -> None:
    employ(pong)
    skadi.until_ended(skadi.submit("ping"))
    assert {(poll.journal, poll.holding) for poll in skadi.polls} == {(None, None)}


def test_what_is_held_is_said_with_each_poll(
    skadi: FakeSkadi, employ: Employ, gate: Gate, tmp_path: Path
) -> None:
    employ(gate, state=tmp_path)
    job = skadi.submit("long")
    skadi.until(lambda: skadi.polls and skadi.polls[-1].slots == 0)
    assert skadi.polls[0].holding == ()
    assert skadi.polls[-1].holding == (job.id,)
    assert len({poll.journal for poll in skadi.polls}) == 1
    gate.let_go()
    skadi.until_ended(job)


def test_a_job_handed_out_again_while_it_runs_is_not_run_again(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    employ(gate, slots=2)
    job = skadi.submit("deploy")
    skadi.until(lambda: gate.begun)
    skadi.hand_out_again = [job.id]
    with skadi.changed:
        skadi.changed.notify_all()
    skadi.until(lambda: job.handed >= 3)
    assert job.handed < 6
    assert gate.begun == [job.id]
    skadi.hand_out_again = []
    gate.let_go()
    skadi.until_ended(job)


def test_a_job_handed_out_after_its_end_is_not_run_again(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path
) -> None:
    begun: list[str] = []
    employ(lambda job: begun.append(job.id), state=tmp_path)
    job = skadi.submit("deploy")
    skadi.until_ended(job)
    with skadi.changed:
        # As after a backup was restored.
        job.status, job.ends, job.runnings = "queuing", [], []
        skadi.changed.notify_all()
    skadi.until_ended(job)
    assert job.ends == [("succeed", AGAIN)]
    assert begun == [job.id]


def test_a_job_that_cannot_be_noted_is_not_started(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path
) -> None:
    begun: list[str] = []
    employ(lambda job: begun.append(job.id), state=tmp_path)
    with full_disk(tmp_path / "journal.jsonl"):
        job = skadi.submit("deploy")
        skadi.until_ended(job)
    assert job.ends[0][0] == "fail"
    assert job.result.startswith("not run: ")
    assert "No space left" in job.result
    assert begun == []


# A server that is away.


def test_an_end_is_reported_when_the_server_is_back(
    skadi: FakeSkadi, employ: Employ, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    agent = employ(gate)
    job = skadi.submit("deploy")
    skadi.until(lambda: gate.begun)
    skadi.go()
    gate.let_go()
    time.sleep(0.8)
    assert not agent.join(0)
    skadi.come()
    skadi.until_ended(job)
    assert job.ends == [("succeed", "let go")]
    another = skadi.submit("one more")
    skadi.until_ended(another)
    away = [line for line in caplog.text.splitlines() if "poll: " in line and "trying" in line]
    assert 1 <= len(away) <= 2  # the connection cut, then the door closed; once each


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_report_is_repeated_until_it_is_taken(
    skadi: FakeSkadi, employ: Employ, status: int
) -> None:
    skadi.answer_reports = status
    employ(pong)
    job, later = skadi.submit("ping"), skadi.submit("pong")
    skadi.until(lambda: later.handed)
    time.sleep(0.3)
    skadi.answer_reports = None
    skadi.until_ended(job, later)


def test_a_report_that_is_refused_for_good_is_let_go(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skadi.answer_reports = 404
    agent = employ(pong, state=tmp_path)
    job = skadi.submit("ping")
    eventually(lambda: f"job {job.id}: the server refuses its end (succeed)" in caplog.text)
    agent.stop()
    assert agent.join(5)
    journal = Journal.open(tmp_path)
    assert journal.holding() == []
    journal.close()


def test_an_agent_that_is_switched_off_asks_patiently(skadi: FakeSkadi, employ: Employ) -> None:
    skadi.answer_all = 400
    agent = employ(pong)
    time.sleep(0.6)
    assert not agent.join(0)
    assert len(skadi.headers) < 12
    skadi.answer_all = None
    skadi.until_ended(skadi.submit("ping"))


def test_an_unknown_token_ends_the_agent(
    skadi: FakeSkadi, employ: Employ, caplog: pytest.LogCaptureFixture
) -> None:
    skadi.tokens = {"another"}
    agent = employ(pong)
    assert agent.join(5)
    assert isinstance(agent.error, BadToken)
    assert caplog.text.count("the server does not know this token") == 1


def test_a_token_revoked_while_a_job_runs_leaves_its_end_in_the_journal(
    skadi: FakeSkadi, employ: Employ, gate: Gate, tmp_path: Path
) -> None:
    agent = employ(gate, state=tmp_path)
    job = skadi.submit("deploy")
    skadi.until(lambda: gate.begun)
    skadi.tokens = {"another"}
    gate.let_go()
    assert agent.join(5)
    assert isinstance(agent.error, BadToken)
    journal = Journal.open(tmp_path)
    [entry] = journal.unreported()
    assert (entry.id, entry.verb, entry.result) == (job.id, "succeed", "let go")
    journal.close()


def test_run_raises_what_ended_the_agent(skadi: FakeSkadi) -> None:
    agent = Agent(skadi.url, "not" + TOKEN, pace=QUICK)
    with pytest.raises(BadToken):
        agent.run(pong)


# The end.


def test_a_held_poll_does_not_delay_the_end(skadi: FakeSkadi, employ: Employ) -> None:
    agent = employ(pong, dataclasses.replace(QUICK, wait=30))
    skadi.until(lambda: skadi.polls)
    began = time.monotonic()
    agent.stop()
    assert agent.join(5)
    assert time.monotonic() - began < 1
    assert agent.error is None


def test_a_running_job_may_end_within_its_grace(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    agent = employ(gate)
    job = skadi.submit("long")
    skadi.until(lambda: gate.begun)
    agent.stop()
    assert not agent.join(0.3)
    gate.let_go()
    assert agent.join(5)
    assert job.ends == [("succeed", "let go")]


def test_a_job_that_is_asked_to_stop_has_the_last_word(skadi: FakeSkadi, employ: Employ) -> None:
    def handle(job: Job) -> str:
        assert job.stopping.wait(8)
        raise Failed("left half-way")

    agent = employ(handle)
    job = skadi.submit("long")
    skadi.until(lambda: job.runnings)
    agent.stop(0)
    assert agent.join(5)
    assert job.ends == [("fail", "left half-way")]


def test_a_job_that_does_not_listen_is_left_and_that_is_said(
    skadi: FakeSkadi, employ: Employ, gate: Gate
) -> None:
    agent = employ(gate)
    job = skadi.submit("long")
    skadi.until(lambda: gate.begun)
    agent.stop(5)
    agent.stop(0)
    assert agent.join(5)
    assert job.ends == [("fail", LEFT)]
    gate.let_go()
    time.sleep(0.1)
    assert job.ends == [("fail", LEFT)]


def test_a_job_that_arrives_in_the_moment_of_stopping_is_not_lost(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path
) -> None:
    jobs = []
    for _ in range(5):
        agent = employ(pong, state=tmp_path)
        skadi.until(lambda: skadi.polls)
        jobs.append(skadi.submit("ping"))
        agent.stop()
        assert agent.join(5)
    employ(pong, state=tmp_path)
    skadi.until_ended(*jobs)
    assert {job.result for job in jobs} == {"pong ping"}


def test_an_agent_starts_once(skadi: FakeSkadi, employ: Employ) -> None:
    agent = employ(pong)
    with pytest.raises(AgentError, match="starts once"):
        agent.start(pong)


def test_two_agents_in_one_folder_are_refused(
    skadi: FakeSkadi, employ: Employ, tmp_path: Path
) -> None:
    employ(pong, state=tmp_path)
    with pytest.raises(JournalError, match="another agent is at work"):
        Agent(skadi.url, TOKEN, state=tmp_path).start(pong)


# What it says to Skadi.


def test_messages_and_jobs_are_submitted(skadi: FakeSkadi) -> None:
    agent = Agent(skadi.url, TOKEN)
    agent.send_info("open")
    agent.send_warning("hot", channel="ops")
    agent.send_text("hm")
    agent.send_auto("well")
    agent.add_job("web-2 deploy")
    agent.delay("restart", timedelta(hours=1, minutes=30))
    agent.delay("restart", 90, callback="disable")
    agent.delay("restart", "10m")
    assert skadi.posts == [
        ("/agent/message/info", {"message": "open"}),
        ("/agent/message/warning", {"message": "hot", "channel": "ops"}),
        ("/agent/message/text", {"message": "hm"}),
        ("/agent/message/auto", {"message": "well"}),
        ("/agent/job/add", {"message": "web-2 deploy"}),
        ("/agent/job/delayed", {"message": "restart", "duration": "1h30m0s"}),
        (
            "/agent/job/delayed",
            {"message": "restart", "duration": "1m30s", "callback": "disable"},
        ),
        ("/agent/job/delayed", {"message": "restart", "duration": "10m"}),
    ]


def test_what_the_server_does_not_take_is_raised(skadi: FakeSkadi) -> None:
    agent = Agent(skadi.url, TOKEN)
    skadi.answer_all = 400
    with pytest.raises(Refused, match="400 Passing"):
        agent.add_job("nobody x")
    skadi.answer_all = 503
    with pytest.raises(Unreachable):
        agent.send_info("open")
    skadi.go()
    with pytest.raises(Unreachable):
        agent.send_info("open")
    with pytest.raises(ValueError, match="no duration"):
        agent.delay("restart", "soon")


def test_a_handler_may_speak_while_it_works(skadi: FakeSkadi, employ: Employ) -> None:
    agents: list[Agent] = []
    agents.append(employ(lambda job: agents[0].send_info(f"begun {job.message}")))
    skadi.until_ended(skadi.submit("it"))
    assert skadi.posts == [("/agent/message/info", {"message": "begun it"})]


def test_the_token_shows_nowhere(
    skadi: FakeSkadi, employ: Employ, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    agent = employ(pong)
    skadi.until_ended(skadi.submit("ping"))
    skadi.tokens = set()
    skadi.submit("ping")
    assert agent.join(5)
    assert TOKEN not in caplog.text + repr(agent) + str(agent.error)
