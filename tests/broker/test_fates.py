"""Who waits for a job is rung for by its id, wherever it moved."""

from contextlib import ExitStack

from core.broker import Broker
from tests.broker.brokers import news


async def test_who_waits_for_a_job_hears_of_it(broker: Broker) -> None:
    with broker.bell("job1") as one, broker.bell("job1") as other, broker.bell("job2") as two:
        await broker.tell([news()], [("agent", "job2")], ["job1", "job3"])
        assert await one.wait(1)
        assert await other.wait(1)
        assert not await two.wait(0.05)


async def test_a_job_stirs_without_any_news(broker: Broker) -> None:
    with broker.bell("job1") as bell:
        await broker.tell([], [], ["job1"])
        assert await bell.wait(1)


async def test_it_is_heard_in_another_process(here: Broker, there: Broker) -> None:
    with here.bell("job1") as one, here.bell("job2") as two:
        await there.tell([news()], [], ["job1"])
        assert await one.wait(5)
        assert not await two.wait(0.05)


async def test_many_are_told_in_few_messages(here: Broker, there: Broker) -> None:
    ids = [f"job{number}" for number in range(5000)]
    with ExitStack() as stack:
        bells = [stack.enter_context(here.bell(id)) for id in ids]
        await there.tell([], [], ids)
        assert all([await bell.wait(5) for bell in bells])
