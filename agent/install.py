"""Installs the agent on this machine: one folder, one service; once more is an upgrade."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import config
from .bundle import NAME, bundle
from .check import in_clear, is_at_work
from .client import Address, Client
from .errors import AgentError, BadToken, ConfigError, Refused, Unreachable
from .files import write_file
from .hello import host_name
from .journal import CONTACT
from .secret import write_line, write_token
from .service import SETTINGS, Service, lingers, service_of, user_name

SYSTEM_FOLDER = Path("/opt/skadi-agent")
TRY_AGAIN = "Too many wrong codes came from this address; ask for a new one, or wait ten minutes"
DEAD = "The server does not know the token that is here: ask for a new code with `agent line NAME`"
USED_UP = "This code is used up or too old; ask for a new one with `agent add`"
REFUSALS = {400: USED_UP, 404: USED_UP, 429: TRY_AGAIN}
# Seconds for a service to start and meet the server.
PATIENCE = 30.0
FIRST_SETTINGS = """\
# What this agent runs. Nothing else is run, whatever is asked for in a chat.
# After a change: {restart}
server: "{server}"
token: "{token}"
state: "{state}"

shortcuts:                       # a message that is exactly this runs your own shell text
  - short: hello
    cmd: "echo Hello from $(uname -n)."
    help: say hello
  - short: uptime
    cmd: uptime
    help: how long this machine has been up
  - short: disk
    cmd: df -h
    help: how full the disks are

# commands:                      # a message that begins with these words is started as it
#   - prefix: systemctl status   # stands, without a shell; any arguments may follow
#
# templates:                     # a name, then as many words as there are %s
#   - name: deploy
#     dir: /srv/shop
#     temp: "sh deploy.sh %s"
#     params: version
#     help: bring a version of the shop online
"""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    url: str
    code: str
    name: str
    service: Service
    with_service: bool

    @property
    def folder(self) -> Path:
        return self.service.folder

    @property
    def settings(self) -> Path:
        return self.folder / SETTINGS


def main(arguments: Sequence[str]) -> int:
    """Raises ConfigError and ServerError, before anything that works here has been touched."""
    wish = understand(parser().parse_args(arguments))
    if in_clear(wish.url):
        say(f"Warning: {wish.url} is not https: the token and all output travel in clear.")
    if wish.with_service:
        wish.service.refuse_another()
    with prepared(wish.folder):
        enrol(wish)
    put_program(wish.folder)
    say(f"The agent is in {wish.folder}.")
    return start(wish)


def say(line: str) -> None:
    print(line, flush=True)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"{NAME} install",
        description="Install the agent on this machine, or upgrade the one that is here.",
    )
    parser.add_argument("--url", required=True, help="where Skadi answers: https://host[/path]")
    parser.add_argument("--code", default="", help="the one-time code that `agent add` gave")
    parser.add_argument("--name", default="", help="what to call this agent in the chat")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--system", action="store_true", help="a service of the system (root)")
    whose.add_argument("--user", action="store_true", help="a service of this user")
    parser.add_argument(
        "--dir",
        metavar="DIR",
        help=f"program, settings and journal go here ({SYSTEM_FOLDER}, or ~/.local/share/...)",
    )
    parser.add_argument("--no-service", action="store_true", help="set up nothing that starts it")
    return parser


def understand(options: argparse.Namespace) -> Wish:
    Address.parse(options.url)
    root = os.geteuid() == 0
    if options.system and not root:
        raise ConfigError("--system is for root: put sudo before it, or take --user")
    system = options.system or (root and not options.user)
    usual = usual_folder(system)
    folder = Path(options.dir).expanduser().absolute() if options.dir else usual
    if re.search(r"[\x00-\x1f\x7f]", str(folder)):
        raise ConfigError("the name of the folder holds control characters")
    service = service_of(folder, system, usual)
    url = options.url.rstrip("/")
    return Wish(url, options.code, options.name, service, not options.no_service)


def usual_folder(system: bool) -> Path:
    if system:
        return SYSTEM_FOLDER
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base, SYSTEM_FOLDER.name)


def services(settings: Path | None) -> tuple[Service, ...]:
    """Those that may have been set up to start the agent of these settings."""
    if settings is None:
        return ()
    folder = settings.absolute().parent
    usual = {system: usual_folder(system) for system in (True, False)}
    return tuple(service_of(folder, each, usual[each]) for each in usual)


# The folder: ours alone, and known to be writable before a code is spent.


@contextmanager
def prepared(folder: Path) -> Iterator[None]:
    """What was made for it goes again when nothing comes of it."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        try:
            take(folder)
            write_file(folder / ".probe", b"")
            (folder / ".probe").unlink()
        except OSError as error:
            raise ConfigError(f"{folder} cannot be used: {error.strerror}") from error
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):
                each.rmdir()
        raise


