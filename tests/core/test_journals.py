"""Daemons that take turns on one token are noticed, whichever processes they poll at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event

from core.journals import Journals
from core.model import Agent
from tests.clock import Clock
from tests.core.parts import count
from tests.house import House, open_house


@pytest.fixture
async def elsewhere(house: House, database_url: str, clock: Clock) -> AsyncIterator[House]:
    """Another process on the same database."""
    async with open_house(database_url, clock) as one:
        yield one


async def an_agent(house: House) -> Agent:
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada)
    return agent


async def test_two_that_poll_at_two_processes_are_noticed(
    house: House, elsewhere: House, clock: Clock
) -> None:
    agent = await an_agent(house)
    here, there = Journals(house.store, clock), Journals(elsewhere.store, clock)
    noticed = []
    for _ in range(3):
        noticed.append(await here.find_turns(agent.id, "old"))
        noticed.append(await there.find_turns(agent.id, "new"))
        clock.move(minutes=2)
    assert noticed == [False, False, True, False, False, False]


async def test_an_old_daemon_without_a_journal_is_one_of_two(house: House, clock: Clock) -> None:
    agent = await an_agent(house)
    journals = Journals(house.store, clock)
    noticed = [await journals.find_turns(agent.id, journal) for journal in ("", "new", "", "new")]
    assert noticed == [False, False, True, False]


async def test_what_was_read_with_the_agent_is_not_read_again_for_a_minute(
    house: House, clock: Clock
) -> None:
    agent = await an_agent(house)
    journals = Journals(house.store, clock)
    journals.read(agent)
    statements = listen(house)
    assert not await journals.find_turns(agent.id, agent.journal)
    assert statements == []
    clock.move(minutes=1)
    assert not await journals.find_turns(agent.id, agent.journal)
    assert statements != []


async def test_a_journal_that_is_known_already_is_not_written(house: House, clock: Clock) -> None:
    agent = await an_agent(house)
    await Journals(house.store, clock).find_turns(agent.id, "disk")
    statements = listen(house)
    assert not await Journals(house.store, clock).find_turns(agent.id, "disk")
    assert not [one for one in statements if one.startswith(("UPDATE", "INSERT"))]
    assert await count(house.store, "notes") == 1


async def test_one_process_that_is_late_hears_from_the_database(
    house: House, elsewhere: House, clock: Clock
) -> None:
    """It met its own journal less than a minute ago, and then read the agent again."""
    agent = await an_agent(house)
    here, there = Journals(house.store, clock), Journals(elsewhere.store, clock)
    await here.find_turns(agent.id, "old")
    await there.find_turns(agent.id, "new")
    read = await house.store.agents.get(agent.account_id, agent.id)
    assert read is not None
    here.read(read)
    assert await here.find_turns(agent.id, "old")


def listen(house: House) -> list[str]:
    """The statements that the house sends from now on."""
    statements: list[str] = []

    @event.listens_for(house.store._database.engine.sync_engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    return statements
