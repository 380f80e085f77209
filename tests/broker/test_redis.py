"""What the broker in Redis promises beyond: few round trips, several processes, healing."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest
from redis.exceptions import ResponseError

from core.broker import JOB_STREAM, MESSAGE_STREAM, Broker, News
from core.errors import Unavailable
from tests.broker.brokers import SOON, eventually, news, opened, raw
from tests.clock import START, Clock
from tests.servers import HAS_REDIS_62, Redis, find_redis_62

BINARIES = [None, *([find_redis_62] if HAS_REDIS_62 else [])]


@pytest.fixture
def client(every_redis_url: str) -> Iterator[Any]:
    with raw(every_redis_url) as one:
        yield one


@pytest.fixture(params=BINARIES, ids=["redis", "redis_62"][: len(BINARIES)])
def server(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A Redis that the test may stop, pause and empty."""
    with Redis(request.param and request.param()) as one:
        yield one


@pytest.fixture
async def broker(server: Redis) -> AsyncIterator[Broker]:
    async with opened(server.url) as one:
        yield one


def commands(client: Any) -> dict[str, int]:
    """How often Redis ran each command since its counts were reset."""
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


async def sign_all(broker: Broker, count: int, *, out: bool = False) -> None:
    await asyncio.gather(*(broker.sign(f"a{number}", START, out=out) for number in range(count)))


class TestRoundTrips:
    async def test_a_hundred_signs_share_a_few_commands(self, here: Broker, client: Any) -> None:
        await here.presence([])
        client.config_resetstat()
        await sign_all(here, 100)
        used = commands(client)
        assert {used[name] for name in ("get", "zmscore", "zadd", "smismember")} == {1}
        assert sum(used.values()) < 20

    async def test_so_do_those_that_ask_for_what_is_out(self, here: Broker, client: Any) -> None:
        client.config_resetstat()
        await sign_all(here, 100, out=True)
        assert commands(client)["eval"] == 1

    async def test_the_signs_of_many_are_few_commands(self, here: Broker, client: Any) -> None:
        agents = [f"a{number}" for number in range(1000)]
        await here.presence([])
        client.config_resetstat()
        await here.sign_all(agents, START, out=set(agents))
        used = commands(client)
        assert {used[name] for name in ("get", "zmscore", "zadd", "smismember", "eval")} == {1}

    async def test_a_job_taken_with_the_sign_is_no_round_trip_more(
        self, here: Broker, client: Any
    ) -> None:
        await here.tell([], [("a", "j1")])
        client.config_resetstat()
        taken = await asyncio.gather(
            *(here.sign("a", START, take=True) for _ in range(10)), here.sign("b", START)
        )
        assert [sign.job for sign in taken if sign.job] == ["j1"]
        used = commands(client)
        assert (used["eval"], used["zadd"]) == (1, 1)

    async def test_calls_of_other_kinds_share_theirs(self, here: Broker, client: Any) -> None:
        client.config_resetstat()
        await asyncio.gather(
            *(here.tell([news(f"d{each}")], [(f"a{each}", "j")]) for each in range(100)),
            *(here.pop(f"a{each}") for each in range(100)),
            *(here.hand_out(f"a{each}", "j") for each in range(100)),
            *(here.take_back(f"a{each}", "j") for each in range(100)),
        )
        used = commands(client)
        assert (used["eval"], used["publish"], used["xadd"]) == (4, 1, 100)

    async def test_what_comes_in_meanwhile_goes_out_together(
        self, server: Redis, broker: Broker
    ) -> None:
        await broker.presence([])
        with raw(server.url) as client:
            client.config_resetstat()
        server.pause()
        calls = []
        for number in range(100):
            calls.append(asyncio.create_task(broker.sign(f"a{number}", START)))
            await asyncio.sleep(0.001)
        server.resume()
        await asyncio.gather(*calls)
        with raw(server.url) as client:
            assert commands(client)["zadd"] == 2

    async def test_no_batch_is_without_bounds(self, here: Broker, client: Any) -> None:
        client.config_resetstat()
        await sign_all(here, 5500)
        assert commands(client)["zadd"] == 6

    async def test_one_who_gave_up_takes_nothing_from_the_others(
        self, server: Redis, broker: Broker
    ) -> None:
        await broker.tell([], [("a", "j1")])
        server.pause()
        calls = [asyncio.create_task(broker.sign(agent_id, START)) for agent_id in "abc"]
        await asyncio.sleep(0.01)
        calls[1].cancel()
        server.resume()
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(second, asyncio.CancelledError)
        assert not isinstance(first, BaseException) and first.ready
        assert not isinstance(third, BaseException) and not third.ready
        assert await broker.pop("a") == "j1"


