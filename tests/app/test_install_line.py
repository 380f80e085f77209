"""The line that `agent add` prints, pasted on a machine that has nothing but python3."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.program import PATIENCE, Program, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    settings = {"SKADI_DEMO": "off", "SKADI_ADAPTERS__SMTP__ENABLED": "false"}
    with Program(tmp_path_factory.mktemp("server"), settings) as server:
        server.start().wait_until_ready()
        server.tell("account", "add", "ada")
        yield server


class Machine:
    """Another machine: an empty home, and a python3 that has no libraries."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
        self.environment = {"HOME": str(self.home), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}

    @property
    def folder(self) -> Path:
        return self.home / ".local" / "share" / "skadi-agent"

    @property
    def token(self) -> str:
        settings = (self.folder / "skadi.yml").read_text()
        return next(line for line in settings.splitlines() if line.startswith("token:"))

    def paste(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", f"{line} --user --no-service"],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    @contextmanager
    def agent(self, said: str) -> Iterator[None]:
        """Started as the installer has told."""
        command = shlex.split(said.partition("Start it with: ")[2].splitlines()[0])
        with (self.home / "log").open("wb") as log:
            agent = subprocess.Popen(command, cwd="/", env=self.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            agent.terminate()
            agent.wait(PATIENCE)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def printed_line(said: str) -> str:
    """What a person copies from the terminal."""
    [line] = [line.strip() for line in said.splitlines() if line.startswith("  python3 -I -c ")]
    return line


def test_the_pasted_line_makes_an_agent_whose_jobs_succeed(
    server: Program, machine: Machine
) -> None:
    done = machine.paste(printed_line(server.tell("agent", "add", "ada", "web-1")))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Enrolled as web-1." in done.stdout
    with machine.agent(done.stdout):
        hello = wait_for(
            lambda: server.ask("agent", "show", "ada", "web-1")["commands"], "its hello"
        )
        assert [command["name"] for command in hello] == ["hello", "uptime", "disk"]
        job = server.start_command("submit", "--wait", "1m", "web-1", "hello")
        assert job.returncode == 0, job.stdout + job.stderr
        assert "Hello from " in job.stdout


def test_the_line_runs_no_module_of_the_current_folder(server: Program, machine: Machine) -> None:
    """Which may be anybody's: /tmp, say, and the line be pasted by root."""
    for name in ("urllib", "hashlib", "argparse"):
        (machine.home / f"{name}.py").write_text("raise SystemExit('not the one of Python')")
    done = machine.paste(printed_line(server.tell("agent", "add", "ada", "web-5")))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_same_line_once_more_is_an_upgrade(server: Program, machine: Machine) -> None:
    line = printed_line(server.tell("agent", "add", "ada", "web-2"))
    assert machine.paste(line).returncode == 0
    program, token = machine.folder / "skadi-agent.pyz", machine.token
    made = program.read_bytes()
    program.write_bytes(b"an older one")
    done = machine.paste(line)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The token that is here is kept." in done.stdout
    assert program.read_bytes() == made
    assert machine.token == token


def test_a_new_line_moves_the_agent_to_another_token(server: Program, machine: Machine) -> None:
    machine.paste(printed_line(server.tell("agent", "add", "ada", "web-3")))
    before = machine.token
    done = machine.paste(printed_line(server.tell("agent", "line", "ada", "web-3")))
    assert "Enrolled as web-3." in done.stdout
    assert machine.token != before
    with machine.agent(done.stdout):
        wait_for(lambda: server.ask("agent", "show", "ada", "web-3")["version"], "its hello")


def test_a_wrong_code_is_told_in_one_line(server: Program, machine: Machine) -> None:
    line = printed_line(server.tell("agent", "add", "ada", "web-4"))
    done = machine.paste(line.rpartition(" ")[0] + " AAAA-BBBB-CCCC-DDDD")
    assert done.returncode != 0
    assert done.stderr == (
        "skadi: This code is used up or too old; ask for a new one with `agent add`\n"
    )
    assert not (machine.folder / "skadi.yml").exists()
