"""What the ledger promises of its line to the database, of bad facts, and of when it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pymysql
import pytest

from core.errors import Conflict, Invalid, SkadiError, TooLarge
from core.model import EventMessage, Job, new_id
from core.store import AddJob, AddMessage, Batch, MoveJob, Store
from core.store.ledger import LUMP
from core.store.line import pieces
from core.store.statements import Statement
from tests.clock import Clock
from tests.core.parts import (
    CHAT,
    QUEUING,
    RUNNING,
    SENT,
    SOON,
    SUCCEEDED,
    a_job,
    count,
    eventually,
    job_in,
)
from tests.core.proxy import wire_to
from tests.servers import MariaDB

HOSTILE = (
    "'; DROP TABLE jobs; -- ",
    "\\'; DELETE FROM jobs; #",
    "\\",
    "'\\''\\\\'",
    '"`%s %(x)s %% ? ?? :x {0}',
    "one; two; COMMIT; three",
    "/* ' */ -- '\n# '",
    "\x00\x01\x1a\r\n\t\b\x7f",
    "🦌 é 漢 \u2028 \ufeff \uffff",
    "縗\\'誠'",
)


@asynccontextmanager
async def another(url: str, clock: Clock) -> AsyncIterator[Store]:
    store = await Store.open(url, clock=clock)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def setting(mariadb: MariaDB, name: str, value: str) -> Iterator[None]:
    """A variable of the server, for the sessions that begin meanwhile."""
    usual = mariadb.execute(f"SELECT @@global.{name}")[0][0]
    mariadb.execute(f"SET GLOBAL {name} = %s", int(value) if value.isdigit() else value)
    try:
        yield
    finally:
        mariadb.execute(f"SET GLOBAL {name} = %s", usual)


async def tell_hostile_tales(store: Store, clock: Clock) -> None:
    """Every kind of fact with every hostile text, all in few batches."""
    threads = [replace(CHAT, thread_id=text, ref={text: text}) for text in HOSTILE]
    jobs = [
        a_job(QUEUING, clock(), command=text, source=text, thread=thread)
        for text, thread in zip(HOSTILE, threads, strict=True)
    ]
    said = [
        EventMessage(new_id(), "ada", "agent-1", "text", "info", text, clock()) for text in HOSTILE
    ]
    adding = zip(jobs, threads, HOSTILE, strict=True)
    await asyncio.gather(
        *(store.jobs.add(AddJob(job, thread, key=text)) for job, thread, text in adding),
        *(store.jobs.say(AddMessage(event, CHAT)) for event in said),
    )
    for to, journals in ((SENT, HOSTILE), (SUCCEEDED, HOSTILE)):
        await asyncio.gather(
            *(
                store.jobs.move(MoveJob(job.id, to, "agent", "agent-1", text, text))
                for job, text in zip(jobs, journals, strict=True)
            )
        )
    for job, thread, text in zip(jobs, threads, HOSTILE, strict=True):
        now = await store.jobs.by_key(text)
        assert now is not None
        assert (now.id, now.thread) == (job.id, thread)
        assert (now.command, now.source, now.journal, now.result) == (text, text, text, text)
    for event in said:
        assert await store.jobs.message(event.id) == event
    assert await count(store, "jobs") == len(jobs)


class TestWhatIsSaid:
    async def test_hostile_text_is_only_text(self, store: Store, clock: Clock) -> None:
        await tell_hostile_tales(store, clock)

    @pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES", "ANSI", ""])
    async def test_hostile_text_is_only_text_in_any_mode_of_the_server(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock, mode: str
    ) -> None:
        with setting(mariadb, "sql_mode", mode):
            async with another(mysql_url, clock) as store:
                [[(told,)]] = await store._database.line.ask([Statement("SELECT @@sql_mode")])
                await store._database.line.give_up()
                assert mode in told
                await tell_hostile_tales(store, clock)

    async def test_the_ledgers_session_has_the_habits_of_the_others(
        self, mysql_url: str, clock: Clock
    ) -> None:
        ask = "SELECT @@tx_isolation, @@time_zone, @@innodb_lock_wait_timeout, @@autocommit"
        async with another(mysql_url, clock) as store:
            line = store._database.line
            assert await line.ask([Statement(ask)]) == [(("READ-COMMITTED", "+00:00", 10, 0),)]
            await line.give_up()

    async def test_a_batch_may_be_larger_than_a_packet(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock
    ) -> None:
        """A quote takes two bytes on the wire; the answers are all read and nothing is left over."""
        text = "'" * 200_000
        with setting(mariadb, "max_allowed_packet", "2097152"):
            async with another(mysql_url, clock) as store:
                jobs = [await job_in(store, SENT, clock()) for _ in range(20)]
                await asyncio.gather(*(succeed(store, job, text) for job in jobs))
                for job in jobs:
                    now = await store.jobs.get(job.id)
                    assert now is not None
                    assert now.result == text

    def test_pieces_keep_the_order_and_drop_nothing(self) -> None:
        texts = ["a" * 700_000, "b" * 300_000, "c", "d" * 3_000_000, "e"]
        assert [len(piece) for piece in pieces(texts)] == [2, 1, 1, 1]
        assert [text for piece in pieces(texts) for text in piece] == texts
        assert list(pieces([])) == []


async def succeed(store: Store, job: Job, result: str) -> object:
    return await store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", result))


class TestBadFacts:
    async def test_half_a_letter_is_refused_in_our_words(self, store: Store, clock: Clock) -> None:
        for half in ("\ud83e", "\udca7'; DROP TABLE jobs; -- "):
            with pytest.raises(Invalid):
                await store.jobs.add(AddJob(a_job(QUEUING, clock(), command=half)))
        assert await count(store, "jobs") == await count(store, "events") == 0

    async def test_what_the_database_refuses_is_refused_in_our_words(
        self, mysql_url: str, clock: Clock
    ) -> None:
        async with another(mysql_url, clock) as store:
            with pytest.raises(Invalid) as refused:
                await store.jobs.add(AddJob(a_job(QUEUING, clock(), agent_name="b" * 51)))
            assert isinstance(refused.value.__cause__, pymysql.err.DataError)

    async def test_an_id_that_is_there_already_is_a_conflict(
        self, store: Store, clock: Clock
    ) -> None:
        job = await job_in(store, QUEUING, clock())
        with pytest.raises(Conflict):
            await store.jobs.add(AddJob(job))
        assert await count(store, "jobs") == 1

    async def test_what_no_packet_can_hold_is_too_large(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock
    ) -> None:
        with setting(mariadb, "max_allowed_packet", "1048576"):
            async with another(mysql_url, clock) as store:
                job = await job_in(store, SENT, clock())
                with pytest.raises(TooLarge):
                    await succeed(store, job, "x" * 3_000_000)
                await succeed(store, job, "short")

    async def test_an_error_in_the_midst_of_a_packet_leaves_nothing_of_it(
        self, store: Store, clock: Clock
    ) -> None:
        """The job is inserted before its event is refused, whose id is there already."""
        event = EventMessage(new_id(), "ada", "agent-1", "text", "info", "first", clock())
        await store.jobs.say(AddMessage(event, None))
        running = await job_in(store, SENT, clock())
        made = await asyncio.gather(
            store.jobs.move(MoveJob(running.id, RUNNING, "agent", "agent-1", "half")),
            store.jobs.say(AddMessage(replace(event, message="second"), CHAT)),
            store.jobs.add(AddJob(a_job(QUEUING, clock()))),
            return_exceptions=True,
        )
        assert [isinstance(one, SkadiError) for one in made] == [False, True, False]
        assert await count(store, "deliveries") == 0
        assert await count(store, "jobs") == 2
        assert len(await store.jobs.history(running.id)) == 3
        assert await store.jobs.message(event.id) == event


class TestLostSessions:
    async def test_what_a_lost_session_is_still_at_is_not_done_twice(
        self, mysql_url: str, mariadb: MariaDB, clock: Clock
    ) -> None:
        """The line is cut while the server waits for a table in the midst of our packet: what it has of
        it must come to nothing before we begin again, or both would be carried out."""
        database = mysql_url.rpartition("/")[2].partition("?")[0]
        held = pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database=database)
        with held as other, other.cursor() as cursor:
            async with (
                wire_to(mariadb.port) as wire,
                another(mysql_url.replace(str(mariadb.port), str(wire.port)), clock) as store,
            ):
                await job_in(store, QUEUING, clock())
                cursor.execute("LOCK TABLES jobs WRITE")
                wire.cuts = ["meanwhile"]
                adding = asyncio.create_task(store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT)))
                await eventually(lambda: is_cut(wire.cuts))
                await asyncio.sleep(0.1)
                cursor.execute("UNLOCK TABLES")
                async with asyncio.timeout(SOON):
                    change = await adding
                assert change.changed
                assert await count(store, "jobs") == await count(store, "events") == 2
                assert await count(store, "deliveries") == 1


async def is_cut(cuts: Sequence[object]) -> bool:
    return not cuts


class Slow:
    """A broker that takes what it is told at once and says so when it is let go."""

    def __init__(self, store: Store) -> None:
        self.told: list[Batch] = []
        self.gate = asyncio.Event()
        store.on_commit(self.take)

    async def take(self, batch: Batch) -> bool:
        self.told.append(batch)
        await self.gate.wait()
        return True


class TestAnswers:
    async def test_a_move_is_answered_before_it_is_announced_and_an_addition_after(
        self, store: Store, clock: Clock
    ) -> None:
        job = await job_in(store, QUEUING, clock())
        broker = Slow(store)
        added = asyncio.create_task(store.jobs.add(AddJob(a_job(QUEUING, clock()))))
        event = EventMessage(new_id(), "ada", "agent-1", "text", "info", "hello", clock())
        said = asyncio.create_task(store.jobs.say(AddMessage(event, None)))
        async with asyncio.timeout(SOON):
            await store.jobs.move(MoveJob(job.id, SENT, "agent", "agent-1"))
            await succeed(store, job, "ok")
        assert not added.done()
        assert not said.done()
        assert await count(store, "announcements") >= len(broker.told) >= 2
        broker.gate.set()
        await asyncio.gather(added, said)

    async def test_a_refused_move_is_answered_at_once_too(self, store: Store, clock: Clock) -> None:
        job = await job_in(store, SUCCEEDED, clock())
        broker = Slow(store)
        with pytest.raises(Invalid):
            async with asyncio.timeout(SOON):
                await succeed(store, job, "again")
        broker.gate.set()

    async def test_commits_are_announced_in_their_order(self, store: Store, clock: Clock) -> None:
        """The first are still being told when the next ones are."""
        jobs = [await job_in(store, QUEUING, clock()) for _ in range(5)]
        broker = Slow(store)
        for job in jobs:
            await store.jobs.move(MoveJob(job.id, SENT, "agent", "agent-1"))
            for n in range(3):
                await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", f"{n}"))
            await succeed(store, job, "ok")
        broker.gate.set()
        assert len(broker.told) == 25
        told = [id for batch in broker.told for id in batch.event_ids]
        written = [id for job in jobs for id in await event_ids(store, job)]
        assert told == written

    async def test_announced_batches_are_struck_off_by_those_that_follow(
        self, store: Store, clock: Clock
    ) -> None:
        for _ in range(LUMP + 5):
            await store.jobs.add(AddJob(a_job(QUEUING, clock())))
        assert await count(store, "announcements") < LUMP


async def event_ids(store: Store, job: Job) -> list[str]:
    """Of all that was told about a job but its beginning."""
    ask = "SELECT id FROM events WHERE job_id = ? AND seq > 1 ORDER BY seq"
    [rows] = await store._database.line.ask([Statement(ask, [job.id])])
    await store._database.line.give_up()
    return [id for (id,) in rows]
