"""People at Slack, as a story tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.slack.fake import Person, Post, Room
from tests.slack.office import Office


@dataclass(frozen=True)
class Voice:
    """Somebody, and what they do there."""

    office: Office
    person: Person

    @property
    def home(self) -> Room:
        """Their conversation with us."""
        return self.office.slack.direct(self.person)

    async def writes(self, room: Room, text: str, below: Post | None = None) -> Post:
        return await self.office.slack.say(self.person, room, text, below)

    async def whispers(self, text: str, below: Post | None = None) -> Post:
        """In a direct message."""
        return await self.writes(self.home, text, below)

    async def types(self, room: Room, text: str) -> None:
        """A slash command."""
        await self.office.slack.slash(self.person, room, text)

    async def clicks(self, post: Post, label: str) -> dict[str, Any]:
        return await self.office.slack.click(self.person, post, label)

    async def reads(self, room: Room, words: str) -> Post:
        """The newest post of ours that reads so and that they can see, once there is one."""

        def there() -> bool:
            return any(post.by_app and words in str(post) for post in room.seen_by(self.person))

        await self.office.until(there, f"{words!r} for {self.person.name} in {room.name}")
        posts = [post for post in room.seen_by(self.person) if post.by_app and words in str(post)]
        return posts[-1]


def voice(office: Office, name: str, **facts: Any) -> Voice:
    return Voice(office, office.slack.person(office.team, name, **facts))
