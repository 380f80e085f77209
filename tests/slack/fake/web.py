"""The methods of the Web API that a bot like ours needs, as strict as the real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.slack.fake.files import Files
from tests.slack.fake.oauth import OAuth
from tests.slack.fake.rules import Refused, check
from tests.slack.fake.sockets import Sockets
from tests.slack.fake.world import Person, Post, Room, Team

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

ROOM_SCOPES = "channels:read,groups:read,im:read,mpim:read"
SCOPES = {
    "auth.test": "",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.postEphemeral": "chat:write",
    "conversations.open": "im:write",
    "conversations.info": ROOM_SCOPES,
    "users.info": "users:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
}
"""Which one of them a method needs."""


class RateLimited(Exception):
    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass
class Call:
    """`args` decoded, whether they came as JSON or as a form."""

    method: str
    args: dict[str, Any]
    token: str
    basic: tuple[str, str] | None = None
    posted: bool = True
    in_json: bool = False
    in_header: bool = True
    """Whether the token came where it belongs."""

    def need(self, name: str, error: str = "") -> str:
        value = self.args.get(name)
        if not value:
            raise Refused(error or "invalid_arguments", missing=name)
        return str(value)


Answer = dict[str, Any]
Method = Callable[[Call, Team], Answer]


class WebApi:
    def __init__(self, slack: Slack, sockets: Sockets, files: Files, oauth: OAuth) -> None:
        self._slack, self._sockets, self._files, self._oauth = slack, sockets, files, oauth
        self._methods: Mapping[str, Method] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.postEphemeral": self._whisper,
            "conversations.open": self._open,
            "conversations.info": self._info,
            "users.info": self._user,
            "files.getUploadURLExternal": self._begin_file,
            "files.completeUploadExternal": self._end_file,
        }

    def perform(self, call: Call) -> tuple[Answer, str]:
        """The answer, and the scopes of the token. Raises Refused, RateLimited."""
        if call.method == "oauth.v2.access":
            return self._oauth.exchange(call.args, call.basic), ""
        if call.method == "apps.connections.open":
            return self._connect(call), ""
        method = self._methods.get(call.method)
        if method is None:
            raise Refused("unknown_method", req_method=call.method)
        team = self._recognise(call)
        self._may(team, call.method)
        self._slow_down(self._slack.rates.ask(team.id, call.method))
        return method(call, team), team.scopes

    # Who asks.

    def _recognise(self, call: Call) -> Team:
        if not call.token:
            raise Refused("not_authed")
        if call.token.startswith("xapp-"):
            raise Refused("not_allowed_token_type")
        if call.token in self._slack.revoked:
            raise Refused("token_revoked")
        team = next((t for t in self._slack.teams.values() if t.token == call.token), None)
        if team is None:
            raise Refused("invalid_auth")
        if not team.installed:
            raise Refused("account_inactive")
        return team

    def _may(self, team: Team, method: str) -> None:
        needed, provided = SCOPES[method], set(team.scopes.split(","))
        if needed and not provided & set(needed.split(",")):
            raise Refused("missing_scope", needed=needed, provided=team.scopes)

    def _slow_down(self, seconds: int | None) -> None:
        if seconds is not None:
            raise RateLimited(seconds)

    def _connect(self, call: Call) -> Answer:
        if not call.posted:
            raise Refused("insecure_request")
        if not call.in_header:
            raise Refused("missing_args")
        if not call.token.startswith("xapp-"):
            raise Refused("not_allowed_token_type")
        if call.token != self._slack.app.token:
            raise Refused("invalid_auth")
        self._slow_down(self._slack.rates.ask("", call.method))
        return {"url": self._sockets.url()}

    def _auth_test(self, call: Call, team: Team) -> Answer:
        return {
            "url": f"https://{team.name}.slack.com/",
            "team": team.name,
            "user": team.bot.name,
            "team_id": team.id,
            "user_id": team.bot.id,
            "bot_id": f"B{team.bot.id[1:]}",
            "is_enterprise_install": False,
            **({"enterprise_id": team.enterprise} if team.enterprise else {}),
        }

    # Messages.

    def _post(self, call: Call, team: Team) -> Answer:
        room = self._room(call.need("channel", "channel_not_found"), team)
        text, blocks = self._said(call)
        thread = self._thread(room, call)
        self._slow_down(self._slack.rates.speak(team.id, room.id))
        post = self._slack.put(room, team.bot, text, blocks=blocks, thread_ts=thread, by_app=True)
        if room.direct:
            event = {**self._slack.payloads.message(team, room, post), "type": "message"}
            self._echo(team, room, event | {"channel_type": "im"})
        return {"channel": room.id, "ts": post.ts, "message": self._shown(team, room, post)}

    def _update(self, call: Call, team: Team) -> Answer:
        room = self._room(call.need("channel", "channel_not_found"), team)
        post = room.find(call.need("ts", "message_not_found"))
        if post is None:
            raise Refused("message_not_found")
        if post.author is not team.bot:
            raise Refused("cant_update_message")
        text, given = str(call.args.get("text") or ""), call.args.get("blocks")
        check(text, given or [], edit=True)
        # What is not mentioned stays as it is.
        blocks = post.blocks if given is None else given
        post.change(text, blocks, team.names())
        if room.direct:
            self._echo(team, room, self._slack.payloads.changed(team, room, post))
        return {"channel": room.id, "ts": post.ts, "text": text}

    def _whisper(self, call: Call, team: Team) -> Answer:
        room = self._room(call.need("channel", "channel_not_found"), team)
        person = team.people.get(call.need("user", "user_not_in_channel"))
        if person is None or person.id not in room.members:
            raise Refused("user_not_in_channel")
        text, blocks = self._said(call)
        thread = self._thread(room, call)
        if thread and len(room.thread_of(thread)) < 2:
            # It is accepted, and nobody sees it: in a thread it shows only where there is one already.
            self._slack.unseen.append(text)
            return {"message_ts": self._slack.ts()}
        post = self._slack.put(
            room,
            team.bot,
            text,
            blocks=blocks,
            thread_ts=thread,
            for_only=person,
            by_app=True,
        )
        return {"message_ts": post.ts}

    def _said(self, call: Call) -> tuple[str, list[Any]]:
        text, blocks = str(call.args.get("text") or ""), call.args.get("blocks") or []
        check(text, blocks)
        if call.args.get("parse") == "full" or call.args.get("link_names"):
            raise AssertionError("foreign text would be searched for names to ping")
        return text, blocks

    def _thread(self, room: Room, call: Call) -> str:
        """Of what began it; where there is no such message, the answer begins one itself."""
        root = room.find(str(call.args.get("thread_ts") or ""))
        if root is None:
            return ""
        if root.thread_ts:
            raise Refused("cannot_reply_to_message")
        return root.ts

    def _room(self, id: str, team: Team) -> Room:
        """Where we may speak."""
        if person := team.people.get(id):
            return self._slack.direct(person, team)
        room = team.rooms.get(id)
        member = room is not None and team.bot.id in room.members
        if room is None or (room.hidden and not member):
            raise Refused("channel_not_found")
        if room.archived:
            raise Refused("is_archived")
        if not member:
            raise Refused("not_in_channel")
        return room

    def _shown(self, team: Team, room: Room, post: Post) -> Answer:
        return self._slack.payloads.message(team, room, post) | {"blocks": post.blocks}

    def _echo(self, team: Team, room: Room, event: dict[str, Any]) -> None:
        """Of what is said where we listen we are told as well, though we said it."""
        if self._slack.echoes and self._slack.carrier:
            payload = self._slack.payloads.event(team, event, room=room)
            self._slack.meanwhile(self._slack.tell("event", payload))

    # People and rooms.

    def _open(self, call: Call, team: Team) -> Answer:
        person = self._person(call.need("users", "users_list_not_supplied"), team)
        return {"channel": {"id": self._slack.direct(person, team).id}}

    def _info(self, call: Call, team: Team) -> Answer:
        room = team.rooms.get(call.need("channel", "channel_not_found"))
        if room is None:
            raise Refused("channel_not_found")
        member = team.bot.id in room.members
        about = {"is_im": room.direct, "is_member": member, "is_archived": room.archived}
        return {"channel": {"id": room.id, "name": room.name.lstrip("#"), **about}}

    def _user(self, call: Call, team: Team) -> Answer:
        person = self._person(call.need("user", "user_not_found"), team)
        locale = call.args.get("include_locale") in (True, 1, "1", "true", "True")
        names = {"name": person.name, "real_name": person.name.title()}
        return {
            "user": {
                "id": person.id,
                "team_id": person.team,
                "deleted": person.deleted,
                **names,
                "profile": {"display_name": person.name, "real_name": person.name.title()},
                "is_bot": person.bot,
                "is_restricted": person.guest,
                "is_ultra_restricted": False,
                "is_stranger": person.team != team.id,
                **({"locale": person.locale} if locale else {}),
            }
        }

    def _person(self, id: str, team: Team) -> Person:
        if id not in team.people:
            raise Refused("user_not_found")
        return team.people[id]

    # Files.

    def _begin_file(self, call: Call, team: Team) -> Answer:
        if call.in_json:
            raise Refused("invalid_arguments")
        try:
            length = int(call.need("length"))
        except ValueError as error:
            raise Refused("invalid_arguments") from error
        return self._files.begin(call.need("filename"), length)

    def _end_file(self, call: Call, team: Team) -> Answer:
        given = call.args.get("files")
        if not isinstance(given, list) or not given:
            raise Refused("invalid_arguments")
        room, thread = None, ""
        if call.args.get("channel_id"):
            room = self._file_room(str(call.args["channel_id"]), team)
            thread = self._thread(room, call)
        files = self._files.end(given)
        if room:
            self._slack.share(room, files, thread_ts=thread)
        return {"files": [{"id": file.id, "title": file.name} for file in files]}

    def _file_room(self, id: str, team: Team) -> Room:
        """Here a person's id is not taken for a conversation with them."""
        if id in team.people:
            raise Refused("channel_not_found")
        return self._room(id, team)


def decode(raw: bytes, content_type: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a call."""
    args: dict[str, Any] = dict(query)
    if content_type == "application/json":
        args |= json.loads(raw or b"{}")
    else:
        args |= dict(parse_qsl(raw.decode(), keep_blank_values=True))
    for name in ("blocks", "files", "metadata"):
        if isinstance(args.get(name), str):
            args[name] = json.loads(args[name])
    return args
