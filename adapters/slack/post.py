"""Where a reply goes: a message, an edit, a word for one person's eyes, and the ways round a closed door.

A post's handle is `CHANNEL/TS`. What reached somebody through a response_url cannot be edited; its
handle is `response/CHANNEL`, and what follows goes to their conversation with us.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from adapters.slack.blocks import Draft, bare, compose
from adapters.slack.calls import Calls, Refused
from adapters.slack.files import Files, Steps, note_of
from adapters.slack.installations import Installations
from adapters.slack.pace import Turns
from core.chat import DeliveryError, Notebook, Reply, Thread

RESPONSE = "response"
MESSAGE_GAP = 1.1
"""Seconds between two messages in a channel: one a second is taken, and the way there is not always
equally long: https://docs.slack.dev/apis/web-api/rate-limits/"""
EDIT_GAP, EDITS_AT_ONCE = 1.5, 10
"""Fifty edits a minute are allowed in a workspace (Tier 3), ours and those of other processes."""
WHISPER_GAP, WHISPERS_AT_ONCE = 0.75, 20
"""A hundred a minute in a workspace (Tier 4)."""
SOON = 5.0
"""Seconds before its end from which on a response_url is not relied on."""
MOST_CONVERSATIONS = 10_000

GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
CLOSED = frozenset(
    {
        *("channel_not_found", "not_in_channel", "is_archived", "user_not_in_channel"),
        *("restricted_action", "restricted_action_read_only_channel", "is_inactive"),
        *("restricted_action_non_threadable_channel", "restricted_action_thread_only_channel"),
        *("not_allowed_for_channel", "method_not_supported_for_channel_type"),
    }
)
LOOSE = frozenset(
    {"thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"}
)
"""The thread is no place any more; its channel is."""
UNSHOWABLE = frozenset(
    {
        *("invalid_blocks", "invalid_blocks_format", "invalid_arguments", "no_text"),
        *("msg_blocks_too_long", "msg_too_long"),
    }
)
NOBODY = frozenset(
    {
        *("user_not_found", "user_disabled", "cannot_dm_bot", "messages_tab_disabled"),
        *("user_not_visible", "users_not_found", "invalid_user"),
    }
)

log = logging.getLogger(__name__)


