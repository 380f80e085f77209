"""The port between Skadi and the places where people talk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

Proof = Literal["signed", "token", "dkim", "auth"]
Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Thread:
    """The address of a conversation.

    `adapter` is the name of the settings section, `ref` whatever that adapter needs to answer there
    (plain JSON; a mail's References, a Teams conversation reference). Only the adapter reads it, but
    for `locale`: what whoever wrote from there last was found to speak.
    """

    adapter: str
    channel_id: str
    thread_id: str = ""
    ref: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The handle of the post that the thread hangs on, where threads hang on posts."""
        return f"{self.channel_id}/{self.thread_id}" if self.thread_id else ""

    @property
    def locale(self) -> str:
        return str(self.ref.get("locale") or "")

    def spoken(self, locale: str) -> Thread:
        """The same address; what is told there later is told in this language."""
        return replace(self, ref={**self.ref, "locale": locale}) if locale else self


@dataclass(frozen=True, slots=True)
class Message:
    """What a person typed (or clicked: then `text` is the button's command).

    `key` is what a repeat of the message has in common with it; `sender_id` includes its scope
    (`T1/U2`, `appid/openid`, `-/ada@example.org`). `account_id` and `requested_by` (`token:<id>`) are set
    by an adapter whose proof names the account itself (a secret command address); otherwise the
    sender's identity decides. `patience` is the number of seconds the platform waits for the direct
    answer; with 0 it takes none, and answers are delivered like notices.
    """

    key: str
    thread: Thread
    sender_id: str
    text: str
    sent_at: datetime
    sender_name: str = ""
    private: bool = False
    locale: str = ""
    proof: Proof = "signed"
    account_id: str | None = None
    requested_by: str = ""
    patience: float = 0.0
    remarks: Sequence[str] = ()
    """Codes of what the adapter left out (`attachments`, `rest`), for the bot to put into words."""
    clicked: str = ""
    """The handle of the post whose button this was, if that is spent by a click (`Action.once`)."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button: what it says and the command that a click on it types.

    `once`: the post asks this one question, and is spent when it has been answered."""

    label: str
    command: str
    style: Literal["default", "primary", "danger"] = "default"
    once: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """An event of an account's, in the JSON in which it is published."""

    id: str
    account_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said in a thread. `text` is a small CommonMark subset; `output` is a job's whole output,
    which the adapter cuts, folds or attaches; `replaces` is the handle of the post to update."""

    thread: Thread
    text: str
    level: Level = "info"
    private: bool = False
    output: str = ""
    replaces: str | None = None
    actions: Sequence[Action] = ()
    subject: str = ""
    """One line that names the matter, where a platform shows one apart (mail without a question)."""
    language: str = ""
    """What `text` is written in; empty where nobody said."""
    event: Published | None = None
    """What a place with `Abilities.events` is told instead of words."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a platform can do, as plain values; the notifier decides by these, never by a name.

    `edits`: a post can be replaced. `accepts_after`: seconds after which a job that has not ended gets an
    acceptance of its own (None: the direct answer was the acceptance). `edit_pause`: fewest seconds
    between two edits of one post. `longest`: most characters of one text. `events`: it is told every
    event of a job from `sent` on, each once and in order, and no words. `channels`: something can be
    said in a channel beside its threads, so that a home is the whole channel.
    """

    edits: bool = False
    buttons: bool = False
    files: bool = False
    private_answers: bool = False
    threads: bool = False
    channels: bool = False
    longest: int = 4000
    edit_pause: float = 0.0
    accepts_after: float | None = None
    events: bool = False


class DeliveryError(Exception):
    """A reply did not reach its thread. `permanent`: trying again would not help.

    `retry_after`: seconds the platform asked us to wait, when it did.
    """

    def __init__(self, message: str, *, permanent: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after


Inbox = Callable[[Message], Awaitable[Reply | None]]
"""What an adapter is given: hand in a message, get the direct answer (None: nothing to say now).

It raises nothing that is the sender's fault (refusals are replies); what it raises is ours, nothing was kept,
and the adapter must let the platform try again."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where whoever holds a secret (a token of the kind `mail`) hands in commands. `outbox`: the
    Maildir of the answers, if they go into one."""

    host: str
    port: int
    local: str
    domain: str
    outbox: Path | None

    def address(self, secret: str) -> str:
        """The address that commands the account of that secret."""
        return f"{self.local}+{secret}@{self.domain}"


class Secrets(Protocol):
    """By which the accounts of ours can tell that it is we who call."""

    async def show(self, account_id: str) -> str | None:
        """The newest, to be shown to its owner; None: that was done before."""

    async def rotate(self, account_id: str) -> str:
        """A new one, shown."""


class Notebook(Protocol):
    """What an adapter remembers, in its own room, across processes and restarts."""

    async def get(self, key: str) -> Any | None: ...
    async def put(self, key: str, value: Any, seconds: float | None = None) -> None:
        """Remember `value` (plain JSON) under `key`, for ever or for so many seconds."""

    async def add(self, key: str, amount: int, seconds: float) -> int:
        """Count up and return the new count; the first count starts the period of so many seconds."""

    async def once(self, key: str, seconds: float) -> bool:
        """True for the first caller within the period."""


class Keyring(Protocol):
    """Whose secret this is, for adapters that take one as proof."""

    async def holder(self, secret: str) -> tuple[str, str] | None:
        """(account id, `token:<id>`) of a valid secret, else None; compared by hash."""

    async def alive(self, requested_by: str) -> bool:
        """Whether `token:<id>` still speaks for anybody."""

    async def speaks(self, account_id: str, platform: str, subject: str) -> bool:
        """Whether the account may speak as this person: nobody else's identity is."""


class Adapter(Protocol):
    """Every platform can be spoken to."""

    name: str
    """The name of its settings section, as in `Thread.adapter`."""
    platform: str
    """The kind (`slack`, `smtp`): identities belong to a platform."""
    abilities: Abilities

    async def send(self, reply: Reply) -> str | None:
        """Deliver; return a handle by which the post can be replaced, where the platform has them.

        Where a thread can hang on a post, its handle is that thread's `root`. Raises DeliveryError
        only."""

    async def close(self) -> None: ...


class Caller(Adapter, Protocol):
    """A place with `Abilities.events`: jobs name the address that is told."""

    def address(self, url: str) -> Thread:
        """Raises ValueError: what the address is or has, as the rest of a sentence."""


class Webhook(Adapter, Protocol):
    """A platform that calls us: its paths, mounted as they are."""

    routes: Sequence[Any]


class Listener(Adapter, Protocol):
    """A platform for which we hold a socket: a role of its own."""

    ready: asyncio.Event
    """Set when the socket is there."""

    def describe(self) -> str:
        """Where it takes messages and where answers go, in one line for the log."""

    async def listen(self) -> None:
        """Serve until cancelled; then finish what is in hand and close."""