class TestWhatRedisHolds:
    async def test_events_stand_in_the_streams_as_they_were_told(
        self, here: Broker, client: Any
    ) -> None:
        bodies = [f'{{"seq":{number}}}' for number in range(300)]
        await asyncio.gather(
            *(here.tell([News(JOB_STREAM, body.encode(), "d1")]) for body in bodies)
        )
        await here.tell([News(MESSAGE_STREAM, "{“ü”}".encode())])
        jobs = [fields for _, fields in client.xrange(JOB_STREAM)]
        assert jobs == [{"event": body, "delivery": "d1"} for body in bodies]
        assert [fields for _, fields in client.xrange(MESSAGE_STREAM)] == [{"event": "{“ü”}"}]

    async def test_a_stream_is_trimmed(self, here: Broker, client: Any) -> None:
        await here.tell([news()] * 105_000)
        assert 100_000 <= client.xlen(JOB_STREAM) < 101_000

    async def test_an_event_of_another_service_is_no_news(self, here: Broker, client: Any) -> None:
        client.xadd(JOB_STREAM, {"event": "{}", "note": "of theirs"})
        await here.tell([news("d1")])
        assert await here.take_news("w", SOON) == ["d1"]

    async def test_a_ready_set_ends_an_hour_after_it_began(self, here: Broker, client: Any) -> None:
        await here.tell([], [("a", "j1")])
        assert 3500 < client.ttl("skadi:ready:a") <= 3600
        client.expire("skadi:ready:a", 60)
        await here.tell([], [("a", "j2")])
        assert client.ttl("skadi:ready:a") <= 60

    async def test_an_agent_whose_ready_set_ended_is_not_busy_for_long(
        self, here: Broker, client: Any
    ) -> None:
        await here.tell([], [("a", "j1")])
        client.delete("skadi:ready:a")
        assert await here.pop("a") is None
        assert not (await here.sign("a", START)).ready

    async def test_what_was_handed_out_ends_a_day_after_the_last(
        self, here: Broker, client: Any
    ) -> None:
        await here.hand_out("a", "j1")
        client.expire("skadi:out:a", 60)
        await here.hand_out("a", "j2")
        assert 86_000 < client.ttl("skadi:out:a") <= 86_400

    async def test_nothing_is_left_of_an_agent_without_jobs(
        self, here: Broker, client: Any
    ) -> None:
        await here.tell([], [("a", "j1")])
        await here.hand_out("a", "j1")
        await here.pop("a")
        await here.take_back("a", "j1")
        assert client.keys() == []

    async def test_a_spoilt_key_fails_only_who_asks_for_it(self, here: Broker, client: Any) -> None:
        client.set("skadi:seen", "spoilt")
        await here.tell([], [("a", "j1")])
        sign, job_id = await asyncio.gather(
            here.sign("a", START), here.pop("a"), return_exceptions=True
        )
        assert isinstance(sign, Unavailable)
        assert isinstance(sign.__cause__, ResponseError)
        assert job_id == "j1"

    async def test_a_spoilt_stream_is_said_to_give_no_news(self, here: Broker, client: Any) -> None:
        client.set(JOB_STREAM, "spoilt")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await here.take_news("w", 0)


