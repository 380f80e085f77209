"""What one process says late, or another has not heard yet, changes nothing for the worse."""

from core.chat import Thread
from tests.clock import Clock
from tests.house import open_house


async def test_a_job_that_its_journal_holds_is_not_handed_out_for_an_old_hint(
    mysql_url: str, redis_url: str, clock: Clock
) -> None:
    """The watcher may have read that it waits just before it was fetched."""
    async with open_house(mysql_url, clock, redis_url=redis_url) as house:
        ada, _ = await house.people()
        agent, _ = await house.enrol(ada)
        job = await house.jobs.submit(ada.id, agent, "uptime", source="", requested_by="token:1")
        claimed = await house.jobs.claim(agent, journal="disk", holding=frozenset())
        assert claimed is not None
        await house.broker.tell([], [(agent.id, job.id)])
        assert await house.jobs.claim(agent, journal="disk", holding=frozenset([job.id])) is None
        await house.broker.tell([], [(agent.id, job.id)])
        assert await house.jobs.claim(agent, journal="disk") is None
        # One that really was lost on the wire comes again.
        lost = await house.jobs.claim(agent, journal="disk", holding=frozenset())
        assert lost == claimed


async def test_a_new_home_is_known_to_every_process_at_once(
    mysql_url: str, redis_url: str, clock: Clock
) -> None:
    async with (
        open_house(mysql_url, clock, redis_url=redis_url) as one,
        open_house(mysql_url, clock, redis_url=redis_url) as other,
    ):
        ada, _ = await one.people()
        _, token = await one.enrol(ada)
        await other.watcher.remind_facts()
        await other.agents.authenticate(token)
        assert await other.accounts.home(ada.id) is None
        thread = Thread("smtp", "ada@example.org", "t1", {})
        await one.accounts.set_home(ada.id, thread)
        await other.agents.authenticate(token)
        assert await other.accounts.home(ada.id) == thread
