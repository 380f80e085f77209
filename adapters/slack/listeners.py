"""What is done with each thing that Slack tells us, by HTTP and by socket alike.

Bolt finds out what it is. What is a message goes to the inbox, and Slack hears yes when it is kept and
not before; of all else it hears yes at once, as it takes for broken what is answered otherwise."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from adapters import Surroundings
from adapters.slack.installations import Installation, Installations
from adapters.slack.people import People
from adapters.slack.reading import (
    Payload,
    first,
    inner,
    installation_key,
    read_click,
    read_command,
    read_event,
)
from adapters.slack.reading import field as text_at
from adapters.slack.web import make_client
from core.chat import Adapter, Message, Reply

SECONDS = 2.5
"""Slack waits for 3: https://docs.slack.dev/apis/events-api/#responding"""
MOST_IN_HAND = 1000
"""What is being kept at a time; more than that is told to come again."""
LEAVING = 5.0
"""Seconds for what is in hand when we close."""
SILENCE = timedelta(minutes=1)
LATEST = 10**11
"""Seconds since 1970; what is more is no time that Slack would tell."""
ANY = re.compile("")
JSON = {"content-type": "application/json;charset=utf-8"}

log = logging.getLogger(__name__)
# Bolt logs whole bodies, of requests that are forged as well.
bolt_log = logging.getLogger("adapters.slack.bolt")
bolt_log.setLevel(logging.CRITICAL + 1)


class Busy(Exception):
    """There is more in hand than we can hold."""


@dataclass(slots=True)
class Trouble:
    """What our log says while messages are not taken in: at first, and now and then."""

    clock: Callable[[], datetime]
    count: int = 0
    _said_at: datetime | None = None

    def note(self, error: object) -> None:
        self.count += 1
        now = self.clock()
        if self._said_at is None or now - self._said_at >= SILENCE:
            self._said_at = now
            said = str(error) or type(error).__name__
            log.warning("what comes from Slack is not taken in, %d until now: %s", self.count, said)

    def end(self) -> None:
        if self.count:
            log.warning("what comes from Slack is taken in again; %d had not been", self.count)
            self.count, self._said_at = 0, None


class Authorize(AsyncAuthorize):
    """Reads our own store and nothing else. Bolt answers for who returns nothing, with words and calls
    of its own, so there is always a result; that a team is unknown is for the listeners to say."""

    def __init__(self, installations: Installations) -> None:
        self._installations = installations

    async def __call__(
        self,
        *,
        context: AsyncBoltContext,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None,
        actor_enterprise_id: str | None = None,
        actor_team_id: str | None = None,
        actor_user_id: str | None = None,
    ) -> AuthorizeResult:
        try:
            found = await self._installations.find(context["key"])
        except Exception as error:
            context["trouble"] = error
            raise
        context["installation"] = found
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_user_id=found.bot_user or None if found else None,
            bot_token=found.token if found else None,
        )


