"""Looks at everything that an agent needs to work, and says what to do about what is wrong."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path

from . import duration, secret
from .client import Address, Client
from .config import Settings
from .errors import BadToken, ServerError, Unreachable
from .journal import CONTACT
from .service import Service

OK, NOTE, FAULT = "ok", "note", "FAULT"
OLDEST = (3, 9)
# Seconds that two clocks may differ before somebody wonders about the times in a log.
CLOCK = 60.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
BUSY = 429


@dataclass(frozen=True)
class Finding:
    grade: str
    about: str
    text: str

    def line(self) -> str:
        return f"{self.grade:<6} {self.about:<9} {self.text}"


def check(settings: Settings, services: tuple[Service, ...]) -> int:
    """One line for each thing looked at; the exit status of the program."""
    faults = 0
    for finding in findings(settings, services):
        faults += finding.grade == FAULT
        print(finding.line(), flush=True)
    print(f"\n{settings.menu.text()}")
    return 1 if faults else 0


def findings(settings: Settings, services: tuple[Service, ...]) -> Iterator[Finding]:
    yield check_python()
    yield check_settings(settings)
    yield check_privacy(settings)
    yield from check_server(settings)
    yield check_state(settings.state)
    yield check_running(settings, services)


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    text = ".".join(map(str, version))
    if version < OLDEST:
        return Finding(FAULT, "python", f"{text} is too old: start the agent with 3.9 or later")
    return Finding(OK, "python", f"{text}, {sys.executable}")


def check_settings(settings: Settings) -> Finding:
    time = duration.spell(settings.time_limit) if settings.time_limit else "no time limit"
    limits = f"{time}, {settings.output_limit} bytes of output, {settings.slots} at a time"
    where = settings.file or "no skadi.yml; environment and flags only"
    return Finding(OK, "settings", f"{where} ({limits})")


def check_privacy(settings: Settings) -> Finding:
    text = f"{len(settings.token)} characters, from {settings.origin}"
    warned = "; ".join(warnings(settings))
    return Finding(NOTE if warned else OK, "secrecy", warned or text)


def warnings(settings: Settings) -> list[str]:
    found = []
    file = settings.file
    if file and settings.origin == str(file) and secret.others_may_read(file):
        found.append(f"others may read the token in {file}: chmod 600 {file}")
    if in_clear(settings.server):
        found.append("the token and all output travel unencrypted: use https")
    return found


def in_clear(server: str) -> bool:
    address = Address.parse(server)
    return not address.secure and address.host not in LOOPBACK


def check_server(settings: Settings) -> Iterator[Finding]:
    client = Client(settings.server, settings.token)
    try:
        client.status()
        yield Finding(OK, "server", f"{settings.server} answers")
        yield check_clock(client.date, time.time())
        yield check_token(client)
    except ServerError as error:
        advice = "see that it runs, and that this machine may reach it"
        yield Finding(FAULT, "server", f"{settings.server} is away: {error}; {advice}")
    finally:
        client.close()


def check_clock(date: str, now: float) -> Finding:
    """`date` is the header of that name in an answer of the server."""
    moment = parsedate_tz(date)
    if moment is None:
        return Finding(NOTE, "clock", "the server does not say what time it is")
    seconds = now - mktime_tz(moment)
    if abs(seconds) <= CLOCK:
        return Finding(OK, "clock", "the same as the server's")
    side = "ahead of" if seconds > 0 else "behind"
    text = f"{duration.spell(round(abs(seconds)))} {side} the server's: set it, or the server's"
    return Finding(FAULT, "clock", text)


def check_token(client: Client) -> Finding:
    """Not by a hello or a poll: the server would believe that an agent is at work."""
    try:
        proven = client.prove_token()
    except BadToken as error:
        return Finding(FAULT, "token", str(error))
    except Unreachable as error:
        if error.status != BUSY:
            raise
        return Finding(NOTE, "token", f"the server does not say: {error}; look again in a minute")
    text = "" if proven else " (it is an older one, and counts the question as a sign of life)"
    return Finding(OK, "token", f"the server knows it{text}")


def check_state(folder: Path) -> Finding:
    """The nearest folder that is there must let us write; what is missing below is made."""
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding(OK, "journal", f"{folder} can be written")
    advice = "give it to this user, or name another (state: in skadi.yml)"
    return Finding(FAULT, "journal", f"{folder} cannot be written: {advice}")


def check_running(settings: Settings, services: tuple[Service, ...]) -> Finding:
    service = next((each for each in services if each.file.exists()), None)
    if is_at_work(settings.state):
        return Finding(OK, "running", f"an agent is at work here{last_contact(settings.state)}")
    if service is None:
        return Finding(NOTE, "running", "no agent is at work here, and no service is set up for it")
    text = f"the service {service.name} is stopped: {service.control} restart {service.name}"
    return Finding(FAULT, "running", f"{text}; {service.journal} says why it ended")


def is_at_work(folder: Path) -> bool:
    """Whether a living agent holds this folder's lock. Nothing is made or kept."""
    try:
        # A lock, not what somebody has put in its place for us to wait at.
        handle = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def last_contact(folder: Path) -> str:
    try:
        met = (folder / CONTACT).stat().st_mtime
    except OSError:
        return ", which has not met the server yet"
    return f", connected since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(met))}"
