"""A mail that says `cancel` leaves nothing alive of what an earlier mail has started."""

from __future__ import annotations

import os
import signal
import smtplib
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.agent.daemon import Daemon
from tests.app.program import Program, wait_for
from tests.servers import LOOPBACK

MARK = f"8765.{os.getpid()}"
"""Seconds that no other sleep would choose, by which what the job has started is found."""
MENU = """\
kill_grace: 300ms
shortcuts:
  - short: long
    cmd: trap '' TERM; (setsid sleep {mark} &); nohup sleep {mark} & while :; do sleep {mark}; done
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are found by /proc"
)


def alive() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if words[:2] == [b"sleep", MARK.encode()] and state not in "ZX":
                found.append(int(folder.name))
    return found


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    settings = {"SKADI_DEMO": "off", "SKADI_WATCHER__FACTS": "200ms"}
    folder = tmp_path / "skadi"
    folder.mkdir()
    with Program(folder, settings) as one:
        yield one.start().wait_until_ready()


@pytest.fixture
def address(program: Program, tmp_path: Path) -> Iterator[str]:
    """Where Ada's mail goes; her agent is at work meanwhile."""
    program.ask("account", "add", "ada")
    made = program.ask("agent", "add", "ada", "web-1")
    secret = program.ask("token", "add", "mail", "ada", "phone")
    home = tmp_path / "agent"
    home.mkdir()
    server = f"http://{LOOPBACK}:{program.port}"
    daemon = Daemon(home, server, MENU.format(mark=MARK), token=made["token"])
    try:
        wait_for(lambda: "at work" in daemon.log or None, "the agent")
        yield secret["address"]
    finally:
        daemon.clear_away()
        for pid in alive():
            os.kill(pid, signal.SIGKILL)


def write(program: Program, address: str, text: str) -> None:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "ada@example.org", address, ""
    letter["Message-ID"] = f"<{abs(hash(text))}@example.org>"
    letter.set_content(text)
    with smtplib.SMTP(LOOPBACK, program.mail_port) as line:
        line.send_message(letter)


def answers(program: Program) -> list[str]:
    files = sorted((program.data / "outbox" / "new").glob("*"))
    letters = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    bodies = [letter.get_body(("plain",)) for letter in letters]
    return [body.get_content() for body in bodies if body]


def test_a_running_tree_is_stopped_by_a_mail(program: Program, address: str) -> None:
    write(program, address, "web-1 long")
    wait_for(lambda: len(alive()) >= 3 or None, "the job's processes")
    [job] = program.ask("jobs", "list")
    write(program, address, f"cancel {job['id'][-4:]}")
    wait_for(lambda: any("is asked to stop" in one for one in answers(program)) or None, "word")
    wait_for(lambda: any("Canceled" in one for one in answers(program)) or None, "the end")
    assert alive() == []
    assert program.ask("jobs", "show", job["id"])["status"] == "canceled"