@dataclass
class Listeners:
    """`sender`: by whom somebody is told a thing for their eyes alone."""

    name: str
    around: Surroundings
    installations: Installations
    people: People
    sender: Adapter
    api: str
    second_look: AsyncMiddleware | None = None
    """Bolt's own check of signatures, behind ours."""
    in_hand: set[asyncio.Future[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._trouble = Trouble(self.around.clock)
        self._app = self._make_app()

    async def take(self, request: AsyncBoltRequest) -> BoltResponse:
        """What to answer: 200, 401 for a signature that is wrong after all, 503 for what should come
        again. What Bolt cannot make sense of is nothing for us, and no fault."""
        context, payload = request.context, request.body
        context["key"] = installation_key(payload)
        try:
            if len(self.in_hand) >= MOST_IN_HAND:
                raise Busy("too much at once")
            async with asyncio.timeout(SECONDS):
                response = await self._app.async_dispatch(request)
        except (Busy, TimeoutError) as error:
            context["trouble"] = str(error) or f"it took longer than {SECONDS} s"
            response = BoltResponse(status=503)
        if trouble := context.get("trouble"):
            self._trouble.note(trouble)
            return self._not_kept(payload)
        if response.status >= 500:
            log.info("Bolt could make nothing of a request that Slack signed")
        unmatched = response.status == 404 or response.status >= 500
        return BoltResponse(status=200) if unmatched else response

    async def finish(self) -> None:
        """What is in hand is finished."""
        if self.in_hand:
            await asyncio.wait(self.in_hand, timeout=LEAVING)
        for task in self.in_hand:
            task.cancel()
        await self.people.close()

    # What Bolt calls.

    def _make_app(self) -> AsyncApp:
        app = AsyncApp(
            name=self.name,
            logger=bolt_log,
            client=make_client(self.api),
            process_before_response=True,
            authorize=Authorize(self.installations),
            # The signature has been checked by then; ssl_check would be answered without one.
            request_verification_enabled=False,
            ssl_check_enabled=False,
        )
        if self.second_look:
            app.use(self.second_look)
        app.event(ANY)(self._guard(self._hear))
        app.command(ANY)(self._guard(self._obey))
        app.action(ANY)(self._guard(self._press))
        return app

    def _guard(self, listener: Callable[..., Any]) -> Callable[..., Any]:
        """What is raised is ours, and not to be taken for something that Slack did."""

        async def listen(ack: AsyncAck, body: Payload, context: AsyncBoltContext) -> None:
            try:
                await listener(ack, body, context)
            except Exception as error:
                context["trouble"] = error
                raise

        return listen

    async def _hear(self, ack: AsyncAck, body: Payload, context: AsyncBoltContext) -> None:
        event = inner(body, "event")
        if removed(event):
            return await self._forget(body, context)
        installation = context.get("installation")
        message = read_event(self.name, body, installation.bot_user if installation else "")
        if message and installation:
            await self._hand_in(message, installation)

    async def _obey(self, ack: AsyncAck, body: Payload, context: AsyncBoltContext) -> None:
        message = read_command(self.name, body, self.around.clock(), self.api)
        said = await self._hand_in(message, context["installation"]) if message else "stranger"
        await (ack(self._alone(said, self._language(message))) if said else ack())

    async def _press(self, ack: AsyncAck, body: Payload, context: AsyncBoltContext) -> None:
        message = read_click(self.name, body, self.around.clock(), self.api)
        if message:
            await self._hand_in(message, context["installation"])
        await ack()

    async def _forget(self, body: Payload, context: AsyncBoltContext) -> None:
        said_at = body.get("event_time")
        before = float(said_at) if isinstance(said_at, int) and 0 < said_at < LATEST else None
        await self.installations.forget(context["key"], before=before)

    # A message.

    async def _hand_in(self, message: Message, installation: Installation | None) -> str:
        """Why it was not handed in; empty when it is kept."""
        if installation is None:
            return "uninstalled"
        person = await self.people.meet(message, installation)
        home = message.sender_id.partition("/")[0]
        if person.stranger or not person.lives_in(home):
            return "stranger"
        message = replace(
            message, sender_name=person.name or message.sender_name, locale=person.locale
        )
        if person.guest and not self.people.guests:
            return await self._turn_away(message)
        # What was begun is finished, even if Slack is told before that to come again.
        await asyncio.shield(self._start(self.around.inbox(message)))
        self._trouble.end()
        return ""

    async def _turn_away(self, guest: Message) -> str:
        """A slash command is answered at once; a post or a click is, once in a while."""
        key, by_command = f"guest:{guest.sender_id}", not (guest.thread.thread_id or guest.clicked)
        if not by_command and await self.around.notebook.once(key, SILENCE.total_seconds()):
            self._tell(guest, "guest")
        return "guest"

    def _start(self, deed: Awaitable[Any]) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(deed)
        self.in_hand.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Future[Any]) -> None:
        self.in_hand.discard(task)
        if not task.cancelled():
            task.exception()  # said where it was waited for, or too late for anybody

    # What we say ourselves.

    def _not_kept(self, payload: Payload) -> BoltResponse:
        """Slack does not come again with a slash command or a click, so whoever made it is told."""
        if message := read_command(self.name, payload, self.around.clock(), self.api):
            said = self._alone("unkept", self._language(message))
            return BoltResponse(status=200, body=json.dumps(said), headers={**JSON})
        if first(payload, "actions"):
            if message := read_click(self.name, payload, self.around.clock(), self.api):
                self._tell(message, "unkept")
            return BoltResponse(status=200)
        return BoltResponse(status=503)

    def _alone(self, code: str, language: str = "") -> dict[str, str]:
        return {"response_type": "ephemeral", "text": self.around.remark(language, code)}

    def _language(self, message: Message | None) -> str:
        if message is None:
            return ""
        ref = message.thread.ref
        return message.locale or self.people.locale(str(ref["team"]), str(ref["user"]))

    def _tell(self, message: Message, code: str) -> None:
        """To them alone, and once: whether it arrives changes nothing."""
        text = self.around.remark(self._language(message), code)
        self._start(self.sender.send(Reply(message.thread, text, level="warning", private=True)))


def removed(event: Payload) -> bool:
    """Whether we may not speak there any more."""
    if text_at(event, "type") == "tokens_revoked":
        return bool(inner(event, "tokens").get("bot"))
    return text_at(event, "type") == "app_uninstalled"
