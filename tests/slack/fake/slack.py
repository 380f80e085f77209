"""Slack as a whole: its state, and what people do in it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any, Literal, Protocol, cast, get_args

from tests.slack.fake.hooks import Hooks
from tests.slack.fake.payloads import Payloads
from tests.slack.fake.rates import Rates
from tests.slack.fake.sight import look
from tests.slack.fake.world import Person, Post, Room, Shared, Team

Trouble = Literal["", "html", "hang", "cut", "lost", "half", "fatal", "busy"]
"""What becomes of a call to Slack: an HTML page with 503; no answer ever; the line is cut before or
after the thing was done; half an answer; `internal_error`; 429."""
Kind = Literal["event", "command", "action"]

RETRIES = 3
PAUSES = (0.0, 60.0, 300.0)
"""Seconds before each repetition of an event that was not taken."""


@dataclass
class App:
    """Our app as it is set up at Slack. `url`: where requests go, unless there are sockets."""

    id: str = "A1"
    client_id: str = "11.22"
    client_secret: str = "client-secret"
    signing_secret: str = "8f742231b10e8888abcd99yyyzzz85a5"
    token: str = "xapp-1-A1-secret"
    command: str = "/skadi"
    url: str = ""
    redirect: str = ""


class Unanswered(Exception):
    """Nobody took it in time: `http_timeout`, `http_error`, `connection_failed`."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(f"{reason} {status or ''}".strip())
        self.reason, self.status = reason, status


class Carrier(Protocol):
    async def carry(self, kind: Kind, payload: dict[str, Any], retry: int, reason: str) -> Any:
        """What was answered within three seconds. Raises Unanswered."""


@dataclass(frozen=True)
class Attempt:
    """One try to tell us something; `error` is empty when it was taken."""

    kind: Kind
    retry: int
    seconds: float
    error: str = ""
    status: int = 200


@dataclass(frozen=True)
class Asked:
    """One call of ours."""

    method: str
    args: dict[str, Any]
    error: str