class Endpoint(Protocol):
    """Where Slack is asked."""

    @property
    def api(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Place:
    """`first`: the thread begins with what we answer, which nobody has answered yet. `alone`: the handle of
    the post that was clicked, if only the clicker sees it. `until`: how long the response_url serves,
    in seconds since 1970. `direct`: a conversation with us, and not one between two people."""

    team: str
    channel: str
    thread: str
    user: str = ""
    response_url: str = ""
    until: float = 0.0
    alone: str = ""
    first: bool = False
    direct: bool = False

    @classmethod
    def of(cls, thread: Thread) -> Place:
        ref = thread.ref
        told: dict[str, str] = {
            name: str(ref.get(name) or "") for name in ("team", "user", "response_url", "alone")
        }
        until = ref.get("until")
        return cls(
            channel=thread.channel_id,
            thread=thread.thread_id,
            until=float(until) if isinstance(until, int | float) else 0.0,
            first=ref.get("first") is True,
            direct=is_with_us(thread),
            **told,
        )

    @property
    def who(self) -> tuple[str, ...]:
        """Whose turn it is, where many wait for one."""
        return self.channel, self.thread, self.response_url or self.user


def is_with_us(thread: Thread) -> bool:
    """Between two other people only a slash command reaches us, and what is said there has no post."""
    said = thread.ref.get("im")
    if isinstance(said, bool):
        return said
    return thread.channel_id.startswith("D") and bool(thread.thread_id)


@dataclass
class Post:
    options: Endpoint
    installations: Installations
    clock: Callable[[], datetime]
    notebook: Notebook
    _rooms: Turns = field(default_factory=lambda: Turns(MESSAGE_GAP))
    _edits: Turns = field(default_factory=lambda: Turns(EDIT_GAP, EDITS_AT_ONCE))
    _whispers: Turns = field(default_factory=lambda: Turns(WHISPER_GAP, WHISPERS_AT_ONCE))
    _conversations: dict[tuple[str, str], str] = field(default_factory=dict)
    """With whom we have which: the channel's id by team and user."""

    def __post_init__(self) -> None:
        self._calls = Calls(self.options.api, self.installations, self.clock)
        self._files = Files(self._calls, self.notebook, self.clock)

    async def send(self, reply: Reply) -> str | None:
        """Returns the handle of a post that can be edited. Raises DeliveryError only."""
        try:
            return await self._send(reply)
        except DeliveryError:
            raise
        except Refused as error:
            # A word that we do not know may be about today only.
            known = error.error in UNSHOWABLE | CLOSED | NOBODY | LOOSE
            raise DeliveryError(f"Slack said {error.error}.", permanent=known) from error
        except Exception as error:
            # Tried again like an outage, but it may be a fault of ours that somebody should see.
            log.warning("a reply to Slack failed in a way nobody thought of", exc_info=True)
            raise DeliveryError(f"Slack: {type(error).__name__}", permanent=False) from error

    async def close(self) -> None:
        """Nothing is open between two calls."""

    async def _send(self, reply: Reply) -> str | None:
        try:
            return await self._deliver(reply, compose(reply))
        except Refused as error:
            if error.error not in UNSHOWABLE:
                raise
            log.warning("Slack said %s to a message, which is sent without blocks", error.error)
            return await self._deliver(reply, bare(reply))

    async def _deliver(self, reply: Reply, draft: Draft) -> str | None:
        place = Place.of(reply.thread)
        if reply.replaces and reply.replaces == place.alone:
            return await self._answer_alone(place, reply, draft)
        if reply.replaces:
            return await self._edit(place, reply, draft, reply.replaces)
        if not reply.private or place.direct:
            return await self._post(place, reply, draft)
        await self._whisper(place, fileless(reply, draft))
        return None

    # A post, and the file behind it.

    async def _post(self, place: Place, reply: Reply, draft: Draft) -> str | None:
        if not draft.file:
            return await self._say(place, reply, draft)
        key = note_of("post", reply.thread.adapter, *place.who, *matter_of(reply), draft.file)
        steps = await self._files.recall(key)
        if not steps.handle:
            handle = await self._say(place, reply, draft) or f"{RESPONSE}/{place.channel}"
            steps = await self._files.keep(key, Steps(handle))
        await self._attach(place, reply, draft, key, steps)
        await self._files.forget(key)
        return steps.handle

    async def _attach(
        self, place: Place, reply: Reply, draft: Draft, key: str, steps: Steps
    ) -> None:
        """The file; where there can be none, the message does not promise it any longer."""
        channel, _, ts = steps.handle.partition("/")
        if channel == RESPONSE:
            return
        thread = place.thread if place.thread and channel == place.channel else ts
        there = await self._files.show(
            place.team, key, steps, draft.file, title=reply.subject, thread=thread
        )
        if not there and draft.blocks:
            await self._update(place.team, steps.handle, compose(reply, files=False))

    # What is there is changed.

    async def _edit(self, place: Place, reply: Reply, draft: Draft, handle: str) -> str | None:
        if handle.startswith(f"{RESPONSE}/"):
            return await self._go_on(place, reply, draft, handle)
        try:
            await self._update(place.team, handle, draft)
        except Refused as error:
            if error.error not in GONE | CLOSED:
                raise
            return await self._post(place, reply, draft)
        if draft.file:
            key = note_of("edit", reply.thread.adapter, handle, draft.file)
            steps = await self._files.recall(key)
            await self._attach(place, reply, draft, key, steps if steps.handle else Steps(handle))
        return handle

    async def _update(self, team: str, handle: str, draft: Draft) -> None:
        channel, _, ts = handle.partition("/")
        await self._paced(
            *(self._edits, team, handle, team, "chat.update"),
            channel=channel,
            ts=ts,
            **content(draft),
        )

    # To everybody there, or to whom it concerns.

    async def _say(self, place: Place, reply: Reply, draft: Draft) -> str | None:
        """Raises Refused when there is no way left."""
        try:
            return await self._say_there(place, draft)
        except Refused as error:
            if error.error not in CLOSED:
                raise
            closed = error
        # A file needs a post to hang on.
        if not draft.file and await self._respond(place, draft):
            return f"{RESPONSE}/{place.channel}"
        try:
            return await self._say_directly(place, draft, closed)
        except Refused:
            if draft.file and await self._respond(place, fileless(reply, draft)):
                return f"{RESPONSE}/{place.channel}"
            raise

    async def _say_there(self, place: Place, draft: Draft) -> str | None:
        try:
            return await self._message(place, place.channel, place.thread, draft)
        except Refused as error:
            if error.error not in LOOSE or not place.thread:
                raise
            return await self._message(place, place.channel, "", draft)

    async def _go_on(self, place: Place, reply: Reply, draft: Draft, handle: str) -> str | None:
        """It began with a response_url, and one message that stays true is worth more than many."""
        try:
            conversation = await self._converse(place, Refused("not_in_channel"))
            there = Place(place.team, conversation, "", place.user, direct=True)
            return await self._post(there, reply, draft)
        except Refused as error:
            closed = error.error in CLOSED | NOBODY
            if closed and await self._respond(place, fileless(reply, draft)):
                return handle
            raise

    async def _say_directly(self, place: Place, draft: Draft, why: Refused) -> str | None:
        conversation = await self._converse(place, why)
        return await self._message(place, conversation, "", draft)

    async def _converse(self, place: Place, why: Refused) -> str:
        """The channel of their conversation with us. Raises `why` where there is no other than that
        which we come from."""
        if not place.user or place.direct:
            raise why
        known = self._conversations.get((place.team, place.user))
        if known:
            return known
        try:
            answer = await self._calls.call(place.team, "conversations.open", users=place.user)
        except Refused as error:
            log.warning("Slack opens no conversation in %s: %s", place.team, error.error)
            raise why from error
        channel = str(answer["channel"]["id"])
        if len(self._conversations) >= MOST_CONVERSATIONS:
            self._conversations.clear()
        self._conversations[place.team, place.user] = channel
        return channel

    async def _message(self, place: Place, channel: str, thread: str, draft: Draft) -> str | None:
        answer = await self._paced(
            *(self._rooms, (place.team, channel), place.who, place.team, "chat.postMessage"),
            channel=channel,
            thread_ts=thread or None,
            parse="none",
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
            **content(draft),
        )
        ts = answer.get("ts")
        return f"{answer.get('channel') or channel}/{ts}" if ts else None

    # For one person's eyes.

    async def _whisper(self, place: Place, draft: Draft) -> None:
        """A slash command is answered where it was typed, all else in its thread; one that nobody has
        written into yet shows no such word (https://docs.slack.dev/reference/methods/chat.postEphemeral).
        """
        if not place.thread and await self._respond(place, draft):
            return
        try:
            await self._paced(
                *(self._whispers, place.team, place.user, place.team, "chat.postEphemeral"),
                channel=place.channel,
                user=place.user,
                thread_ts=(not place.first and place.thread) or None,
                parse="none",
                link_names=False,
                **content(draft),
            )
        except Refused as error:
            if error.error not in CLOSED | NOBODY | LOOSE:
                raise
            if not (place.thread and await self._respond(place, draft)):
                await self._say_directly(place, draft, error)

    async def _answer_alone(self, place: Place, reply: Reply, draft: Draft) -> str | None:
        """To a click on what only the clicker sees. Output is for all, as if it had been asked for in
        words; the question goes then."""
        if reply.output:
            handle = await self._post(place, reply, draft)
            await self._respond(place, None)
            return handle
        if not await self._respond(place, draft, replace=True):
            await self._whisper(place, draft)
        return None

    async def _respond(self, place: Place, draft: Draft | None, *, replace: bool = False) -> bool:
        """Whether it could be said by the response_url; without a draft the clicked post goes."""
        if not place.response_url or self.clock().timestamp() > place.until - SOON:
            return False
        said: dict[str, Any] = {"delete_original": True}
        if draft:
            said = {"response_type": "ephemeral", "replace_original": replace, **content(draft)}
            if place.thread and not replace:
                said["thread_ts"] = place.thread
        try:
            await self._calls.answer(place.response_url, said)
        except Refused as error:
            log.info("a response_url takes no more: %s", error.error)
            return False
        return True

    # At the pace that Slack wants.

    async def _paced(
        self, turns: Turns, where: object, who: object, team: str, method: str, **args: Any
    ) -> Any:
        """Raises Refused, DeliveryError."""
        await turns.take(where, who)
        try:
            return await self._calls.call(team, method, **args)
        except DeliveryError as error:
            if error.retry_after:
                turns.rest(where, error.retry_after)
            raise


def fileless(reply: Reply, draft: Draft) -> Draft:
    """The same where no file can hang on it."""
    return compose(reply, files=False) if draft.file and draft.blocks else draft


def matter_of(reply: Reply) -> Iterable[str]:
    """What stays the same at every try, while a text says how long ago it was."""
    return [action.command for action in reply.actions] or [reply.text]


def content(draft: Draft) -> dict[str, Any]:
    """An edit leaves in place what is not mentioned."""
    return {"text": draft.text, "blocks": list(draft.blocks)}
