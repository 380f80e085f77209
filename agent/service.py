"""The agent under systemd: its unit, and what systemctl is asked to do with it."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from .bundle import NAME
from .config import LONGEST_KILL_GRACE
from .errors import ConfigError

SETTINGS = "skadi.yml"
UNIT_NAME = "skadi-agent"
# Seconds: for --grace (30), kill_grace, what is killed (10), the last reports (10), and some more.
STOP_TIME = round(LONGEST_KILL_GRACE) + 60
# Beyond that, for systemctl itself.
PATIENCE = 60
BOOTED = Path("/run/systemd/system")
LINGERING = Path("/var/lib/systemd/linger")
UNIT = """\
[Unit]
Description=Skadi agent: runs what {settings} allows
Wants=network-online.target
After=network-online.target
# However long the server is away: it is tried again for ever.
StartLimitIntervalSec=0

[Service]
# -I: no variable and no folder of anybody's slips a module into the agent.
ExecStart={command}
Restart=on-failure
RestartSec=5
# Wrong settings and an unknown token are not mended by starting again.
RestartPreventExitStatus=2 3
# The agent ends its jobs itself. What a finished job has left running on purpose, as a deploy
# that starts a server does, must outlive a restart of the agent.
KillMode=process
# Longer than jobs get to end by themselves, to be stopped, and to be reported on.
TimeoutStopSec={stop}
# A job that eats all memory is killed; the agent stays to tell of it.
OOMPolicy=continue
# What follows takes something away from jobs too, which is why it is off. Turn on what yours can
# do without: sudo (NoNewPrivileges), files outside of some folders (ProtectSystem, with
# ReadWritePaths for what they write and for {folder}), other people's files in /tmp (PrivateTmp).
#NoNewPrivileges=yes
#ProtectSystem=strict
#ReadWritePaths={folder}
#PrivateTmp=yes
{identity}
[Install]
WantedBy={target}
"""
IDENTITY = """\
# Jobs run as root. To have them run as somebody else, give that user skadi.yml and state, and no
# more: who owns the program decides what root runs at the next upgrade.
#   chmod 711 {folder}
#   chown -R deploy: {folder}/state {folder}/{settings}
#User=deploy
"""


@dataclass(frozen=True)
class Service:
    """A unit in the system's care, or in that of the user who installs it."""

    folder: Path
    system: bool
    name: str

    @property
    def file(self) -> Path:
        if self.system:
            return Path("/etc/systemd/system", f"{self.name}.service")
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(base, "systemd", "user", f"{self.name}.service")

    @property
    def by_hand(self) -> str:
        """How the agent is started without a service."""
        return shlex.join([sys.executable, *self._arguments])

    @property
    def _arguments(self) -> list[str]:
        return [str(self.folder / NAME), "--config", str(self.folder / SETTINGS)]

    def text(self) -> str:
        folder = escaped(str(self.folder))
        return UNIT.format(
            folder=folder,
            settings=escaped(str(self.folder / SETTINGS)),
            command=" ".join(map(quoted, [sys.executable, "-I", *self._arguments])),
            identity=IDENTITY.format(folder=folder, settings=SETTINGS) if self.system else "",
            stop=STOP_TIME,
            target="multi-user.target" if self.system else "default.target",
        )

    def is_possible(self, booted: Path = BOOTED) -> bool:
        """Whether systemd is at work here, and for us."""
        if not booted.is_dir() or not shutil.which("systemctl"):
            return False
        return self.system or self._ask("show-environment").returncode == 0

    @property
    def settings_in_unit(self) -> str:
        """The settings that the unit of this name starts an agent with, as they stand there."""
        try:
            lines = self.file.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""
        command = next((line for line in lines if line.startswith("ExecStart=")), "")
        return command.partition(" --config ")[2]

    def is_set_up(self) -> bool:
        """Whether the unit of this name is there, and starts the agent of our folder."""
        folders = (str(self.folder), os.path.realpath(self.folder))
        ours = [quoted(os.path.join(folder, SETTINGS)) for folder in folders]
        return self.settings_in_unit in ours

    def refuse_another(self) -> None:
        """Raises ConfigError when the unit is that of an agent in another folder."""
        if self.settings_in_unit and not self.is_set_up():
            raise ConfigError(
                f"{self.file} starts the agent of {self.settings_in_unit}; take that one away first "
                f"({self.control} disable --now {self.name}, and remove the file), or add --no-service"
            )

    def install(self) -> None:
        """Raises ConfigError. A service that runs already runs the new program afterwards."""
        self.refuse_another()
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(self.text())
        except OSError as error:
            raise ConfigError(f"{self.file} cannot be written: {error.strerror}") from error
        for words in (["daemon-reload"], ["enable", self.name], ["restart", self.name]):
            done = self._ask(*words)
            if done.returncode:
                said = done.stderr.strip() or f"exit status {done.returncode}"
                raise ConfigError(f"systemctl {' '.join(words)}: {said}")

    def is_active(self) -> bool:
        return self._ask("is-active", "--quiet", self.name).returncode == 0

    @property
    def control(self) -> str:
        """What a person types before a verb of systemctl."""
        return "systemctl" if self.system else "systemctl --user"

    @property
    def journal(self) -> str:
        return f"journalctl {'' if self.system else '--user '}-u {self.name} -n 20"

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.control.split(), *words]
        try:
            # A restart waits for the jobs of the agent that ends.
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=STOP_TIME + PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(command, 1, "", str(error))


def user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def lingers(folder: Path = LINGERING) -> bool:
    """Whether a user's services run while nobody of that name is logged in."""
    return (folder / user_name()).exists()


def service_of(folder: Path, system: bool, usual: Path) -> Service:
    """Two agents on one machine have two folders, and so two units. One that was set up when its
    unit was named by the last part of its folder alone keeps that name."""
    if folder == usual:
        return Service(folder, system, UNIT_NAME)
    last = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.") or "other"
    earlier = Service(folder, system, f"{UNIT_NAME}-{last}")
    if earlier.is_set_up():
        return earlier
    digest = sha256(os.fsencode(os.path.realpath(folder))).hexdigest()
    return Service(folder, system, f"{UNIT_NAME}-{last}-{digest[:8]}")


def quoted(word: str) -> str:
    """As systemd.service(5) reads a word of a command line."""
    text = escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"' if re.search(r"[^A-Za-z0-9/._=:@%+-]", text) else text


def escaped(text: str) -> str:
    return text.replace("%", "%%")