@dataclass
class Slack:
    clock: Callable[[], datetime]
    app: App = field(default_factory=App)
    pauses: tuple[float, ...] = PAUSES
    teams: dict[str, Team] = field(default_factory=dict)
    carrier: Carrier | None = None
    trouble: Trouble = ""
    """What becomes of every call, until it is changed."""
    troubles: deque[Trouble] = field(default_factory=deque)
    """What becomes of the next ones, before that."""
    attempts: list[Attempt] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    given_up: list[dict[str, Any]] = field(default_factory=list)
    """Events that nobody took, however often they were told."""
    unseen: list[str] = field(default_factory=list)
    """What was said where nobody sees it."""
    complaints: list[str] = field(default_factory=list)
    """What people were told by Slack about us."""
    revoked: set[str] = field(default_factory=set)
    """Tokens that were taken back."""
    echoes: bool = True
    """Whether we are told of our own words, as one is."""
    address: str = ""
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rates = Rates(self.clock)
        self.hooks = Hooks(self)
        self.payloads = Payloads(self)

    # Who and where.

    def team(self, id: str = "T1", name: str = "corp", **facts: Any) -> Team:
        """A workspace that has our app."""
        bot = Person(f"U0BOT{id}", "skadi", id, bot=True)
        team = self.teams[id] = Team(id, name, bot, f"xoxb-{id}-secret", **facts)
        team.people[bot.id] = bot
        return team

    def person(self, team: Team, name: str, **facts: Any) -> Person:
        id = str(facts.pop("id", f"U{name.upper()}"))
        home = str(facts.pop("home", team.id))
        person = team.people[id] = Person(id, name, home, **facts)
        return person

    def room(self, team: Team, name: str, *members: Person, bot: bool = True, **facts: Any) -> Room:
        id = f"C{name.upper()}"
        room = team.rooms[id] = Room(id, f"#{name}", team.id, **facts)
        room.members |= {person.id for person in members}
        if bot:
            room.members.add(team.bot.id)
        return room

    def direct(self, person: Person, team: Team | None = None) -> Room:
        """The conversation of somebody with us."""
        team = team or self.teams[person.team]
        id = f"D{person.id[1:]}"
        if id not in team.rooms:
            members = {person.id, team.bot.id}
            team.rooms[id] = Room(id, f"skadi and {person.name}", team.id, members)
        return team.rooms[id]

    def team_of(self, room: Room) -> Team:
        return self.teams[room.team]

    # What is said.

    def ts(self) -> str:
        return f"{int(self.clock().timestamp())}.{next(self._numbers):06d}"

    def secret(self, kind: str) -> str:
        """Something that nobody else was given."""
        return f"{kind}{next(self._numbers)}x{id(self) % 9973}"

    def put(self, room: Room, author: Person, text: str, **facts: Any) -> Post:
        """A post of somebody's, seen from now on."""
        blocks = facts.pop("blocks", None) or []
        sight = look(text, blocks, self.team_of(room).names())
        post = Post(self.ts(), room.id, author, sight, blocks=blocks, raw=text, **facts)
        room.posts.append(post)
        return post

    def share(self, room: Room, files: list[Shared], **facts: Any) -> Post:
        team = self.team_of(room)
        return self.put(room, team.bot, "", files=files, by_app=True, **facts)

    # What people do.

    async def say(self, person: Person, room: Room, text: str, thread: Post | None = None) -> Post:
        """Write as people do: `@skadi` becomes a mention. Returns when we took what we are told of
        it, or Slack gave up."""
        team = self.team_of(room)
        raw = self.typed(team, text)
        root = (thread.thread_ts or thread.ts) if thread else ""
        post = self.put(room, person, raw, thread_ts=root)
        for event in self.payloads.events_of(team, room, post):
            await self.tell("event", self.payloads.event(team, event, room=room))
        return post

    def typed(self, team: Team, text: str) -> str:
        """As a chat program sends what was typed."""
        for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(char, entity)
        for person in team.people.values():
            text = re.sub(rf"@{re.escape(person.name)}\b", f"<@{person.id}>", text)
        return text

    async def slash(self, person: Person, room: Room, text: str) -> None:
        """The answer, if there is one, is put where the person sees it."""
        team = self.team_of(room)
        payload = self.payloads.command(team, room, person, text)
        answer = await self.tell("command", payload)
        if answer is None:
            error = self.attempts[-1].error
            name = "operation_timeout" if error == "http_timeout" else "dispatch_failed"
            complaint = f"{self.app.command} failed with the error {name}"
            self.complaints.append(complaint)
            slackbot = Person("USLACKBOT", "slackbot", team.id, bot=True)
            self.put(room, slackbot, complaint, for_only=person)
        else:
            self.show_answer(room, person, answer)

    def show_answer(self, room: Room, person: Person, answer: Any) -> None:
        """What a command's acknowledgement carried."""
        given = answer if isinstance(answer, dict) else {"text": str(answer or "")}
        if not (given.get("text") or given.get("blocks")):
            return
        alone = None if given.get("response_type") == "in_channel" else person
        bot = self.team_of(room).bot
        blocks, text = given.get("blocks"), given.get("text", "")
        self.put(room, bot, text, blocks=blocks, for_only=alone, by_app=True)

    async def click(self, person: Person, post: Post, label: str, **facts: Any) -> dict[str, Any]:
        """Press a button that is there to be pressed. Returns what we were told."""
        room = self.room_of(post)
        button = next((each for each in post.sight.buttons if each.label == label), None)
        assert button, f"no button {label!r} at: {post}"
        payload = self.payloads.action(self.team_of(room), room, person, post, button)
        payload |= facts
        if await self.tell("action", payload) is None:
            self.complaints.append(f"{person.name}: the button {label} did not answer")
        return payload

    def room_of(self, post: Post) -> Room:
        rooms = (room for team in self.teams.values() for room in team.rooms.values())
        return next(room for room in rooms if any(post is each for each in room.posts))

    async def uninstall(self, team: Team) -> None:
        team.installed = False
        revoked = {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [team.bot.id]}}
        for event in (revoked, {"type": "app_uninstalled"}):
            await self.tell("event", self.payloads.event(team, event))

    async def fall_ill(self, trouble: str) -> None:
        """From now on; recover with an empty one."""
        assert trouble in get_args(Trouble)
        self.trouble = cast(Trouble, trouble)

    # How we are told.

    async def tell(self, kind: Kind, payload: dict[str, Any]) -> Any:
        """What was answered; None: nobody took it. Events are told up to four times."""
        reason = ""
        for retry in range(RETRIES + 1 if kind == "event" else 1):
            if retry:
                await asyncio.sleep(self.pauses[retry - 1])
            try:
                return await self._attempt(kind, payload, retry, reason)
            except Unanswered as error:
                reason = error.reason
        if kind == "event":
            self.given_up.append(payload)
        return None

    async def _attempt(self, kind: Kind, payload: dict[str, Any], retry: int, reason: str) -> Any:
        assert self.carrier, "nobody is subscribed"
        loop = asyncio.get_running_loop()
        start = loop.time()
        made = Attempt(kind, retry, 0.0)
        try:
            answer = await self.carrier.carry(kind, payload, retry, reason)
        except Unanswered as error:
            made = replace(made, error=error.reason, status=error.status)
            raise
        finally:
            self.attempts.append(replace(made, seconds=loop.time() - start))
        return answer or {}

    def meanwhile(self, deed: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def busy(self) -> bool:
        """Whether something goes on meanwhile."""
        return bool(self._tasks)

    async def settle(self) -> None:
        """Until all that goes on meanwhile is done."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
