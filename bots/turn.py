"""One message being answered: who said it, what it asks for, and how an answer to it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bots.language import Invocation
from bots.notices import Notices
from bots.words import say
from core.accounts import Accounts
from core.agents import Agents
from core.chat import Abilities, Action, Message, Reply, Thread
from core.errors import Invalid
from core.jobs import Jobs
from core.model import Account, Identity, Job


class Refusal(Invalid):
    """What the bot itself says no to; `actions` are the ways out that can be clicked."""

    actions: Sequence[Action] = ()

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code, code=code, **facts)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the verbs work with."""

    accounts: Accounts
    agents: Agents
    jobs: Jobs
    notices: Notices


@dataclass(frozen=True, slots=True)
class Turn:
    """`key` is the message's own in the whole house, and `job_key` that of the one job which it may make:
    the same for every click that a post is spent by. `account` is None for somebody we do not know,
    and `identity` also for who speaks by a token."""

    message: Message
    said: Invocation
    platform: str
    abilities: Abilities
    language: str
    key: str
    now: datetime
    job_key: str
    account: Account | None = None
    identity: Identity | None = None
    requested_by: str = ""

    @property
    def rest(self) -> str:
        return self.said.rest

    @property
    def room(self) -> Thread:
        """Where what belongs to no thread is told: the whole channel, if that can be."""
        here = self.message.thread
        return replace(here, thread_id="") if self.abilities.channels else here

    @property
    def told(self) -> bool:
        """Whether the direct answer to a submit is its acceptance."""
        return self.message.patience > 0 and not self.abilities.edits

    @property
    def in_thread(self) -> bool:
        """Whether this conversation is about one matter, and not all that a chat ever held."""
        return self.abilities.threads and bool(self.message.thread.thread_id)

    def words(self, key: str, **facts: object) -> str:
        return say(self.language, key, **facts)

    def say(self, key: str, **facts: object) -> Reply:
        return self.reply(self.words(key, **facts))

    def reply(
        self, text: str, *, quiet: bool = False, output: str = "", actions: Sequence[Action] = ()
    ) -> Reply:
        """`quiet`: among others, for the asker's eyes alone where the platform can do that."""
        return Reply(
            self.message.thread,
            text,
            private=quiet and not self.message.private,
            output=output,
            actions=tuple(actions) if self.abilities.buttons else (),
            language=self.language,
        )


@dataclass(frozen=True, slots=True)
class Once:
    """A reply that holds a secret: said, never kept. A repeat of the message is given `kept`."""

    reply: Reply
    kept: Reply


Answer = Reply | Once | None
"""None: what was done speaks for itself."""


# Kinds of verbs.


@dataclass(frozen=True, slots=True)
class Open:
    """A verb for everybody, linked or not."""

    verb: str
    aliases: tuple[str, ...]
    run: Callable[[Desk, Turn], Awaitable[Answer]]
    private: bool = False


@dataclass(frozen=True, slots=True)
class Linked:
    """A verb for those who speak for an account."""

    verb: str
    aliases: tuple[str, ...]
    run: Callable[[Desk, Turn, Account], Awaitable[Answer]]
    private: bool = False


@dataclass(frozen=True, slots=True)
class Submit:
    """A verb that makes a job, whose own message is the answer."""

    verb: str
    aliases: tuple[str, ...]
    run: Callable[[Desk, Turn, Account], Awaitable[Job]]
    private: bool = False


Command = Open | Linked | Submit