class TestSeveralProcesses:
    async def test_they_share_what_they_know(self, here: Broker, there: Broker) -> None:
        await here.set_epoch(5)
        await here.listen(START, 15)
        await here.sign("a", START)
        await here.hand_out("a", "j1")
        sign = await there.sign("a", START, out=True)
        assert (sign.epoch, sign.last_seen, sign.out) == (5, START, frozenset({"j1"}))
        assert (await there.presence([])).since == START

    async def test_an_epoch_does_not_go_back_for_another(self, here: Broker, there: Broker) -> None:
        await here.set_epoch(10)
        await there.set_epoch(9)
        assert (await here.presence([])).epoch == 10

    async def test_one_that_listens_on_leaves_no_gap(
        self, here: Broker, there: Broker, clock: Clock
    ) -> None:
        await here.listen(clock(), 15)
        for _ in range(3):
            clock.move(seconds=10)
            await there.listen(clock(), 15)
        await here.listen(clock(), 15)
        assert (await here.presence([])).since == START

    async def test_each_job_is_taken_by_one(self, here: Broker, there: Broker) -> None:
        jobs = [f"j{number:03}" for number in range(200)]
        await here.tell([], [("a", job_id) for job_id in jobs])
        taken = await asyncio.gather(*(each.pop("a") for _ in range(120) for each in (here, there)))
        assert sorted(filter(None, taken)) == jobs

    async def test_no_job_is_overlooked_while_others_take_and_bring(
        self, here: Broker, there: Broker
    ) -> None:
        taken: set[str | None] = set()

        async def bring() -> None:
            for number in range(300):
                await here.tell([], [("a", f"j{number:03}")])

        async def take() -> None:
            while len(taken) < 300:
                if (await there.sign("a", START)).ready:
                    taken.add(await there.pop("a"))
                    taken.discard(None)

        async with asyncio.timeout(SOON):
            await asyncio.gather(bring(), *(take() for _ in range(5)))

    async def test_the_bell_rings_in_the_other(self, here: Broker, there: Broker) -> None:
        with there.bell("a") as rings, there.bell("b") as silent:
            await here.tell([], [("a", "j1"), ("c", "j2")])
            assert await rings.wait(SOON)
            assert not await silent.wait(0)

    async def test_it_rings_at_home_without_the_way_through_redis(
        self, here: Broker, client: Any
    ) -> None:
        with here.bell("a") as bell:
            client.client_kill_filter(_type="pubsub")
            await here.tell([], [("a", "j1")])
            assert await bell.wait(0)

    async def test_each_event_goes_to_one_of_us(self, here: Broker, there: Broker) -> None:
        ids = [f"d{number:03}" for number in range(300)]
        taken: list[str] = []

        async def bring() -> None:
            for delivery_id in ids:
                await here.tell([news(delivery_id)])

        async def take(broker: Broker, consumer: str) -> None:
            while len(taken) < len(ids):
                taken.extend(await broker.take_news(consumer, 0.1))

        async with asyncio.timeout(SOON):
            await asyncio.gather(bring(), take(here, "w1"), take(there, "w2"))
        assert sorted(taken) == ids

    async def test_who_stopped_waiting_for_news_may_ask_again(
        self, here: Broker, client: Any
    ) -> None:
        async def waits() -> bool:
            return bool(client.info("clients")["blocked_clients"] == 1)

        async def waits_no_more() -> bool:
            return not await waits()

        waiting = asyncio.create_task(here.take_news("w", SOON))
        await eventually(waits)
        waiting.cancel()
        await eventually(waits_no_more)
        await here.tell([news("d1")])
        assert await here.take_news("w", SOON) == ["d1"]


class TestEmptied:
    async def test_all_is_forgotten_and_can_be_said_again(
        self, here: Broker, client: Any, clock: Clock
    ) -> None:
        await say_everything(here)
        client.flushall()
        sign = await here.sign("a", clock(), out=True)
        assert (sign.epoch, sign.last_seen, sign.ready, sign.out) == (
            None,
            None,
            False,
            frozenset(),
        )
        assert (await here.presence([])).since is None
        assert await here.pop("a") is None
        await say_everything(here)
        sign = await here.sign("a", clock(), out=True)
        assert (sign.epoch, sign.ready, sign.out) == (1, True, frozenset({"j0"}))
        assert await here.pop("a") == "j1"

    async def test_news_go_on(self, here: Broker, client: Any) -> None:
        assert await here.take_news("w", 0) == []
        client.flushall()
        await here.tell([news("d1")])
        assert await here.take_news("w", SOON) == ["d1"]

    async def test_who_waits_for_news_gets_the_first_thereafter(
        self, here: Broker, client: Any
    ) -> None:
        waiting = asyncio.create_task(here.take_news("w", SOON))

        async def waits() -> bool:
            return bool(client.info("clients")["blocked_clients"] == 1)

        await eventually(waits)
        client.flushall()
        await here.tell([news("d1")])
        assert await waiting == ["d1"]

    async def test_what_was_told_before_anybody_asked_is_news(self, here: Broker) -> None:
        await here.tell([news("d1"), news("d2", stream=MESSAGE_STREAM)])
        assert set(await here.take_news("w", SOON)) == {"d1", "d2"}


