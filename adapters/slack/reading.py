"""From what Slack sends to a message: who said what and where, or that it is nothing for us."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from adapters.slack.blocks import is_spent
from core.chat import Message, Thread

Payload = Mapping[str, Any]

IDENTIFIER = re.compile(r"[A-Z0-9]{2,40}")
MOMENT = re.compile(r"\d{1,11}\.\d{1,9}")
TOKEN = re.compile(r"<([^<>]*)>|&(amp|lt|gt);")
ENTITY = re.compile("&(amp|lt|gt);")
ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
SPOKEN = ("", "file_share", "thread_broadcast", "me_message")
"""What kinds of messages people write; the others tell of edits, joins and the like."""
LONGEST = 200_000
"""Characters of a text: Slack keeps 40,000 of them, and may write each in five."""
SLACK = re.compile(r"(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com")
ADDRESS = re.compile(r"(https?)://([A-Za-z0-9.:\[\]-]+)/[!-~]*")
ANSWERABLE = timedelta(minutes=30)
"""How long a response_url works:
https://docs.slack.dev/interactivity/handling-user-interaction/#message_responses"""


# A payload, asked without trust.


def field(payload: object, *path: str) -> str:
    """The text at that place; empty where there is none. What no database would take is replaced."""
    for key in path:
        payload = payload.get(key) if isinstance(payload, Mapping) else None
    return payload.encode("utf-8", "replace").decode() if isinstance(payload, str) else ""


def identifier(payload: object, *path: str) -> str:
    """The id of a team, a user or a channel at that place."""
    found = field(payload, *path)
    return found if IDENTIFIER.fullmatch(found) else ""


def moment(ts: str) -> datetime | None:
    """When a post was made whose `ts` this is."""
    return datetime.fromtimestamp(float(ts), UTC) if MOMENT.fullmatch(ts) else None


def first(payload: object, key: str) -> Payload:
    """The first of a list of objects, or an empty one."""
    found = payload.get(key) if isinstance(payload, Mapping) else None
    one = found[0] if isinstance(found, Sequence) and found else None
    return one if isinstance(one, Mapping) else {}


def inner(payload: Payload, key: str) -> Payload:
    found = payload.get(key)
    return found if isinstance(found, Mapping) else {}


# Whose installation, and who of whom.


def workspace(payload: Payload) -> str:
    """The team that we are installed in and that this came through."""
    return (
        identifier(first(payload, "authorizations"), "team_id")
        or identifier(payload, "team_id")
        or identifier(payload, "team", "id")
    )


def organization(payload: Payload) -> str:
    """The organization of Enterprise Grid which that team belongs to, if it does."""
    authorization = first(payload, "authorizations")
    if authorization:
        return identifier(authorization, "enterprise_id")
    return (
        identifier(payload, "enterprise_id")
        or identifier(payload, "enterprise", "id")
        or identifier(payload, "team", "enterprise_id")
    )


def installation_key(payload: Payload) -> str:
    """Under which name its installation is kept: the team's, or that of a whole organization."""
    authorization = first(payload, "authorizations") or payload
    whole = str(authorization.get("is_enterprise_install")).lower() == "true"
    return (organization(payload) if whole else "") or workspace(payload)


def bot_user(payload: Payload) -> str:
    """Who we are there, where the payload says so."""
    authorization = first(payload, "authorizations")
    return identifier(authorization, "user_id") if authorization.get("is_bot") is True else ""


def home_of(payload: Payload, said: str) -> str:
    """The scope of somebody whose team is said to be this; empty for a stranger from a channel that
    two companies share. The teams of an organization nobody has told us, so who is of another one has
    to prove to be of the organization when Slack is asked about them."""
    team, whole = workspace(payload), organization(payload)
    return whole or (team if said in ("", team) else "")


# The three things that people do.


def read_event(adapter: str, payload: Payload, ourselves: str = "") -> Message | None:
    """A mention of us, or a direct message. `ourselves`: our user id there, if it is known."""
    event = inner(payload, "event")
    kind, user = field(event, "type"), identifier(event, "user")
    channel, ts = identifier(event, "channel"), field(event, "ts")
    private = field(event, "channel_type") == "im" or channel.startswith("D")
    spoken = kind == "app_mention" or (kind == "message" and private)
    sent_at, home = moment(ts), home_of(payload, team_of(event))
    if not (spoken and user and channel and sent_at and home) or made_by_program(event):
        return None
    text = read_text(event, bot_user(payload) or ourselves, private=private)
    root = root_of(event)
    ref = {"team": installation_key(payload), "user": user, **({} if root else {"first": True})}
    return Message(
        key=f"{workspace(payload)}/{channel}/{ts}",
        thread=Thread(adapter, channel, root or ts, ref),
        sender_id=f"{home}/{user}",
        text=text,
        sent_at=sent_at,
        private=private,
        remarks=("attachments",) if event.get("files") else (),
    )


def team_of(event: Payload) -> str:
    """The home of who wrote; on Enterprise Grid it may be the organization."""
    return (
        identifier(event, "user_team")
        or identifier(event, "source_team")
        or identifier(event, "team")
    )


