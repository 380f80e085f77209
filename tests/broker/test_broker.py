"""What every broker promises, whether its hints are kept in Redis or in the process."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from core.broker import ANSWER_STREAM, JOB_STREAM, MESSAGE_STREAM, Broker, News, open_broker
from core.broker.embedded import EmbeddedBroker
from core.broker.redis import RedisBroker
from core.errors import SettingsError
from tests.broker.brokers import SOON, eventually, news
from tests.clock import START, Clock

GAP = 15.0


def names(count: int) -> list[str]:
    return [f"agent{number:04}" for number in range(count)]


async def take_all(broker: Broker, agent_id: str) -> list[str]:
    """Pop until nothing is left."""
    jobs = []
    while (job_id := await broker.pop(agent_id)) is not None:
        jobs.append(job_id)
    return jobs


class TestSigns:
    async def test_the_first_sign_follows_none(self, broker: Broker, clock: Clock) -> None:
        sign = await broker.sign("a", clock())
        assert (sign.epoch, sign.last_seen, sign.ready, sign.out) == (
            None,
            None,
            False,
            frozenset(),
        )

    async def test_a_sign_says_when_the_one_before_it_was(
        self, broker: Broker, clock: Clock
    ) -> None:
        clock.move(seconds=0.123457)
        first = clock()
        await broker.sign("a", first)
        clock.move(seconds=30)
        assert (await broker.sign("a", clock())).last_seen == first
        assert (await broker.sign("a", clock())).last_seen == first + timedelta(seconds=30)

    async def test_each_of_many_that_come_together_gets_its_own_answer(
        self, broker: Broker
    ) -> None:
        agents = names(2500)
        moments = [START + timedelta(seconds=number) for number in range(len(agents))]
        for agent_id, moment in zip(agents, moments, strict=True):
            if moment.second % 2:
                await broker.sign(agent_id, moment)
        await broker.tell([], [(agent_id, "j") for agent_id in agents[::3]])
        await broker.hand_out(agents[7], "held")

        signs = await asyncio.gather(
            *(broker.sign(agent_id, START, out=agent_id == agents[7]) for agent_id in agents)
        )

        for number, (sign, moment) in enumerate(zip(signs, moments, strict=True)):
            assert sign.last_seen == (moment if moment.second % 2 else None)
            assert sign.ready == (number % 3 == 0)
            assert sign.out == ({"held"} if number == 7 else set())

    async def test_a_sign_says_whether_a_job_waits(self, broker: Broker, clock: Clock) -> None:
        await broker.tell([], [("a", "j1"), ("a", "j2")])
        assert not (await broker.sign("b", clock())).ready
        for _ in range(2):
            assert (await broker.sign("a", clock())).ready
            await broker.pop("a")
        assert not (await broker.sign("a", clock())).ready

    async def test_a_job_may_be_taken_with_the_sign(self, broker: Broker, clock: Clock) -> None:
        await broker.tell([], [("a", "j1"), ("a", "j2")])
        first = await broker.sign("a", clock(), take=True)
        assert (first.job, first.ready) == ("j1", True)
        second = await broker.sign("a", clock(), take=True)
        assert (second.job, second.ready) == ("j2", False)
        assert (await broker.sign("a", clock(), take=True)).job is None

    async def test_of_those_who_take_with_their_signs_each_gets_another(
        self, broker: Broker, clock: Clock
    ) -> None:
        jobs = [f"j{number:03}" for number in range(100)]
        await broker.tell([], [("a", job_id) for job_id in jobs])
        await broker.tell([], [("b", "jb")])
        signs = await asyncio.gather(
            *(broker.sign(agent_id, clock(), take=agent_id != "b") for agent_id in "ab" * 120)
        )
        assert sorted(sign.job for sign in signs if sign.job) == jobs
        assert await broker.pop("b") == "jb"


class TestSignsOfMany:
    async def test_each_agent_gets_its_own_in_the_order_asked(
        self, broker: Broker, clock: Clock
    ) -> None:
        agents = names(1200)
        await broker.sign_all(agents[::2], clock())
        clock.move(seconds=1)
        await broker.set_epoch(5)
        await broker.tell([], [(agent_id, "j") for agent_id in agents[::3]])
        await broker.hand_out(agents[7], "held")
        await broker.hand_out(agents[8], "unasked")
        signs = await broker.sign_all(agents, clock(), out={agents[7]})
        assert len(signs) == len(agents)
        for number, sign in enumerate(signs):
            assert sign.last_seen == (None if number % 2 else START)
            assert (sign.epoch, sign.ready, sign.job) == (5, number % 3 == 0, None)
            assert sign.out == ({"held"} if number == 7 else set())
        assert set((await broker.presence(agents)).seen.values()) == {clock()}

    async def test_it_may_be_nobody_and_one_twice(self, broker: Broker, clock: Clock) -> None:
        assert list(await broker.sign_all([], clock())) == []
        await broker.tell([], [("a", "j1")])
        assert [sign.ready for sign in await broker.sign_all(["a", "a"], clock())] == [True, True]


class TestPresence:
    async def test_it_knows_those_who_gave_a_sign(self, broker: Broker, clock: Clock) -> None:
        await broker.sign("a", clock())
        clock.move(seconds=1)
        await broker.sign("b", clock())
        seen = (await broker.presence(["a", "b", "stranger"])).seen
        assert seen == {"a": START, "b": START + timedelta(seconds=1)}

    async def test_it_may_be_asked_of_nobody(self, broker: Broker) -> None:
        assert (await broker.presence([])).seen == {}

    async def test_it_may_be_asked_of_thousands(self, broker: Broker, clock: Clock) -> None:
        agents = names(2500)
        await asyncio.gather(*(broker.sign(agent_id, clock()) for agent_id in agents[::2]))
        seen = (await broker.presence(agents)).seen
        assert seen == dict.fromkeys(agents[::2], START)

    async def test_two_who_ask_at_once_get_their_own(self, broker: Broker, clock: Clock) -> None:
        await broker.sign("a", clock())
        await broker.sign("b", clock())
        one, both, none = await asyncio.gather(
            broker.presence(["b"]), broker.presence(["b", "a", "b"]), broker.presence(["c"])
        )
        assert (set(one.seen), set(both.seen), set(none.seen)) == ({"b"}, {"a", "b"}, set())

    async def test_who_was_silent_for_a_day_is_forgotten(
        self, broker: Broker, clock: Clock
    ) -> None:
        await broker.sign("old", clock())
        clock.move(hours=1)
        await broker.sign("young", clock())
        clock.move(hours=23, seconds=1)
        await broker.listen(clock(), GAP)
        assert set((await broker.presence(["old", "young"])).seen) == {"young"}
        assert (await broker.sign("old", clock())).last_seen is None


class TestListening:
    async def test_silence_counts_for_nothing_while_nobody_listens(self, broker: Broker) -> None:
        assert (await broker.presence(["a"])).since is None

    async def test_it_counts_from_the_first_word(self, broker: Broker, clock: Clock) -> None:
        for _ in range(20):
            await broker.listen(clock(), GAP)
            clock.move(seconds=10)
        assert (await broker.presence([])).since == START

    async def test_it_counts_anew_after_a_gap(self, broker: Broker, clock: Clock) -> None:
        await broker.listen(clock(), GAP)
        clock.move(seconds=GAP + 0.001)
        await broker.listen(clock(), GAP)
        assert (await broker.presence([])).since == clock()

    async def test_a_clock_that_was_ahead_does_no_lasting_harm(
        self, broker: Broker, clock: Clock
    ) -> None:
        await broker.listen(clock() + timedelta(days=365), GAP)
        await broker.listen(clock(), GAP)
        assert (await broker.presence([])).since == START

    async def test_clocks_a_little_apart_make_no_gap(self, broker: Broker, clock: Clock) -> None:
        await broker.listen(clock(), GAP)
        for seconds in (3, 1, 6, 4):
            await broker.listen(clock() + timedelta(seconds=seconds), GAP)
        assert (await broker.presence([])).since == START

    async def test_it_ends_when_nobody_says_so_any_more(self, broker: Broker, clock: Clock) -> None:
        async def deaf() -> bool:
            return (await broker.presence([])).since is None

        await broker.listen(clock(), 0.2)
        await eventually(deaf)
        clock.move(seconds=0.1)
        await broker.listen(clock(), GAP)
        assert (await broker.presence([])).since == clock()


class TestEpoch:
    async def test_it_is_told_to_all_who_ask(self, broker: Broker, clock: Clock) -> None:
        await broker.set_epoch(41)
        assert (await broker.sign("a", clock())).epoch == 41
        assert (await broker.presence([])).epoch == 41

    @pytest.mark.parametrize("epoch", [0, 9, 99, 2**62, 10**30])
    async def test_it_never_goes_back(self, broker: Broker, epoch: int) -> None:
        for said, holds in [(epoch, epoch), (epoch + 1, epoch + 1), (epoch, epoch + 1)]:
            await broker.set_epoch(said)
            assert (await broker.presence([])).epoch == holds

    async def test_of_many_at_once_the_greatest_holds(self, broker: Broker) -> None:
        await asyncio.gather(*(broker.set_epoch(epoch) for epoch in (3, 12, 7)))
        assert (await broker.presence([])).epoch == 12


class TestReadySets:
    async def test_the_oldest_job_goes_first(self, broker: Broker) -> None:
        await broker.tell([], [("a", "j3"), ("a", "j1")])
        await broker.tell([], [("a", "j2"), ("b", "j0")])
        assert await take_all(broker, "a") == ["j1", "j2", "j3"]
        assert await take_all(broker, "b") == ["j0"]

    async def test_a_job_that_is_told_again_is_there_once(self, broker: Broker) -> None:
        await broker.tell([], [("a", "j1"), ("a", "j1")])
        await broker.tell([], [("a", "j1")])
        assert await take_all(broker, "a") == ["j1"]

    async def test_there_may_be_nothing_to_take(self, broker: Broker, clock: Clock) -> None:
        assert await broker.pop("a") is None
        await broker.tell([], [("a", "j1")])
        assert (await broker.sign("a", clock())).ready

    async def test_many_may_be_told_at_once(self, broker: Broker) -> None:
        jobs = [f"j{number:05}" for number in range(5000)]
        await broker.tell([], [("a", job_id) for job_id in reversed(jobs)])
        assert await asyncio.gather(*(broker.pop("a") for _ in jobs)) == jobs

    async def test_nothing_may_be_told(self, broker: Broker) -> None:
        await broker.tell([])
        assert await broker.take_news("w", 0) == []

    async def test_of_those_who_take_at_once_each_gets_another(self, broker: Broker) -> None:
        jobs = [f"j{number:03}" for number in range(100)]
        await broker.tell([], [("a", job_id) for job_id in jobs])
        taken = await asyncio.gather(*(broker.pop("a") for _ in range(150)))
        assert sorted(filter(None, taken)) == jobs


class TestHandedOut:
    async def test_it_is_remembered_until_it_is_taken_back(
        self, broker: Broker, clock: Clock
    ) -> None:
        await broker.hand_out("a", "j1")
        await broker.hand_out("a", "j2")
        await broker.hand_out("b", "j3")
        assert (await broker.sign("a", clock(), out=True)).out == {"j1", "j2"}
        await broker.take_back("a", "j1")
        assert (await broker.sign("a", clock(), out=True)).out == {"j2"}
        await broker.take_back("a", "j2")
        assert (await broker.sign("a", clock(), out=True)).out == set()
        assert (await broker.sign("b", clock(), out=True)).out == {"j3"}

    async def test_it_is_told_only_when_asked_for(self, broker: Broker, clock: Clock) -> None:
        await broker.hand_out("a", "j1")
        assert (await broker.sign("a", clock())).out == set()

    async def test_what_was_not_handed_out_may_be_taken_back(self, broker: Broker) -> None:
        await broker.take_back("a", "j1")

    async def test_the_last_word_holds(self, broker: Broker, clock: Clock) -> None:
        await asyncio.gather(broker.hand_out("a", "j1"), broker.take_back("a", "j1"))
        assert (await broker.sign("a", clock(), out=True)).out == set()
        await asyncio.gather(
            broker.hand_out("a", "j1"), broker.take_back("a", "j1"), broker.hand_out("a", "j1")
        )
        assert (await broker.sign("a", clock(), out=True)).out == {"j1"}


class TestNews:
    async def test_deliveries_of_all_streams_are_named_once(self, broker: Broker) -> None:
        await broker.tell(
            [
                News(JOB_STREAM, b'{"seq":1}', "d1"),
                News(MESSAGE_STREAM, b"{}", "d2"),
                News(JOB_STREAM, b'{"seq":2}', "d1"),
                News(JOB_STREAM, b'{"seq":1}'),
                News(ANSWER_STREAM, b"", "d3"),
            ]
        )
        assert sorted(await broker.take_news("w", SOON)) == ["d1", "d2", "d3"]
        assert await broker.take_news("w", 0) == []

    async def test_who_waits_gets_them_when_they_come(self, broker: Broker) -> None:
        waiting = asyncio.create_task(next_news(broker, "w"))
        await asyncio.sleep(0.02)
        await broker.tell([news("d1")])
        assert await waiting == ["d1"]

    async def test_nobody_waits_for_longer_than_he_said(self, broker: Broker) -> None:
        async with asyncio.timeout(SOON):
            assert await broker.take_news("w", 0.02) == []
            assert await broker.take_news("w", 0) == []
            assert await broker.take_news("w", -1) == []

    async def test_what_concerns_no_delivery_is_not_handed_on(self, broker: Broker) -> None:
        await broker.tell([news(), news()])
        assert await broker.take_news("w", 0.02) == []

    async def test_each_goes_to_one_of_several_consumers(self, broker: Broker) -> None:
        ids = [f"d{number:04}" for number in range(3000)]
        await broker.tell([news(delivery_id) for delivery_id in ids])
        taken = [
            await asyncio.gather(*(broker.take_news(consumer, 0.02) for consumer in "xyz"))
            for _ in range(3)
        ]
        assert sorted(each for round in taken for some in round for each in some) == ids

    async def test_thousands_are_taken_in_few_calls(self, broker: Broker) -> None:
        ids = [f"d{number:04}" for number in range(2500)]
        await broker.tell([news(delivery_id) for delivery_id in ids])
        taken = [await broker.take_news("w", 0.02) for _ in range(4)]
        assert sorted(each for some in taken for each in some) == ids
        assert max(map(len, taken)) <= 1000


class TestBells:
    async def test_it_rings_when_the_agent_gets_work(self, broker: Broker) -> None:
        with broker.bell("a") as bell:
            waiting = asyncio.create_task(bell.wait(SOON))
            await asyncio.sleep(0)
            await broker.tell([], [("a", "j1")])
            assert await waiting

    async def test_a_ring_before_the_wait_is_not_lost(self, broker: Broker) -> None:
        with broker.bell("a") as bell:
            await broker.tell([], [("a", "j1")])
            assert await bell.wait(0)

    async def test_it_keeps_silent_for_others(self, broker: Broker) -> None:
        with broker.bell("b") as bell:
            await broker.tell([news("d1")], [("a", "j1"), ("bb", "j1")])
            assert not await bell.wait(0.05)

    async def test_it_rings_for_each_who_waits_for_the_same_agent(self, broker: Broker) -> None:
        with broker.bell("a") as one, broker.bell("a") as two:
            await broker.tell([], [("a", "j1")])
            assert await one.wait(0)
            assert await two.wait(0)

    async def test_who_has_left_is_not_missed(self, broker: Broker) -> None:
        with broker.bell("a") as stays:
            with broker.bell("a"):
                pass
            await broker.tell([], [("a", "j1")])
            assert await stays.wait(0)
        await broker.tell([], [("a", "j2")])

    async def test_one_who_waits_and_takes_jobs_is_given_it(
        self, broker: Broker, clock: Clock
    ) -> None:
        with broker.bell("a") as other, broker.bell("a", takes=True) as bell:
            waiting = asyncio.create_task(bell.wait(SOON))
            await asyncio.sleep(0)
            await broker.tell([], [("a", "j1"), ("a", "j2")])
            assert await waiting
            assert bell.job() == "j1"
            assert bell.job() is None
            assert other.job() is None
        assert (await broker.sign("a", clock(), take=True)).job == "j2"
        assert await broker.pop("a") is None

    async def test_one_who_does_not_wait_at_this_moment_is_not(
        self, broker: Broker, clock: Clock
    ) -> None:
        with broker.bell("a", takes=True) as bell:
            await broker.tell([], [("a", "j1")])
            assert await bell.wait(SOON)
            assert bell.job() is None
            assert await broker.pop("a") == "j1"

    async def test_all_can_be_rung(self, broker: Broker) -> None:
        with broker.bell("a") as one, broker.bell("b") as two:
            broker.ring_all()
            assert await one.wait(0)
            assert await two.wait(0)


async def next_news(broker: Broker, consumer: str) -> Sequence[str]:
    """What comes next, however often one has to ask for it."""
    async with asyncio.timeout(SOON):
        while not (taken := await broker.take_news(consumer, 1)):
            pass
        return taken


def test_without_an_address_it_is_in_the_process() -> None:
    assert isinstance(open_broker(""), EmbeddedBroker)


@pytest.mark.parametrize(
    "url", ["redis://cache", "redis://:pw@[::1]:7/3", "rediss://u:pw@cache:7", "unix:///run/r.sock"]
)
def test_an_address_of_redis_is_understood(url: str) -> None:
    assert isinstance(open_broker(url), RedisBroker)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:geheim@cache",
        "geheim",
        "redis://:geheim/x@cache",
        "redis://cache?geheim=1",
        "redis://cache:geheim",
    ],
)
def test_another_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\.url") as refused:
        open_broker(url)
    assert "geheim" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


class TestCallingOff:
    async def test_what_is_to_be_stopped_is_told_with_the_sign(
        self, broker: Broker, clock: Clock
    ) -> None:
        await broker.hand_out("a", "job1")
        await broker.hand_out("a", "job2")
        await broker.call_off("a", "job2")
        await broker.call_off("a", "job2")
        sign = await broker.sign("a", clock(), out=True)
        assert sign.out == {"job1", "job2"}
        assert sign.asked == {"job2"}
        [one, other] = await broker.sign_all(["a", "b"], clock(), out=["a", "b"])
        assert one.asked == {"job2"}
        assert other.asked == frozenset()
        assert (await broker.sign("a", clock())).asked == frozenset()

    async def test_what_was_taken_back_is_no_more_to_be_stopped(
        self, broker: Broker, clock: Clock
    ) -> None:
        await broker.hand_out("a", "job1")
        await broker.call_off("a", "job1")
        await broker.take_back("a", "job1")
        sign = await broker.sign("a", clock(), out=True)
        assert (sign.out, sign.asked) == (frozenset(), frozenset())

    async def test_the_agent_is_rung_for(self, broker: Broker) -> None:
        with broker.bell("a") as bell, broker.bell("b") as other:
            await broker.call_off("a", "job1")
            assert await bell.wait(SOON)
            assert not await other.wait(0.05)
