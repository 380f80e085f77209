"""The first minute: an account and an agent to try things with, and what to paste to do so."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from cli.banner import banner
from cli.places import Places, http_address
from core.accounts import Accounts
from core.agents import Agents
from core.chat import Abilities, Inbox, Message, Reply, Thread
from core.errors import NotFound
from core.model import Account, EventMessage, Job
from core.notifier import Phrase
from core.settings import Settings

NAME = "demo"
PAUSE = 1.0
"""Seconds before an agent that ended is started again."""
BAD_TOKEN = 3
"""The status with which an agent ends whose token the server does not know."""

MARKUP = str.maketrans("", "", "*`")

MENU = """\
# What the demo agent runs; a fixed list, and nothing on it does any harm.
state: {state}
slots: 4

shortcuts:
  - short: hello
    cmd: "echo Hello from $(hostname)!"
  - short: date
    cmd: date
  - short: uptime
    cmd: uptime
  - short: sleep 5
    cmd: "sleep 5; echo Slept well."
  - short: fail
    cmd: "echo This one always fails.; exit 3"
commands:
  - prefix: echo
"""

# The agent ends when its input does: that is when this process is gone, however it went.
PROGRAM = """\
import os, signal, sys, threading
def watch():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from agent.__main__ import main
sys.exit(main([*sys.argv[1:], "--grace", "1s"]))
"""

log = logging.getLogger("demo")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the pasted lines hold, and the agent; kept in a file, so that they go on working."""

    token: str = ""
    mail: str = ""
    agent: str = ""


class Demo:
    """Sees to account, agent and secrets, says what to paste, and keeps the agent running.

    `code` is the folder of the program."""

    def __init__(self, accounts: Accounts, agents: Agents, settings: Settings, code: Path) -> None:
        # It brings the libraries of mail along, which without a demo may not be needed.
        from cli.platforms import find_mailbox

        self._accounts = accounts
        self._agents = agents
        self._places = Places(
            http_address(settings.web), find_mailbox(settings), settings.data, code
        )
        self._folder = settings.data / NAME

    # What goes on, on the screen.

    def overhear(self, inbox: Inbox) -> Inbox:
        async def hear(message: Message) -> Reply | None:
            thread = message.thread
            log.info("%s: %s wrote: %s", thread.adapter, thread.channel_id, message.text)
            return await inbox(message)

        return hear

    def read_aloud(self, phrase: Phrase) -> Phrase:
        return Reader(phrase)

    # A role.

    async def run(self, doors: Sequence[asyncio.Event]) -> None:
        """`doors` are open before people are sent there."""
        for door in doors:
            await door.wait()
        account = await self._account()
        secrets = await self._secrets(account)
        self._write_menu()
        print(banner(self._places, secrets.token, secrets.mail), flush=True)
        await self._keep_agent(secrets.agent)
        # Somebody else was given its token, and is left with it.
        secrets = replace(secrets, agent=await self._agent_token(account, ""))
        write_secrets(self._folder / "secrets.json", secrets)
        await self._keep_agent(secrets.agent)
        log.warning(
            "the demo agent lost its token again and stays away; the next start may mend it"
        )
        await asyncio.get_running_loop().create_future()

    async def _account(self) -> Account:
        try:
            return await self._accounts.find(NAME)
        except NotFound:
            return await self._accounts.add(NAME)

    async def _agent_token(self, account: Account, kept: str) -> str:
        """The one that was kept, if there is one and its agent; else a new one."""
        try:
            agent = await self._agents.find(account.id, NAME)
        except NotFound:
            _, token = await self._agents.enrol(account.id, NAME)
            return token
        return kept or await self._agents.rotate(account.id, agent.id)

    async def _secrets(self, account: Account) -> Secrets:
        kept = read_secrets(self._folder / "secrets.json")
        secrets = Secrets(
            await self._live("account", kept.token, account),
            await self._live("mail", kept.mail, account),
            await self._agent_token(account, kept.agent),
        )
        write_secrets(self._folder / "secrets.json", secrets)
        return secrets

    async def _live(self, kind: Literal["account", "mail"], kept: str, account: Account) -> str:
        """The secret that was kept if it still speaks for the account, else a new one."""
        holder = await self._accounts.holder(kept) if kept else None
        if holder and holder[0] == account.id:
            return kept
        _, secret = await self._accounts.add_token(kind, account.id, NAME)
        return secret

    def _write_menu(self) -> None:
        menu = MENU.format(state=json.dumps(str(self._folder / "agent")))
        (self._folder / "skadi.yml").write_text(menu, "utf-8")

    async def _keep_agent(self, token: str) -> None:
        """Until its token is worth nothing any more."""
        status = 0
        while status != BAD_TOKEN:
            agent = await self._start_agent(token)
            try:
                status = await agent.wait()
            except asyncio.CancelledError:
                await end(agent)
                raise
            log.warning("the demo agent ended with status %d", status)
            await asyncio.sleep(PAUSE)

    async def _start_agent(self, token: str) -> Process:
        given = {"SKADI_SERVER": self._places.http, "SKADI_TOKEN": token}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SKADI_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "--config", str(self._folder / "skadi.yml")),
            stdin=PIPE,
            env={**kept, **given},
            cwd=self._places.code,
            # Ctrl-C at the terminal is for us; the agent is told in its turn.
            start_new_session=True,
        )


class Reader:
    """Words that are told are read aloud as well."""

    def __init__(self, phrase: Phrase) -> None:
        self._phrase = phrase

    def job(
        self, job: Job, thread: Thread, *, language: str, abilities: Abilities, now: datetime
    ) -> Reply:
        return read(self._phrase.job(job, thread, language=language, abilities=abilities, now=now))

    def message(self, event: EventMessage, thread: Thread, *, language: str) -> Reply:
        return read(self._phrase.message(event, thread, language=language))


def read(reply: Reply) -> Reply:
    words = reply.text.partition("\n")[0].translate(MARKUP)
    log.info("%s: told %s: %s", reply.thread.adapter, reply.thread.channel_id, words)
    return reply


async def end(agent: Process) -> None:
    if agent.stdin:
        agent.stdin.close()
    try:
        async with asyncio.timeout(3):
            await agent.wait()
    except TimeoutError:
        agent.kill()
        await agent.wait()


def read_secrets(file: Path) -> Secrets:
    try:
        return Secrets(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Secrets()


def write_secrets(file: Path, secrets: Secrets) -> None:
    """For the eyes of whoever runs this program only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(asdict(secrets), output)
