"""Slack: mentions, direct messages, slash commands and buttons, by HTTP or by Socket Mode.

In:   door takes requests and checks who signed them, socket holds a websocket instead; listeners says
      what is done with each thing; reading makes of it what the bot is given; people knows who is a
      guest and what they speak.
Out:  post sends, edits and uploads; blocks makes of a reply what Slack shows.
Both: installations knows the tokens, oauth is how teams install us, web how Slack is asked, and checkup
      what is wrong with the settings.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.routing import Route

from adapters import Surroundings
from adapters.slack.blocks import LONGEST_OUTPUT
from adapters.slack.checkup import check
from adapters.slack.door import Door, second_look
from adapters.slack.installations import Installations, Many, One, Sealer
from adapters.slack.listeners import Listeners
from adapters.slack.oauth import OAuth
from adapters.slack.options import Options, refuse_faults
from adapters.slack.people import People
from adapters.slack.post import Post
from adapters.slack.reading import IDENTIFIER
from adapters.slack.socket import Socket
from core.chat import Abilities, Reply

__all__ = ["Options", "Slack", "SocketSlack", "check", "make", "read_subject"]

LONGEST = LONGEST_OUTPUT + 500
"""Characters of a page of output, and room for the words above it."""
EDIT_PAUSE = 3.0
"""Seconds: chat.update is Tier 3, about 50 calls a minute and workspace."""


def make(name: str, options: Options, around: Surroundings) -> Slack:
    """Raises SettingsError."""
    refuse_faults(name, options)
    return (SocketSlack if options.app_token else Slack)(name, options, around)


def read_subject(text: str) -> str | None:
    """`T024BE7LD/U023BECGF`: the home team, or the organization of Enterprise Grid, and the user."""
    home, _, user = text.strip().partition("/")
    known = IDENTIFIER.fullmatch(home) and home[0] in "TE"
    return f"{home}/{user}" if known and IDENTIFIER.fullmatch(user) and user[0] in "UW" else None


class Slack:
    """A Webhook of the port."""

    platform = "slack"
    abilities = Abilities(
        edits=True,
        buttons=True,
        files=True,
        private_answers=True,
        threads=True,
        channels=True,
        longest=LONGEST,
        edit_pause=EDIT_PAUSE,
    )

    def __init__(self, name: str, options: Options, around: Surroundings) -> None:
        self.name = name
        self._options, self._around = options, around
        self._sealer = Sealer(name, options.key) if options.by_install else None
        self._installations = self._make_installations()
        self._post = Post(options, self._installations, around.clock, around.notebook)
        self._listeners = self._make_listeners()
        self.routes = [*self._make_door(), *self._make_pages()]

    async def send(self, reply: Reply) -> str | None:
        """Returns CHANNEL/TS. Raises DeliveryError only."""
        return await self._post.send(reply)

    async def close(self) -> None:
        await self._listeners.finish()
        await self._installations.close()
        await self._post.close()

    # The parts.

    def _make_installations(self) -> Installations:
        options, around = self._options, self._around
        if self._sealer:
            return Many(self._sealer, around.notebook, around.clock)
        return One(options.bot_token, around.notebook, around.clock, options.api)

    def _make_listeners(self) -> Listeners:
        options, around = self._options, self._around
        return Listeners(
            name=self.name,
            around=around,
            installations=self._installations,
            people=People(around.notebook, around.clock, options.api, guests=options.guests),
            sender=self,
            api=options.api,
            second_look=(
                second_look(options.signing_secret, around.clock)
                if options.signing_secret
                else None
            ),
        )

    def _make_door(self) -> list[Route]:
        options = self._options
        if not options.signing_secret:
            return []
        door = Door(self._listeners, options.signing_secret, self._around.clock)
        return [Route(f"/{self.name}/events", door.receive, methods=["POST"])]

    def _make_pages(self) -> list[Route]:
        options, around, installations = self._options, self._around, self._installations
        if not (self._sealer and isinstance(installations, Many)):
            return []
        pages = OAuth(
            name=self.name,
            client_id=options.client_id,
            client_secret=options.client_secret,
            teams=options.teams,
            api=options.api,
            sealer=self._sealer,
            installations=installations,
            clock=around.clock,
            once=around.notebook.once,
            remark=around.remark,
        )
        return [
            Route(f"/{self.name}/install", pages.install, methods=["GET"]),
            Route(f"/{self.name}/oauth_redirect", pages.finish, methods=["GET"]),
        ]


class SocketSlack(Slack):
    """A Listener of the port as well."""

    def __init__(self, name: str, options: Options, around: Surroundings) -> None:
        super().__init__(name, options, around)
        self._socket = Socket(options.api, options.app_token, self._listeners.take)
        self.ready: asyncio.Event = self._socket.ready

    def describe(self) -> str:
        ways = "Socket Mode and HTTP" if self._options.signing_secret else "Socket Mode"
        return f"messages by {ways}, answers by {self._options.api}"

    async def listen(self) -> None:
        if isinstance(self._installations, One):
            self._installations.learn()
        try:
            await self._socket.run()
        finally:
            with suppress(asyncio.CancelledError):
                await self._listeners.finish()
