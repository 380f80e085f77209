"""What there is at Slack: workspaces, people, rooms, and what was said in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.slack.fake.sight import Sight, look

SCOPES = "app_mentions:read,chat:write,commands,files:write,im:history,im:write,users:read"
"""What our manifest asks for."""


@dataclass
class Person:
    """`team` is the home workspace, which in a shared channel is not the room's."""

    id: str
    name: str
    team: str
    locale: str = "en-US"
    guest: bool = False
    bot: bool = False
    deleted: bool = False


@dataclass(frozen=True)
class Shared:
    """A file as people can open it."""

    id: str
    name: str
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


@dataclass
class Post:
    """`for_only`: the one person who sees it. `earlier`: what it read before each edit."""

    ts: str
    room_id: str
    author: Person
    sight: Sight
    thread_ts: str = ""
    for_only: Person | None = None
    files: list[Shared] = field(default_factory=list)
    earlier: list[Sight] = field(default_factory=list)
    deleted: bool = False
    by_app: bool = False
    blocks: list[Any] = field(default_factory=list)
    raw: str = ""

    @property
    def text(self) -> str:
        """What people read there now."""
        return self.sight.text

    @property
    def buttons(self) -> list[str]:
        return [button.label for button in self.sight.buttons]

    def change(self, text: str, blocks: list[Any], names: dict[str, str]) -> None:
        self.earlier.append(self.sight)
        self.raw, self.blocks, self.sight = text, blocks, look(text, blocks, names)

    def __str__(self) -> str:
        whom = f" (to {self.for_only.name} alone)" if self.for_only else ""
        lines = [f"{self.author.name}{whom}: {self.sight.shown}".rstrip()]
        lines += [f"    | {line}" for line in self.sight.code]
        lines += [f"    [{file.name}, {len(file.text)} characters]" for file in self.files]
        return "\n".join(lines)


@dataclass
class Room:
    """A channel, or somebody's conversation with us (an id that begins with D)."""

    id: str
    name: str
    team: str
    members: set[str] = field(default_factory=set)
    posts: list[Post] = field(default_factory=list)
    archived: bool = False
    hidden: bool = False
    """Private: to who is no member it does not exist."""
    foreign: bool = False
    """Shared with another workspace."""

    @property
    def direct(self) -> bool:
        return self.id.startswith("D")

    @property
    def standing(self) -> list[Post]:
        return [post for post in self.posts if not post.deleted]

    def find(self, ts: str) -> Post | None:
        """By its ts; ephemeral ones have none that could be used again."""
        found = (post for post in self.standing if post.ts == ts and not post.for_only)
        return next(found, None)

    def last(self, words: str = "") -> Post:
        """The newest of ours that reads so."""
        ours = [post for post in self.standing if post.by_app and words in str(post)]
        assert ours, f"nothing of ours reads {words!r} in {self.name}:\n{self.log()}"
        return ours[-1]

    def seen_by(self, person: Person) -> list[Post]:
        return [post for post in self.standing if post.for_only in (None, person)]

    def thread(self, post: Post) -> list[Post]:
        return self.thread_of(post.thread_ts or post.ts)

    def thread_of(self, root: str) -> list[Post]:
        """What began it, and what is seen below."""
        return [each for each in self.standing if root in (each.ts, each.thread_ts)]

    def log(self) -> str:
        """As a chat program shows it: threads below what began them, indented."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for post in self.standing:
            if post.thread_ts:
                continue
            yield str(post)
            for answer in self.standing:
                if answer.thread_ts == post.ts:
                    yield "\n".join(f"  {line}" for line in str(answer).split("\n"))


@dataclass
class Team:
    """A workspace. `token` is our app's there; what became of it is told to whoever uses it."""

    id: str
    name: str
    bot: Person
    token: str
    enterprise: str = ""
    scopes: str = SCOPES
    installed: bool = True
    people: dict[str, Person] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)

    def names(self) -> dict[str, str]:
        """How mentions are shown."""
        return {person.id: person.name for person in self.people.values()} | {
            room.id: room.name for room in self.rooms.values()
        }
