"""The program as people start it: a process of its own, in a folder of its own, on free ports."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from app import desk, update_tables
from cli.commands import run
from cli.desk import Program as CommandLine
from core.settings import load
from tests.servers import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds for what happens within one on a machine that has nothing else to do."""

T = TypeVar("T")


def wait_for(question: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """The answer, as soon as there is one."""
    deadline = time.monotonic() + patience
    while (answer := question()) is None:
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.02)
    return answer


class Program:
    """`python app.py …` with settings of its own; the outside's SKADI_ variables do not reach it."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data = folder / "data"
        self.port = free_port()
        self.mail_port = free_port()
        outside = {key: value for key, value in os.environ.items() if not key.startswith("SKADI_")}
        self.environment = {
            **outside,
            "PYTHONUNBUFFERED": "1",
            "SKADI_DATA": str(self.data),
            "SKADI_WEB__PORT": str(self.port),
            "SKADI_ADAPTERS__SMTP__PORT": str(self.mail_port),
            **(settings or {}),
        }
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    # A command that ends.

    def tell(self, *words: str) -> str:
        """What a command says that succeeds. In this process, which is quicker."""
        program = CommandLine(partial(load, ROOT, self.environment), desk, update_tables)
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                run(words, program)
            except SystemExit as ended:
                assert not ended.code, out.getvalue() + err.getvalue()
        return out.getvalue()

    def start_command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command as people start it, in a process of its own."""
        return subprocess.run(
            [sys.executable, str(ROOT / "app.py"), *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    def ask(self, *words: str) -> Any:
        """The same, as JSON."""
        return json.loads(self.tell(*words, "--json"))

    def refusal(self, *words: str) -> str:
        done = self.start_command(*words)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stderr

    # A server.

    def start(self, *roles: str, command: list[str] | None = None) -> Self:
        output = self.log.open("ab")
        with output:
            self._process = subprocess.Popen(
                command or [sys.executable, str(ROOT / "app.py"), *roles],
                env=self.environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_said(self, words: str) -> str:
        """All it said so far, once these words are among it."""

        def look() -> str | None:
            said = self.said
            ended = self.process.poll() is not None
            assert words in said or not ended, f"it ended without saying {words!r}:\n{said}"
            return said if words in said else None

        return wait_for(look, f"{words!r}")

    def wait_until_ready(self) -> Self:
        def look() -> bool | None:
            assert self.process.poll() is None, self.said
            return True if self.get("/readyz") else None

        wait_for(look, "readiness")
        return self

    def get(self, path: str) -> bytes | None:
        try:
            with urlopen(f"http://{LOOPBACK}:{self.port}{path}", timeout=PATIENCE) as answer:
                body: bytes = answer.read()
                return body
        except (URLError, OSError, HTTPException):
            return None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its status; how long it took is bounded by the promise."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)
