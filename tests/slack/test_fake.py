"""The fake is as strict as the real one, by the judgement of Slack's own SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import ClientError, web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.clock import Clock
from tests.servers import LOOPBACK, free_port
from tests.slack.fake import Person, Room, Server, Slack, Team, open_slack
from tests.slack.fake.server import now


@pytest.fixture
async def server(clock: Clock) -> AsyncIterator[Server]:
    async with open_slack(Slack(clock, pauses=(0.0, 0.05, 0.05))) as server:
        server.slack.team()
        yield server


@pytest.fixture
def team(server: Server) -> Team:
    return server.slack.teams["T1"]


@pytest.fixture
def ada(server: Server, team: Team) -> Person:
    return server.slack.person(team, "ada")


@pytest.fixture
def ops(server: Server, team: Team, ada: Person) -> Room:
    return server.slack.room(team, "ops", ada)


@pytest.fixture
def client(server: Server, team: Team) -> AsyncWebClient:
    return client_of(server, team.token)


def client_of(server: Server, token: str) -> AsyncWebClient:
    return AsyncWebClient(token, base_url=server.api, retry_handlers=[], timeout=2)


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


# Tokens.


async def test_the_token_decides_who_asks(server: Server, team: Team) -> None:
    answer = await client_of(server, team.token).auth_test()
    assert (answer["team_id"], answer["user_id"]) == ("T1", team.bot.id)
    assert "chat:write" in answer.headers["x-oauth-scopes"]
    assert answer.headers["Date"] == "Mon, 02 Mar 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("token", "error"),
    [("xoxb-nobody", "invalid_auth"), ("xapp-1-A1-secret", "not_allowed_token_type")],
)
async def test_another_token_is_refused(server: Server, token: str, error: str) -> None:
    assert await refusal(client_of(server, token).auth_test()) == error


async def test_a_token_that_was_taken_back_is_refused(
    server: Server, team: Team, client: AsyncWebClient
) -> None:
    server.slack.revoked.add(team.token)
    assert await refusal(client.auth_test()) == "token_revoked"
    server.slack.revoked.clear()
    team.installed = False
    assert await refusal(client.auth_test()) == "account_inactive"


async def test_a_scope_that_was_not_given_is_missed(
    team: Team, ada: Person, client: AsyncWebClient
) -> None:
    team.scopes = "chat:write"
    with pytest.raises(SlackApiError) as caught:
        await client.users_info(user=ada.id)
    assert caught.value.response["error"] == "missing_scope"
    assert caught.value.response["needed"] == "users:read"


async def test_a_method_that_is_not_there_is_refused(client: AsyncWebClient) -> None:
    assert await refusal(client.views_open(trigger_id="1", view={})) == "unknown_method"


# Messages.


async def test_what_is_posted_is_read(ops: Room, client: AsyncWebClient) -> None:
    root = await client.chat_postMessage(channel=ops.id, text="*Sent* to `web-1` &lt;now&gt;")
    await client.chat_update(channel=ops.id, ts=root["ts"], text="*Succeeded*")
    assert ops.log() == "skadi: Succeeded"
    assert ops.posts[0].earlier[0].text == "Sent to `web-1` <now>"


async def test_an_answer_stands_in_its_thread(
    clock: Clock, ops: Room, client: AsyncWebClient
) -> None:
    root = await client.chat_postMessage(channel=ops.id, text="root")
    clock.move(seconds=1)
    answer = await client.chat_postMessage(channel=ops.id, text="answer", thread_ts=root["ts"])
    assert ops.log() == "skadi: root\n  skadi: answer"
    clock.move(seconds=1)
    below = client.chat_postMessage(channel=ops.id, text="below", thread_ts=answer["ts"])
    assert await refusal(below) == "cannot_reply_to_message"


async def test_one_must_be_where_one_speaks(
    server: Server, team: Team, ada: Person, client: AsyncWebClient
) -> None:
    slack = server.slack
    elsewhere = slack.room(team, "elsewhere", ada, bot=False)
    hidden = slack.room(team, "hidden", ada, bot=False, hidden=True)
    old = slack.room(team, "old", ada, archived=True)
    for channel, error in (
        (elsewhere.id, "not_in_channel"),
        (hidden.id, "channel_not_found"),
        ("CNOWHERE", "channel_not_found"),
        (old.id, "is_archived"),
    ):
        assert await refusal(client.chat_postMessage(channel=channel, text="x")) == error


async def test_only_what_is_there_and_ours_can_be_changed(
    server: Server, ops: Room, ada: Person, client: AsyncWebClient
) -> None:
    theirs = server.slack.put(ops, ada, "mine")
    assert await refusal(client.chat_update(channel=ops.id, ts="1.1", text="x")) == (
        "message_not_found"
    )
    assert await refusal(client.chat_update(channel=ops.id, ts=theirs.ts, text="x")) == (
        "cant_update_message"
    )


async def test_buttons_that_an_edit_does_not_mention_stay(
    ops: Room, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=ops.id, text="x", blocks=[section(), buttons()])
    await client.chat_update(channel=ops.id, ts=posted["ts"], text="y")
    assert ops.posts[0].buttons == ["Cancel"]
    await client.chat_update(channel=ops.id, ts=posted["ts"], text="y", blocks=[section()])
    assert ops.posts[0].buttons == []


async def test_a_whisper_is_for_one_who_is_there(
    server: Server, team: Team, ops: Room, ada: Person, client: AsyncWebClient
) -> None:
    ben = server.slack.person(team, "ben")
    said = await client.chat_postEphemeral(channel=ops.id, user=ada.id, text="psst")
    assert ops.log() == "skadi (to ada alone): psst"
    assert ops.seen_by(ben) == []
    edit = client.chat_update(channel=ops.id, ts=said["message_ts"], text="x")
    assert await refusal(edit) == "message_not_found"
    whisper = client.chat_postEphemeral(channel=ops.id, user=ben.id, text="psst")
    assert await refusal(whisper) == "user_not_in_channel"


async def test_a_whisper_below_what_nobody_has_answered_is_not_seen(
    clock: Clock, server: Server, ops: Room, ada: Person, client: AsyncWebClient
) -> None:
    root = server.slack.put(ops, ada, "root")

    async def whisper() -> None:
        await client.chat_postEphemeral(channel=ops.id, user=ada.id, text="psst", thread_ts=root.ts)

    await whisper()
    assert (ops.log(), server.slack.unseen) == ("ada: root", ["psst"])
    await client.chat_postMessage(channel=ops.id, text="answer", thread_ts=root.ts)
    await whisper()
    assert ops.log() == "ada: root\n  skadi: answer\n  skadi (to ada alone): psst"


# Sizes.


def section(text: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def buttons(label: str = "Cancel", value: str = "cancel k3f9") -> dict[str, Any]:
    text = {"type": "plain_text", "text": label}
    button = {"type": "button", "text": text, "action_id": "c", "value": value}
    return {"type": "actions", "elements": [button]}


def preformatted(text: str) -> dict[str, Any]:
    inside = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [inside]}


@pytest.mark.parametrize(
    ("fits", "refused", "error"),
    [
        ([section("x" * 3000)], [section("x" * 3001)], "invalid_blocks"),
        ([section()] * 50, [section()] * 51, "invalid_blocks"),
        ([buttons("x" * 75)], [buttons("x" * 76)], "invalid_blocks"),
        ([buttons(value="x" * 2000)], [buttons(value="x" * 2001)], "invalid_blocks"),
        ([section("x")], [section("")], "invalid_blocks"),
        ([preformatted("x")], [preformatted("")], "invalid_blocks"),
        ([section(block_id="a")], [section(block_id="a")] * 2, "invalid_blocks"),
        ([preformatted("x" * 13_200)], [preformatted("x" * 13_201)], "msg_blocks_too_long"),
        (
            [section("x" * 3000)] * 4 + [section("x" * 1200)],
            [section("x" * 3000)] * 4 + [section("x" * 1201)],
            "msg_blocks_too_long",
        ),
        ([{"type": "divider"}], [{"type": "video"}], "invalid_blocks"),
    ],
)
async def test_blocks_have_limits(
    clock: Clock, ops: Room, client: AsyncWebClient, fits: Any, refused: Any, error: str
) -> None:
    await client.chat_postMessage(channel=ops.id, text="x", blocks=fits)
    clock.move(seconds=1)
    post = client.chat_postMessage(channel=ops.id, text="x", blocks=refused)
    assert await refusal(post) == error


async def test_texts_have_limits(clock: Clock, ops: Room, client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel=ops.id, text="x" * 40_000)
    clock.move(seconds=1)
    assert await refusal(client.chat_postMessage(channel=ops.id, text="x" * 40_001)) == (
        "msg_too_long"
    )
    await client.chat_update(channel=ops.id, ts=posted["ts"], text="x" * 4000)
    edit = client.chat_update(channel=ops.id, ts=posted["ts"], text="é" * 2001)
    assert await refusal(edit) == "msg_too_long"
    nothing = client.api_call("chat.postMessage", json={"channel": ops.id})
    assert await refusal(nothing) == "no_text"


# Rates.


async def test_a_second_message_within_the_second_is_too_many(
    clock: Clock, server: Server, team: Team, ada: Person, ops: Room, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel=ops.id, text="one")
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=ops.id, text="two")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    await client.chat_postMessage(channel=ada.id, text="elsewhere")
    clock.move(seconds=1)
    await client.chat_postMessage(channel=ops.id, text="two")
    assert ops.log() == "skadi: one\nskadi: two"


async def test_fifty_edits_a_minute_are_enough(
    clock: Clock, ops: Room, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=ops.id, text="x")
    for number in range(50):
        await client.chat_update(channel=ops.id, ts=posted["ts"], text=str(number))
    edit = client.chat_update(channel=ops.id, ts=posted["ts"], text="50")
    assert await refusal(edit) == "ratelimited"
    clock.move(seconds=2)
    await client.chat_update(channel=ops.id, ts=posted["ts"], text="50")
    assert ops.log() == "skadi: 50"


# People and files.


async def test_people_are_known_with_their_language(
    server: Server, team: Team, client: AsyncWebClient
) -> None:
    mei = server.slack.person(team, "mei", locale="zh-CN", guest=True)
    plain = (await client.users_info(user=mei.id))["user"]
    assert "locale" not in plain
    assert plain["is_restricted"]
    known = (await client.users_info(user=mei.id, include_locale=True))["user"]
    assert known["locale"] == "zh-CN"
    assert await refusal(client.users_info(user="UNOBODY")) == "user_not_found"
    opened = await client.conversations_open(users=[mei.id])
    assert opened["channel"]["id"] == server.slack.direct(mei).id


async def test_a_file_goes_up_in_three_steps(
    clock: Clock, ops: Room, client: AsyncWebClient
) -> None:
    root = await client.chat_postMessage(channel=ops.id, text="long")
    await client.files_upload_v2(
        channel=ops.id, thread_ts=root["ts"], filename="output.txt", content="line\n" * 1000
    )
    assert ops.log() == "skadi: long\n  skadi:\n      [output.txt, 5000 characters]"
    end = client.files_completeUploadExternal(files=[{"id": "F0", "title": "x"}])
    assert await refusal(end) == "file_not_found"


# What people see.


async def test_output_in_sections_can_be_abused_and_preformatted_cannot(
    clock: Clock, ops: Room, client: AsyncWebClient
) -> None:
    evil = "<!channel> <@UADA> ``` <https://evil.example|your bank>"
    await client.chat_postMessage(channel=ops.id, text="x", blocks=[section(evil)])
    clock.move(seconds=1)
    await client.chat_postMessage(channel=ops.id, text="x", blocks=[preformatted(evil)])
    abused, safe = ops.posts
    assert abused.sight.pings == ("@channel", "@ada")
    assert abused.sight.links == ("https://evil.example",)
    assert safe.sight.code == (evil,)
    assert (safe.sight.pings, safe.sight.links) == ((), ())


# Response URLs.


async def test_a_response_url_serves_five_times_within_half_an_hour(
    clock: Clock, server: Server, ops: Room, ada: Person
) -> None:
    url = server.slack.hooks.make(ops, ada)
    hook = AsyncWebhookClient(url, retry_handlers=[])
    for number in range(5):
        assert (await hook.send(text=str(number))).status_code == 200
    assert (await hook.send(text="5")).body == '{"ok": false, "error": "used_url"}'
    late = AsyncWebhookClient(server.slack.hooks.make(ops, ada), retry_handlers=[])
    clock.move(minutes=30)
    assert (await late.send(text="late")).status_code == 404
    assert ops.log().count("skadi (to ada alone): ") == 5


# OAuth.


@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
async def test_a_code_is_changed_for_a_token_once(
    clock: Clock, server: Server, team: Team, ada: Person
) -> None:
    slack, client = server.slack, AsyncWebClient(base_url=server.api, retry_handlers=[])
    slack.app.redirect = "https://skadi.example/slack/oauth_redirect"
    page = "https://slack.com/oauth/v2/authorize?client_id=11.22&scope=chat:write&state=s1"
    back = parse_qs(urlsplit(server.oauth.approve(team, ada, page)).query)
    assert back["state"] == ["s1"]

    async def exchange(secret: str = "client-secret") -> Any:
        return await client.oauth_v2_access(
            client_id="11.22", client_secret=secret, code=back["code"][0]
        )

    assert await refusal(exchange("wrong")) == "bad_client_secret"
    given = await exchange()
    assert given["access_token"] == team.token
    assert (await client_of(server, team.token).auth_test())["ok"]
    assert await refusal(exchange()) == "code_already_used"


# How we are told.


class Us:
    """Somebody whom Slack calls."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.takes = 0.0
        self.calls: list[tuple[dict[str, str], bytes]] = []

    async def serve(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        await asyncio.sleep(self.takes)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def listening(slack: Slack) -> AsyncIterator[Us]:
    us, app, port = Us(), web.Application(), free_port()
    app.router.add_post("/slack/events", us.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    slack.app.url = f"http://{LOOPBACK}:{port}/slack/events"
    try:
        yield us
    finally:
        await runner.cleanup()


async def test_calls_are_signed_as_the_sdk_wants_it(server: Server, ada: Person, ops: Room) -> None:
    server.slack.clock = now
    async with listening(server.slack) as us:
        await server.slack.say(ada, ops, "@skadi web-1 uptime")
        await server.slack.slash(ada, ops, "web-1 uptime")
    verifier = SignatureVerifier(server.slack.app.signing_secret)
    assert [verifier.is_valid_request(body, headers) for headers, body in us.calls] == [True, True]
    headers, body = us.calls[0]
    assert not verifier.is_valid_request(body + b" ", headers)


async def test_an_event_that_is_not_taken_is_told_four_times(
    server: Server, ada: Person, ops: Room
) -> None:
    async with listening(server.slack) as us:
        us.statuses = [500, 404, 503, 500]
        await server.slack.say(ada, ops, "@skadi web-1 uptime")
    retries = [headers.get("X-Slack-Retry-Num") for headers, _ in us.calls]
    assert retries == [None, "1", "2", "3"]
    assert us.calls[1][0]["X-Slack-Retry-Reason"] == "http_error"
    assert len({body for _, body in us.calls}) == 1
    assert len(server.slack.given_up) == 1


async def test_a_command_is_told_once_and_its_failure_to_the_person(
    server: Server, ada: Person, ops: Room
) -> None:
    async with listening(server.slack) as us:
        us.statuses = [500]
        await server.slack.slash(ada, ops, "web-1 uptime")
    assert len(us.calls) == 1
    assert "dispatch_failed" in ops.log()


async def test_three_seconds_are_all_the_time_there_is(
    server: Server, ada: Person, ops: Room
) -> None:
    async with listening(server.slack) as us:
        us.takes = 3.5
        await server.slack.slash(ada, ops, "web-1 uptime")
    assert "operation_timeout" in ops.log()
    assert 2.9 < server.slack.attempts[0].seconds < 3.4


async def test_we_are_told_what_we_are_subscribed_to(
    server: Server, team: Team, ada: Person, ops: Room
) -> None:
    async with listening(server.slack) as us:
        await server.slack.say(ada, ops, "just talking")
        assert us.calls == []
        await server.slack.say(ada, ops, "@skadi <b> & so on")
        await server.slack.say(ada, server.slack.direct(ada), "status")
    assert b"<@U0BOTT1> &lt;b&gt; &amp; so on" in us.calls[0][1]
    assert b'"app_mention"' in us.calls[0][1]
    assert b'"channel_type": "im"' in us.calls[1][1]


# Bad times.


@pytest.mark.parametrize("trouble", ["cut", "half", "lost"])
async def test_a_line_may_be_cut(
    server: Server, ops: Room, client: AsyncWebClient, trouble: Any
) -> None:
    server.slack.troubles.append(trouble)
    with pytest.raises(ClientError):
        await client.chat_postMessage(channel=ops.id, text="x")
    assert bool(ops.posts) is (trouble != "cut")


async def test_while_slack_is_away_nobody_answers(
    server: Server, ops: Room, client: AsyncWebClient
) -> None:
    await server.go_away()
    with pytest.raises(ClientError):
        await client.auth_test()
    await server.come_back()
    assert (await client.auth_test())["ok"]
    server.slack.trouble = "html"
    with pytest.raises(SlackApiError):
        await client.auth_test()
    server.slack.trouble = "hang"
    with pytest.raises(TimeoutError):
        await client_of(server, "x").api_call("auth.test")


# Socket Mode.


@asynccontextmanager
async def socket_mode() -> AsyncIterator[tuple[Server, SocketModeClient]]:
    async with open_slack(Slack(now, pauses=(0.0, 0.1, 0.1)), sockets=True) as server:
        server.slack.team()
        client = SocketModeClient(
            server.slack.app.token,
            web_client=AsyncWebClient(base_url=server.api, retry_handlers=[]),
            ping_interval=0.3,
        )
        try:
            yield server, client
        finally:
            await client.close()  # type: ignore[no-untyped-call]


Listen = Callable[[AsyncBaseSocketModeClient, SocketModeRequest], Any]


def acknowledging(heard: list[SocketModeRequest]) -> Listen:
    async def listen(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        heard.append(request)
        await client.send_socket_mode_response(SocketModeResponse(request.envelope_id))

    return listen


async def test_an_envelope_that_is_acknowledged_is_not_told_again() -> None:
    async with socket_mode() as (server, client):
        heard: list[SocketModeRequest] = []
        client.socket_mode_request_listeners.append(acknowledging(heard))
        await client.connect()  # type: ignore[no-untyped-call]
        slack = server.slack
        ada = slack.person(slack.teams["T1"], "ada")
        await slack.say(ada, slack.direct(ada), "status")
        await slack.slash(ada, slack.direct(ada), "status")
    assert [request.type for request in heard] == ["events_api", "slash_commands"]
    assert slack.given_up == []


@pytest.mark.parametrize("manner", ["abrupt", "refresh", "warning", "mid", "late"])
async def test_after_a_cut_the_line_is_found_again(manner: Any) -> None:
    async with socket_mode() as (server, client):
        heard: list[SocketModeRequest] = []
        client.socket_mode_request_listeners.append(acknowledging(heard))
        await client.connect()  # type: ignore[no-untyped-call]
        slack = server.slack
        ada = slack.person(slack.teams["T1"], "ada")
        await slack.say(ada, slack.direct(ada), "one")
        await server.sockets.cut(manner)
        await slack.say(ada, slack.direct(ada), "two")
        assert server.sockets.opened >= (1 if manner == "warning" else 2)
    assert {request.payload["event"]["text"] for request in heard} == {"one", "two"}


async def test_a_url_of_a_socket_serves_once_and_not_for_long(clock: Clock) -> None:
    async with open_slack(Slack(clock), sockets=True) as server, aiohttp.ClientSession() as session:
        url = server.sockets.url()
        async with session.ws_connect(url) as line:
            assert (await line.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
        late = server.sockets.url()
        clock.move(seconds=30)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(late)


async def test_only_the_token_of_the_app_opens_sockets(server: Server, team: Team) -> None:
    client = AsyncWebClient(base_url=server.api, retry_handlers=[])
    for token, error in ((team.token, "not_allowed_token_type"), ("xapp-other", "invalid_auth")):
        assert await refusal(client.apps_connections_open(app_token=token)) == error