class TestAway:
    async def test_all_that_needs_it_says_so_at_once(self, server: Redis) -> None:
        server.kill()
        begun = time.monotonic()
        async with opened(server.url) as broker:
            for call in everything(broker):
                with pytest.raises(Unavailable) as away:
                    await call
                assert away.value.__cause__ is not None
        assert time.monotonic() - begun < 1

    async def test_one_that_hangs_holds_up_nobody_for_long_and_is_logged_once(
        self, server: Redis, broker: Broker, caplog: pytest.LogCaptureFixture
    ) -> None:
        await broker.presence([])
        caplog.clear()
        server.pause()
        begun = time.monotonic()
        # More than fit into one batch: who waits behind it does not wait twice.
        calls = [asyncio.ensure_future(call) for _ in range(300) for call in everything(broker)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(failure) for failure in failures} == {Unavailable}
        assert time.monotonic() - begun < 4
        server.resume()
        assert not (await broker.sign("new", START)).ready
        assert [record.message.split(":")[0] for record in caplog.records] == [
            "Redis does not answer",
            "Redis answers again",
        ]

    async def test_a_restart_that_nobody_noticed_fails_nobody(
        self, server: Redis, broker: Broker
    ) -> None:
        await broker.sign("a", START)
        await broker.take_news("w", 0)
        server.stop()
        await asyncio.to_thread(server.start)
        assert (await broker.sign("a", START)).last_seen is None
        await broker.tell([news("d1")])
        assert await broker.take_news("w", SOON) == ["d1"]

    async def test_a_killed_one_is_used_again_when_it_is_back(
        self, server: Redis, broker: Broker
    ) -> None:
        await say_everything(broker)
        server.kill()
        with pytest.raises(Unavailable):
            await broker.sign("a", START)
        with pytest.raises(Unavailable):
            await broker.take_news("w", 1)
        server.start()
        await broker.tell([news("d1")], [("a", "j1")])
        assert (await broker.sign("a", START)).ready
        assert await broker.take_news("w", SOON) == ["d1"]

    async def test_who_waits_for_news_meanwhile_is_told(
        self, server: Redis, broker: Broker
    ) -> None:
        waiting = asyncio.create_task(broker.take_news("w", SOON))
        await broker.take_news("v", 0.05)
        server.kill()
        with pytest.raises(Unavailable):
            await waiting

    async def test_bells_ring_when_it_is_back_and_from_then_on(
        self, server: Redis, broker: Broker
    ) -> None:
        with broker.bell("a") as bell:
            server.kill()
            server.start()
            assert await bell.wait(SOON)
            async with opened(server.url) as other:
                await other.tell([], [("a", "j1")])
                assert await bell.wait(SOON)

    async def test_one_that_was_away_at_the_start_is_found_later(self, server: Redis) -> None:
        server.kill()
        async with opened(server.url) as broker:
            with broker.bell("a") as bell:
                server.start()
                assert await bell.wait(SOON)
                async with opened(server.url) as other:
                    await other.tell([], [("a", "j1")])
                    assert await bell.wait(SOON)
            assert await broker.pop("a") == "j1"

    async def test_it_is_logged_once(
        self, server: Redis, broker: Broker, caplog: pytest.LogCaptureFixture
    ) -> None:
        with broker.bell("a") as bell:
            server.kill()
            await asyncio.sleep(1.2)
            server.start()
            assert await bell.wait(SOON)
        assert [record.message.split(",")[0] for record in caplog.records] == [
            "Redis is away",
            "Redis is back",
        ]

    async def test_a_wrong_password_is_unavailable_and_not_told(self, server: Redis) -> None:
        with raw(server.url) as client:
            client.config_set("requirepass", "geheim")
        async with opened(server.url.replace("//", "//:geheim@")) as broker:
            await broker.sign("a", START)
        async with opened(server.url.replace("//", "//:falsch@")) as broker:
            with pytest.raises(Unavailable) as refused:
                await broker.sign("a", START)
        assert "falsch" not in f"{refused.value} {refused.value.__cause__}"


class TestClosing:
    async def test_what_was_said_before_is_carried(self, every_redis_url: str, client: Any) -> None:
        async with opened(every_redis_url) as broker:
            telling = asyncio.create_task(broker.tell([], [("a", "j1")]))
            await asyncio.sleep(0)
        await telling
        assert client.zrange("skadi:ready:a", 0, -1) == ["j1"]

    async def test_no_connection_stays(self, every_redis_url: str, client: Any) -> None:
        async with opened(every_redis_url) as broker:
            await broker.sign("a", START)
            await broker.take_news("w", 0)
            assert len(client.client_list()) == 4

        async def gone() -> bool:
            return len(client.client_list()) == 1

        await eventually(gone)


async def say_everything(broker: Broker) -> None:
    await broker.set_epoch(1)
    await broker.listen(START, 15)
    await broker.sign("a", START)
    await broker.hand_out("a", "j0")
    await broker.tell([news("d1")], [("a", "j1")])


def everything(broker: Broker) -> list[Coroutine[Any, Any, object]]:
    """One of each call that needs Redis; each is to be awaited."""
    return [
        broker.sign("a", START),
        broker.presence(["a"]),
        broker.listen(START, 15),
        broker.set_epoch(1),
        broker.tell([news("d1")], [("a", "j1")]),
        broker.pop("a"),
        broker.hand_out("a", "j1"),
        broker.take_back("a", "j1"),
    ]
