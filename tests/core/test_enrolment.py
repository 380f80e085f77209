"""One-time codes: each gives one machine the token of one agent, and nobody else anything."""

from __future__ import annotations

import asyncio

import pytest

from core.enrolment import TRIES, neighbourhood
from core.errors import Conflict, NotFound, TooMany, Unauthorized
from core.model import Agent
from tests.core.parts import count
from tests.house import House

HERE = "192.0.2.7"


async def enrol(house: House, name: str = "web-1") -> tuple[Agent, str]:
    ada, _ = await house.people()
    return await house.enrol(ada, name)


async def new_code(house: House, agent: Agent) -> str:
    line = await house.agents.enrolment.new_line(agent)
    before, _, code = line.rpartition(" ")
    assert before == (
        "python3 -I -c 'import urllib.request as u; "
        'exec(u.urlopen("http://127.0.0.1:8000/install.py").read())\''
    )
    return code


async def refused(house: House, code: str, address: str = HERE) -> str:
    with pytest.raises(NotFound) as caught:
        await house.agents.enrolment.exchange(code, address)
    return f"{caught.value.code}: {caught.value.message}"


async def test_a_code_is_exchanged_for_a_new_token(house: House) -> None:
    agent, old = await enrol(house)
    code = await new_code(house, agent)
    enrolled, token = await house.agents.enrolment.exchange(code.lower().replace("-", " "), HERE)
    assert enrolled.id == agent.id
    assert len(token) == 20
    assert token.isalnum()
    assert (await house.agents.authenticate(token)).id == agent.id
    with pytest.raises(Unauthorized):
        await house.agents.authenticate(old)


async def test_wrong_used_old_and_replaced_codes_are_refused_all_alike(house: House) -> None:
    agent, token = await enrol(house)
    said = {await refused(house, "AAAA-BBBB-CCCC-DDDD"), await refused(house, "")}
    said.add(await refused(house, "\ud800" * 100_000))
    used = await new_code(house, agent)
    _, token = await house.agents.enrolment.exchange(used, HERE)
    said.add(await refused(house, used))
    replaced = await new_code(house, agent)
    old = await new_code(house, agent)
    said.add(await refused(house, replaced))
    house.clock.move(hours=1)
    said.add(await refused(house, old))
    assert said == {"EnrolCodeNotFound: This code is wrong, used or too old."}
    assert await house.agents.authenticate(token)


async def test_of_two_machines_with_one_code_one_is_enrolled(house: House) -> None:
    agent, _ = await enrol(house)
    code = await new_code(house, agent)
    exchanges = (house.agents.enrolment.exchange(code, HERE) for _ in range(4))
    answers = await asyncio.gather(*exchanges, return_exceptions=True)
    [(_, token)] = [each for each in answers if not isinstance(each, BaseException)]
    assert sum(isinstance(each, NotFound) for each in answers) == 3
    assert (await house.agents.authenticate(token)).id == agent.id


async def test_who_guesses_is_stopped_and_others_are_not(house: House) -> None:
    agent, _ = await enrol(house)
    code = await new_code(house, agent)
    for _ in range(TRIES):
        await refused(house, "AAAA-BBBB-CCCC-DDDD", "2001:db8::1")
    with pytest.raises(TooMany):
        await house.agents.enrolment.exchange("AAAA-BBBB-CCCC-DDDD", "2001:db8::2")
    await refused(house, "AAAA-BBBB-CCCC-DDDD")
    # Who has a right one is not kept away by neighbours who guess.
    assert await house.agents.enrolment.exchange(code, "2001:db8::2")
    house.clock.move(minutes=10)
    await refused(house, "AAAA-BBBB-CCCC-DDDD", "2001:db8::1")


def test_a_house_of_addresses_is_one_neighbour() -> None:
    assert neighbourhood("2001:db8:0:1::5") == neighbourhood("2001:db8:0:1:ffff::1")
    assert neighbourhood("2001:db8:0:1::5") != neighbourhood("2001:db8:0:2::5")
    assert neighbourhood("::ffff:192.0.2.7") != neighbourhood("::ffff:192.0.2.8")
    assert neighbourhood("192.0.2.7") != neighbourhood("192.0.2.8")
    assert len(neighbourhood("x" * 1000)) == 64


async def test_many_machines_behind_one_address_may_enrol(house: House) -> None:
    ada, _ = await house.people()
    for number in range(TRIES + 5):
        agent, _ = await house.enrol(ada, f"web-{number}")
        await house.agents.enrolment.exchange(await new_code(house, agent), HERE)


async def test_a_machine_may_say_how_it_is_called(house: House) -> None:
    agent, _ = await enrol(house)
    code = await new_code(house, agent)
    renamed, token = await house.agents.enrolment.exchange(code, HERE, name="shop")
    assert renamed.name == "shop"
    assert (await house.agents.find(agent.account_id, "shop")).id == agent.id
    assert (await house.agents.authenticate(token)).name == "shop"


@pytest.mark.parametrize("name", ["db-1", "two words", "x" * 51])
async def test_a_name_that_cannot_be_leaves_the_code_as_good_as_it_was(
    house: House, name: str
) -> None:
    agent, old = await enrol(house)
    await house.enrol(await house.accounts.get(agent.account_id), "db-1")
    code = await new_code(house, agent)
    with pytest.raises(Conflict) as caught:
        await house.agents.enrolment.exchange(code, HERE, name=name)
    assert caught.value.code == "InvalidName"
    assert (await house.agents.authenticate(old)).name == "web-1"
    assert (await house.agents.enrolment.exchange(code, HERE))[0].name == "web-1"


async def test_a_removed_agent_has_no_code(house: House) -> None:
    agent, _ = await enrol(house)
    code = await new_code(house, agent)
    await house.agents.remove(agent.account_id, agent.id)
    assert await count(house.store, "enrol_codes") == 0
    await refused(house, code)


async def test_the_database_holds_no_code(house: House) -> None:
    agent, _ = await enrol(house)
    code = await new_code(house, agent)
    async with house.store._database.reading() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM enrol_codes")).all()
    assert len(rows) == 1
    assert code not in str(rows)
    assert code.replace("-", "") not in str(rows)
