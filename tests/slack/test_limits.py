"""Slack is slow, asks us to wait, is away for an hour: people read everything, in order and once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.slack.fake import Post, Room
from tests.slack.fake.server import BUSY_FOR
from tests.slack.fake.slack import Trouble
from tests.slack.haste import Running, hurry
from tests.slack.machine import Verb
from tests.slack.office import Office, open_office
from tests.slack.voices import Voice, voice

HASTE = 10
LONG = "\n".join(f"line {number}" for number in range(2000))


def does(command: str) -> tuple[Verb, str]:
    return "succeed", LONG if command == "long" else f"ran {command}"


Story = Callable[[Office, Voice, Room], Awaitable[None]]


def tell(folder: Path, story: Story, haste: float = HASTE) -> None:
    """Of Ada, who may command web-1, and of the room #ops."""

    async def told() -> None:
        async with open_office(folder, Running()) as office:
            ada = voice(office, "ada")
            await office.link(ada.person)
            # In haste the way to Slack takes a greater part of the second.
            office.slack.rates.grace = 0.5
            ops = office.slack.room(office.team, "ops", ada.person)
            await office.enrol("web-1", does=does)
            # By now Slack has said who she is.
            await ada.whispers("whoami")
            await ada.reads(ada.home, "ada")
            await story(office, ada, ops)

    hurry(haste, told)


def ours(room: Room) -> list[Post]:
    return [post for post in room.standing if post.by_app]


def ends(room: Room) -> list[str]:
    """What each post of ours says in the end."""
    return [post.text.splitlines()[-1] for post in ours(room)]


def asked(office: Office, method: str) -> list[str]:
    """How such calls of ours ended."""
    return [each.error for each in office.slack.asked if each.method == method]


# Slack asks us to wait.


