"""Response URLs: five answers within half an hour, and nothing after that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.slack.fake.rules import Refused, check
from tests.slack.fake.world import Person, Post, Room

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

USES = 5
LIVES = timedelta(minutes=30)


@dataclass
class Hook:
    room: Room
    person: Person
    until: datetime
    post: Post | None = None
    left: int = USES


class Hooks:
    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._made: dict[str, Hook] = {}

    def make(self, room: Room, person: Person, post: Post | None = None) -> str:
        name = self._slack.secret("hook")
        self._made[name] = Hook(room, person, self._slack.clock() + LIVES, post)
        return f"{self._slack.address}/hooks/{name}"

    def use(self, name: str, said: dict[str, Any]) -> None:
        """Raises Refused."""
        hook = self._made.get(name)
        if hook is None:
            raise Refused("invalid_url")
        if self._slack.clock() >= hook.until:
            raise Refused("expired_url")
        if hook.left <= 0:
            raise Refused("used_url")
        self._say(hook, said)
        hook.left -= 1

    def _say(self, hook: Hook, said: dict[str, Any]) -> None:
        if said.get("delete_original") and hook.post:
            hook.post.deleted = True
            return
        text, blocks = said.get("text", ""), said.get("blocks") or []
        check(text, blocks)
        if said.get("replace_original") and hook.post:
            hook.post.change(text, blocks, self._slack.team_of(hook.room).names())
            return
        alone = None if said.get("response_type") == "in_channel" else hook.person
        bot = self._slack.team_of(hook.room).bot
        thread = said.get("thread_ts", "")
        self._slack.put(
            hook.room, bot, text, blocks=blocks, for_only=alone, by_app=True, thread_ts=thread
        )
