"""What Slack tells us, field for field."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.slack.fake.sight import Button
from tests.slack.fake.world import Person, Post, Room, Team

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

VERIFICATION = "an-old-verification-token"


class Payloads:
    def __init__(self, slack: Slack) -> None:
        self._slack = slack

    def event(self, team: Team, event: dict[str, Any], room: Room | None = None) -> dict[str, Any]:
        """The envelope of the Events API."""
        enterprise = team.enterprise or None
        authorization = {
            "enterprise_id": enterprise,
            "team_id": team.id,
            "user_id": team.bot.id,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        return {
            "token": VERIFICATION,
            "team_id": team.id,
            "context_team_id": team.id,
            "context_enterprise_id": enterprise,
            **({"enterprise_id": enterprise} if enterprise else {}),
            "api_app_id": self._slack.app.id,
            "event": event,
            "type": "event_callback",
            "event_id": self._slack.secret("Ev"),
            "event_time": int(self._slack.clock().timestamp()),
            "authorizations": [authorization],
            "is_ext_shared_channel": bool(room and room.foreign),
            "event_context": self._slack.secret("4-"),
        }

    def events_of(self, team: Team, room: Room, post: Post) -> Iterator[dict[str, Any]]:
        """What a post means to the subscriptions we have: message.im and app_mention."""
        if room.direct:
            yield {**self.message(team, room, post), "type": "message", "channel_type": "im"}
        elif f"<@{team.bot.id}>" in post.raw and team.bot.id in room.members:
            yield {**self.message(team, room, post), "type": "app_mention"}

    def message(self, team: Team, room: Room, post: Post) -> dict[str, Any]:
        author = post.author
        said: dict[str, Any] = {
            "user": author.id,
            "ts": post.ts,
            "client_msg_id": self._slack.secret("msg-"),
            "text": post.raw,
            "team": author.team,
            "channel": room.id,
            "event_ts": post.ts,
        }
        if author.team != team.id:
            said |= {"user_team": author.team, "source_team": author.team}
            said |= {"user_profile": {"team": author.team, "name": author.name}}
        if author.bot:
            said |= {"bot_id": f"B{author.id[1:]}", "app_id": self._slack.app.id}
        if post.thread_ts:
            said |= {"thread_ts": post.thread_ts}
        return said

    def changed(self, team: Team, room: Room, post: Post) -> dict[str, Any]:
        """An edit, which subscribers of message.im are told as well."""
        return {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "channel": room.id,
            "channel_type": "im",
            "message": self.message(team, room, post),
            "ts": self._slack.ts(),
            "event_ts": self._slack.ts(),
        }

    def command(self, team: Team, room: Room, person: Person, text: str) -> dict[str, Any]:
        """The fields of a form."""
        return {
            "token": VERIFICATION,
            "team_id": person.team,
            "team_domain": team.name,
            **({"enterprise_id": team.enterprise} if team.enterprise else {}),
            "channel_id": room.id,
            "channel_name": "directmessage" if room.direct else room.name.lstrip("#"),
            "user_id": person.id,
            "user_name": person.name,
            "command": self._slack.app.command,
            "text": self._slack.typed(team, text),
            "api_app_id": self._slack.app.id,
            "is_enterprise_install": "false",
            "response_url": self._slack.hooks.make(room, person),
            "trigger_id": self._slack.secret("trigger."),
        }

    def action(
        self, team: Team, room: Room, person: Person, post: Post, button: Button
    ) -> dict[str, Any]:
        alone = post.for_only is not None
        container = {"type": "message", "message_ts": post.ts, "channel_id": room.id}
        if post.thread_ts:
            container["thread_ts"] = post.thread_ts
        said = self.message(team, room, post) | {"type": "message", "blocks": post.blocks}
        enterprise = {"id": team.enterprise, "name": team.name} if team.enterprise else None
        return {
            "type": "block_actions",
            "user": {
                "id": person.id,
                "username": person.name,
                "name": person.name,
                "team_id": person.team,
            },
            "api_app_id": self._slack.app.id,
            "token": VERIFICATION,
            "container": {**container, "is_ephemeral": alone},
            "trigger_id": self._slack.secret("trigger."),
            "team": {"id": team.id, "domain": team.name},
            "enterprise": enterprise,
            "is_enterprise_install": False,
            "channel": {"id": room.id, "name": room.name.lstrip("#")},
            **({} if alone else {"message": said}),
            "state": {"values": {}},
            "response_url": self._slack.hooks.make(room, person, post),
            "actions": [
                {
                    "type": "button",
                    "action_id": button.action_id,
                    "block_id": button.block_id or "b1",
                    "text": {"type": "plain_text", "text": button.label, "emoji": True},
                    "value": button.value,
                    "action_ts": f"{time.time():.6f}",
                }
            ],
        }
