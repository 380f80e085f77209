"""The operator's commands in one tree, and the help that teaches them."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from cli.accounts import accounts
from cli.agents import agents
from cli.checkup import check, migrate
from cli.desk import Program, program
from cli.identities import identities
from cli.jobs import jobs
from cli.letters import letters
from cli.submit import PASS_ON, follow, settle_wait, submit
from cli.tokens import tokens

HELP = """Run things on your own servers from the chat, the mail or the pipeline you already use.

Without a word everything starts in this one process. Words that are roles start only these: web
(HTTP), worker (tells people), watcher (looks after what is due) and the section of an adapter with
a socket of its own, such as smtp. The commands below work beside a running server.

\b
  python app.py                              start everything
  python app.py web                          start one role of several
  python app.py check                        what is configured, what is missing, what to do
  python app.py account add ada              somebody who owns agents
  python app.py agent add ada web-1          an agent of hers, and the line that installs it
  python app.py identity code ada            a code by which she links a chat
  python app.py token add account ada ci     a token for her pipeline
  python app.py submit web-1 uptime --wait   let an agent run something, here or at SKADI_URL
"""

GROUPS = {
    "account": accounts,
    "identity": identities,
    "agent": agents,
    "token": tokens,
    "jobs": jobs,
    "letters": letters,
}


def run(arguments: Sequence[str], skadi: Program) -> None:
    """Do what these words say and exit: 0 done, 1 refused, 2 not understood."""
    program.set(skadi)
    commands = typer.Typer(
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, group in GROUPS.items():
        commands.add_typer(group, name=name, no_args_is_help=True)
    commands.command("migrate")(migrate)
    commands.command("check")(check)
    commands.command("submit", context_settings=PASS_ON)(submit)
    commands.command("follow")(follow)
    commands(settle_wait(arguments), prog_name="python app.py")
