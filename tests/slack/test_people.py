"""Who somebody is: Slack is asked once, in its own time, and what it said counts for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from adapters.slack import people
from adapters.slack.installations import Installation
from adapters.slack.people import Person, Unknown
from core.chat import Message, Thread
from core.settings import Secret
from tests.clock import Clock
from tests.slack.desk import Desk, at_work, eventually

TEAM = Installation("T1", Secret("xoxb-1"))


@dataclass
class Profiles:
    """A Slack that takes its time. `facts` are everybody's; `held`: answers wait for the gate."""

    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        if not request.path.endswith("users.info"):
            return web.json_response({"ok": False, "error": "fatal_error"})
        given = {**request.query, **await request.post()}
        self.asked.append(str(given["user"]))
        await asyncio.sleep(self.seconds)
        await self.gate.wait()
        if self.error:
            return web.json_response({"ok": False, "error": self.error})
        user = {"id": given["user"], "team_id": "T1", "real_name": "Ada", **self.facts}
        return web.json_response({"ok": True, "user": user})


@dataclass
class Lobby:
    desk: Desk
    profiles: Profiles

    @property
    def people(self) -> people.People:
        return self.desk.adapter._listeners.people

    @property
    def kept(self) -> int:
        return len(self.desk.inbox.messages)

    async def meet(self, user: str = "UADA") -> Person:
        thread = Thread("slack", "C1", "1.1", {"team": "T1", "user": user})
        message = Message("1", thread, f"T1/{user}", "hello", self.desk.clock())
        return await self.people.meet(message, TEAM)

    async def answered(self) -> None:
        await eventually(lambda: not self.people._asking)


@asynccontextmanager
async def open_lobby(clock: Clock, **given: Any) -> AsyncIterator[Lobby]:
    profiles = Profiles()
    profiles.gate.set()
    app = web.Application()
    app.router.add_route("*", "/api/{method}", profiles.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with at_work(clock, api=f"http://{host}:{port}/api/", **given) as desk:
            yield Lobby(desk, profiles)
    finally:
        profiles.gate.set()
        await runner.cleanup()


@pytest.fixture
async def lobby(clock: Clock) -> AsyncIterator[Lobby]:
    async with open_lobby(clock) as lobby:
        yield lobby


# In its own time.


async def test_a_slow_slack_holds_up_a_slash_command_and_does_not_lose_it(lobby: Lobby) -> None:
    lobby.profiles.seconds = 1.2
    answer = await lobby.desk.command()
    assert (answer.status_code, answer.content, lobby.kept) == (200, b"", 1)


async def test_whoever_comes_again_finds_what_slack_said_meanwhile(lobby: Lobby) -> None:
    lobby.profiles.gate.clear()
    assert (await lobby.desk.mention()).status_code == 503
    lobby.profiles.gate.set()
    await lobby.answered()
    assert (await lobby.desk.mention()).status_code == 200
    assert (lobby.kept, lobby.profiles.asked) == (1, ["UADA"])


async def test_slack_is_asked_once_for_all_who_want_to_know(lobby: Lobby) -> None:
    lobby.profiles.seconds = 0.1
    met = await asyncio.gather(*(lobby.meet() for _ in range(20)))
    assert {person.name for person in met} == {"Ada"}
    assert lobby.profiles.asked == ["UADA"]


async def test_slack_is_asked_about_so_many_at_a_time(lobby: Lobby) -> None:
    lobby.profiles.gate.clear()
    crowd = [asyncio.create_task(lobby.meet(f"U{n}")) for n in range(people.MOST_ASKED)]
    await eventually(lambda: len(lobby.people._asking) == people.MOST_ASKED)
    with pytest.raises(Unknown, match="too many"):
        await lobby.meet("ULAST")
    lobby.profiles.gate.set()
    await asyncio.gather(*crowd)
    assert (await lobby.meet("ULAST")).name == "Ada"


async def test_nobody_waits_for_an_answer_when_we_leave(lobby: Lobby) -> None:
    lobby.profiles.gate.clear()
    waiting = asyncio.create_task(lobby.meet())
    await eventually(lambda: lobby.profiles.asked)
    await lobby.people.close()
    with pytest.raises(Unknown, match="leaving"):
        await waiting


# When it does not say.


async def test_a_slack_that_would_not_say_is_left_in_peace_for_some_seconds(lobby: Lobby) -> None:
    lobby.profiles.error = "internal_error"
    for _ in range(3):
        assert (await lobby.desk.mention()).status_code == 503
    assert lobby.profiles.asked == ["UADA"]
    lobby.profiles.error = ""
    lobby.desk.clock.move(seconds=6)
    assert (await lobby.desk.mention()).status_code == 200


async def test_somebody_never_met_is_not_served_even_where_guests_are(clock: Clock) -> None:
    async with open_lobby(clock, guests=True) as lobby:
        lobby.profiles.error = "internal_error"
        assert (await lobby.desk.mention()).status_code == 503
        assert (await lobby.desk.click()).status_code == 200
        assert lobby.kept == 0


# What was known.


async def test_what_was_known_within_a_day_counts_at_once_and_slack_is_asked_anew(
    lobby: Lobby,
) -> None:
    assert not (await lobby.meet()).guest
    lobby.desk.clock.move(hours=23)
    lobby.profiles.gate.clear()
    lobby.profiles.facts = {"is_restricted": True}
    assert not (await asyncio.wait_for(lobby.meet(), 0.5)).guest
    lobby.profiles.gate.set()
    await lobby.answered()
    assert (await lobby.meet()).guest
    assert len(lobby.profiles.asked) == 2


async def test_what_was_known_for_a_day_counts_no_more(lobby: Lobby) -> None:
    await lobby.meet()
    lobby.desk.clock.move(hours=25)
    lobby.profiles.facts = {"deleted": True}
    assert (await lobby.meet()).stranger


async def test_who_is_gone_is_a_stranger(lobby: Lobby) -> None:
    await lobby.meet()
    lobby.desk.clock.move(hours=2)
    lobby.profiles.error = "user_not_found"
    await lobby.meet()
    await lobby.answered()
    for _ in range(2):
        assert (await lobby.meet()).stranger
    assert len(lobby.profiles.asked) == 2


# Enterprise Grid.

FOREIGN = {"id": "UEVE", "name": "eve", "team_id": "T666"}
CORP = {"id": "E1", "name": "corp"}


@pytest.mark.parametrize(
    ("facts", "served"),
    [
        ({"team_id": "T666", "enterprise_user": {"enterprise_id": "E1"}}, True),
        ({"team_id": "T666", "enterprise_user": {"enterprise_id": "E6"}}, False),
        ({"team_id": "T666"}, False),
        ({"team_id": ""}, False),
        ({"enterprise_user": {"enterprise_id": "E1"}, "is_stranger": True}, False),
    ],
)
async def test_who_is_of_the_organization_slack_says(
    clock: Clock, facts: dict[str, Any], served: bool
) -> None:
    async with open_lobby(clock, guests=True) as lobby:
        lobby.profiles.facts = facts
        await lobby.desk.click(user=FOREIGN, enterprise=CORP, message={"team": "T1"})
        known = {"team_id": "T1", "enterprise_id": "E1", "is_bot": True, "user_id": "U0BOTT1"}
        event = lobby.desk.mentioned(user="UEVE", team="T666", user_team="T666")
        shared = {"authorizations": [known], "is_ext_shared_channel": True}
        await lobby.desk.hear(event, **shared)
        assert {message.sender_id for message in lobby.desk.inbox.messages} == (
            {"E1/UEVE"} if served else set()
        )
