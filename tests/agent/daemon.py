"""The agent as a program: a process of its own, with a skadi.yml and a state folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.agent.fake_skadi import TOKEN

ROOT = Path(__file__).parents[2]


class Daemon:
    def __init__(
        self,
        home: Path,
        server: str,
        text: str = "",
        *arguments: str,
        token: str = TOKEN,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.home = home
        self.state = home / "state"
        self.settings = home / "skadi.yml"
        self.settings.write_text(
            f'server: {server}\ntoken: "{token}"\nstate: {self.state}\ninterval: 200ms\n{text}'
        )
        self.settings.chmod(0o600)
        self._log = home / "log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", "--config", str(self.settings), *arguments],
                cwd=ROOT,
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def exit_status(self, seconds: float = 8) -> int:
        return self.process.wait(seconds)

    def clear_away(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def run(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """One short command of the program, in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
