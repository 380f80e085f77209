"""A Slack adapter alone: its paths called directly, an inbox that keeps what comes, and a Slack to ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette

from adapters import Surroundings
from adapters.slack import Options, Slack, make
from bots.words import remark
from core.settings import Secret
from tests.clock import Clock
from tests.mail.office import Inbox, Keys, Notes
from tests.slack.fake import App, Person, Room, Server, open_slack, sign
from tests.slack.fake import Slack as Fake

APP = App(signing_secret="8f742231b10e8888abcd99baadf00d85")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@dataclass
class Desk:
    """Ada is a member of T1 and has a conversation with us; #ops is a channel that we are in."""

    adapter: Slack
    inbox: Inbox
    notes: Notes
    clock: Clock
    server: Server
    web: httpx.AsyncClient
    ada: Person
    ops: Room

    @property
    def fake(self) -> Fake:
        return self.server.slack

    # What Slack sends, and what anybody may.

    async def send(
        self, body: bytes, content_type: str = JSON, *, secret: str = "", **headers: str
    ) -> httpx.Response:
        """Signed as Slack does; `headers` in other words replace its own, `x_slack_signature=…`."""
        moment = int(self.clock().timestamp())
        given = {
            "content-type": content_type,
            "x-slack-request-timestamp": str(moment),
            "x-slack-signature": sign(secret or APP.signing_secret, moment, body),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
        return await self.web.post("/slack/events", content=body, headers=raw)

    async def tell(self, payload: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.send(json.dumps(payload).encode(), **headers)

    async def hear(self, event: dict[str, Any], **envelope: Any) -> httpx.Response:
        team = self.fake.teams["T1"]
        return await self.tell(self.fake.payloads.event(team, event) | envelope)

    async def mention(self, text: str = "web-1 uptime", **facts: Any) -> httpx.Response:
        return await self.hear(self.mentioned(text, **facts))

    def mentioned(self, text: str = "web-1 uptime", **facts: Any) -> dict[str, Any]:
        event = {"type": "app_mention", "user": self.ada.id, "team": "T1", "channel": self.ops.id}
        return {**event, "text": f"<@U0BOTT1> {text}", "ts": "1772442000.000100", **facts}

    async def command(self, text: str = "web-1 uptime", **facts: Any) -> httpx.Response:
        team = self.fake.teams["T1"]
        fields = self.fake.payloads.command(team, self.ops, self.ada, text) | facts
        return await self.send(urlencode(fields).encode(), FORM)

    async def click(self, value: str = "cancel", **facts: Any) -> httpx.Response:
        payload = {
            "type": "block_actions",
            "user": {"id": self.ada.id, "name": "ada", "team_id": "T1"},
            "team": {"id": "T1"},
            "container": {"channel_id": self.ops.id, "message_ts": "1772442001.000200"},
            "response_url": self.fake.hooks.make(self.ops, self.ada),
            "actions": [
                {"type": "button", "action_id": "skadi_stay_0", "value": value, "action_ts": "1.5"}
            ],
            **facts,
        }
        return await self.send(urlencode({"payload": json.dumps(payload)}).encode(), FORM)


def options(server: Server, **given: Any) -> Options:
    chosen = {
        "bot_token": Secret(server.slack.teams["T1"].token),
        "signing_secret": Secret(APP.signing_secret),
        "api": server.api,
        **given,
    }
    return Options(**chosen)


@asynccontextmanager
async def at_work(
    clock: Clock, *, sockets: bool = False, notes: Notes | None = None, **given: Any
) -> AsyncIterator[Desk]:
    """`given`: settings besides those of one workspace over HTTP."""
    fake = Fake(clock, app=APP)
    team = fake.team()
    ada = fake.person(team, "ada")
    ops = fake.room(team, "ops", ada)
    inbox, notes = Inbox(), notes or Notes(clock)
    around = Surroundings(
        inbox=inbox,
        notebook=notes,
        keyring=Keys(),
        clock=clock,
        data=Path("nowhere"),
        remark=remark,
    )
    async with open_slack(fake, sockets=sockets) as server:
        adapter = make("slack", options(server, **given), around)
        # Slack asks for nothing but paths that are routes, and may come over any proxy.
        transport = httpx.ASGITransport(Starlette(routes=adapter.routes))
        async with httpx.AsyncClient(
            transport=transport, base_url="https://skadi.example"
        ) as client:
            try:
                yield Desk(adapter, inbox, notes, clock, server, client, ada, ops)
            finally:
                inbox.gate.set()
                await adapter.close()


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
