"""Socket Mode's line is cut fifty times, in every manner: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.slack.fake import Room
from tests.slack.fake.sockets import Manner
from tests.slack.haste import Running, hurry
from tests.slack.office import Office, open_office
from tests.slack.voices import Voice, voice

HASTE = 20
CUTS = 50
MANNERS: tuple[Manner, ...] = (
    "abrupt", "refresh", "mid", "refused", "warning", "late", "abrupt", "no_url", "garbled", "mid",
    "refused", "deaf",
)  # fmt: skip


async def test_between_two_cuts_what_was_said_is_taken_in_once(tmp_path: Path) -> None:
    """Without haste and one by one, so that each manner by itself is known to work."""
    async with open_office(tmp_path, Running(), sockets=True) as office:
        ada, rooms = await people(office)
        machine = await office.enrol()
        for manner in ("abrupt", "refresh", "mid", "late"):
            await cut(office, manner)
            await ada.writes(rooms[0], f"@skadi web-1 after {manner}")
        await office.until(lambda: len(machine.commands) == 4)
        assert machine.commands == [f"after {m}" for m in ("abrupt", "refresh", "mid", "late")]


def test_fifty_cuts_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    hurry(HASTE, lambda: story(tmp_path))


async def story(folder: Path) -> None:
    async with open_office(folder, Running(), sockets=True) as office:
        slack, sockets = office.slack, office.server.sockets
        ada, rooms = await people(office)
        machine = await office.enrol()
        chance, telling, wanted = random.Random(7), list[asyncio.Task[Any]](), list[str]()

        def tell(number: int, turn: str) -> None:
            wanted.append(f"run {number}{turn}")
            room = chance.choice(rooms)
            said = ada.writes(room, f"@skadi web-1 {wanted[-1]}")
            telling.append(asyncio.create_task(said))

        for number, manner in enumerate(islice(cycle(MANNERS), CUTS)):
            sockets.twice += number % 3 == 0
            tell(number, "a")
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.05, 0.5)))
            await cut(office, manner)
            tell(number, "b")
        await asyncio.gather(*telling)
        await office.until(lambda: len(machine.commands) >= len(wanted), "all to be run")
        await office.calm()

        assert slack.given_up == []
        assert sorted(machine.commands) == sorted(wanted)
        assert sockets.opened > CUTS * 0.9
        assert any(attempt.retry for attempt in slack.attempts), "the cuts were too kind"
        told = Counter(command for room in rooms for command in commands_told(room))
        assert told == Counter(wanted)


def test_a_line_that_is_dead_and_does_not_say_so_is_found_out(tmp_path: Path) -> None:
    """Nothing is under way on it that could be missed."""

    async def story() -> None:
        async with open_office(tmp_path, Running(), sockets=True) as office:
            ada, rooms = await people(office)
            machine = await office.enrol()
            await cut(office, "deaf")
            await ada.writes(rooms[0], "@skadi web-1 uptime")
            await office.until(lambda: machine.commands == ["uptime"])
            assert office.server.sockets.opened == 2

    hurry(HASTE, story)


async def test_a_command_that_is_cut_off_is_done_once_or_its_owner_is_told(tmp_path: Path) -> None:
    """Slack does not repeat these: who gave it hears from Slack that something went wrong."""
    async with open_office(tmp_path, Running(), sockets=True) as office:
        ada, rooms = await people(office)
        machine = await office.enrol()
        for number in range(5):
            await line_up(office)
            await office.server.sockets.cut("mid")
            await ada.types(rooms[0], f"web-1 run {number}")
        await line_up(office)
        await ada.types(rooms[0], "web-1 run 5")
        await office.until(lambda: "run 5" in machine.commands)
        assert max(Counter(machine.commands).values()) == 1
        assert len(office.slack.complaints) == 5


async def people(office: Office) -> tuple[Voice, list[Room]]:
    ada = voice(office, "ada")
    await office.link(ada.person)
    names = ("ops", "dev", "web", "db", "mail", "lab", "night", "day")
    return ada, [office.slack.room(office.team, name, ada.person) for name in names]


async def line_up(office: Office) -> None:
    lines = office.server.sockets.lines
    await office.until(lambda: any(line.usable for line in lines), "a line")


async def cut(office: Office, manner: Manner) -> None:
    """There must be a line to be cut."""
    await line_up(office)
    await office.server.sockets.cut(manner)


def commands_told(room: Room) -> list[str]:
    """Of the jobs whose end is seen there, each post counted."""
    ours = [post for post in room.posts if post.by_app]
    assert all("Succeeded" in post.text for post in ours), room.log()
    return [post.sight.words.split("`")[3] for post in ours]
