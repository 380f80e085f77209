"""The stage of a run: the databases, the program's processes, and the bare server beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench import ledger
from bench.ledger import Query
from bench.wire import Door
from tests.servers import LOOPBACK, MariaDB, Redis, free_port

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The program, ready to be loaded. `pids` names every process whose work is its own."""

    door: Door
    token: str
    pids: Mapping[str, int]
    query: Query
    logs: Path
    tell: Callable[..., str]
    """A command of the operator's that ends; what it printed."""


class Program:
    """One deployment: an app.py, the environment that configures it, a folder of its own."""

    def __init__(self, app: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self.app = app
        self.folder = folder
        self.door = Door(LOOPBACK, free_port())
        self.environment = {
            **os.environ,
            "SKADI_DATA": str(folder),
            "SKADI_WEB__HOST": LOOPBACK,
            "SKADI_WEB__PORT": str(self.door.port),
            "SKADI_ADAPTERS__SMTP__PORT": str(free_port()),
            **environment,
        }

    def run(self, *words: str) -> str:
        """A command that ends, such as `migrate`; what it printed."""
        done = subprocess.run(
            self._command(words),
            cwd=self.app.parent,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"app.py {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextmanager
    def serve(self, *roles: str) -> Iterator[subprocess.Popen[bytes]]:
        log = self.folder / f"{'-'.join(roles) or 'all'}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(roles),
                cwd=self.app.parent,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        with stopping(process):
            yield process

    def system_token(self) -> str:
        made = orjson.loads(self.run("token", "add", "system", "bench", "--json"))
        return str(made["token"])

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, str(self.app), *words]


@contextmanager
def stopping(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def production(
    app: Path, maria: MariaDB, database: str = "skadi", settings: Mapping[str, str] | None = None
) -> Iterator[Stage]:
    """As in production: MariaDB, Redis, one web process, one for the worker and the watcher.

    `settings`: further ones, as variables of the environment."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        program = Program(
            app,
            stack.enter_context(folder()),
            {
                "SKADI_DATABASE__URL": maria.create_database(database),
                "SKADI_REDIS__URL": f"redis://{LOOPBACK}:{redis.port}/0",
                **(settings or {}),
            },
        )
        program.run("migrate")
        token = program.system_token()
        web = stack.enter_context(program.serve("web"))
        worker = stack.enter_context(program.serve("worker", "watcher"))
        wait_ready(program.door, "/readyz", web, program.folder)
        pids = {"web": web.pid, "worker": worker.pid, "db": maria.pid, "redis": redis.pid}
        query = ledger.mariadb(maria.port, database)
        yield Stage(program.door, token, pids, query, program.folder, program.run)


@contextmanager
def embedded(app: Path) -> Iterator[Stage]:
    """As it starts out of the box: SQLite, the broker in the process, all roles in one."""
    with ExitStack() as stack:
        program = Program(app, stack.enter_context(folder()), {})
        program.run("migrate")
        token = program.system_token()
        process = stack.enter_context(program.serve())
        wait_ready(program.door, "/readyz", process, program.folder)
        [file] = program.folder.rglob("*.db")
        query = ledger.sqlite(file)
        pids = {"web": process.pid}
        yield Stage(program.door, token, pids, query, program.folder, program.run)


@contextmanager
def bare_server() -> Iterator[tuple[Door, int]]:
    """Uvicorn with the empty route, on the program's loop and parser; its door and process id."""
    door = Door(LOOPBACK, free_port())
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(door.port)]
    quiet = ["--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen([*command, "--loop", "uvloop", "--http", "httptools", *quiet])
    with stopping(process):
        wait_ready(door, "/", process)
        yield door, process.pid


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="skadi-bench-") as name:
        yield Path(name)


def wait_ready(
    door: Door, path: str, process: subprocess.Popen[bytes], logs: Path | None = None
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(f"http://{door.host}:{door.port}{path}"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} is not ready\n{last_words(logs)}")
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def last_words(logs: Path | None) -> str:
    """The end of what each process said."""
    files = sorted(logs.glob("*.log")) if logs else []
    return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)
