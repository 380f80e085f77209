"""What agents say of themselves: kept as far as it is sensible, and believed by every process."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from core.errors import TooMany
from core.hellos import MOST_COMMANDS, MOST_TEXT
from core.model import Agent, Hello, Offer
from tests.clock import Clock
from tests.core.parts import count
from tests.house import House, open_house

DEPLOY = Offer("deploy", "bring a version online", ("version",))


async def enrol(house: House, name: str = "web-1") -> Agent:
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada, name)
    return agent


async def say(
    house: House,
    agent: Agent,
    *commands: Offer,
    version: str = "1.1",
    hostname: str = "northwind",
) -> Hello:
    await house.agents.hellos.say(agent, version=version, hostname=hostname, commands=commands)
    hello = await house.agents.hellos.of(agent)
    assert hello is not None
    return hello


async def test_what_an_agent_says_is_kept(house: House) -> None:
    agent = await enrol(house)
    assert await house.agents.hellos.of(agent) is None
    hello = await say(house, agent, DEPLOY)
    assert hello == Hello(agent.id, "1.1", "northwind", (DEPLOY,), False, house.clock())


async def test_a_repeat_writes_nothing_and_makes_nobody_forget(house: House) -> None:
    agent = await enrol(house)
    first = await say(house, agent, DEPLOY)
    epoch = await house.store.facts.epoch()
    house.clock.move(hours=1)
    assert await say(house, agent, DEPLOY) == first
    assert await house.store.facts.epoch() == epoch


async def test_an_agent_that_keeps_changing_its_mind_is_asked_to_wait(house: House) -> None:
    agent = await enrol(house)
    first = await say(house, agent, DEPLOY)
    house.clock.move(seconds=9)
    with pytest.raises(TooMany):
        await say(house, agent)
    assert await house.agents.hellos.of(agent) == first
    house.clock.move(seconds=1)
    assert (await say(house, agent)).commands == ()


async def test_what_is_remembered_costs_no_question(house: House) -> None:
    agent = await enrol(house)
    hello = await say(house, agent, DEPLOY)
    asked = list[str]()
    engine = house.store._database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    assert await house.agents.hellos.of(agent) == hello
    assert asked == []
    house.agents._memory.forget()
    assert await house.agents.hellos.of(agent) == hello
    assert sum(words.startswith("SELECT") for words in asked) == 1


async def test_another_process_believes_the_newest_hello(
    database_url: str, clock: Clock, redis_url: str
) -> None:
    async with (
        open_house(database_url, clock, redis_url=redis_url) as one,
        open_house(database_url, clock, redis_url=redis_url) as two,
    ):
        agent = await enrol(one)
        await say(one, agent, DEPLOY)
        token = await two.agents.rotate(agent.account_id, agent.id)
        await two.agents.authenticate(token)
        assert (await two.agents.hellos.of(agent)) is not None
        clock.move(minutes=1)
        await say(one, agent, version="2")
        await two.agents.authenticate(token)
        hello = await two.agents.hellos.of(agent)
        assert hello is not None
        assert hello.version == "2"


async def test_what_is_hostile_is_made_harmless(house: House) -> None:
    agent = await enrol(house)
    hello = await say(
        house,
        agent,
        Offer("de\x1b[31mploy\n\u202eevil", "h\0elp \ud800" + "x" * 500, ("a\tb", "", "p" * 101)),
        Offer("n" * 101),
        Offer(" \n"),
        DEPLOY,
        Offer("deploy", "twice"),
        version="9" * 10_000,
        hostname="a\r\nb",
    )
    assert (hello.version, hello.hostname) == ("9" * 50, "a b")
    assert [offer.name for offer in hello.commands] == ["de[31mploy evil", "deploy"]
    assert hello.commands[0].help.startswith("h�elp ?xxx")
    assert len(hello.commands[0].help) == 200
    assert hello.commands[0].params == ("a b", "p" * 100)
    assert hello.commands[1] == DEPLOY


async def test_there_is_an_end_to_what_is_kept(house: House) -> None:
    agent = await enrol(house)
    many = await say(house, agent, *(Offer(f"c{n}") for n in range(1000)))
    assert len(many.commands) == MOST_COMMANDS
    house.clock.move(minutes=1)
    large = ["界" * 99 + str(n % 10) for n in range(20)]
    much = await say(house, agent, *(Offer(f"c{n}", "", tuple(large)) for n in range(200)))
    assert 0 < sum(100 * len(offer.params) for offer in much.commands) <= MOST_TEXT


async def test_a_removed_agent_leaves_no_hello(house: House) -> None:
    agent = await enrol(house)
    await say(house, agent, DEPLOY)
    await house.agents.remove(agent.account_id, agent.id)
    assert await count(house.store, "hellos") == 0
