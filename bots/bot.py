"""From a message to the answer: whose it is, what it asks for, that, or why not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from bots.commands import find_command, show
from bots.language import parse
from bots.notices import Notices, code, foreign, refuse
from bots.people import way_in
from bots.turn import Answer, Desk, Once, Open, Refusal, Submit, Turn
from bots.words import LANGUAGES, choose, say
from core.accounts import Accounts
from core.agents import Agents
from core.chat import Abilities, Message, Reply
from core.errors import NotFound, SkadiError, Unavailable
from core.jobs import Jobs
from core.messages import Messages, message_key
from core.model import Account, Clock, Identity, is_id


@dataclass(slots=True)
class Hints:
    """To which strangers it was said lately how to be known, so that nobody makes us chatter."""

    pause: timedelta = timedelta(minutes=1)
    most: int = 10_000
    _given: OrderedDict[tuple[str, str], tuple[datetime, str]] = field(default_factory=OrderedDict)

    def may(self, sender: tuple[str, str], key: str, now: datetime) -> bool:
        """Whether this message may be answered by a hint; a repeat of one that was may."""
        given = self._given.get(sender)
        if given and now - given[0] < self.pause:
            return given[1] == key
        self._given[sender] = (now, key)
        self._given.move_to_end(sender)
        if len(self._given) > self.most:
            self._given.popitem(last=False)
        return True


class Bot:
    """`platforms` and `abilities` by the name of an adapter's section."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        agents: Agents,
        jobs: Jobs,
        messages: Messages,
        platforms: Mapping[str, str],
        abilities: Mapping[str, Abilities],
        clock: Clock,
        notices: Notices | None = None,
    ) -> None:
        self._desk = Desk(accounts, agents, jobs, notices or Notices())
        self._accounts = accounts
        self._messages = messages
        self._platforms = platforms
        self._abilities = abilities
        self._clock = clock
        self._hints = Hints()

    async def handle(self, message: Message) -> Reply | None:
        """The direct answer; None when there is none, or when the platform takes none and it is
        delivered instead.

        Raises Unavailable, and what nobody expected: then nothing was answered, and the platform
        must try again."""
        turn = await self._meet(message)
        command = find_command(turn.said.verb)
        if isinstance(command, Open):
            return await self._answer(turn, partial(command.run, self._desk, turn))
        if turn.account is None:
            return await self._hint(turn)
        if turn.message.clicked and not await self._was_asked(turn, turn.account):
            return await self._refuse(turn, Refusal("AskedAnother"))
        if isinstance(command, Submit):
            return await self._submit(turn, command, turn.account)
        return await self._answer(turn, partial(command.run, self._desk, turn, turn.account))

    # Who speaks.

    async def _meet(self, message: Message) -> Turn:
        adapter = message.thread.adapter
        platform = self._platforms[adapter]
        identity, account = await self._recognize(message, platform)
        key = message_key(adapter, message.sender_id, message.key)
        return Turn(
            message=replace(message, thread=message.thread.spoken(message.locale)),
            said=parse(message.text),
            platform=platform,
            abilities=self._abilities[adapter],
            language=choose(account.language if account else "", message.locale),
            key=key,
            now=self._clock(),
            job_key=message_key(adapter, "", message.clicked) if message.clicked else key,
            account=account,
            identity=identity,
            requested_by=message.requested_by or (f"identity:{identity.id}" if identity else ""),
        )

    async def _recognize(
        self, message: Message, platform: str
    ) -> tuple[Identity | None, Account | None]:
        """What proves the account itself decides before the sender's name does."""
        identity, account_id = None, message.account_id
        if account_id is None:
            identity = await self._accounts.identity(platform, message.sender_id)
            account_id = identity.account_id if identity else None
        if account_id is None:
            return None, None
        try:
            return identity, await self._accounts.get(account_id)
        except NotFound:
            return None, None

    async def _was_asked(self, turn: Turn, account: Account) -> bool:
        """Whether the question whose button was clicked was put to this account."""
        message = turn.message
        asked = await self._messages.asked(message.thread, message.clicked)
        return not asked or account.id in asked

    # What is answered.

    async def _hint(self, turn: Turn) -> Reply | None:
        sender = (turn.message.thread.adapter, turn.message.sender_id)
        if not self._hints.may(sender, turn.key, turn.now):
            return None
        return await self._refuse(turn, Refusal("NotLinked", **way_in(turn.language)))

    async def _submit(self, turn: Turn, command: Submit, account: Account) -> Reply | None:
        """The job is kept together with the message's key, and its delivery tells of it."""
        try:
            job = await command.run(self._desk, turn, account)
        except Unavailable:
            raise
        except SkadiError as error:
            return await self._refuse(turn, error)
        if turn.told:
            return with_remarks(turn, show(self._desk, turn, job))
        return await self._say_chosen(turn) if turn.message.clicked else None

    async def _say_chosen(self, turn: Turn) -> Reply | None:
        """The job has a post of its own; the one that was clicked says who made it, once."""
        adapter, clicked = turn.message.thread.adapter, turn.message.clicked

        async def deed() -> Answer:
            return None

        return await self._answer(replace(turn, key=message_key(adapter, "chosen", clicked)), deed)

    async def _refuse(self, turn: Turn, error: SkadiError) -> Reply | None:
        """Said once: a repeat that would go through by now finds what was said."""

        async def deed() -> Answer:
            raise error

        return await self._answer(turn, deed)

    async def _answer(self, turn: Turn, deed: Callable[[], Awaitable[Answer]]) -> Reply | None:
        """What the deed says, or said when the same message came before."""
        answered = await self._messages.begin(turn.key)
        if answered:
            return answered.reply if turn.message.patience > 0 else None
        try:
            answer = settle(turn, await deed())
        except Unavailable:
            raise
        except SkadiError as error:
            answer = self._refusal(turn, error)
        return await self._finish(turn, answer)

    def _refusal(self, turn: Turn, error: SkadiError) -> Reply:
        actions = error.actions if isinstance(error, Refusal) else ()
        text = refuse(error, turn.language, turn.now)
        return replace(turn.reply(text, quiet=True, actions=actions), level="warning")

    async def _finish(self, turn: Turn, answer: Answer) -> Reply | None:
        reply, kept = (answer.reply, answer.kept) if isinstance(answer, Once) else (answer, answer)
        reply, kept = (one and with_remarks(turn, one) for one in (reply, kept))
        deliver = turn.message.patience <= 0
        await self._messages.finish(turn.key, await self._whose(turn), kept, deliver=deliver)
        return None if deliver else reply

    async def _whose(self, turn: Turn) -> str | None:
        """The account in whose name the answer is kept; the verb `link` may just have found it."""
        if turn.account:
            return turn.account.id
        identity = await self._accounts.identity(turn.platform, turn.message.sender_id)
        return identity.account_id if identity else None


def settle(turn: Turn, answer: Answer) -> Answer:
    """In the place of the question, where that was a post to be clicked once."""
    if not turn.message.clicked:
        return answer
    if isinstance(answer, Once):
        return Once(in_place(turn, answer.reply), in_place(turn, answer.kept))
    return in_place(turn, answer or chosen(turn))


def in_place(turn: Turn, reply: Reply) -> Reply:
    return reply if reply.private else replace(reply, replaces=turn.message.clicked)


def chosen(turn: Turn) -> Reply:
    """Who decided, and what."""
    message = turn.message
    who = foreign(message.sender_name, 60) or code(message.sender_id)
    return turn.say("chosen", who=who, command=code(shortened(message.text)))


def shortened(command: str) -> str:
    """Ids by their ends, as people see them everywhere."""
    return " ".join(word[-4:] if is_id(word) else word for word in command.split(" "))


def with_remarks(turn: Turn, reply: Reply) -> Reply:
    """With a line about each thing that the adapter left out of the message."""
    known = LANGUAGES[turn.language].sentences
    keys = [f"remark.{remark}" for remark in turn.message.remarks]
    lines = [say(turn.language, key) for key in keys if key in known]
    return replace(reply, text="\n".join([reply.text, *lines])) if lines else reply
