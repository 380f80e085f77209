"""The program itself, in a process of its own: started, stopped, killed, and started again."""

import fcntl
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from agent.journal import INTERRUPTED
from tests.agent.conftest import Settle
from tests.agent.daemon import run
from tests.agent.deadline import eventually
from tests.agent.fake_skadi import TOKEN, FakeJob, FakeSkadi

MENU = """\
shortcuts:
  - short: one
    cmd: echo one >> {home}/runs; echo done
  - short: long
    cmd: echo $$ >> {home}/runs; sleep 60
  - short: short
    cmd: echo begun >> {home}/runs; sleep 0.7; echo done
  - short: secrets
    cmd: tr '\\0' '\\n' < /proc/$PPID/cmdline; env; echo end
commands:
  - prefix: printf
templates:
  - name: say
    temp: echo "<%s>"
"""


@pytest.fixture
def menu(tmp_path: Path) -> str:
    return MENU.format(home=tmp_path)


def runs(home: Path) -> list[str]:
    file = home / "runs"
    return file.read_text().split() if file.exists() else []


def until_begun(home: Path, times: int = 1) -> None:
    eventually(lambda: len(runs(home)) >= times)


def end_orphan(home: Path) -> None:
    """A command outlives an agent that was killed."""
    os.killpg(int(runs(home)[0]), signal.SIGKILL)


def test_jobs_of_every_kind_are_run(skadi: FakeSkadi, daemon: Settle, menu: str) -> None:
    daemon(menu)
    jobs = [skadi.submit(text) for text in ("one", "printf %s-%s a '; b'", "say $(id)", "nonsense")]
    skadi.until_ended(*jobs)
    assert [job.ends[0] for job in jobs[:3]] == [
        ("succeed", "done\n"),
        ("succeed", "a-; b"),
        ("succeed", "<$(id)>\n"),
    ]
    assert jobs[3].ends[0][0] == "fail"
    assert jobs[3].result.startswith("unsupported command: nonsense")


def test_the_token_reaches_no_child_and_no_log(skadi: FakeSkadi, daemon: Settle, menu: str) -> None:
    program = daemon("debug: true\n" + menu, environ={"SKADI_TOKEN": TOKEN}, token="of-the-file")
    job = skadi.submit("secrets")
    skadi.until_ended(job)
    assert job.result.endswith("end\n")
    assert "HOME=" in job.result
    assert TOKEN not in job.result + program.log
    assert "SKADI_" not in job.result


