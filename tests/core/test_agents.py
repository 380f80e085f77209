"""Agents, their names and tokens, and what several processes remember of them on one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from core.errors import Invalid, NotFound, Unauthorized, Unavailable
from tests.clock import Clock
from tests.core.parts import eventually, submit
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