def root_of(post: Payload) -> str:
    """The first post of the thread that it is in, if it is in one."""
    ts = field(post, "thread_ts")
    return ts if moment(ts) else ""


def made_by_program(event: Payload) -> bool:
    """Whether a bot wrote it, or a program in a person's name, or nobody at all."""
    return (
        any(event.get(key) for key in ("bot_id", "bot_profile", "app_id", "hidden"))
        or field(event, "user") == "USLACKBOT"
        or field(event, "subtype") not in SPOKEN
    )


def read_command(adapter: str, payload: Payload, now: datetime, api: str) -> Message | None:
    """A slash command, of the Slack that is asked at `api`. It has no post of its own, so its thread
    begins with our answer, and it is never private: a conversation of two may be with somebody else
    than us."""
    user, channel = identifier(payload, "user_id"), identifier(payload, "channel_id")
    key, home = field(payload, "trigger_id"), home_of(payload, identifier(payload, "team_id"))
    if not (user and channel and key and home):
        return None
    ref = {"team": installation_key(payload), "user": user, **answerable(payload, now, api)}
    return Message(
        key=key,
        thread=Thread(adapter, channel, "", ref),
        sender_id=f"{home}/{user}",
        text=plain(field(payload, "text")[:LONGEST]),
        sent_at=now,
        sender_name=field(payload, "user_name"),
    )


def read_click(adapter: str, payload: Payload, now: datetime, api: str) -> Message | None:
    """A click on one of our buttons, whose value is what the click types."""
    action, user = first(payload, "actions"), identifier(payload, "user", "id")
    channel = identifier(payload, "container", "channel_id") or identifier(payload, "channel", "id")
    post, text = field(payload, "container", "message_ts"), field(action, "value")
    home = home_of_clicker(payload)
    if field(action, "type") != "button" or not (user and channel and moment(post) and home):
        return None
    root = root_of(inner(payload, "container")) or root_of(inner(payload, "message"))
    alone = inner(payload, "container").get("is_ephemeral") is True
    ref = {"team": installation_key(payload), "user": user, **answerable(payload, now, api)}
    ref |= {"alone": f"{channel}/{post}"} if alone else {} if root else {"first": True}
    return Message(
        key=f"{post}/{field(action, 'action_ts')}/{user}",
        thread=Thread(adapter, channel, root or ("" if alone else post), ref),
        sender_id=f"{home}/{user}",
        text=text,
        sent_at=moment(field(action, "action_ts")) or now,
        sender_name=field(payload, "user", "name"),
        private=channel.startswith("D"),
        clicked=f"{channel}/{post}" if is_spent(field(action, "action_id")) else "",
    )


def home_of_clicker(payload: Payload) -> str:
    """Who clicks is of the team in which the post was made, or of its organization."""
    said, made_in = identifier(payload, "user", "team_id"), identifier(payload, "message", "team")
    ours = organization(payload) or said in ("", made_in) or not made_in
    return home_of(payload, said) if ours else ""


def answerable(payload: Payload, now: datetime, api: str) -> dict[str, Any]:
    """Where an answer may be sent without a token, and until when (seconds since 1970)."""
    url = field(payload, "response_url")
    known = belongs_to_slack(url, api)
    return {"response_url": url, "until": (now + ANSWERABLE).timestamp()} if known else {}


def belongs_to_slack(url: str, api: str) -> bool:
    """Whether what is posted there reaches the Slack that is asked at `api`, and nobody else."""
    found, asked = ADDRESS.fullmatch(url), urlsplit(api)
    if not found:
        return False
    if SLACK.fullmatch(asked.hostname or ""):
        return found[1] == "https" and bool(SLACK.fullmatch(found[2]))
    return (found[1], found[2].lower()) == (asked.scheme, asked.netloc.lower())


# What was typed.


def read_text(event: Payload, ourselves: str, *, private: bool) -> str:
    said = field(event, "text")[:LONGEST]
    return plain(strip_mention(said, ourselves, anywhere=not private))


def strip_mention(text: str, user: str, *, anywhere: bool) -> str:
    """Without the mention of us: at the start of a text, or `anywhere`, as that is what called us."""
    if not (user or anywhere):
        return text
    who = rf"<@{user or '[UW][A-Z0-9]+'}(?:\|[^<>]*)?>"
    rest, found = re.subn(rf"^\s*(?:{who}\s*[:,：，]?\s*)+", "", text)
    inside = re.search(who, text) if anywhere and not found else None
    return text[: inside.start()].rstrip() + text[inside.end() :] if inside else rest


def plain(text: str) -> str:
    """As it was typed: https://docs.slack.dev/messaging/formatting-message-text/"""
    return TOKEN.sub(_plain, text)


def _plain(found: re.Match[str]) -> str:
    if found[2]:
        return ENTITIES[found[2]]
    target, _, label = (ENTITY.sub(_plain_entity, part) for part in found[1].partition("|"))
    if target[:1] in ("@", "#"):
        return target[0] + label.removeprefix(target[0]) if label else target
    if target.startswith("!") and not target.startswith("!date^"):
        return "@" + (label.removeprefix("@") or target[1:].rpartition("^")[2])
    return label or target


def _plain_entity(found: re.Match[str]) -> str:
    return ENTITIES[found[1]]
