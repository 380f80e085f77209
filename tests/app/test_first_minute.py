"""The first minute: one start, and what it prints is all that is needed to command by mail and HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.program import PATIENCE, Program, wait_for

LAST_LINE = "Stop with Ctrl-C."
STARTS_WITHIN = 3.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("first-minute")) as program:
        yield program.start()


@pytest.fixture(scope="module")
def screen(program: Program) -> str:
    return program.wait_until_said(LAST_LINE)


def pasted(screen: str, pattern: str) -> str:
    """The indented line of the screen that this pattern begins."""
    found = re.findall(rf"^  ({pattern}.*)$", screen, re.MULTILINE)
    assert len(found) == 1, screen
    line: str = found[0]
    return line


def paste(line: str) -> str:
    """What a person's shell makes of it, somewhere else."""
    done = subprocess.run(
        line, shell=True, cwd="/", capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def letters(program: Program) -> list[Path]:
    return sorted((program.data / "outbox" / "new").glob("*"))


def until_ended(program: Program, screen: str, job_id: str) -> Any:
    look = pasted(screen, "curl .*/api/jobs/ID").replace("/ID", f"/{job_id}")

    def ended() -> Any:
        job = json.loads(paste(look))
        return job if job["status"] in ("succeeded", "failed") else None

    return wait_for(ended, "the end of the job")


def test_a_mail_that_was_pasted_is_answered_in_the_maildir(program: Program, screen: str) -> None:
    before = letters(program)
    paste(pasted(screen, "python3 -c 'import smtplib"))
    wait_for(lambda: len(letters(program)) > len(before) or None, "an answer")
    answer = paste(pasted(screen, "python3 -c 'import email"))
    assert answer.startswith("Succeeded")
    assert "Hello from " in answer
    assert "smtp: you@localhost wrote: demo hello" in program.said
    assert re.search(
        r"smtp: told you@localhost: Succeeded .* on demo: hello \(\w{4}\)", program.said
    )


def test_the_same_mail_pasted_again_is_another_job(program: Program, screen: str) -> None:
    before = letters(program)
    for _ in range(2):
        paste(pasted(screen, "python3 -c 'import smtplib"))
    wait_for(lambda: len(letters(program)) == len(before) + 2 or None, "two answers")


@pytest.mark.parametrize("how", ["curl .*-d ", "python3 -c 'import json"])
def test_a_call_that_was_pasted_is_a_job(program: Program, screen: str, how: str) -> None:
    job = json.loads(paste(pasted(screen, how)))
    assert job["agent_name"] == "demo"
    ended = until_ended(program, screen, job["id"])
    assert ended["status"] == "succeeded"
    assert ended["result"].startswith("Hello from ")


def test_what_was_pasted_shows_its_result(program: Program, screen: str) -> None:
    job = json.loads(paste(pasted(screen, "curl .*-d ")))
    assert (job["status"], job["result"].startswith("Hello from ")) == ("succeeded", True)


@pytest.mark.parametrize(
    ("command", "status", "result"),
    [
        ("date", "succeeded", "20"),
        ("uptime", "succeeded", "load average"),
        ("echo one $HOME `two`", "succeeded", "one $HOME `two`"),
        ("fail", "failed", "This one always fails."),
        ("reboot", "failed", "reboot"),
    ],
)
def test_the_demo_agent_runs_its_list_and_nothing_else(
    program: Program, screen: str, command: str, status: str, result: str
) -> None:
    line = pasted(screen, "curl .*-d ")
    body = json.dumps({"agent": "demo", "message": command}).replace("'", "'\"'\"'")
    job = json.loads(paste(re.sub(r"-d '.*?'", lambda _: f"-d '{body}'", line)))
    ended = until_ended(program, screen, job["id"])
    assert (ended["status"], result in ended["result"]) == (status, True), ended


@pytest.mark.skipif(not Path("/proc/self/net").exists(), reason="the kernel tells it on Linux only")
def test_everything_listens_on_loopback_alone(program: Program, screen: str) -> None:
    mine = {os.readlink(link) for link in Path(f"/proc/{program.process.pid}/fd").iterdir()}
    listening = [
        line.split()[1]
        for file in ("tcp", "tcp6")
        for line in Path(f"/proc/{program.process.pid}/net/{file}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in mine
    ]
    assert sorted(int(address.partition(":")[2], 16) for address in listening) == sorted(
        (program.port, program.mail_port)
    )
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def test_the_secrets_of_the_demo_are_for_its_owner_alone(program: Program, screen: str) -> None:
    assert mode_of(program.data / "demo" / "secrets.json") == 0o600
    assert mode_of(program.data) == 0o700


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def restart(program: Program) -> float:
    """Seconds of work from the start to the words that end the screen, whatever else the machine does."""
    starts = program.said.count(LAST_LINE)
    assert program.stop(signal.SIGINT) == 0
    program.start()
    wait_for(lambda: program.said.count(LAST_LINE) > starts or None, "another start")
    return work_of(program.process.pid)


def work_of(pid: int) -> float:
    """Processor time of a process so far, in seconds (proc(5), the 14th and 15th of its stat)."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_what_was_pasted_before_a_restart_works_after_it(program: Program, screen: str) -> None:
    mail, call = pasted(screen, "python3 -c 'import smtplib"), pasted(screen, "curl .*-d ")
    assert restart(program) < STARTS_WITHIN
    before = letters(program)
    paste(mail)
    job = json.loads(paste(call))
    ended = until_ended(program, screen, job["id"])
    assert ended["status"] == "succeeded"
    wait_for(lambda: len(letters(program)) > len(before) or None, "an answer")
    accounts = program.ask("account", "list")
    assert [account["name"] for account in accounts] == ["demo"]
