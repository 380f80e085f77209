"""What comes in at /slack/events: who is believed, what is kept, and what Slack hears."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest

from adapters.slack import door, listeners
from core.errors import Unavailable
from tests.clock import Clock
from tests.slack.desk import APP, FORM, Desk, at_work, eventually
from tests.slack.fake import sign


@pytest.fixture
async def desk(clock: Clock) -> AsyncIterator[Desk]:
    async with at_work(clock) as desk:
        yield desk


# Who is believed.


async def test_what_slack_signed_is_taken(desk: Desk) -> None:
    assert (await desk.mention()).status_code == 200
    assert desk.inbox.only.text == "web-1 uptime"
    assert desk.inbox.only.patience == 0


async def test_the_url_is_verified_for_slack_only(desk: Desk) -> None:
    asked = {"type": "url_verification", "challenge": "3eZbrw1aB"}
    answer = await desk.tell(asked)
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1aB"})
    assert (await desk.tell(asked, secret="0" * 32)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x_slack_signature": "v0=" + "0" * 64},
        {"x_slack_signature": ""},
        {"x_slack_signature": "v1=0"},
        {"x_slack_request_timestamp": ""},
        {"x_slack_request_timestamp": "abc"},
        {"x_slack_request_timestamp": "-1"},
        {"x_slack_request_timestamp": "1" * 5000},
        {"x_slack_request_timestamp": "²²²²²"},
        {"secret": "0" * 32},
    ],
)
async def test_what_is_not_signed_by_slack_is_refused(desk: Desk, headers: dict[str, str]) -> None:
    answer = await desk.tell({"type": "event_callback"}, **headers)
    assert (answer.status_code, answer.content) == (401, b"")


async def test_a_signature_that_is_no_ascii_is_refused(desk: Desk) -> None:
    headers = [
        (b"x-slack-request-timestamp", str(int(desk.clock().timestamp())).encode()),
        (b"x-slack-signature", b"v0=\xff\xfe"),
    ]
    answer = await desk.web.post("/slack/events", content=b"{}", headers=headers)
    assert answer.status_code == 401


async def test_what_was_signed_is_believed_for_five_minutes(desk: Desk) -> None:
    body = json.dumps(desk.fake.payloads.event(desk.fake.teams["T1"], desk.mentioned())).encode()
    moment = int(desk.clock().timestamp())
    signed = {
        "x_slack_request_timestamp": str(moment),
        "x_slack_signature": sign(APP.signing_secret, moment, body),
    }
    for minutes, status in ((4.9, 200), (0.2, 401), (-10.2, 401), (0.3, 200)):
        desk.clock.move(minutes=minutes)
        assert (await desk.send(body, **signed)).status_code == status


async def test_a_signature_is_good_for_one_body(desk: Desk) -> None:
    signature = sign(APP.signing_secret, int(desk.clock().timestamp()), b'{"a":1}')
    assert (await desk.send(b'{"a":2}', x_slack_signature=signature)).status_code == 401


async def test_the_operator_is_told_now_and_then_why_nothing_is_believed(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await desk.tell({}, secret="0" * 32)
    assert [line for line in caplog.messages if "signing_secret" in line] == [
        "a request was refused as forged; if Slack sent it, signing_secret is another app's"
    ]
    desk.clock.move(minutes=2)
    await desk.tell(
        {}, x_slack_request_timestamp="1", x_slack_signature=sign(APP.signing_secret, 1, b"{}")
    )
    assert "the clock of this machine is off" in caplog.messages[-1]


# How much.


async def test_a_body_of_more_than_a_mebibyte_is_not_read_to_its_end(desk: Desk) -> None:
    sent = 0

    async def pour() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 65536

    answer = await desk.web.post("/slack/events", content=pour())
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert sent <= 17
    announced = {"content-length": str(door.LONGEST + 1)}
    answer = await desk.web.post("/slack/events", content=b"", headers=announced)
    assert answer.status_code == 413


async def test_a_body_of_a_mebibyte_is(desk: Desk) -> None:
    text = "x" * (door.LONGEST - 1000)
    assert (await desk.tell({"type": "nothing", "text": text})).status_code == 200


async def test_only_posts_are_taken(desk: Desk) -> None:
    assert (await desk.web.get("/slack/events")).status_code == 405


# What makes no sense.


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"17", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 200_000, "application/json"),
        (b'{"type":"event_callback"}', "application/json"),
        (b'{"type":"event_callback","event":null}', "application/json"),
        (b'{"type":"event_callback","event":[1]}', "application/json"),
        (b'{"type":"event_callback","event":{"type":{}}}', "application/json"),
        (b'{"type":"event_callback","event":{"type":"x"},"authorizations":7}', "application/json"),
        (b'{"type":"event_callback","event":{"type":"x"},"authorizations":[7]}', ""),
        (b'{"type":"block_actions","actions":[]}', "application/json"),
        (b'{"type":"block_actions","actions":["x"]}', "application/json"),
        (b'{"type":"block_actions","actions":null,"user":7,"team":[]}', "application/json"),
        (b'{"enterprise":7}', "application/json"),
        (b"payload=[]", FORM),
        (b"payload=", FORM),
        (b"payload={", FORM),
        (b"payload=7", FORM),
        (b"a=b", FORM),
        (b"ssl_check=1", FORM),
        (b"command=%2Fskadi", FORM),
        (b"command=%2Fskadi&user_id=U1&user_id=U2", FORM),
        (b"%00%ff%fe=1", FORM),
    ],
)
async def test_what_is_signed_and_garbled_breaks_nothing(
    desk: Desk, body: bytes, content_type: str
) -> None:
    assert (await desk.send(body, content_type)).status_code in (200, 400)
    assert desk.inbox.messages == []


async def test_what_is_no_event_of_ours_is_answered_200(desk: Desk) -> None:
    for event in (
        {"type": "message", "subtype": "message_changed", "channel_type": "im", "hidden": True},
        {"type": "reaction_added", "user": "U1"},
        {"type": "app_home_opened", "user": "U1"},
        {"type": "team_join"},
    ):
        assert (await desk.hear(event)).status_code == 200
    for kind in (
        *("view_submission", "shortcut", "message_action", "block_suggestion", "view_closed"),
        *("workflow_step_edit", "dialog_submission", "dialog_suggestion", "interactive_message"),
    ):
        given = {"type": kind, "callback_id": "x", "team": {"id": "T1"}, "user": {"id": "U1"}}
        body = urlencode({"payload": json.dumps(given)}).encode()
        assert (await desk.send(body, FORM)).status_code == 200
    assert desk.inbox.messages == []


# Who is heard.


async def test_our_own_words_and_those_of_other_apps_are_not_heard(desk: Desk) -> None:
    bot = desk.fake.teams["T1"].bot
    for facts in ({"user": bot.id}, {"bot_id": "B7"}, {"app_id": "A7"}, {"user": "USLACKBOT"}):
        answer = await desk.mention(**facts)
        assert answer.status_code == 200
    assert desk.inbox.messages == []


async def test_nobody_of_another_company_is_heard(desk: Desk) -> None:
    team = desk.fake.teams["T1"]
    desk.fake.person(team, "eve", home="T9")
    for facts in ({"user": "UEVE", "team": "T9"}, {"user": "UEVE"}, {"user": "UNOBODY"}):
        assert (await desk.mention(**facts)).status_code == 200
    assert desk.inbox.messages == []


async def test_guests_are_told_so_and_not_heard(desk: Desk) -> None:
    desk.ada.guest = True
    answer = await desk.command()
    assert answer.json() == {
        "response_type": "ephemeral",
        "text": "I do not work for guests of this workspace. Ask one of its members.",
    }
    for _ in range(3):
        await desk.mention()
    await eventually(lambda: desk.ops.posts)
    [said] = desk.ops.posts
    assert (said.for_only, desk.inbox.messages) == (desk.ada, [])


async def test_guests_are_heard_where_the_settings_say_so(clock: Clock) -> None:
    async with at_work(clock, guests=True) as desk:
        desk.ada.guest = True
        await desk.mention()
        assert desk.inbox.only.sender_id == "T1/UADA"


async def test_one_who_became_a_guest_is_one_for_us_within_the_hour(desk: Desk) -> None:
    await desk.mention()
    desk.ada.guest = True
    desk.clock.move(minutes=61)
    await desk.mention(ts="1772442000.000200")
    await eventually(lambda: asked_who(desk) == 2)
    await eventually(lambda: not desk.adapter._listeners.people._asking)
    await desk.mention(ts="1772442000.000300")
    assert len(desk.inbox.messages) == 2


def asked_who(desk: Desk) -> int:
    return [asked.method for asked in desk.fake.asked].count("users.info")


async def test_name_and_language_are_those_of_the_profile(desk: Desk) -> None:
    desk.ada.locale = "zh-CN"
    await desk.mention()
    assert (desk.inbox.only.locale, desk.inbox.only.sender_name) == ("zh-CN", "ada")


async def test_who_somebody_is_is_asked_once(desk: Desk) -> None:
    for n in range(5):
        await desk.mention(ts=f"1772442000.00020{n}")
    assert asked_who(desk) == 1
    assert len(desk.inbox.messages) == 5


async def test_while_slack_cannot_say_who_it_is_nothing_is_done_and_it_may_come_again(
    desk: Desk,
) -> None:
    desk.fake.trouble = "fatal"
    assert (await desk.mention()).status_code == 503
    desk.fake.trouble = ""
    desk.clock.move(seconds=6)
    assert (await desk.mention()).status_code == 200
    desk.clock.move(hours=2)
    desk.fake.trouble = "fatal"
    assert (await desk.mention(ts="1772442000.000200")).status_code == 200
    assert len(desk.inbox.messages) == 2
    desk.clock.move(hours=23)
    assert (await desk.mention(ts="1772442000.000300")).status_code == 503


async def test_events_of_another_workspace_are_none_of_ours(desk: Desk) -> None:
    await desk.mention()
    await eventually(lambda: "home" in str(list(desk.notes.kept)))
    await asyncio.sleep(0)
    other = desk.fake.team("T7", "rival")
    payload = desk.fake.payloads.event(other, desk.mentioned(team="T7"))
    assert (await desk.tell(payload)).status_code == 200
    assert len(desk.inbox.messages) == 1


# When it is kept.


async def test_slack_hears_yes_only_when_the_message_is_kept(desk: Desk) -> None:
    desk.inbox.gate.clear()
    answer = asyncio.create_task(desk.mention())
    await desk.inbox.entered.wait()
    await asyncio.sleep(0.05)
    assert not answer.done()
    desk.inbox.gate.set()
    assert (await answer).status_code == 200


async def test_what_could_not_be_kept_comes_again(desk: Desk) -> None:
    desk.inbox.failure = Unavailable("The database is away.")
    assert (await desk.mention()).status_code == 503
    desk.inbox.failure = None
    assert (await desk.mention()).status_code == 200
    assert desk.inbox.only.key == "T1/COPS/1772442000.000100"


async def test_slack_is_not_kept_waiting_and_what_was_begun_is_finished(desk: Desk) -> None:
    loop = asyncio.get_running_loop()
    desk.inbox.gate.clear()
    began = loop.time()
    assert (await desk.mention()).status_code == 503
    assert loop.time() - began < 2.9
    desk.inbox.gate.set()
    await eventually(lambda: desk.inbox.messages)


async def test_a_slash_command_that_was_not_kept_is_answered_as_slack_does_not_come_again(
    desk: Desk,
) -> None:
    desk.ada.locale = "zh-CN"
    await desk.mention()
    desk.inbox.failure = Unavailable("The database is away.")
    answer = await desk.command()
    assert (answer.status_code, answer.json()["response_type"]) == (200, "ephemeral")
    assert answer.json()["text"].startswith("无法确定")


async def test_a_slash_command_that_was_kept_is_answered_with_silence(desk: Desk) -> None:
    answer = await desk.command("web-1 uptime & date")
    assert (answer.status_code, answer.content) == (200, b"")
    assert desk.inbox.only.text == "web-1 uptime & date"


async def test_a_click_that_was_not_kept_is_told_to_the_clicker_alone(desk: Desk) -> None:
    desk.inbox.failure = Unavailable("The database is away.")
    assert (await desk.click()).status_code == 200
    await eventually(lambda: desk.ops.posts)
    [said] = desk.ops.posts
    assert said.for_only is desk.ada
    assert "please say it again" in said.text


async def test_a_click_is_a_message(desk: Desk) -> None:
    assert (await desk.click("cancel k3f9")).status_code == 200
    assert (desk.inbox.only.text, desk.inbox.only.sender_id) == ("cancel k3f9", "T1/UADA")


async def test_too_much_at_once_comes_again(desk: Desk) -> None:
    desk.inbox.gate.clear()
    await desk.mention()  # asked who she is
    crowd = [
        asyncio.create_task(desk.mention(ts=f"1772442000.{n:06}"))
        for n in range(listeners.MOST_IN_HAND + 50)
    ]
    await asyncio.wait(crowd)
    statuses = [task.result().status_code for task in crowd]
    assert set(statuses) == {503}
    desk.inbox.gate.set()
    await eventually(lambda: len(desk.inbox.messages) > 0)
    assert len(desk.inbox.messages) <= listeners.MOST_IN_HAND + 1
    assert (await desk.mention(ts="1772442007.000001")).status_code == 200


async def test_an_outage_is_told_once_and_its_end(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.inbox.failure = Unavailable("The database is away.")
    for _ in range(3):
        await desk.mention()
    desk.inbox.failure = None
    await desk.mention()
    assert [line for line in caplog.messages if "taken in" in line] == [
        "what comes from Slack is not taken in, 1 until now: The database is away.",
        "what comes from Slack is taken in again; 3 had not been",
    ]


async def test_no_log_holds_what_a_stranger_sent(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    marked = {"type": "event_callback", "event": {"type": "app_mention", "text": "hush-hush"}}
    await desk.tell(marked, secret="0" * 32)
    await desk.tell(marked)
    await desk.mention("hush-hush", user=7)
    assert "hush-hush" not in caplog.text


async def test_variables_that_bolt_would_obey_change_nothing(clock: Clock) -> None:
    variables = {
        "SLACK_BOT_TOKEN": "xoxb-other",
        "SLACK_SIGNING_SECRET": "0" * 32,
        "SLACK_CLIENT_ID": "1.2",
        "SLACK_CLIENT_SECRET": "other",
        "SLACK_VERIFICATION_TOKEN": "other",
    }
    os.environ.update(variables)
    try:
        async with at_work(clock) as desk:
            assert (await desk.mention()).status_code == 200
            assert (await desk.tell({}, secret="0" * 32)).status_code == 401
    finally:
        for name in variables:
            del os.environ[name]
    assert len(desk.inbox.messages) == 1


async def test_a_client_that_leaves_is_no_error(desk: Desk) -> None:
    async def leave() -> AsyncIterator[bytes]:
        yield b"{"
        raise httpx.ReadError("gone")

    with pytest.raises(httpx.ReadError):
        await desk.web.post("/slack/events", content=leave())
    assert (await desk.mention()).status_code == 200
