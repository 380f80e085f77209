"""`check` looks at what an agent needs: a line each, with what to do about it."""

import fcntl
import os
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from agent.check import FAULT, NOTE, OK, check_clock, check_python, check_state
from agent.service import service_of
from tests.agent.conftest import Settle
from tests.agent.daemon import run
from tests.agent.fake_skadi import TOKEN, FakeSkadi


def grades(text: str) -> dict[str, str]:
    """What was found of each thing."""
    lines = text.partition("\n\n")[0].splitlines()
    return {line.split()[1]: line.split()[0] for line in lines}


def line(text: str, about: str) -> str:
    [found] = [line for line in text.splitlines() if line.split()[1:2] == [about]]
    return found


@pytest.fixture
def home(skadi: FakeSkadi, tmp_path: Path) -> Path:
    (tmp_path / "skadi.yml").write_text(
        f"server: {skadi.url}\ntoken: {TOKEN}\nstate: {tmp_path}/state\ncommands:\n  - prefix: free\n"
    )
    (tmp_path / "skadi.yml").chmod(0o600)
    return tmp_path


def test_all_is_well_and_what_can_be_run_is_said(skadi: FakeSkadi, home: Path) -> None:
    job = skadi.submit("stays")
    done = run("check", folder=home)
    assert done.returncode == 0, done.stderr
    assert grades(done.stdout) == {
        "python": OK,
        "settings": OK,
        "secrecy": OK,
        "server": OK,
        "clock": OK,
        "token": OK,
        "journal": OK,
        "running": NOTE,
    }
    assert "Commands:\n - free\n" in done.stdout
    assert TOKEN not in done.stdout
    assert (job.status, skadi.polls, skadi.hellos, skadi.signs) == ("queuing", [], [], [])


def test_it_says_where_the_token_is_from(skadi: FakeSkadi, home: Path) -> None:
    (home / "skadi.yml").unlink()
    done = run("check", "--server", skadi.url, folder=home, SKADI_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert "from SKADI_TOKEN" in line(done.stdout, "secrecy")


def test_it_sees_an_agent_at_work_and_does_not_disturb_it(
    skadi: FakeSkadi, daemon: Settle, home: Path
) -> None:
    daemon()
    skadi.until(lambda: skadi.hellos)
    done = run("check", folder=home)
    assert "ok     running   an agent is at work here, connected since 2" in done.stdout
    assert len({poll.journal for poll in skadi.polls}) == 1


def test_a_wrong_token_is_told_with_what_to_do(skadi: FakeSkadi, home: Path) -> None:
    skadi.tokens = {"another"}
    done = run("check", folder=home)
    assert done.returncode == 1
    assert "FAULT  token     the server does not know this token" in done.stdout
    assert "agent rotate" in line(done.stdout, "token")
    assert "agent line" in line(done.stdout, "token")
    assert "(python -m agent TOKEN)" in line(done.stdout, "token")


def test_a_server_that_is_asked_too_much_is_no_fault(skadi: FakeSkadi, home: Path) -> None:
    skadi.answer_self = 429
    done = run("check", folder=home)
    assert done.returncode == 0
    assert "note   token     the server does not say: it answers 429" in done.stdout


def test_a_server_that_is_away_is_told(skadi: FakeSkadi, home: Path) -> None:
    skadi.go()
    done = run("check", folder=home)
    assert done.returncode == 1
    assert "is away: Connection refused" in line(done.stdout, "server")
    assert grades(done.stdout)["journal"] == OK


def test_of_an_old_server_no_job_is_taken(skadi: FakeSkadi, home: Path) -> None:
    skadi.old = True
    job = skadi.submit("deploy")
    done = run("check", folder=home)
    assert done.returncode == 0
    assert "the server knows it (it is an older one" in line(done.stdout, "token")
    assert (job.status, skadi.polls, skadi.hellos) == ("queuing", [], [])


def test_a_token_that_an_old_server_does_not_know_is_told(skadi: FakeSkadi, home: Path) -> None:
    skadi.old, skadi.tokens = True, {"another"}
    done = run("check", folder=home)
    assert done.returncode == 1
    assert grades(done.stdout)["token"] == FAULT


def test_a_token_that_others_may_read_is_noted(skadi: FakeSkadi, home: Path) -> None:
    (home / "skadi.yml").chmod(0o644)
    done = run("check", folder=home)
    assert done.returncode == 0
    assert "note   secrecy   others may read the token" in done.stdout
    assert "chmod 600" in line(done.stdout, "secrecy")


def test_a_service_that_is_set_up_and_stopped_is_a_fault(skadi: FakeSkadi, home: Path) -> None:
    unit = service_of(home, False, home / "usual").name
    folder = home / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    (folder / f"{unit}.service").touch()
    done = run("check", folder=home)
    assert done.returncode == 1
    assert f"systemctl --user restart {unit}" in line(done.stdout, "running")


def test_a_mistake_in_the_settings_is_named_with_its_line(home: Path) -> None:
    (home / "skadi.yml").write_text("sever: x\n")
    done = run("check", folder=home)
    assert done.returncode == 1
    assert done.stdout.startswith("FAULT  settings  skadi.yml:1: unknown key 'sever'")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    done = run("check", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("FAULT  settings  no server: write")


def test_clocks_are_compared() -> None:
    now = float(int(time.time()))
    assert check_clock(formatdate(now - 30, usegmt=True), now).grade == OK
    ahead = check_clock(formatdate(now - 3600, usegmt=True), now)
    assert (ahead.grade, "1h0m0s ahead of the server's" in ahead.text) == (FAULT, True)
    behind = check_clock(formatdate(now + 120, usegmt=True), now)
    assert "2m0s behind the server's" in behind.text
    assert check_clock("", now).grade == NOTE


def test_a_python_that_is_too_old_is_told() -> None:
    assert check_python((3, 8, 18)).grade == FAULT
    assert check_python((3, 9, 0)).grade == OK


def test_a_journal_folder_need_not_be_there_but_must_be_possible(tmp_path: Path) -> None:
    assert check_state(tmp_path / "to" / "come").grade == OK
    assert not (tmp_path / "to").exists()
    (tmp_path / "file").touch()
    assert check_state(tmp_path / "file" / "state").grade == FAULT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_journal_folder_of_somebody_elses_is_told() -> None:
    assert check_state(Path("/")).grade == FAULT


def test_a_lock_that_is_free_is_left_free(skadi: FakeSkadi, home: Path) -> None:
    (home / "state").mkdir()
    (home / "state" / "lock").touch()
    assert grades(run("check", folder=home).stdout)["running"] == NOTE
    with (home / "state" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
