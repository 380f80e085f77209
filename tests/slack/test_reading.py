"""What Slack sends, and what message it is."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from adapters.slack import read_subject
from adapters.slack.reading import plain, read_click, read_command, read_event
from core.chat import Message, Thread
from tests.clock import START

API = "https://slack.com/api/"
TS = "1772442000.000100"
POSTED = datetime.fromtimestamp(1772442000.0001, UTC)
HALF_PAST = START.timestamp() + 1800


def mention(text: str = "<@U0BOT> web-1 uptime", **facts: Any) -> dict[str, Any]:
    event = {"type": "app_mention", "user": "U1", "team": "T1", "channel": "C1", "ts": TS}
    return envelope({**event, "text": text, **facts})


def direct(text: str = "web-1 uptime", **facts: Any) -> dict[str, Any]:
    return mention(text, **{"type": "message", "channel_type": "im", "channel": "D1", **facts})


def envelope(event: dict[str, Any], **facts: Any) -> dict[str, Any]:
    known = {"team_id": "T1", "user_id": "U0BOT", "is_bot": True, "is_enterprise_install": False}
    return {
        "type": "event_callback",
        "team_id": "T1",
        "event": event,
        "authorizations": [{"enterprise_id": None, **known}],
        **facts,
    }


def command(text: str = "web-1 uptime", **facts: Any) -> dict[str, Any]:
    given = {
        "command": "/skadi",
        "text": text,
        "team_id": "T1",
        "user_id": "U1",
        "user_name": "ada",
        "channel_id": "C1",
        "trigger_id": "13345224609.738474920.8088930838d88f008e0",
        "response_url": "https://hooks.slack.com/commands/1",
        "is_enterprise_install": "false",
    }
    return {**given, **facts}


def click(value: str = "cancel k3f9", **facts: Any) -> dict[str, Any]:
    given = {
        "type": "block_actions",
        "user": {"id": "U1", "name": "ada", "team_id": "T1"},
        "team": {"id": "T1"},
        "container": {
            "type": "message",
            "channel_id": "C1",
            "message_ts": "1772442001.000200",
            "thread_ts": TS,
            "is_ephemeral": False,
        },
        "message": {"ts": "1772442001.000200", "team": "T1"},
        "response_url": "https://hooks.slack.com/actions/1",
        "actions": [
            {
                "type": "button",
                "action_id": "skadi_once_0",
                "value": value,
                "action_ts": "1772442005.5",
            }
        ],
    }
    return {**given, **facts}


def read(payload: dict[str, Any], api: str = API) -> Message | None:
    if "command" in payload:
        return read_command("slack", payload, START, api)
    reader = read_click if "actions" in payload else None
    return reader("slack", payload, START, api) if reader else read_event("slack", payload)


def known(payload: dict[str, Any], api: str = API) -> Message:
    message = read(payload, api)
    assert message is not None
    return message


# Mentions and direct messages.


def test_a_mention_is_a_message_in_the_thread_that_it_begins() -> None:
    assert read(mention()) == Message(
        key=f"T1/C1/{TS}",
        thread=Thread("slack", "C1", TS, {"team": "T1", "user": "U1", "first": True}),
        sender_id="T1/U1",
        text="web-1 uptime",
        sent_at=POSTED,
    )


def test_a_mention_in_a_thread_stays_there() -> None:
    message = known(mention("<@U0BOT> cancel", thread_ts="1772441000.000001"))
    assert message.thread.ref == {"team": "T1", "user": "U1"}
    assert (message.thread.thread_id, message.key) == ("1772441000.000001", f"T1/C1/{TS}")


def test_a_direct_message_is_private() -> None:
    message = known(direct())
    assert (message.private, message.text, message.thread.channel_id) == (
        True,
        "web-1 uptime",
        "D1",
    )


def test_mention_and_message_of_one_post_are_one() -> None:
    assert known(mention(channel="D1")).key == known(direct()).key


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("<@U0BOT> status", "status"),
        ("<@U0BOT>: status", "status"),
        ("<@U0BOT>，状态", "状态"),
        ("  <@U0BOT|skadi>   status", "status"),
        ("<@U0BOT> <@U0BOT> status", "status"),
        ("web-1 uptime <@U0BOT>", "web-1 uptime"),
        ("web-1 echo <@U0BOT> twice", "web-1 echo twice"),
        ("<@U0BOT> web-1 echo <@U0BOT>", "web-1 echo @U0BOT"),
        ("<@U0BOT>", ""),
        ("<@U0BOT>\nweb-1 uptime", "web-1 uptime"),
        ("<@U0BOT> <@U7> status", "@U7 status"),
    ],
)
def test_the_mention_of_us_is_no_part_of_the_command(typed: str, meant: str) -> None:
    assert known(mention(typed)).text == meant


def test_where_slack_does_not_say_who_we_are_our_own_knowledge_serves() -> None:
    payload = mention("<@U0BOT> <@U7> status") | {"authorizations": []}
    message = read_event("slack", payload, "U0BOT")
    assert message is not None
    assert message.text == "@U7 status"
    guessed = read_event("slack", payload)
    assert guessed is not None
    assert guessed.text == "status"


@pytest.mark.parametrize(
    "text",
    [
        "hi" + " " * 100_000 + "x <@U0BOT>",
        "hi" + "\n" * 100_000 + "x",
        "<@U0BOT>" + " " * 100_000 + "x",
        " " * 100_000 + "x",
        "<@U0BOT|" * 20_000,
        "<" * 100_000,
    ],
)
def test_no_text_is_long_to_read(text: str) -> None:
    began = time.perf_counter()
    known(mention(text))
    assert time.perf_counter() - began < 0.5


def test_a_mention_inside_leaves_with_the_space_before_it() -> None:
    assert known(mention("please \n <@U0BOT> web-1 uptime")).text == "please web-1 uptime"


def test_of_a_text_longer_than_any_of_slack_s_only_the_beginning_is_read() -> None:
    for payload in (direct("x" * 10**6), command("x" * 10**6)):
        assert known(payload).text == "x" * 200_000


def test_files_are_remarked_on() -> None:
    message = known(direct(subtype="file_share", files=[{"id": "F1"}]))
    assert message.remarks == ("attachments",)


@pytest.mark.parametrize(
    "facts",
    [
        {"bot_id": "B1"},
        {"app_id": "A9"},
        {"bot_profile": {"id": "B1"}},
        {"subtype": "bot_message"},
        {"subtype": "message_changed", "message": {"text": "web-1 uptime"}},
        {"subtype": "channel_join"},
        {"hidden": True},
        {"user": "USLACKBOT"},
        {"user": ""},
        {"user": None},
        {"ts": "soon"},
        {"channel": "../etc"},
        {"team": "T9"},
        {"user_team": "T9"},
        {"source_team": "E9"},
        {"type": "reaction_added"},
    ],
)
def test_bots_strangers_and_what_nobody_typed_are_no_messages(facts: dict[str, Any]) -> None:
    assert read(mention(**facts)) is None
    assert read(direct(**facts)) is None


def test_what_people_write_to_each_other_is_none_of_ours() -> None:
    assert read(mention("web-1 uptime", type="message", channel_type="channel")) is None


# Who of whom.


def test_on_enterprise_grid_somebody_is_of_the_organization() -> None:
    grid = {"enterprise_id": "E1", "team_id": "T1", "is_enterprise_install": False}
    payload = mention(team="T1") | {"authorizations": [grid]}
    assert known(payload).sender_id == "E1/U1"
    assert known(payload).thread.ref["team"] == "T1"
    # Who is of the organization Slack is asked, and it alone knows its teams.
    for shared in (False, True):
        grid_wide = {"authorizations": [grid], "is_ext_shared_channel": shared}
        assert known(mention(team="T2") | grid_wide).sender_id == "E1/U1"


def test_an_organization_that_installed_us_as_a_whole_is_the_installation() -> None:
    grid = {"enterprise_id": "E1", "team_id": "T1", "is_enterprise_install": True}
    assert known(mention() | {"authorizations": [grid]}).thread.ref["team"] == "E1"
    by_command = command(enterprise_id="E1", is_enterprise_install="true")
    assert known(by_command).thread.ref["team"] == "E1"
    assert known(by_command).sender_id == "E1/U1"


def test_one_is_told_by_the_own_team_and_not_by_the_one_that_shares_the_channel() -> None:
    assert read(mention(team="T9", user_team="T9") | {"is_ext_shared_channel": True}) is None
    assert known(mention(user_team="T1") | {"is_ext_shared_channel": True}).sender_id == "T1/U1"


# Slash commands.


def test_a_slash_command_begins_a_thread_with_our_answer() -> None:
    ref = {
        "team": "T1",
        "user": "U1",
        "response_url": "https://hooks.slack.com/commands/1",
        "until": HALF_PAST,
    }
    assert read(command()) == Message(
        key="13345224609.738474920.8088930838d88f008e0",
        thread=Thread("slack", "C1", "", ref),
        sender_id="T1/U1",
        text="web-1 uptime",
        sent_at=START,
        sender_name="ada",
    )


def test_a_slash_command_is_never_private_as_a_conversation_of_two_may_be_with_another() -> None:
    assert not known(command(channel_id="D7", channel_name="directmessage")).private


@pytest.mark.parametrize("missing", ["user_id", "channel_id", "trigger_id", "team_id"])
def test_a_slash_command_of_nobody_is_none(missing: str) -> None:
    assert read(command(**{missing: ""})) is None


# Clicks.


def test_a_click_types_the_button_s_command() -> None:
    message = known(click())
    assert (message.text, message.sender_id) == ("cancel k3f9", "T1/U1")
    assert message.key == "1772442001.000200/1772442005.5/U1"
    assert message.clicked == "C1/1772442001.000200"
    assert (message.thread.channel_id, message.thread.thread_id) == ("C1", TS)
    assert message.thread.ref["until"] == HALF_PAST


def test_a_button_that_stays_spends_no_post() -> None:
    stays = {"type": "button", "action_id": "skadi_stay_0", "value": "log", "action_ts": TS}
    assert known(click(actions=[stays])).clicked == ""


def test_a_click_on_a_post_outside_of_threads_is_in_the_thread_of_that_post() -> None:
    container = {"channel_id": "C1", "message_ts": TS}
    assert known(click(container=container)).thread.thread_id == TS

    only_theirs = known(click(container={**container, "is_ephemeral": True}, message=None)).thread
    assert (only_theirs.thread_id, only_theirs.ref["alone"]) == ("", f"C1/{TS}")


@pytest.mark.parametrize(
    "facts",
    [
        {"user": {"id": "U1", "team_id": "T9"}},
        {"user": {"id": "U1", "team_id": "T9"}, "team": {"id": "T9"}},
        {"user": {}},
        {"actions": [{"type": "static_select", "value": "cancel"}]},
        {"container": {"type": "view", "view_id": "V1"}},
        {"actions": ["button"]},
        {"actions": {"0": "button"}},
    ],
)
def test_a_click_of_a_stranger_or_on_something_else_is_none(facts: dict[str, Any]) -> None:
    assert read(click(**facts)) is None


def test_an_empty_button_types_nothing() -> None:
    assert known(click("")).text == ""


@pytest.mark.parametrize("said", ["T1", "T9"])
def test_a_clicker_on_enterprise_grid_is_one_of_whom_slack_is_asked(said: str) -> None:
    clicked = click(enterprise={"id": "E1"}, user={"id": "U1", "team_id": said})
    assert known(clicked).sender_id == "E1/U1"


# Where it may be answered without a token.


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://hooks.slack.com/actions/T1/1/x", API),
        ("https://hooks.slack-gov.com/actions/1", "https://slack-gov.com/api/"),
        ("https://hooks.slack-gov.com/actions/1", API),
        ("http://127.0.0.1:8080/hooks/1", "http://127.0.0.1:8080/api/"),
        ("https://slack.corp.example/hooks/1", "https://slack.corp.example/api/"),
    ],
)
def test_an_answer_goes_to_slack(url: str, api: str) -> None:
    for payload in (command(response_url=url), click(response_url=url)):
        assert known(payload, api).thread.ref["response_url"] == url


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://hooks.slack.com/actions/1", API),
        ("https://evil.example/hooks.slack.com/", API),
        ("https://hooks.slack.com.evil.example/1", API),
        ("https://evilslack.com/1", API),
        ("https://hooks.slack.com@evil.example/1", API),
        ("https://evil.example\\@hooks.slack.com/1", API),
        ("https://evil.example#@hooks.slack.com/1", API),
        ("https://hooks.slack.com\n/1", API),
        ("https://hooks.slack.com/1\r\nx: y", API),
        ("https://hooks.slack.com:8443/1", API),
        ("http://169.254.169.254/latest/meta-data/", API),
        ("file:///etc/passwd", API),
        ("https://hooks.slack.com/1", "http://127.0.0.1:8080/api/"),
        ("http://127.0.0.1:6379/", "http://127.0.0.1:8080/api/"),
        ("http://127.0.0.1:8080@evil.example/", "http://127.0.0.1:8080/api/"),
    ],
)
def test_an_answer_goes_nowhere_else(url: str, api: str) -> None:
    for payload in (command(response_url=url), click(response_url=url)):
        assert {"response_url", "until"}.isdisjoint(known(payload, api).thread.ref)


# What was typed.


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("a &lt;b&gt; &amp;&amp; c", "a <b> && c"),
        ("&amp;lt;", "&lt;"),
        ("cat &lt;in &gt;out", "cat <in >out"),
        ("<https://x.example/a?b=1&amp;c=2>", "https://x.example/a?b=1&c=2"),
        ("<http://x.example|x.example>", "x.example"),
        ("<mailto:ada@corp.example|ada@corp.example>", "ada@corp.example"),
        ("<@U7>", "@U7"),
        ("<@U7|ben>", "@ben"),
        ("<#C7|ops>", "#ops"),
        ("<#C7>", "#C7"),
        ("<#C7|>", "#C7"),
        ("<!here>", "@here"),
        ("<!channel|channel>", "@channel"),
        ("<!subteam^S1|@devs>", "@devs"),
        ("<!subteam^S1>", "@S1"),
        ("<!date^1392734382^{date}|Feb 18>", "Feb 18"),
        ("echo “quoted” — as typed", "echo “quoted” — as typed"),
        ("a < b", "a < b"),
        ("<>", ""),
    ],
)
def test_a_text_is_read_as_it_was_typed(sent: str, typed: str) -> None:
    assert plain(sent) == typed


@given(some.text())
def test_any_text_survives_being_escaped(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert plain(escaped) == text


def test_half_a_character_is_replaced_as_nothing_could_keep_it() -> None:
    assert known(direct("echo \ud83d")).text == "echo ?"


json_like = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    payload=some.sampled_from([mention(), direct(), command(), click()]),
    key=some.data(),
    value=json_like,
)
def test_no_payload_is_garbled_enough_to_break_the_reading(
    payload: dict[str, Any], key: some.DataObject, value: Any
) -> None:
    inner = payload.get("event", payload)
    spoilt = {**inner, key.draw(some.sampled_from(sorted(inner))): value}
    whole = {**payload, "event": spoilt} if "event" in payload else spoilt
    for reader in (read_command, read_click):
        reader("slack", whole, START, API)
    read_event("slack", whole)
    read_event("slack", {**payload, "event": value, "authorizations": value})


def test_a_repeat_differs_in_nothing() -> None:
    assert replace(known(mention())) == known(mention())


# What operators write.


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("T024BE7LD/U023BECGF", "T024BE7LD/U023BECGF"),
        (" E1A/W2B ", "E1A/W2B"),
        ("U023BECGF", None),
        ("T024BE7LD/ada", None),
        ("T024BE7LD/", None),
        ("T024BE7LD/U1/U2", None),
    ],
)
def test_an_operator_names_a_person_by_team_and_user(text: str, subject: str | None) -> None:
    assert read_subject(text) == subject