def test_a_channel_gets_one_message_a_second(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        for number in range(12):
            await ada.writes(ops, f"@skadi web-1 run {number}")
        await office.calm()
        assert sorted(ends(ops)) == sorted(f"ran run {number}" for number in range(12))
        assert "ratelimited" not in asked(office, "chat.postMessage")

    tell(tmp_path, story)


def test_what_commands_begin_stands_there_in_the_order_of_asking(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        for number in range(8):
            await ada.types(ops, f"web-1 run {number}")
        await office.calm()
        assert ends(ops) == [f"ran run {number}" for number in range(8)]
        assert "ratelimited" not in asked(office, "chat.postMessage")

    tell(tmp_path, story)


def test_when_slack_asks_us_to_wait_we_do(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        office.slack.troubles.append("busy")
        start = office.clock()
        await ada.writes(ops, "@skadi web-1 uptime")
        await ada.reads(ops, "ran uptime")
        [post] = ours(ops)
        assert float(post.ts) - start.timestamp() >= BUSY_FOR - 1
        # Nobody tried meanwhile.
        assert asked(office, "chat.postMessage") == ["", ""]

    tell(tmp_path, story)


def test_forty_jobs_at_once_keep_to_the_edits_that_are_allowed(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        rooms = [office.slack.room(office.team, f"room{n}", ada.person) for n in range(8)]
        gates = [office.machines["web-1"].hold(f"run {n}") for n in range(40)]
        for number in range(40):
            await ada.writes(rooms[number % 8], f"@skadi web-1 run {number}")
        await office.until(lambda: len(office.machines["web-1"].heard) == 40)
        for gate in gates:
            gate.set()
        await office.calm()
        posts = [post for room in rooms for post in ours(room)]
        assert len(posts) == 40
        assert all("Succeeded" in post.text for post in posts)
        assert "ratelimited" not in asked(office, "chat.update")

    tell(tmp_path, story)


# Slack is away.


MORE = 8
MANNERS = ("refused", "html", "cut", "hang", "fatal")


@pytest.mark.parametrize("manner", MANNERS)
def test_an_hour_without_slack_loses_nothing(tmp_path: Path, manner: str) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        assert sorted(await tell_after_an_hour(office, ada, ops, manner)) == sorted(SAID)
        assert await office.dead() == 0
        assert office.slack.given_up == []

    tell(tmp_path, story, haste=20)


def test_after_an_hour_what_was_asked_in_a_thread_is_told_in_that_order(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        assert await tell_after_an_hour(office, ada, ops, "html") == SAID

    tell(tmp_path, story, haste=20)


SAID = ["ran deploy", *(f"ran run {number}" for number in range(MORE))]


async def tell_after_an_hour(office: Office, ada: Voice, ops: Room, manner: str) -> list[str]:
    """What is read once Slack is back, of a job that was running when it went, and of some more that
    were asked for meanwhile."""
    slack, web = office.slack, office.machines["web-1"]
    gate = web.hold("deploy")
    root = await ada.writes(ops, "@skadi web-1 deploy")
    deploy = await ada.reads(ops, "Running")
    await (office.server.go_away() if manner == "refused" else slack.fall_ill(manner))
    gate.set()
    for number in range(MORE):
        await ada.writes(ops, f"@skadi web-1 run {number}", below=root)
    await office.until(lambda: len(web.heard) == len(SAID) and not web.at_work, "all to be run")
    await let_time_pass(office, steps=12, minutes=5, seconds=12 if manner == "hang" else 3)
    assert "Running" in deploy.text
    await (office.server.come_back() if manner == "refused" else slack.fall_ill(""))
    # What was tried last is tried again within ten minutes.
    await let_time_pass(office, steps=25, minutes=0.5)
    await ada.reads(ops, "ran deploy")
    await office.calm()
    return ends(ops)


async def let_time_pass(office: Office, *, steps: int, minutes: float, seconds: float = 2) -> None:
    """In steps, each with so many seconds in which what has fallen due is tried."""
    for _ in range(steps):
        office.clock.move(minutes=minutes)
        await asyncio.sleep(seconds)


def test_an_edit_whose_answers_are_lost_for_an_hour_is_made(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        gate = office.machines["web-1"].hold("deploy")
        await ada.writes(ops, "@skadi web-1 deploy")
        await ada.reads(ops, "Running")
        await office.slack.fall_ill("half")
        gate.set()
        await ada.reads(ops, "ran deploy")
        await let_time_pass(office, steps=12, minutes=5)
        await office.slack.fall_ill("")
        office.clock.move(minutes=15)
        await office.calm()
        assert ends(ops) == ["ran deploy"]
        assert await office.dead() == 0

    tell(tmp_path, story, haste=20)


def test_what_slack_did_and_did_not_tell_us_ends_with_the_truth(tmp_path: Path) -> None:
    """An answer is lost: the message may stand there twice, and the one that is kept is true."""

    async def story(office: Office, ada: Voice, ops: Room) -> None:
        office.slack.troubles.extend(["lost", "", "lost"])
        await ada.writes(ops, "@skadi web-1 uptime")
        await ada.reads(ops, "ran uptime")
        await office.calm()
        assert len(ours(ops)) <= 2
        assert "Succeeded" in ours(ops)[-1].text

    tell(tmp_path, story)


@pytest.mark.parametrize("step", range(5))
def test_a_file_is_shown_once_whatever_answer_is_lost(tmp_path: Path, step: int) -> None:
    """Of the calls that a long output takes: the message, a place, the content, and that it is shown."""

    async def story(office: Office, ada: Voice, ops: Room) -> None:
        gate = office.machines["web-1"].hold("long")
        await ada.writes(ops, "@skadi web-1 long")
        await ada.reads(ops, "Running")
        await asyncio.sleep(4)
        trouble: list[Trouble] = [*[""] * step, "lost"]  # type: ignore[list-item]
        office.slack.troubles.extend(trouble)
        gate.set()
        await ada.reads(ops, "line 1999")
        await office.until(lambda: any(post.files for post in ours(ops)), "the file")
        await office.calm()
        files = [file for post in ours(ops) for file in post.files]
        assert [file.text for file in files] == [LONG]

    tell(tmp_path, story)


# What is there is no longer there.


def test_a_post_that_people_deleted_is_made_anew(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        gate = office.machines["web-1"].hold("uptime")
        await ada.writes(ops, "@skadi web-1 uptime")
        (await ada.reads(ops, "Running")).deleted = True
        gate.set()
        await ada.reads(ops, "ran uptime")
        [post] = ours(ops)
        assert post.thread_ts == ops.posts[0].ts

    tell(tmp_path, story)


def test_when_we_are_thrown_out_the_person_is_told_alone(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        gate = office.machines["web-1"].hold("uptime")
        await ada.writes(ops, "@skadi web-1 uptime")
        await ada.reads(ops, "Running")
        ops.members.remove(office.team.bot.id)
        gate.set()
        await ada.reads(ada.home, "ran uptime")
        await office.calm()
        assert await office.dead() == 0

    tell(tmp_path, story)


def test_while_the_token_is_not_accepted_nothing_is_lost(tmp_path: Path) -> None:
    async def story(office: Office, ada: Voice, ops: Room) -> None:
        office.team.installed = False
        await ada.writes(ops, "@skadi web-1 uptime")
        await office.until(lambda: "account_inactive" in asked(office, "chat.postMessage"))
        await asyncio.sleep(5)
        office.team.installed = True
        office.clock.move(minutes=10)
        await ada.reads(ops, "ran uptime")
        assert len(ours(ops)) == 1

    tell(tmp_path, story)
