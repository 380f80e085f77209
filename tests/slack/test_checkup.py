"""What `python app.py check` says of Slack, with a Slack to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.slack import check, make
from adapters.slack.checkup import ADVICE
from adapters.slack.options import Options
from core.errors import SettingsError
from core.settings import Secret
from core.settings.finding import Finding
from tests.clock import Clock
from tests.slack.desk import APP, Desk, at_work, options
from tests.slack.test_installations import BY_INSTALL

HERE = Path("nowhere")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with at_work(Clock(datetime.now(UTC))) as desk:
        yield desk


async def found(desk: Desk, **given: Any) -> list[Finding]:
    chosen = options(desk.server, **given)
    return await asyncio.to_thread(lambda: [*check("slack", chosen, HERE)])


async def failure(desk: Desk, **given: Any) -> str:
    """The only one, with what to do about it."""
    [finding] = [each for each in await found(desk, **given) if each.level == "fail"]
    assert finding.todo
    return f"{finding.message} {finding.todo}"


async def test_all_is_well(desk: Desk) -> None:
    findings = await found(desk, app_token=Secret(APP.token))
    assert [finding.level for finding in findings] == ["ok"] * 4
    said = " ".join(finding.message for finding in findings)
    assert "bot_token is skadi's in corp (T1)." in said
    assert "/slack/events" in said
    assert "xoxb" not in said


async def test_a_missing_scope_is_named(desk: Desk) -> None:
    desk.fake.teams["T1"].scopes = "chat:write,commands,app_mentions:read"
    said = await failure(desk)
    assert said.startswith("Scopes are missing: files:write, im:history, im:write, users:read.")
    assert "install the app again" in said


async def test_a_wrong_token_is_named(desk: Desk) -> None:
    said = await failure(desk, bot_token=Secret("xoxb-other"))
    assert said.startswith("bot_token: Slack says invalid_auth.")
    desk.fake.teams["T1"].installed = False
    assert "install it again" in await failure(desk)


async def test_a_wrong_app_token_is_named(desk: Desk) -> None:
    said = await failure(desk, app_token=Secret("xapp-1-A1-other"))
    assert said.startswith("app_token: Slack says invalid_auth.")


@pytest.mark.parametrize(
    "secret", ["xyz", "0" * 31, "0" * 33, "Z" * 32, "G7hZbUkmvjGo1yVGd1dTXmBy"]
)
async def test_what_cannot_be_a_signing_secret_is_named(desk: Desk, secret: str) -> None:
    said = await failure(desk, signing_secret=Secret(secret))
    assert said.startswith("signing_secret is not 32 digits from 0 to f.")
    assert secret not in said


@pytest.mark.parametrize(("minutes", "word"), [(7, "slow"), (-7, "fast")])
async def test_a_clock_that_is_off_is_named(desk: Desk, minutes: float, word: str) -> None:
    desk.clock.move(minutes=minutes)
    said = await failure(desk)
    assert f" s {word}, by Slack's." in said
    assert "NTP" in said


async def test_slack_that_cannot_be_reached_is_named(desk: Desk) -> None:
    await desk.server.go_away()
    assert "Can this machine reach Slack?" in await failure(desk)


async def test_an_answer_that_is_none_is_no_crash(desk: Desk) -> None:
    desk.fake.trouble = "html"
    assert "bot_token: Slack" in await failure(desk)


async def test_the_secret_of_the_pages_is_tried(desk: Desk) -> None:
    findings = await found(desk, **BY_INSTALL, teams=("T1",))
    assert [finding.level for finding in findings] == ["ok"] * 3
    wrong = {**BY_INSTALL, "client_secret": Secret("other")}
    assert (await failure(desk, **wrong)).endswith(ADVICE["bad_client_secret"])
    stranger = {**BY_INSTALL, "client_id": "9.9"}
    assert (await failure(desk, **stranger)).endswith(ADVICE["invalid_client_id"])
    assert "client_id is none" in await failure(desk, **{**BY_INSTALL, "client_id": "A1"})


async def test_a_page_that_is_open_to_every_team_is_pointed_out(desk: Desk) -> None:
    assert [finding.level for finding in await found(desk, **BY_INSTALL)] == ["ok", "warn", "ok"]


# What stops the start.

XOXB, SIGNED, XAPP = Secret("xoxb-1"), Secret("0" * 32), Secret("xapp-1")
ID, SECRET, KEY = "1.2", Secret("s"), BY_INSTALL["key"]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "bot_token"),
        ({"signing_secret": SIGNED}, "bot_token"),
        ({"bot_token": XOXB}, "signing_secret"),
        ({"bot_token": Secret("xoxp-1"), "signing_secret": SIGNED}, "bot_token"),
        ({"bot_token": XOXB, "app_token": XOXB}, "app_token"),
        ({"bot_token": XOXB, "signing_secret": SIGNED, "client_id": ID}, "bot_token"),
        ({"client_id": ID, "signing_secret": SIGNED, "key": KEY}, "client_secret"),
        ({"client_secret": SECRET, "signing_secret": SIGNED, "key": KEY}, "client_id"),
        ({"client_id": ID, "client_secret": SECRET, "signing_secret": SIGNED}, "key"),
        ({"bot_token": XOXB, "signing_secret": SIGNED, "key": KEY}, "client_id"),
        (
            {
                "client_id": ID,
                "client_secret": SECRET,
                "signing_secret": SIGNED,
                "key": Secret("short"),
            },
            "key",
        ),
        ({"bot_token": XOXB, "signing_secret": SIGNED, "api": "slack.com"}, "api"),
        ({"bot_token": XOXB, "signing_secret": SIGNED, "api": "https://slack.com/api"}, "api"),
    ],
)
async def test_what_is_missing_or_wrong_stops_the_start(
    desk: Desk, given: dict[str, Any], key: str
) -> None:
    with pytest.raises(SettingsError, match=rf"^\[adapters.slack\] {key} is "):
        make("slack", Options(**given), desk.adapter._around)
    with pytest.raises(SettingsError, match=rf"^\[adapters.slack\] {key} is "):
        list(check("slack", Options(**given), HERE))
