"""A town: database, Redis, the program's roles in processes of their own, agents, and its mail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from core.accounts import Accounts
from core.agents import Agents
from core.broker import open_broker
from core.store import Store, migrate
from tests.agent.daemon import Daemon
from tests.app.program import ROOT, Program, wait_for
from tests.servers import LOOPBACK, MariaDB, Redis, guard

T = TypeVar("T")

QUICK = {
    "SKADI_DEMO": "off",
    "SKADI_DATABASE__MIGRATE": "false",
    "SKADI_WEB__LOOK_AGAIN": "1s",
    "SKADI_WEB__HEARTBEAT": "1s",
    "SKADI_WATCHER__DUE": "250ms",
    "SKADI_WATCHER__ABSENT": "500ms",
    "SKADI_WATCHER__REMIND": "1s",
    "SKADI_NOTIFIER__LOOK": "1s",
    "SKADI_NOTIFIER__LEASE": "3s",
    "SKADI_NOTIFIER__FIRST_PAUSE": "500ms",
    "SKADI_NOTIFIER__LONGEST_PAUSE": "2s",
    "SKADI_ADAPTERS__SMTP__ANSWERS_PER_HOUR": "1000000",
}
"""What takes minutes in an office takes seconds here."""

MENU = """\
slots: 4
templates:
  - name: run
    temp: "echo %s >> {runs}; echo done"
  - name: rest
    temp: "echo %s >> {runs}; sleep %s; echo done"
"""


@dataclass(frozen=True)
class Keys:
    """The secrets of Ada, who owns everything here."""

    program: str
    mail: str
    agents: Mapping[str, tuple[str, str]]
    """By name: the id and the token."""


class Process:
    """Something of the town that runs, is killed and runs again; it ends when we are gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._guard: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def start(self) -> None:
        self.process = self.launch()
        self._guard = guard(self.process.pid, self.folder)

    def kill(self) -> None:
        """SIGKILL: it cannot say a word."""
        self.process.kill()
        self.process.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def restart(self) -> None:
        self.kill()
        self.start()


class Role(Process):
    """`python app.py …` with these roles."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *roles: str) -> None:
        super().__init__(folder)
        self.program = Program(folder, settings)
        self.roles = roles

    def launch(self) -> subprocess.Popen[bytes]:
        return self.program.start(*self.roles).process

    def wait_until_ready(self) -> None:
        if "web" in self.roles:
            self.program.wait_until_ready()
        else:
            self.program.wait_until_said("playing")


class NewAgent(Process):
    """The daemon of ours."""

    def __init__(self, folder: Path, port: int, token: str, runs: Path) -> None:
        super().__init__(folder)
        self._make = partial(
            Daemon, folder, f"http://{LOOPBACK}:{port}", MENU.format(runs=runs), token=token
        )

    def launch(self) -> subprocess.Popen[bytes]:
        return self._make().process


class OldAgent(Process):
    """Polls every so many seconds, each job in its loop, no journal."""

    def __init__(
        self, folder: Path, port: int, token: str, runs: Path, seconds: float = 0.1
    ) -> None:
        super().__init__(folder)
        words = [str(port), token, str(runs), str(seconds)]
        self._command = [sys.executable, "-m", "tests.crash.old_agent", *words]

    def launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, stdout=log, stderr=log)


class Town:
    """`processes` by name; `roles` says what each plays, and the first that play web are the doors."""

    def __init__(
        self,
        folder: Path,
        maria: MariaDB,
        redis: Redis,
        roles: Mapping[str, Sequence[str]],
        agents: Sequence[str],
        **settings: str,
    ) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.maria, self.redis = maria, redis
        self.database = folder.name.replace("-", "_")
        url = maria.create_database(self.database)
        self.keys = run(furnish(url, agents))
        self._maildir = folder / "answers"
        self._letters: dict[str, str] = {}
        shared = {
            **QUICK,
            "SKADI_DATABASE__URL": url,
            "SKADI_REDIS__URL": redis.url,
            "SKADI_ADAPTERS__SMTP__MAILDIR": str(self._maildir),
            **settings,
        }
        self.processes: dict[str, Process] = {
            name: Role(folder / name, shared, *played) for name, played in roles.items()
        }

    # Its processes.

    def open(self) -> None:
        """Start our processes, at first or after all of them were killed."""
        for role in self._roles():
            role.start()
        for role in self._roles():
            role.wait_until_ready()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()

    def settle(self, name: str, agent: Process) -> Process:
        """Have an agent at work from now on."""
        self.processes[name] = agent
        agent.start()
        return agent

    def new_agent(self, name: str, door: int, home: str = "") -> Process:
        folder = self.folder / (home or name)
        token = self.keys.agents[name][1]
        return self.settle(home or name, NewAgent(folder, self.doors[door], token, self.runs))

    def old_agent(self, name: str, door: int, seconds: float = 0.1) -> Process:
        token, port = self.keys.agents[name][1], self.doors[door]
        agent = OldAgent(self.folder / name, port, token, self.runs, seconds)
        return self.settle(name, agent)

    def wait_until_seen(self, *names: str) -> None:
        """Until the owner was told that these agents are there."""
        marks = ", ".join(["%s"] * len(names))
        query = f"SELECT COUNT(*) FROM agents WHERE online AND name IN ({marks})"

        def look() -> bool | None:
            return self.ask(query, *names)[0][0] == len(names) or None

        wait_for(look, f"the agents {names}")

    @property
    def doors(self) -> list[int]:
        """The ports of HTTP."""
        return [role.program.port for role in self._roles() if "web" in role.roles]

    @property
    def inbox(self) -> int:
        """The port of SMTP."""
        return next(role.program.mail_port for role in self._roles() if "smtp" in role.roles)

    def _roles(self) -> list[Role]:
        return [process for process in self.processes.values() if isinstance(process, Role)]

    # What is known of it from outside.

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        self.maria.execute(f"USE `{self.database}`")
        return self.maria.execute(statement, *values)

    def runs_seen(self) -> list[str]:
        """The number of each job that an agent began, as often as one did."""
        return self.runs.read_text().split() if self.runs.exists() else []

    def wait_until_told_more(self, letters: int = 5) -> None:
        """Until so many more mails were sent: somebody is in the middle of it."""
        before = len(self.letters())
        wait_for(lambda: len(self.letters()) >= before + letters or None, "more mails")

    def letters(self) -> list[str]:
        """The words of each mail that was sent."""
        for file in (self._maildir / "new").glob("*"):
            if file.name not in self._letters:
                self._letters[file.name] = read_letter(file.read_bytes())
        return list(self._letters.values())


def read_letter(raw: bytes) -> str:
    body = message_from_bytes(raw, policy=policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def run(deed: Coroutine[Any, Any, T]) -> T:
    """In a loop of its own, whichever is there already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, deed).result()


async def furnish(url: str, names: Sequence[str]) -> Keys:
    """Tables, Ada, her keys and her agents."""
    await migrate(url)
    store, broker = await Store.open(url), open_broker("")
    await broker.open()
    accounts = Accounts(store)
    agents = Agents(store, broker, accounts)
    ada = await accounts.add("Ada")
    _, program = await accounts.add_token("account", ada.id, "pipeline")
    _, mail = await accounts.add_token("mail", ada.id, "phone")
    enrolled = {name: await agents.enrol(ada.id, name) for name in names}
    await broker.close()
    await store.close()
    return Keys(
        program, mail, {name: (agent.id, token) for name, (agent, token) in enrolled.items()}
    )
