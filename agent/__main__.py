"""The command line of the shell agent."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import config, duration, secret
from .agent import Agent
from .client import Address, Client
from .config import Settings
from .errors import AgentError, BadToken, ConfigError, ServerError
from .pace import Pace
from .process import Limits
from .shell import Shell

log = logging.getLogger("skadi.agent")
OK, FAULT, MISUSE, BAD_TOKEN = 0, 1, 2, 3
HELP = """\
The Skadi agent: runs on this machine what skadi.yml allows and a chat asks for.

  python -m agent TOKEN      write the agent's token into skadi.yml (20 characters)
  python -m agent check      say what would be run, and whether server and token are right
  python -m agent            work until stopped (the same as: python -m agent run)

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

Optional: time_limit: 1h (0: none), output_limit: 1MiB, slots: 1 (jobs at a time), interval: 10s
(between polls of a server that does not hold them), state: folder of the journal, debug: true.
"""
MORE = """\
skadi.yml is looked for in this folder, then in /etc/skadi. SKADI_SERVER, SKADI_TOKEN and
SKADI_TOKEN_FILE override it, and the flags override these. Commands see the environment of the
agent without all that is named SKADI_…; what else is in it is theirs to read.

The journal lies in /var/lib/skadi for root, else in ~/.local/state/skadi. It is what keeps a job
from being run twice or forgotten; each agent on a machine needs a folder of its own.

SIGTERM or Ctrl-C: no more jobs, running ones get --grace to end; once more: stop them now.
Exit status: 0 stopped as asked, 1 a fault, 2 wrong settings, 3 the server does not know the token.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return act(options)
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
        "python -m agent",
        description=HELP,
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


def act(options: argparse.Namespace) -> int:
    file = config.find(options.config)
    if options.what not in ("run", "check"):
        return write_token(file, options.what)
    settings = config.load(file, os.environ, options.server, options.token_file)
    if options.what == "check":
        return check(settings)
    try:
        return run(settings, duration.parse(options.grace))
    except ValueError as error:
        raise ConfigError(f"--grace: {error}") from None


def write_token(file: Path | None, token: str) -> int:
    if len(token) != secret.TOKEN_LENGTH:
        raise ConfigError(
            f"neither run nor check, nor a token: that has {secret.TOKEN_LENGTH} characters, "
            f"this has {len(token)}"
        )
    if file is None:
        raise ConfigError(f"no skadi.yml to write it to ({' or '.join(config.FILES)}); see --help")
    secret.write_token(file, config.line_of_token(file), token)
    print(f"The token is in {file}. Try: python -m agent check")
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
    agent = make_agent(settings, Pace(interval=settings.interval, grace=grace))
    signals = note_signals()
    agent.start(Shell(settings.menu, Limits(settings.time_limit, settings.output_limit)))
    log.info("at work for %s, journal in %s", settings.server, settings.state)
    wait(agent, signals)
    if agent.error:
        # The log has said it.
        return BAD_TOKEN if isinstance(agent.error, BadToken) else FAULT
    log.info("stopped")
    return OK


def make_agent(settings: Settings, pace: Pace) -> Agent:
    return Agent(
        settings.server,
        settings.token,
        settings.state,
        slots=settings.slots,
        output_limit=settings.output_limit,
        pace=pace,
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


def warnings(settings: Settings) -> list[str]:
    found = []
    file = settings.file
    if file and settings.origin == str(file) and secret.others_may_read(file):
        found.append(f"others may read the token in {file}: chmod 600 {file}")
    address = Address.parse(settings.server)
    if not address.secure and address.host not in ("localhost", "127.0.0.1", "::1"):
        found.append("the token and all output travel unencrypted: use https")
    return found


def check(settings: Settings) -> int:
    settings.require_server_and_token()
    print(f"settings   {settings.file or 'no skadi.yml; environment and flags only'}")
    print(f"server     {settings.server}")
    print(f"token      {len(settings.token)} characters, from {settings.origin}")
    print(f"journal    {settings.state}")
    print(f"limits     {limits(settings)}")
    print(f"\n{settings.menu.text()}\n")
    for warning in warnings(settings):
        print(f"Warning: {warning}")
    return ask(settings)


def limits(settings: Settings) -> str:
    time = duration.spell(settings.time_limit) if settings.time_limit else "no time limit"
    return f"{time}, {settings.output_limit} bytes of output, {settings.slots} at a time"


def ask(settings: Settings) -> int:
    client = Client(settings.server, settings.token)
    try:
        client.status()
        print("The server answers.")
        give_back(client)
        print("The token is right.")
        return OK
    except BadToken:
        raise
    except ServerError as error:
        print(f"The server is away: {error}")
        return FAULT
    finally:
        client.close()


def give_back(client: Client) -> None:
    """A poll for nothing; a server that does not know of slots may send a job all the same."""
    order = client.poll(wait=0, slots=0).order
    if order:
        client.report(
            order.id, "fail", "not run: it was taken by a check of the agent; send it again"
        )
        print(f"A job that was waiting has been failed, not run: {order.message}")


if __name__ == "__main__":
    sys.exit(main())
