"""Agents, their names and tokens, and what several processes remember of them on one Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select

from core import schema
from core.accounts import hash_secret
from core.agents import Agents
from core.errors import Invalid, NotFound, Unauthorized, Unavailable
from core.jobs import Claimed
from core.memory import FRESH
from core.model import Account, Agent, EventMessage, new_id
from tests.clock import Clock
from tests.core.parts import count, eventually, submit
from tests.house import House, open_house
from tests.servers import Redis


@pytest.fixture
async def here(sqlite_url: str, redis_url: str, clock: Clock) -> AsyncIterator[House]:
    async with open_house(sqlite_url, clock, redis_url=redis_url) as one:
        yield one


@pytest.fixture
async def there(sqlite_url: str, redis_url: str, here: House, clock: Clock) -> AsyncIterator[House]:
    """Another process on the same addresses."""
    async with open_house(sqlite_url, clock, redis_url=redis_url) as one:
        yield one


@pytest.fixture
def mortal() -> Iterator[Redis]:
    """A Redis that the test may stop."""
    with Redis() as server:
        yield server


class TestNames:
    async def test_names_that_differ_by_case_are_different(self, house: House) -> None:
        ada, _ = await house.people()
        agents = {name: (await house.enrol(ada, name))[0] for name in ("web", "Web", "wéb", "WEB")}
        for name, agent in agents.items():
            assert (await house.agents.find(ada.id, name)).id == agent.id
        with pytest.raises(NotFound):
            await house.agents.find(ada.id, "wEb")

    async def test_one_spelling_is_one_name(self, house: House) -> None:
        ada, _ = await house.people()
        await house.enrol(ada, "w\u00e9b")
        with pytest.raises(Invalid):
            await house.enrol(ada, "we\u0301b")
        assert await house.agents.find(ada.id, "we\u0301b")

    async def test_a_name_without_an_end_is_refused_at_once(self, house: House) -> None:
        """Joining accents to letters takes the square of the time for their number."""
        ada, _ = await house.people()
        endless = "a" + "\u0301\u0316" * 100_000
        begun = time.perf_counter()
        with pytest.raises(Invalid):
            await house.agents.enrol(ada.id, endless)
        with pytest.raises(Invalid):
            await house.agents.enrol(ada.id, "web", alias=endless)
        with pytest.raises(NotFound) as refusal:
            await house.agents.find(ada.id, endless)
        assert time.perf_counter() - begun < 0.5
        assert len(refusal.value.message) < 100
        assert refusal.value.facts["near"] == []

    async def test_a_name_of_letters_whose_accents_stand_apart_is_found(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada, "e\u0301" * 50)
        assert agent.name == "\u00e9" * 50
        assert (await house.agents.find(ada.id, "e\u0301" * 50)).id == agent.id

    async def test_accounts_whose_ids_begin_alike_do_not_meet_in_memory(self, house: House) -> None:
        """Upstream systems choose ids, and tenants the names of their agents."""
        corp = await house.accounts.account_for_upstream("corp")
        team = await house.accounts.account_for_upstream("corp:team")
        theirs, _ = await house.enrol(team, "db")
        assert (await house.agents.find(team.id, "db")).id == theirs.id
        with pytest.raises(NotFound):
            await house.agents.find(corp.id, "team:db")
        with pytest.raises(NotFound):
            await house.agents.get(corp.id, f"team:{theirs.id}")
        trap, _ = await house.enrol(corp, "team:web")
        assert (await house.agents.find(corp.id, "team:web")).id == trap.id
        with pytest.raises(NotFound):
            await house.agents.find(team.id, "web")

    async def test_names_and_aliases_share_one_room(self, house: House) -> None:
        ada, mallory = await house.people()
        agent, _ = await house.agents.enrol(ada.id, "web", alias="front")
        for name, alias, code in (("front", "", "InvalidName"), ("db", "web", "InvalidAlias")):
            with pytest.raises(Invalid) as refusal:
                await house.agents.enrol(ada.id, name, alias=alias)
            assert refusal.value.code == code
        assert len(await house.agents.list(ada.id)) == 1
        assert (await house.agents.find(ada.id, "front")).id == agent.id
        await house.agents.enrol(mallory.id, "web")

    async def test_a_removed_agents_name_is_free_and_its_token_dead(self, house: House) -> None:
        ada, _ = await house.people()
        agent, token = await house.enrol(ada, "web")
        await house.agents.remove(ada.id, agent.id)
        with pytest.raises(Unauthorized):
            await house.agents.authenticate(token)
        await house.enrol(ada, "web")

    @pytest.mark.parametrize("name", ["help", "Help", "ｈｅｌｐ", "ＨＥＬＰ", "ℎelp", "帮助"])
    async def test_a_word_of_ours_is_no_name_however_it_is_written(
        self, house: House, name: str
    ) -> None:
        ada, _ = await house.people()
        words = frozenset({"help", "帮助"})
        agents = Agents(house.store, house.broker, house.accounts, reserved=words)
        with pytest.raises(Invalid) as refusal:
            await agents.enrol(ada.id, name)
        assert refusal.value.facts["reserved"]
        await agents.enrol(ada.id, f"{name}2")


async def events(house: House, account: Account) -> list[EventMessage]:
    """What an owner was told of agents, oldest first."""
    mine = select(schema.events.c.id).where(schema.events.c.account_id == account.id)
    async with house.store._database.reading() as connection:
        ids = [row.id for row in await connection.execute(mine.order_by(schema.events.c.id))]
    return [event for id in ids if (event := await house.store.jobs.message(id))]


async def test_half_a_character_in_a_message_is_replaced(house: House) -> None:
    ada, _ = await house.people()
    agent, _ = await house.enrol(ada)
    await house.agents.say(agent, "info", "a\ud83db\0c", channel="d\udc00e")
    said = (await events(house, ada))[-1]
    assert (said.message, said.channel) == ("a?b\ufffdc", "d?e")


class TestPresence:
    async def test_an_agent_that_signs_here_is_online_without_a_question_to_the_broker(
        self, sqlite_url: str, mortal: Redis, clock: Clock
    ) -> None:
        async with open_house(sqlite_url, clock, redis_url=mortal.url) as house:
            ada, _ = await house.people()
            agent, _ = await house.enrol(ada)
            mortal.pause()
            try:
                clock.move(minutes=2.9)
                async with asyncio.timeout(1):
                    standing = (await house.agents.standing([agent]))[agent.id]
            finally:
                mortal.resume()
            assert standing.online
            assert standing.last_seen == clock.now - timedelta(minutes=2.9)

    async def test_one_that_fell_silent_here_may_have_signed_elsewhere(
        self, here: House, there: House, clock: Clock
    ) -> None:
        ada, _ = await here.people()
        agent, token = await here.enrol(ada)
        for _ in range(4):
            clock.move(minutes=1)
            await there.agents.authenticate(token)
            await here.broker.listen(clock(), 90)
        assert (await here.agents.standing([agent]))[agent.id].online
        for _ in range(4):
            clock.move(minutes=1)
            await here.broker.listen(clock(), 90)
        for house in (here, there):
            assert not (await house.agents.standing([agent]))[agent.id].online


class TestStorms:
    """Thousands of agents poll at the same moment: after a start, after a change of facts."""

    async def test_three_thousand_first_polls_are_all_answered(
        self, mysql_url: str, redis_url: str, clock: Clock
    ) -> None:
        async with open_house(mysql_url, clock, redis_url=redis_url) as house:
            ada, _ = await house.people()
            tokens = await crowd(house, ada, 3000, journal="disk")
            assert await asyncio.gather(*(poll(house, token) for token in tokens)) == [None] * 3000
            assert len(await house.store.agents.said_online()) == 3000
            assert await count(house.store, "events") == 3000

    async def test_and_those_after_a_change_of_facts(
        self, mysql_url: str, redis_url: str, clock: Clock
    ) -> None:
        async with open_house(mysql_url, clock, redis_url=redis_url) as house:
            ada, _ = await house.people()
            tokens = await crowd(house, ada, 400)
            await asyncio.gather(*(poll(house, token) for token in tokens))
            agent = await house.agents.authenticate(tokens[0])
            await house.agents.rotate(ada.id, agent.id)
            polls = (poll(house, token) for token in tokens)
            answers = await asyncio.gather(*polls, return_exceptions=True)
            assert isinstance(answers[0], Unauthorized)
            assert answers[1:] == [None] * 399

    async def test_of_two_that_come_at_once_one_is_told(self, house: House) -> None:
        ada, _ = await house.people()
        agent, _ = await house.agents.enrol(ada.id, "web-1")
        times = [house.clock(), house.clock()]
        came = [house.store.agents.arrive(agent.id, "10.0.0.1", now) for now in times]
        assert sorted(await asyncio.gather(*came)) == [False, True]
        assert not await house.store.agents.arrive(agent.id, "10.0.0.2", house.clock())

    async def test_each_keeps_its_own_address_and_journal(self, house: House) -> None:
        ada, _ = await house.people()
        agents = [(await house.agents.enrol(ada.id, f"web-{n}"))[0] for n in range(20)]
        store, now = house.store.agents, house.clock()
        await asyncio.gather(*(store.arrive(a.id, f"at {a.name}", now) for a in agents))
        before = [store.note_journal(a.id, f"of {a.name}") for a in agents]
        assert set(await asyncio.gather(*before)) == {""}
        for agent in await house.agents.list(ada.id):
            assert (agent.address, agent.journal) == (f"at {agent.name}", f"of {agent.name}")
            assert agent.activated_at == now


async def crowd(house: House, account: Account, number: int, journal: str = "") -> list[str]:
    """The tokens of that many agents that are away, and whose journal this was."""
    tokens = [f"token{n:015}" for n in range(number)]
    rows = [row_of(account, token, house.clock()) | {"journal": journal} for token in tokens]
    async with house.store._database.engine.begin() as connection:
        await connection.execute(insert(schema.agents), rows)
    return tokens


def row_of(account: Account, token: str, now: datetime) -> dict[str, object]:
    agent = Agent(new_id(), account.id, token, "", "", True, "", now, now)
    names = [name for name in schema.agents.c.keys() if name != "token_hash"]  # noqa: SIM118
    return {name: getattr(agent, name) for name in names} | {"token_hash": hash_secret(token)}


async def poll(house: House, token: str) -> Claimed | None:
    """What a poll with a journal asks of core."""
    agent, sign = await house.agents.greet(token, "10.0.0.1", out=True)
    return await house.jobs.claim(agent, journal="disk", holding=frozenset(), sign=sign)


class TestTwoProcesses:
    async def test_a_rotated_token_is_dead_at_once_everywhere(
        self, here: House, there: House
    ) -> None:
        ada, _ = await here.people()
        agent, token = await here.enrol(ada)
        for house in (here, there, here, there):
            await house.agents.authenticate(token)
        fresh = await there.agents.rotate(ada.id, agent.id)
        for house in (here, there):
            with pytest.raises(Unauthorized):
                await house.agents.authenticate(token)
            await house.agents.authenticate(fresh)

    async def test_a_revoked_program_token_is_dead_everywhere_after_a_round_of_the_watcher(
        self, here: House, there: House
    ) -> None:
        ada, _ = await here.people()
        token, secret = await here.accounts.add_token("account", ada.id, "ci")
        for house in (here, there, here, there):
            await house.accounts.bearer(secret)
        await there.accounts.revoke_token(token.id)
        await there.watcher.remind_facts()
        with pytest.raises(Unauthorized):
            await there.accounts.bearer(secret)
        await asyncio.sleep(FRESH)
        for house in (here, there):
            with pytest.raises(Unauthorized):
                await house.accounts.bearer(secret)

    async def test_a_conversation_knows_what_changed_elsewhere(
        self, here: House, there: House
    ) -> None:
        ada, _ = await here.people()
        agent, token = await here.enrol(ada)
        await here.agents.authenticate(token)
        await here.agents.find(ada.id, "web-1")
        await there.agents.rename(ada.id, agent.id, "web-2")
        await asyncio.sleep(FRESH)
        await here.accounts.identity("chat", "U1")
        with pytest.raises(NotFound):
            await here.agents.find(ada.id, "web-1")

    async def test_a_job_submitted_there_is_claimed_here(self, here: House, there: House) -> None:
        ada, _ = await here.people()
        agent, _ = await here.enrol(ada)
        job = await submit(there, ada, agent)
        claimed = await here.jobs.claim(agent)
        assert claimed is not None
        assert claimed.id == job.id


class TestARedisThatForgets:
    async def test_an_emptied_one_costs_no_job_and_frightens_no_owner(
        self, here: House, redis_server: Redis, clock: Clock
    ) -> None:
        ada, _ = await here.people()
        agent, token = await here.enrol(ada)
        job = await submit(here, ada, agent)
        redis_server.flush()
        clock.move(minutes=2)
        await here.broker.listen(clock(), 15)
        await here.agents.sweep_absent()
        await here.watcher.remind_ready()
        agent = await here.agents.authenticate(token)
        claimed = await here.jobs.claim(agent)
        assert claimed is not None
        assert claimed.id == job.id
        assert (await here.agents.get(ada.id, agent.id)).online

    async def test_a_token_rotated_while_the_epoch_was_lost_is_dead(
        self, here: House, there: House, redis_server: Redis
    ) -> None:
        ada, _ = await here.people()
        agent, token = await here.enrol(ada)
        await here.agents.authenticate(token)
        redis_server.flush()
        await there.agents.rotate(ada.id, agent.id)
        redis_server.flush()
        with pytest.raises(Unauthorized):
            await here.agents.authenticate(token)

    async def test_while_it_is_away_work_goes_on(
        self, sqlite_url: str, mortal: Redis, clock: Clock
    ) -> None:
        async with open_house(sqlite_url, clock, redis_url=mortal.url) as house:
            ada, _ = await house.people()
            agent, token = await house.enrol(ada)
            job = await submit(house, ada, agent)
            claimed = await house.jobs.claim(agent)
            assert claimed is not None
            mortal.stop()
            again = await house.agents.authenticate(token)
            assert again.id == agent.id
            await house.jobs.report(agent, job.id, "succeed", "ok")
            second = await submit(house, ada, agent)
            with pytest.raises(Unavailable):
                await house.jobs.claim(agent)
            await house.agents.rotate(ada.id, agent.id)
            with pytest.raises(Unauthorized):
                await house.agents.authenticate(token)
            mortal.start()
            clock.move(seconds=10)

            async def claims() -> bool:
                try:
                    await house.watcher.remind_ready()
                    found = await house.jobs.claim(agent)
                except Unavailable:
                    return False
                assert found is not None
                return found.id == second.id

            await eventually(claims)

    async def test_a_revocation_while_it_is_away_is_honoured_afterwards(
        self, sqlite_url: str, mortal: Redis, clock: Clock
    ) -> None:
        async with (
            open_house(sqlite_url, clock, redis_url=mortal.url) as here,
            open_house(sqlite_url, clock, redis_url=mortal.url) as there,
        ):
            ada, _ = await here.people()
            agent, token = await here.enrol(ada)
            await here.agents.authenticate(token)
            mortal.pause()
            try:
                await there.agents.rotate(ada.id, agent.id)
            finally:
                mortal.resume()
            await there.watcher.remind_facts()
            with pytest.raises(Unauthorized):
                await here.agents.authenticate(token)
