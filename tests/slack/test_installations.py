"""Who installed us: kept sealed, opened by its key alone, and forgotten when they have had enough."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cryptography.fernet import Fernet

from adapters.slack.installations import Installation, Many, One, Sealer, SealError
from core.chat import DeliveryError
from core.errors import SettingsError
from core.settings import Secret
from tests.clock import Clock
from tests.mail.office import Notes
from tests.slack.desk import APP, Desk, at_work, eventually

FIRST, SECOND = Fernet.generate_key().decode(), Fernet.generate_key().decode()
CORP = Installation("T1", Secret("xoxb-corp"), "U0BOT", "chat:write", "Corp", 1000.0)
BY_INSTALL: dict[str, Any] = {
    "bot_token": Secret(),
    "client_id": APP.client_id,
    "client_secret": Secret(APP.client_secret),
    "key": Secret(FIRST),
}


def many(notes: Notes, clock: Clock, keys: str = FIRST) -> Many:
    return Many(Sealer("slack", keys), notes, clock)


# Of those who install us by themselves.


async def test_another_process_knows_what_one_was_told(clock: Clock) -> None:
    notes = Notes(clock)
    await many(notes, clock).add(CORP)
    found = await many(notes, clock).find("T1")
    assert (found, await many(notes, clock).token("T1")) == (CORP, "xoxb-corp")
    assert await many(notes, clock).find("T2") is None


async def test_who_reads_the_database_reads_no_token(clock: Clock) -> None:
    notes = Notes(clock)
    await many(notes, clock).add(CORP)
    assert "xoxb" not in str(notes.kept)
    assert "xoxb" not in repr(await many(notes, clock).find("T1"))


async def test_another_key_opens_nothing_and_the_answer_may_be_tried_again(clock: Clock) -> None:
    notes = Notes(clock)
    await many(notes, clock).add(CORP)
    with pytest.raises(SealError):
        await many(notes, clock, SECOND).find("T1")
    with pytest.raises(DeliveryError) as caught:
        await many(notes, clock, SECOND).token("T1")
    assert not caught.value.permanent


async def test_a_new_key_takes_over_what_the_old_one_sealed(clock: Clock) -> None:
    notes = Notes(clock)
    await many(notes, clock).add(CORP)
    assert await many(notes, clock, f"{SECOND}, {FIRST}").find("T1") == CORP
    assert await many(notes, clock, SECOND).find("T1") == CORP


async def test_a_team_that_is_gone_is_told_nothing_for_ever(clock: Clock) -> None:
    ours = many(Notes(clock), clock)
    await ours.add(CORP)
    await ours.forget("T1")
    assert await ours.find("T1") is None
    with pytest.raises(DeliveryError) as caught:
        await ours.token("T1")
    assert caught.value.permanent


async def test_another_process_learns_soon_that_a_team_is_gone(clock: Clock) -> None:
    notes = Notes(clock)
    here, there = many(notes, clock), many(notes, clock)
    await here.add(CORP)
    assert await there.find("T1") == CORP
    await here.forget("T1")
    clock.move(seconds=11)
    assert await there.find("T1") is None


async def test_another_process_learns_at_once_that_a_team_installed_us(clock: Clock) -> None:
    notes = Notes(clock)
    here, there = many(notes, clock), many(notes, clock)
    assert await there.find("T1") is None
    await here.add(CORP)
    assert await there.token("T1") == "xoxb-corp"


async def test_who_is_taken_off_the_list_is_shut_out(clock: Clock) -> None:
    ours = many(Notes(clock), clock)
    await ours.add(CORP)
    assert await ours.find("T1") == CORP
    ours.serve_only(["T9"])
    assert await ours.find("T1") is None
    with pytest.raises(DeliveryError, match="T1") as caught:
        await ours.token("T1")
    assert caught.value.permanent
    ours.serve_only(["T9", "T1"])
    assert await ours.token("T1") == "xoxb-corp"


async def test_a_late_goodbye_does_not_undo_a_new_installation(clock: Clock) -> None:
    ours = many(Notes(clock), clock)
    await ours.add(CORP)
    await ours.forget("T1", before=900.0)
    assert await ours.find("T1") == CORP
    await ours.forget("T1", before=1000.0)
    assert await ours.find("T1") is None


@pytest.mark.parametrize(
    "keys",
    ["", ",", "short", f"{FIRST},short", "0" * 44],
    ids=["none", "comma", "short", "second", "zeros"],
)
def test_a_key_that_is_none_stops_the_start(keys: str) -> None:
    with pytest.raises(SettingsError, match=r"\[adapters.slack\] key is 32 bytes"):
        Sealer("slack", keys)


# Of the one workspace of the settings.


async def test_the_token_of_the_settings_serves_before_slack_said_whose_it_is(
    clock: Clock,
) -> None:
    ours = One(Secret("xoxb-1"), Notes(clock), clock, "http://127.0.0.1:9/api/")
    found = await ours.find("T1")
    assert found is not None
    assert (found.token, await ours.token("T1")) == ("xoxb-1", "xoxb-1")
    await ours.close()


async def test_whose_it_is_slack_is_asked_once_for_all_processes(clock: Clock) -> None:
    async with at_work(clock) as desk:
        notes, api, token = Notes(clock), desk.server.api, Secret(desk.fake.teams["T1"].token)
        ours = One(token, notes, clock, api)
        await ours.find("T1")
        await eventually(lambda: notes.kept)
        await asyncio.sleep(0.01)
        theirs = One(token, notes, clock, "http://127.0.0.1:9/api/")
        for each in (ours, theirs):
            found = await each.find("T1")
            assert found is not None
            assert found.bot_user == "U0BOTT1"
            assert await each.find("T7") is None
            with pytest.raises(DeliveryError) as caught:
                await each.token("T7")
            assert caught.value.permanent
            await each.close()
        assert [asked.method for asked in desk.fake.asked] == ["auth.test"]


async def test_slack_that_does_not_say_is_asked_again_but_not_at_every_message(
    clock: Clock,
) -> None:
    async with at_work(clock) as desk:
        desk.fake.trouble = "fatal"
        ours = One(Secret("xoxb-1"), Notes(clock), clock, desk.server.api)
        for _ in range(3):
            await ours.find("T1")
            await asyncio.sleep(0.02)
        await ours.close()
        clock.move(minutes=2)
        await ours.find("T1")
        await ours.close()


# Told by Slack.


async def installed(desk: Desk) -> Many:
    """T1 has installed us, as its token is known."""
    ours = desk.adapter._installations
    assert isinstance(ours, Many)
    installation = Installation("T1", Secret(desk.fake.teams["T1"].token), "U0BOTT1")
    await ours.add(installation)
    return ours


async def test_what_comes_from_a_team_that_installed_us_is_taken(clock: Clock) -> None:
    async with at_work(clock, **BY_INSTALL) as desk:
        assert (await desk.mention()).status_code == 200
        assert desk.inbox.messages == []
        said = (await desk.command()).json()["text"]
        assert said.startswith("I am not installed")
        ours = await installed(desk)
        assert (await desk.mention()).status_code == 200
        assert desk.inbox.only.thread.ref["team"] == "T1"
        await ours.forget("T1")


@pytest.mark.parametrize(
    ("event", "gone"),
    [
        ({"type": "app_uninstalled"}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": ["U0BOTT1"]}}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": ["UADA"], "bot": []}}, False),
        ({"type": "tokens_revoked"}, False),
    ],
)
async def test_who_removes_us_is_forgotten(clock: Clock, event: dict[str, Any], gone: bool) -> None:
    async with at_work(clock, **BY_INSTALL) as desk:
        ours = await installed(desk)
        for _ in range(2):
            assert (await desk.hear(event)).status_code == 200
        assert (await ours.find("T1") is None) is gone


@pytest.mark.parametrize("event_time", [10**400, -1, 10**11, True, "soon", 1.5])
async def test_a_goodbye_at_no_time_that_slack_would_tell_counts(
    clock: Clock, event_time: Any
) -> None:
    async with at_work(clock, **BY_INSTALL) as desk:
        ours = await installed(desk)
        answer = await desk.hear({"type": "app_uninstalled"}, event_time=event_time)
        assert answer.status_code == 200
        assert await ours.find("T1") is None


async def test_a_team_that_is_not_on_the_list_is_not_heard(clock: Clock) -> None:
    async with at_work(clock, **BY_INSTALL, teams=("T9",)) as desk:
        await installed(desk)
        assert (await desk.mention()).status_code == 200
        assert (await desk.command()).json()["text"].startswith("I am not installed")
        assert desk.inbox.messages == []


async def test_a_database_that_is_away_makes_nobody_a_stranger(clock: Clock) -> None:
    class Away(Notes):
        async def get(self, key: str) -> Any | None:
            raise OSError("The database is away.")

    async with at_work(clock, notes=Away(clock), **BY_INSTALL) as desk:
        assert (await desk.mention()).status_code == 503
        assert "please say it again" in (await desk.command()).json()["text"]
