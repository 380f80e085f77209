"""`app.py submit`: one command that runs something, waits for it and ends as it did."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.app.program import PATIENCE, ROOT, Program, wait_for
from tests.servers import LOOPBACK

LAST_LINE = "Stop with Ctrl-C."


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("submit")) as program:
        program.start().wait_until_said(LAST_LINE)
        secrets = json.loads((program.data / "demo" / "secrets.json").read_bytes())
        program.environment["SKADI_URL"] = f"http://{LOOPBACK}:{program.port}"
        program.environment["SKADI_TOKEN"] = secrets["token"]
        wait_for(lambda: agent_is_there(program), "the demo agent")
        yield program


def agent_is_there(program: Program) -> bool | None:
    return True if program.start_command("submit", "demo", "date").returncode == 0 else None


@pytest.mark.parametrize(
    ("words", "status", "out"),
    [
        (("demo", "echo", "one", "two", "--wait"), 0, "one two\n"),
        (("--wait", "1m", "demo", "echo", "one"), 0, "one\n"),
        (("demo", "echo", "-x", "one", "--wait=1m"), 0, "-x one\n"),
        (("--wait", "demo", "--", "echo", "--json"), 0, "--json\n"),
        (("demo", "fail", "--wait"), 1, "This one always fails.\n"),
        (("demo", "sleep", "5", "--wait", "200ms"), 5, ""),
    ],
)
def test_the_exit_status_follows_the_job(
    program: Program, words: tuple[str, ...], status: int, out: str
) -> None:
    done = program.start_command("submit", *words)
    assert (done.returncode, done.stdout.startswith(out)) == (status, True), done
    assert done.stderr == ""


def test_without_waiting_it_says_which_job_it_is(program: Program) -> None:
    done = program.start_command("submit", "demo", "hello", "--json")
    job = json.loads(done.stdout)
    assert (done.returncode, job["message"], job["source"]) == (0, "hello", "app.py submit")
    done = program.start_command("follow", job["id"])
    assert (done.returncode, done.stdout.startswith("Hello from ")) == (0, True)
    done = program.start_command("follow", job["id"], "--json")
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_a_job_that_was_canceled_or_expired_has_a_status_of_its_own(program: Program) -> None:
    """This one has just been made, so that nobody misses it yet."""
    program.tell("agent", "add", "demo", "idle")
    for path, method, status in (
        ("/api/jobs/{}/cancel", "POST", 4),
        ("/sys/jobs/{}/expire", "PUT", 3),
    ):
        done = program.start_command("submit", "idle", "hello", "--json")
        job_id = json.loads(done.stdout)["id"]
        call(program, method, path.format(job_id))
        assert program.start_command("follow", job_id).returncode == status


def call(program: Program, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}{path}"
    with urlopen(Request(url, method=method, headers=headers), timeout=PATIENCE):
        pass


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("submit", "demo"), 2, "Missing argument"),
        (("submit", "demo", "date", "--url", "here"), 2, "begins with http"),
        (("submit", "demo", "date", "--token", ""), 2, "SKADI_TOKEN"),
        (("submit", "demo", "date", "--account", "demo"), 2, "--account"),
        (("submit", "nobody", "date", "--wait"), 1, "There is no agent nobody."),
        (("submit", "demo", "date", "--token", "ska_wrong"), 1, "token"),
        (("follow", "06vlmdv0i8q8kc2h1m4g"), 1, "no such job"),
    ],
)
def test_what_cannot_be_done_says_why(
    program: Program, words: tuple[str, ...], status: int, said: str
) -> None:
    done = program.start_command(*words)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_json_for_programs(program: Program) -> None:
    done = program.start_command("submit", "nobody", "date", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "AgentNotFound"


def test_without_an_address_it_is_done_beside_the_server(program: Program) -> None:
    environment = {
        key: value
        for key, value in program.environment.items()
        if key not in ("SKADI_URL", "SKADI_TOKEN")
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "submit", "demo", "echo", "here", "--wait"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "here\n"), done
    assert time.monotonic() - began < PATIENCE


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(program: Program) -> None:
    waiting = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "submit", "demo", "sleep 5", "--wait"],
        env=program.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: has_running(program, "sleep 5"), "the job")
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    [line] = [line for line in said.splitlines() if "goes on." in line]
    words = line.partition("python app.py ")[2].split()
    done = program.start_command(*words)
    assert (done.returncode, done.stdout) == (0, "Slept well.\n"), done


def has_running(program: Program, command: str) -> bool | None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}/api/jobs?limit=1"
    with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
        [job] = json.load(answer)["jobs"]
    return True if job["message"] == command and job["status"] in ("sent", "running") else None


def test_a_restart_of_the_server_is_waited_out(program: Program, tmp_path: Path) -> None:
    output = (tmp_path / "out").open("w+")
    waiting = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "submit", "idle", "hello", "--wait", "--json"],
        env=program.environment,
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: newest_of(program, "idle"), "the job")
    assert program.stop() == 0
    program.start()
    wait_for(lambda: program.said.count(LAST_LINE) == 2 or None, "a second start")
    job_id = newest_of(program, "idle")
    assert job_id
    call(program, "POST", f"/api/jobs/{job_id}/cancel")
    assert waiting.wait(PATIENCE) == 4
    output.seek(0)
    assert json.load(output)["id"] == job_id
    output.close()


def newest_of(program: Program, agent: str) -> str | None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}/api/jobs?limit=1&agent={agent}&status=queuing"
    with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
        jobs = json.load(answer)["jobs"]
    return str(jobs[0]["id"]) if jobs else None
