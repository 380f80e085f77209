"""Socket Mode: one socket is always open, or soon again, and what was not kept comes again on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from adapters.slack import SocketSlack, socket
from adapters.slack.socket import Patience, Socket, asked_pause, content
from core.errors import Unavailable
from core.settings import Secret
from tests.clock import Clock
from tests.slack.desk import APP, Desk, at_work, eventually
from tests.slack.test_installations import BY_INSTALL

BY_SOCKET: dict[str, Any] = {"signing_secret": Secret(), "app_token": Secret(APP.token)}


@asynccontextmanager
async def listening(clock: Clock, **given: Any) -> AsyncIterator[Desk]:
    async with (
        at_work(clock, sockets=True, **BY_SOCKET, **given) as desk,
        at_the_socket(desk.adapter),
    ):
        yield desk


@asynccontextmanager
async def at_the_socket(adapter: Any) -> AsyncIterator[None]:
    assert isinstance(adapter, SocketSlack)
    role = asyncio.create_task(adapter.listen())
    try:
        await asyncio.wait_for(adapter.ready.wait(), 10)
        yield
    finally:
        role.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(role, 10)


@pytest.fixture
async def desk(clock: Clock) -> AsyncIterator[Desk]:
    async with listening(clock) as desk:
        yield desk


async def test_a_mention_comes_over_the_socket(desk: Desk) -> None:
    await desk.fake.say(desk.ada, desk.ops, "@skadi web-1 uptime")
    assert desk.inbox.only.text == "web-1 uptime"
    assert desk.fake.given_up == []


async def test_without_a_signing_secret_there_is_no_path(desk: Desk) -> None:
    assert desk.adapter.routes == []
    described = desk.adapter.describe()  # type: ignore[attr-defined]
    assert described == f"messages by Socket Mode, answers by {desk.server.api}"


async def test_a_slash_command_that_was_not_kept_is_answered_on_the_socket(desk: Desk) -> None:
    await desk.fake.slash(desk.ada, desk.ops, "web-1 uptime")
    assert (desk.inbox.only.text, desk.ops.posts) == ("web-1 uptime", [])
    desk.inbox.failure = Unavailable("The database is away.")
    await desk.fake.slash(desk.ada, desk.ops, "web-1 uptime")
    [said] = desk.ops.posts
    assert said.for_only is desk.ada
    assert "please say it again" in said.text


async def test_what_was_not_kept_gets_no_answer_and_comes_again(desk: Desk) -> None:
    desk.fake.pauses = (0.0, 0.0, 0.0)
    desk.inbox.failure = Unavailable("The database is away.")
    telling = asyncio.create_task(desk.fake.say(desk.ada, desk.ops, "@skadi web-1 uptime"))
    await eventually(lambda: desk.inbox.entered.is_set())
    desk.inbox.failure = None
    await telling
    assert desk.inbox.only.text == "web-1 uptime"
    assert [attempt.error for attempt in desk.fake.attempts] == ["timeout", ""]


async def test_the_next_socket_is_open_before_slack_closes_the_last(desk: Desk) -> None:
    desk.fake.pauses = (0.0, 0.0, 0.0)
    await asyncio.sleep(0.05)
    await desk.server.sockets.cut("warning")
    for n in range(20):
        await desk.fake.say(desk.ada, desk.ops, f"@skadi web-1 echo {n}")
        await asyncio.sleep(0.03)
    assert [message.text for message in desk.inbox.messages] == [
        f"web-1 echo {n}" for n in range(20)
    ]
    assert desk.server.sockets.opened == 2
    assert [attempt.error for attempt in desk.fake.attempts] == [""] * 20


@pytest.mark.parametrize(
    "manner", ["abrupt", "refresh", "refused", "late", "mid", "no_url", "garbled"]
)
async def test_a_socket_that_ends_is_followed_by_another(desk: Desk, manner: Any) -> None:
    desk.fake.pauses = (0.0, 0.0, 0.0)
    for n in range(3):
        await desk.server.sockets.cut(manner)
        await desk.fake.say(desk.ada, desk.ops, f"@skadi web-1 echo {n}")
    kept = {message.key: message.text for message in desk.inbox.messages}
    assert sorted(kept.values()) == [f"web-1 echo {n}" for n in range(3)]
    assert desk.fake.given_up == []


async def test_each_handshake_has_a_ticket_of_its_own(desk: Desk) -> None:
    sockets = desk.server.sockets
    sockets.refusals.extend([404, 500, 404])
    sockets.abort_all()
    await eventually(lambda: sockets.opened == 2)
    asked = [asked.method for asked in desk.fake.asked]
    assert asked.count("apps.connections.open") == 5


@asynccontextmanager
async def impatient(desk: Desk, **patience: float) -> AsyncIterator[Socket]:
    """A socket that is given up sooner."""
    patient = Patience(**patience)
    client = Socket(desk.server.api, Secret(APP.token), desk.adapter._listeners.take, patient)
    role = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        role.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(role, 10)


async def test_a_mute_socket_is_given_up(clock: Clock) -> None:
    async with at_work(clock, sockets=True) as desk:
        desk.server.sockets.hello_takes.append(60.0)
        async with impatient(desk, greeting=0.2) as client:
            await asyncio.wait_for(client.ready.wait(), 10)
            assert desk.server.sockets.opened == 2


async def test_a_deaf_socket_is_given_up(clock: Clock) -> None:
    async with at_work(clock, sockets=True) as desk, impatient(desk, heartbeat=0.4) as client:
        await asyncio.wait_for(client.ready.wait(), 10)
        [line] = desk.server.sockets.lines
        assert line.request.transport is not None
        line.request.transport.pause_reading()
        await eventually(lambda: desk.server.sockets.opened == 2)
        line.abort()
        await desk.fake.say(desk.ada, desk.ops, "@skadi web-1 uptime")
        assert desk.inbox.only.text == "web-1 uptime"


async def test_an_app_token_that_is_wrong_holds_up_nothing_but_the_socket(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {**BY_SOCKET, "app_token": Secret("xapp-1-A1-wrong")}
    async with at_work(clock, sockets=True, **wrong) as desk:
        assert isinstance(desk.adapter, SocketSlack)
        role = asyncio.create_task(desk.adapter.listen())
        await eventually(lambda: "no ticket: invalid_auth" in caplog.text)
        assert not role.done()
        assert not desk.adapter.ready.is_set()
        role.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(role, 5)
    assert "xapp" not in caplog.text


async def test_no_more_is_read_than_can_be_worked_on(desk: Desk) -> None:
    await desk.fake.say(desk.ada, desk.ops, "@skadi web-1 hello")
    held = desk.adapter._socket._room  # type: ignore[attr-defined]
    desk.inbox.gate.clear()
    most = 0
    telling = [
        asyncio.create_task(desk.fake.say(desk.ada, desk.ops, f"@skadi web-1 echo {n}"))
        for n in range(socket.MOST_IN_HAND + 40)
    ]
    for _ in range(50):
        await asyncio.sleep(0.01)
        most = max(most, len(desk.adapter._listeners.in_hand))
    assert most == socket.MOST_IN_HAND
    assert held.locked()
    desk.inbox.gate.set()
    await asyncio.wait(telling)
    assert len({message.key for message in desk.inbox.messages}) == socket.MOST_IN_HAND + 41


async def test_what_is_in_hand_is_answered_before_the_socket_closes(clock: Clock) -> None:
    async with at_work(clock, sockets=True, **BY_SOCKET) as desk:
        async with at_the_socket(desk.adapter):
            await desk.fake.say(desk.ada, desk.ops, "@skadi web-1 hello")
            desk.inbox.gate.clear()
            desk.inbox.entered.clear()
            telling = asyncio.create_task(desk.fake.say(desk.ada, desk.ops, "@skadi web-1 uptime"))
            await desk.inbox.entered.wait()
            asyncio.get_running_loop().call_later(0.3, desk.inbox.gate.set)
        await telling
        assert [attempt.error for attempt in desk.fake.attempts] == ["", ""]


async def test_pages_and_paths_are_there_beside_a_socket(clock: Clock) -> None:
    async with listening(clock, **BY_INSTALL) as desk:
        assert (await desk.web.get("/slack/install")).status_code == 302
        assert (await desk.mention()).status_code == 404
    both = {**BY_SOCKET, "signing_secret": Secret(APP.signing_secret)}
    async with at_work(clock, sockets=True, **both) as desk, at_the_socket(desk.adapter):
        assert (await desk.mention()).status_code == 200


async def test_an_envelope_that_makes_no_sense_is_answered_so_that_it_stays_away(
    desk: Desk,
) -> None:
    for payload in ({"event": 7, "type": "event_callback"}, {"authorizations": 7}, {"team": [7]}):
        await desk.fake.tell("event", payload)
    assert desk.fake.given_up == []


async def test_a_fault_of_ours_is_not_taken_for_one_of_slack_s(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    came = 0

    async def take(request: AsyncBoltRequest) -> BoltResponse:
        nonlocal came
        came += 1
        if came == 1:
            raise LookupError("ours")
        return BoltResponse(status=200)

    async with at_work(clock, sockets=True) as desk:
        desk.fake.pauses = (0.0, 0.0, 0.0)
        client = Socket(desk.server.api, Secret(APP.token), take)
        role = asyncio.create_task(client.run())
        await asyncio.wait_for(client.ready.wait(), 10)
        await desk.fake.say(desk.ada, desk.ops, "@skadi web-1 uptime")
        role.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(role, 10)
    assert (came, [attempt.error for attempt in desk.fake.attempts]) == (2, ["timeout", ""])
    assert "could not be worked on" in caplog.text


async def test_a_busy_slack_is_asked_again_when_it_said_so(clock: Clock) -> None:
    async def take(request: AsyncBoltRequest) -> BoltResponse:
        return BoltResponse(status=200)

    async with at_work(clock, sockets=True) as desk:
        desk.fake.troubles.append("busy")
        client = Socket(desk.server.api, Secret(APP.token), take)
        with pytest.raises(socket.Lost) as caught:
            await client._ask_ticket()
        assert (str(caught.value), caught.value.retry_after) == ("no ticket: ratelimited", 7.0)
    assert asked_pause(ValueError()) == 0.0


def test_only_a_yes_with_words_carries_words() -> None:
    assert content(BoltResponse(status=200)) is None
    assert content(BoltResponse(status=400, body="no")) is None
    assert content(BoltResponse(status=200, body={"text": "hello"})) == {"text": "hello"}
    assert content(BoltResponse(status=200, body="hello")) == {"text": "hello"}