def take(folder: Path) -> None:
    """One that is there is left as it is, and refused where others might put things into it."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        refuse_open(folder)
    else:
        folder.chmod(0o700)


def refuse_open(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{folder} belongs to another user, who could put another program there: "
            f"chown {user_name()} {folder} && chmod 711 {folder} (what is in {SETTINGS} and state "
            "may stay that user's)"
        )
    if found.st_mode & 0o022:
        raise ConfigError(f"others may put things into {folder}: chmod go-w {folder}")
    is_ours = os.path.lexists(folder / SETTINGS)
    if found.st_mode & 0o055 and not is_ours and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is there for others too: give the agent a folder of its own (--dir)"
        )


def put_program(folder: Path) -> None:
    try:
        write_file(folder / NAME, bundle(), 0o755)
    except OSError as error:
        raise ConfigError(f"{folder / NAME} cannot be written: {error.strerror}") from error


# The code, and the settings that it is exchanged for.


def enrol(wish: Wish) -> None:
    known = config.load(wish.settings, {}) if wish.settings.is_file() else None
    if not wish.code and not known:
        raise ConfigError("no code: ask for one with `agent add`, and give it with --code")
    if known and not known.token and not wish.code:
        raise ConfigError(f"{wish.settings} has no token: ask for a code with `agent add`")
    if known and known.server.rstrip("/") != wish.url and not wish.code:
        raise ConfigError(
            f"{wish.settings} is for {known.server}; another server needs a code of its own"
        )
    if wish.code:
        exchange(wish, known)
    elif known:
        keep_known(known)


def exchange(wish: Wish, known: config.Settings | None) -> None:
    try:
        body = offer_code(wish)
    except (Refused, Unreachable) as error:
        if error.status not in REFUSALS:
            raise
        why = REFUSALS[error.status]
        if not (known and known.token and known.server.rstrip("/") == wish.url):
            raise ConfigError(why) from error
        keep_known(known, f"{why}. ")
    else:
        name, token = granted(body)
        keep(wish, known, token)
        say(f"Enrolled as {name}.")


def offer_code(wish: Wish) -> object:
    client = Client(wish.url, None)
    try:
        fields = {"code": wish.code, "hostname": host_name()}
        return client.enrol({**fields, **({"name": wish.name} if wish.name else {})})
    finally:
        client.close()


def keep_known(known: config.Settings, why: str = "") -> None:
    """Raises AgentError when the token that is here is worth nothing. `why`: said before."""
    client = Client(known.server, known.token)
    try:
        client.prove_token()
    except BadToken as error:
        raise AgentError(why + DEAD) from error
    except (Refused, Unreachable) as error:
        say(f"{why}The token that is here is kept; the server does not say if it is good: {error}.")
    else:
        say(f"{why}The token that is here is kept.")
    finally:
        client.close()


def granted(body: object) -> tuple[str, str]:
    fields = body if isinstance(body, dict) else {}
    name, token = fields.get("name"), fields.get("token")
    if not isinstance(name, str) or not isinstance(token, str):
        raise Unreachable("it answers a code with something that is no token")
    return name, token


def keep(wish: Wish, known: config.Settings | None, token: str) -> None:
    if known is None:
        write_file(wish.settings, first_settings(wish, token).encode())
        return
    # What is allowed to run is the operator's; only where to and as whom changes.
    write_token(wish.settings, config.line_of("token", wish.settings), token)
    if known.server.rstrip("/") != wish.url:
        line = f'server: "{escaped(wish.url)}"'
        write_line(wish.settings, config.line_of("server", wish.settings), line)


def first_settings(wish: Wish, token: str) -> str:
    service = wish.service
    restart = f"{service.control} restart {service.name}" if wish.with_service else "restart it"
    return FIRST_SETTINGS.format(
        restart=restart,
        server=escaped(wish.url),
        token=escaped(token),
        state=escaped(str(wish.folder / "state")),
    )


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# The service.


def start(wish: Wish) -> int:
    state = config.load(wish.settings, {}).state
    if not wish.with_service or not wish.service.is_possible():
        return leave_to_hand(wish, state)
    # File systems count time in ticks, and may be one behind.
    began = time.time() - 0.1
    wish.service.install()
    if not until_met(state, began):
        say(f"It was started, but has not met the server yet. Look: {wish.service.journal}")
        return 1
    say("It runs, and has met the server.")
    advise(wish)
    return 0


def leave_to_hand(wish: Wish, state: Path) -> int:
    if wish.with_service:
        say("systemd is not at work here, so nothing starts it by itself.")
    if is_at_work(state):
        say("The agent that is at work here is still the one from before: stop it first.")
    say(f"Start it with: {wish.service.by_hand}")
    return 0


def until_met(state: Path, began: float, patience: float = PATIENCE) -> bool:
    """Whether the agent that was started then has polled."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if is_at_work(state) and met_since(state, began):
            return True
        time.sleep(0.1)
    return False


def met_since(state: Path, began: float) -> bool:
    try:
        return (state / CONTACT).stat().st_mtime >= began
    except OSError:
        return False


def advise(wish: Wish) -> None:
    if not wish.service.system and not lingers():
        say(f"It ends when you log out, unless: sudo loginctl enable-linger {user_name()}")
    say(f"What it may run is said in {wish.settings}; after a change:")
    say(f"  {wish.service.control} restart {wish.service.name}")
    say(f"Is all well?  {sys.executable} {wish.folder / NAME} check")
    say("Try it in the chat: run hello on it.")
