"""The command line of the shell agent."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import config, duration, files, install, secret
from .agent import Agent
from .bundle import bundle, me
from .check import FAULT as FINDING
from .check import Finding, check, warnings
from .config import Settings
from .errors import AgentError, BadToken, ConfigError
from .pace import Pace
from .process import Limits
from .shell import Shell
from .supervisor import KILLING

log = logging.getLogger("skadi.agent")
OK, FAULT, MISUSE, BAD_TOKEN = 0, 1, 2, 3
HELP = """\
The Skadi agent: runs on this machine what skadi.yml allows and a chat asks for.

  {me} TOKEN      write the agent's token into skadi.yml (20 characters)
  {me} check      look at settings, server, token, clock, journal and service
  {me}            work until stopped (the same as: {me} run)
  {me} install    put the agent on this machine, or upgrade it: see install --help
  {me} bundle OUT write the agent as one file, for machines with nothing but python3

A first skadi.yml:

  server: https://skadi.example.com
  token:
  shortcuts:                 # a message that is exactly this runs your own shell text
    - short: disk
      cmd: "df -h | sort"
  commands:                  # a message that begins with these words is started as it
    - prefix: systemctl status         # stands, without a shell; any arguments may follow
  templates:                 # name, then as many words as there are %s; each stays one word,
    - name: deploy                     # whatever it holds
      dir: /srv/shop
      temp: "sh deploy.sh %s"

Each entry may have a help: line, and commands and templates params: names, for those who ask in the
chat what can be run.

Optional: time_limit: 1h (0: none), kill_grace: 10s (between asking a job that is canceled or has
reached its limit to end, and killing it; 5m at most), output_limit: 1MiB, slots: 1 (jobs at a
time), interval: 10s (between polls of a server that does not hold them), state: folder of the
journal, debug: true.
"""
MORE = """\
skadi.yml is looked for in this folder, beside an installed agent, then in /etc/skadi. SKADI_SERVER,
SKADI_TOKEN and SKADI_TOKEN_FILE override it, and the flags override these. Commands see the
environment of the agent without all that is named SKADI_…; what else is in it is theirs to read.

The journal lies in /var/lib/skadi for root, else in ~/.local/state/skadi. It is what keeps a job
from being run twice or forgotten; each agent on a machine needs a folder of its own.

SIGTERM or Ctrl-C: no more jobs, running ones get --grace to end; once more: stop them now.
Exit status: 0 stopped as asked, 1 a fault, 2 wrong settings, 3 the server does not know the token.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return act(words)
    except BadToken as error:
        return complain(error, BAD_TOKEN)
    except ConfigError as error:
        return complain(error, MISUSE)
    except AgentError as error:
        return complain(error, FAULT)


def complain(error: Exception, status: int) -> int:
    print(f"skadi: {error}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        me(),
        description=HELP.format(me=me()),
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="read this file instead of skadi.yml")
    parser.add_argument("--server", metavar="URL", help="where Skadi answers: https://host[/path]")
    parser.add_argument(
        "--token-file", metavar="FILE", help="a file that holds nothing but the token"
    )
    parser.add_argument("--grace", default="30s", help="for running jobs when told to stop (30s)")
    parser.add_argument("what", nargs="?", default="run", metavar="run | check | TOKEN")
    return parser


def act(words: Sequence[str]) -> int:
    if words[:1] == ["install"]:
        return install.main(words[1:])
    if words[:1] == ["bundle"]:
        return write_bundle(words[1:])
    return act_on(parser().parse_args(words))


def write_bundle(words: Sequence[str]) -> int:
    if len(words) != 1 or words[0].startswith("-"):
        raise ConfigError("bundle needs one word: the file to write")
    try:
        files.write_file(Path(words[0]), bundle(), 0o755)
    except OSError as error:
        raise ConfigError(f"{words[0]} cannot be written: {error.strerror}") from error
    return OK


def act_on(options: argparse.Namespace) -> int:
    file = config.find(options.config)
    if options.what not in ("run", "check"):
        return write_token(file, options.what)
    if options.what == "check":
        return look(file, options)
    settings = config.load(file, os.environ, options.server, options.token_file)
    try:
        return run(settings, duration.parse(options.grace))
    except ValueError as error:
        raise ConfigError(f"--grace: {error}") from None


def look(file: Path | None, options: argparse.Namespace) -> int:
    try:
        settings = config.load(file, os.environ, options.server, options.token_file)
        settings.require_server_and_token()
    except ConfigError as error:
        print(Finding(FINDING, "settings", str(error)).line())
        return FAULT
    return check(settings, install.services(settings.file))


def write_token(file: Path | None, token: str) -> int:
    if len(token) != secret.TOKEN_LENGTH:
        raise ConfigError(
            f"neither run nor check, nor a token: that has {secret.TOKEN_LENGTH} characters, "
            f"this has {len(token)}"
        )
    if file is None:
        raise ConfigError(f"no skadi.yml to write it to ({' or '.join(config.FILES)}); see --help")
    secret.write_token(file, config.line_of("token", file), token)
    print(f"The token is in {file}. Try: {me()} check")
    return OK


def run(settings: Settings, grace: float) -> int:
    settings.require_server_and_token()
    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    for warning in warnings(settings):
        log.warning("%s", warning)
    agent = make_agent(settings, grace)
    signals = note_signals()
    limits = Limits(settings.time_limit, settings.output_limit, settings.kill_grace)
    agent.start(Shell(settings.menu, limits))
    log.info("at work for %s, journal in %s", settings.server, settings.state)
    wait(agent, signals)
    if agent.error:
        # The log has said it.
        return BAD_TOKEN if isinstance(agent.error, BadToken) else FAULT
    log.info("stopped")
    return OK


def pace_of(settings: Settings, grace: float) -> Pace:
    # A command that is stopped has its grace, and then is killed for a while: wait for both.
    stop = settings.kill_grace + KILLING + 5
    return Pace(interval=settings.interval, grace=grace, kill_grace=stop)


def make_agent(settings: Settings, grace: float) -> Agent:
    return Agent(
        settings.server,
        settings.token,
        settings.state,
        slots=settings.slots,
        output_limit=settings.output_limit,
        pace=pace_of(settings, grace),
        offers=settings.menu.offers(),
    )


def note_signals() -> list[int]:
    """The list grows by each SIGTERM and SIGINT that arrives."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only noted: what takes locks must not run inside of a signal handler.
        signal.signal(number, lambda number, frame: signals.append(number))
    return signals


def wait(agent: Agent, signals: Sequence[int]) -> None:
    """Until the agent has ended; a first signal asks it to, a second one stops its jobs."""
    heeded = 0
    while not agent.join(0.1):
        if len(signals) > heeded:
            agent.stop(0 if heeded else None)
            heeded = len(signals)


if __name__ == "__main__":
    sys.exit(main())