def test_a_job_cut_short_by_a_kill_is_reported_as_interrupted_and_not_run_again(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    program = daemon(menu)
    job = skadi.submit("long")
    until_begun(tmp_path)
    program.kill()
    daemon(menu)
    skadi.until_ended(job)
    assert job.ends == [("fail", INTERRUPTED)]
    skadi.until_ended(skadi.submit("one"))
    assert runs(tmp_path)[1:] == ["one"]
    end_orphan(tmp_path)


def test_an_end_that_could_not_be_told_survives_a_kill(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    skadi.answer_reports = 503
    program = daemon(menu)
    job = skadi.submit("one")
    until_begun(tmp_path)
    eventually(lambda: '"ended"' in (program.state / "journal.jsonl").read_text())
    program.kill()
    skadi.answer_reports = None
    daemon(menu)
    skadi.until_ended(job)
    assert job.ends == [("succeed", "done\n")]
    assert runs(tmp_path) == ["one"]


def test_a_kill_at_any_moment_runs_nothing_twice_and_loses_no_end(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    jobs: list[FakeJob] = []
    for pause in (0.0, 0.01, 0.03, 0.1):
        program = daemon(menu)
        polls = len(skadi.polls)
        skadi.until(lambda polls=polls: len(skadi.polls) > polls)  # type: ignore[misc]
        jobs.append(skadi.submit("one"))
        time.sleep(pause)
        program.kill()
    daemon(menu)
    skadi.until_ended(*jobs)
    succeeded = [job for job in jobs if job.ends == [("succeed", "done\n")]]
    interrupted = [job for job in jobs if job.ends == [("fail", INTERRUPTED)]]
    assert len(succeeded) + len(interrupted) == len(jobs)
    assert len(succeeded) <= len(runs(tmp_path)) <= len(jobs)


def test_a_job_that_had_only_waited_starts_after_a_restart(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    skadi.old = True
    long, waits = skadi.submit("long"), skadi.submit("one")
    program = daemon(menu)
    until_begun(tmp_path)
    skadi.until(lambda: waits.handed)
    eventually(lambda: '"got"' in (program.state / "journal.jsonl").read_text())
    program.kill()
    daemon(menu)
    skadi.until_ended(long, waits)
    assert long.ends == [("fail", INTERRUPTED)]
    assert waits.ends == [("succeed", "done\n")]
    end_orphan(tmp_path)


def test_sigterm_lets_a_job_end(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path
) -> None:
    program = daemon(menu)
    job, later = skadi.submit("short"), skadi.submit("one")
    until_begun(tmp_path)
    program.terminate()
    assert program.exit_status() == 0
    assert job.ends == [("succeed", "done\n")]
    assert later.status == "queuing"


@pytest.mark.parametrize("again", [False, True], ids=["its grace over", "told twice"])
def test_sigterm_stops_a_job_that_does_not_end(
    skadi: FakeSkadi, daemon: Settle, menu: str, tmp_path: Path, again: bool
) -> None:
    program = daemon(menu, "--grace", "30s" if again else "300ms")
    job = skadi.submit("long")
    until_begun(tmp_path)
    program.terminate()
    if again:
        time.sleep(0.3)
        program.terminate()
    assert program.exit_status() == 0
    assert job.ends == [("fail", "stopped with the agent")]


def test_a_time_limit_is_kept(skadi: FakeSkadi, daemon: Settle, menu: str) -> None:
    daemon("time_limit: 300ms\n" + menu)
    job = skadi.submit("long")
    skadi.until_ended(job)
    assert job.ends == [("fail", "stopped: it ran longer than its time limit of 0.3s")]


def test_a_token_the_server_does_not_know_ends_it_with_status_3(
    skadi: FakeSkadi, daemon: Settle
) -> None:
    program = daemon(token="01234567890123456789")
    assert program.exit_status() == 3
    assert "the server does not know this token" in program.log
    assert "Traceback" not in program.log
    assert "01234567890123456789" not in program.log


def test_it_waits_for_a_server_that_is_away(skadi: FakeSkadi, daemon: Settle, menu: str) -> None:
    skadi.go()
    program = daemon(menu)
    eventually(lambda: "trying again" in program.log)
    skadi.come()
    skadi.until_ended(skadi.submit("one"))
    assert program.log.count("trying again") == 1
    assert "works again" in program.log


def test_a_folder_in_use_ends_it_with_a_clear_word(
    skadi: FakeSkadi, daemon: Settle, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = daemon()
        assert program.exit_status() == 1
    assert "skadi: another agent is at work in the state folder" in program.log
    assert "Traceback" not in program.log


def test_a_mistake_in_the_file_ends_it_with_its_line(skadi: FakeSkadi, daemon: Settle) -> None:
    program = daemon("commands:\n  - prefx: ls\n")
    assert program.exit_status() == 2
    assert program.log.startswith(f"skadi: {program.settings}:6: unknown key 'prefx'")
    assert program.log.count("\n") == 1


# The short commands.


def test_the_token_is_written_into_the_file(tmp_path: Path) -> None:
    (tmp_path / "skadi.yml").write_text("# mine\ntoken:\ndebug: true\n")
    done = run(TOKEN, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert TOKEN not in done.stdout
    assert (tmp_path / "skadi.yml").read_text() == f'# mine\ntoken: "{TOKEN}"\ndebug: true\n'
    assert stat.S_IMODE((tmp_path / "skadi.yml").stat().st_mode) == 0o600


@pytest.mark.parametrize("word", ["chekc", "x" * 19])
def test_what_is_neither_a_word_nor_a_token_is_refused(tmp_path: Path, word: str) -> None:
    (tmp_path / "skadi.yml").write_text("token:\n")
    done = run(word, folder=tmp_path)
    assert done.returncode == 2
    assert f"that has 20 characters, this has {len(word)}" in done.stderr
    assert (tmp_path / "skadi.yml").read_text() == "token:\n"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    done = run(folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("skadi: no server: write")


def test_help_teaches(tmp_path: Path) -> None:
    text = run("--help", folder=tmp_path).stdout
    for word in ("TOKEN", "check", "skadi.yml", "shortcuts:", "templates:", "SKADI_TOKEN_FILE"):
        assert word in text
