"""What the store promises, on every database."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from core.errors import Conflict, Invalid, NotFound, SkadiError
from core.model import MOVES, EventMessage, Job, JobStatus, Mover, Times, new_id
from core.store import AddJob, AddMessage, MoveJob, Store
from tests.clock import Clock
from tests.core.parts import (
    CHAT,
    DELAYED,
    EXPIRED,
    FAILED,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    a_job,
    count,
    eventually,
    job_in,
    nothing_left_to_announce,
)

MOVERS: tuple[Mover, ...] = ("agent", "account", "system", "watcher", "server")
LEASE = Times().lease


def owner_of(job: Job, mover: Mover) -> str | None:
    """In whose name a mover moves a job that is its own business."""
    return {"agent": job.agent_id, "server": job.agent_id, "account": job.account_id}.get(mover)


async def attempt(store: Store, job: Job, to: JobStatus, mover: Mover) -> bool:
    """Whether the move was made; a refusal is one of ours."""
    try:
        await store.jobs.move(MoveJob(job.id, to, mover, owner_of(job, mover)))
    except SkadiError as refusal:
        assert isinstance(refusal, Conflict | Invalid | NotFound)
        return False
    return True


def allowed(old: JobStatus, new: JobStatus, mover: Mover) -> bool:
    """The table, and what it leaves to others: a second handing out is for a journal alone."""
    return mover in MOVES.get((old, new), ()) and (old, new) != (SENT, SENT)


class TestStoreContract:
    @pytest.mark.parametrize("old", list(JobStatus))
    async def test_a_job_moves_as_the_table_says_and_never_otherwise(
        self, store: Store, clock: Clock, old: JobStatus
    ) -> None:
        wishes = list(product(JobStatus, MOVERS))
        jobs = [await job_in(store, old, clock()) for _ in wishes]
        clock.move(minutes=11)  # whatever can be due is
        made = await asyncio.gather(
            *(attempt(store, job, *wish) for job, wish in zip(jobs, wishes, strict=True))
        )
        for job, (new, mover), done in zip(jobs, wishes, made, strict=True):
            now = await store.jobs.get(job.id)
            history = await store.jobs.history(job.id)
            assert now is not None
            assert done is allowed(old, new, mover), (old, new, mover)
            assert [seq for seq, _, _ in history] == list(range(1, now.seq + 1))
            assert history[-1][1] is now.status
            if done:
                assert now.status is new
                assert now.seq == job.seq + (new is not old)
            else:
                assert now == job

    async def test_a_refused_move_writes_no_event(self, store: Store, clock: Clock) -> None:
        job = await job_in(store, SUCCEEDED, clock())
        before = await count(store, "events")
        with pytest.raises(Invalid, match="succeeded") as refusal:
            await store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", "again"))
        assert refusal.value.code == "JobFinished"
        assert await count(store, "events") == before
        assert await store.jobs.get(job.id) == job

    @pytest.mark.parametrize("status", [QUEUING, SENT, RUNNING, EXPIRED])
    async def test_another_agent_finds_no_such_job(
        self, store: Store, clock: Clock, status: JobStatus
    ) -> None:
        job = await job_in(store, status, clock())
        for to in (SENT, RUNNING, SUCCEEDED, FAILED, JobStatus.CANCELED):
            for owner in ("agent-2", "Agent-1", "agent-1 ", ""):
                with pytest.raises(NotFound):
                    await store.jobs.move(MoveJob(job.id, to, "agent", owner, "mine"))
        assert await store.jobs.get(job.id) == job

    @pytest.mark.parametrize("status", [DELAYED, QUEUING, RUNNING])
    async def test_a_stranger_finds_no_such_job(
        self, store: Store, clock: Clock, status: JobStatus
    ) -> None:
        job = await job_in(store, status, clock())
        for mover, owner in product(("account", "system"), ("mallory", "Ada", "ada ", "")):
            with pytest.raises(NotFound):
                await store.jobs.move(MoveJob(job.id, JobStatus.CANCELED, mover, owner))  # type: ignore[arg-type]
        assert await store.jobs.get(job.id) == job

    async def test_a_report_on_a_job_that_was_never_handed_out_finds_none(
        self, store: Store, clock: Clock
    ) -> None:
        waiting = await job_in(store, QUEUING, clock())
        over = await job_in(store, QUEUING, clock())
        await store.jobs.move(MoveJob(over.id, EXPIRED, "system", None))
        given_back = await job_in(store, SENT, clock())
        await store.jobs.move(MoveJob(given_back.id, QUEUING, "server", "agent-1"))
        for job in (waiting, over, given_back):
            for to in (RUNNING, SUCCEEDED, FAILED):
                with pytest.raises(NotFound):
                    await store.jobs.move(MoveJob(job.id, to, "agent", "agent-1", "x"))

    @pytest.mark.parametrize("end", [SUCCEEDED, FAILED, JobStatus.CANCELED])
    async def test_a_late_report_is_accepted_once(
        self, store: Store, clock: Clock, end: JobStatus
    ) -> None:
        job = await job_in(store, EXPIRED, clock())
        await store.jobs.move(MoveJob(job.id, end, "agent", "agent-1", "late"))
        for again in (SUCCEEDED, FAILED, RUNNING, JobStatus.CANCELED):
            with pytest.raises(Invalid):
                await store.jobs.move(MoveJob(job.id, again, "agent", "agent-1", "later"))
        now = await store.jobs.get(job.id)
        assert now is not None
        assert (now.status, now.result, now.seq) == (end, "late", job.seq + 1)
        assert now.expired_at is not None

    @pytest.mark.parametrize("text", ["half", ""])
    async def test_running_again_with_nothing_new_renews_the_lease_alone(
        self, store: Store, clock: Clock, text: str
    ) -> None:
        job = await job_in(store, SENT, clock())
        await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "half"))
        clock.move(minutes=9)
        change = await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", text))
        now = await store.jobs.get(job.id)
        assert now is not None
        assert not change.changed
        assert (now.seq, now.result, now.due_at) == (3, "half", clock() + LEASE)
        await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "most"))
        assert len(await store.jobs.history(job.id)) == 4

    async def test_a_renewed_lease_is_not_due(self, store: Store, clock: Clock) -> None:
        job = await job_in(store, RUNNING, clock())
        clock.move(minutes=9)
        await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", ""))
        clock.move(minutes=9)
        with pytest.raises(Conflict) as refusal:
            await store.jobs.move(MoveJob(job.id, EXPIRED, "watcher", None))
        assert refusal.value.code == "NotDue"
        clock.move(minutes=1)
        await store.jobs.move(MoveJob(job.id, EXPIRED, "watcher", None))

    async def test_each_moment_is_kept_to_the_microsecond(self, store: Store, clock: Clock) -> None:
        clock.now = clock.now.replace(microsecond=123_456)
        job = await job_in(store, SENT, clock())
        clock.move(seconds=0.000001)
        await store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", "ok"))
        now = await store.jobs.get(job.id)
        assert now is not None
        assert now.created_at == now.sent_at == clock() - timedelta(microseconds=1)
        assert now.succeeded_at == clock()
        assert now.due_at is None

    async def test_an_end_without_output_forgets_the_progress_in_every_process(
        self, store: Store, database_url: str, clock: Clock
    ) -> None:
        other = await Store.open(database_url, clock=clock)
        for reporter in (store, other):
            job = await job_in(store, SENT, clock())
            await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "50%"))
            await reporter.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", ""))
            now = await store.jobs.get(job.id)
            assert now is not None
            assert now.result == ""
        await other.close()

    async def test_an_expired_job_is_told_with_its_progress_by_every_process(
        self, store: Store, database_url: str, clock: Clock
    ) -> None:
        other = await Store.open(database_url, clock=clock)
        for watcher in (store, other):
            job = await job_in(store, SENT, clock())
            await store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "50%"))
            change = await watcher.jobs.move(MoveJob(job.id, EXPIRED, "system", None))
            assert change.job.result == "50%"
        await other.close()

    @pytest.mark.parametrize("text", ["🦌" * 1000, "\\'\"%s %(x)s :x ?;--\r\n\t", "é" * 300_000])
    async def test_any_text_comes_back_as_it_was(
        self, store: Store, clock: Clock, text: str
    ) -> None:
        job = await job_in(store, SENT, clock(), command=text[:4000])
        await store.jobs.move(MoveJob(job.id, FAILED, "agent", "agent-1", text))
        now = await store.jobs.get(job.id)
        assert now is not None
        assert (now.command, now.result) == (text[:4000], text)

    # Keys of messages

    async def test_a_repeat_finds_the_job_that_is_there(self, store: Store, clock: Clock) -> None:
        first = await store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT, "k" * 64))
        await store.jobs.move(MoveJob(first.job.id, SENT, "agent", "agent-1"))
        again = await store.jobs.add(AddJob(a_job(QUEUING, clock()), CHAT, "k" * 64))
        assert not again.changed
        assert (again.job.id, again.job.status) == (first.job.id, SENT)
        assert await count(store, "jobs") == await count(store, "deliveries") == 1

    async def test_a_key_leads_no_stranger_to_the_job(self, store: Store, clock: Clock) -> None:
        await store.jobs.add(AddJob(a_job(QUEUING, clock()), key="k" * 64))
        with pytest.raises(Conflict):
            await store.jobs.add(
                AddJob(a_job(QUEUING, clock(), account_id="mallory"), key="k" * 64)
            )
        assert await count(store, "jobs") == 1

    async def test_a_message_that_was_begun_is_finished_by_its_job(
        self, store: Store, clock: Clock
    ) -> None:
        assert await store.messages.begin("k" * 64, clock(), timedelta(seconds=30))
        added = await store.jobs.add(AddJob(a_job(QUEUING, clock()), key="k" * 64))
        assert await store.messages.answer("k" * 64) == (True, added.job.id, None)

    async def test_a_message_that_was_refused_makes_no_job_when_repeated(
        self, store: Store, clock: Clock
    ) -> None:
        await store.messages.begin("k" * 64, clock(), timedelta(seconds=30))
        await store.messages.finish("k" * 64, None, clock(), deliver_for=None)
        with pytest.raises(Conflict) as refusal:
            await store.jobs.add(AddJob(a_job(QUEUING, clock()), key="k" * 64))
        assert refusal.value.code == "Answered"
        assert await count(store, "jobs") == 0

    # What differs by little

    async def test_ids_that_differ_by_case_or_blanks_are_different(
        self, store: Store, clock: Clock
    ) -> None:
        ids = ["u1", "U1", "u1 ", " u1", "ú1"]
        for id in ids:
            await store.jobs.add(
                AddJob(a_job(QUEUING, clock(), id=id, command=id), key=f"key {id}")
            )
        for id in ids:
            job = await store.jobs.by_key(f"key {id}")
            assert job is not None
            assert (job.id, job.command) == (id, id)
        assert await store.jobs.get("u1  ") is None
        with pytest.raises(NotFound):
            await store.jobs.move(MoveJob("U1 ", JobStatus.CANCELED, "account", "ada"))

    # Announcements

    async def test_what_was_announced_is_struck_off_without_another_batch(
        self, store: Store, clock: Clock
    ) -> None:
        await job_in(store, QUEUING, clock())
        await eventually(lambda: nothing_left_to_announce(store))

    async def test_what_was_not_announced_stays_to_be_said(
        self, store: Store, clock: Clock
    ) -> None:
        async def away(_batch: object) -> bool:
            return False

        store.on_commit(away)
        job = await job_in(store, SENT, clock())
        event = EventMessage(new_id(), "ada", "agent-1", "text", "info", "hello", clock())
        await store.jobs.say(AddMessage(event, None))
        clock.move(seconds=1)
        said = [news for _, page in await store.jobs.unannounced(clock(), 10) for news in page]
        bodies = [entry.body.decode() for entry in said]
        # Batches of one millisecond come in any order, as their ids do.
        expected = ['"status":"queuing"', '"status":"sent"', "hello"]
        assert [sum(words in body for body in bodies) for words in expected] == [1, 1, 1]
        assert [job.id in body for body in bodies].count(True) == 2
        assert len(bodies) == 3

    async def test_a_disabled_callback_is_not_published(self, store: Store, clock: Clock) -> None:
        async def away(_batch: object) -> bool:
            return False

        store.on_commit(away)
        await job_in(store, SENT, clock(), callback="disable")
        clock.move(seconds=1)
        pages = await store.jobs.unannounced(clock(), 10)
        assert [list(news) for _, news in pages] == [[], []]

    # Counting and noting

    async def test_of_counts_made_at_once_none_is_lost(self, store: Store, clock: Clock) -> None:
        until = clock() + timedelta(minutes=1)
        counts = await asyncio.gather(
            *(store.notes.add("book", "note", 1, clock(), until) for _ in range(12))
        )
        assert sorted(counts) == list(range(1, 13))

    async def test_only_the_first_is_once(self, store: Store, clock: Clock) -> None:
        until = clock() + timedelta(minutes=1)
        firsts = await asyncio.gather(
            *(store.notes.once("book", "note", clock(), until) for _ in range(12))
        )
        assert firsts.count(True) == 1
        clock.move(minutes=1)
        assert await store.notes.once("book", "note", clock(), clock() + timedelta(minutes=1))

    async def test_notes_differ_by_case_and_blanks(self, store: Store, clock: Clock) -> None:
        for note in ("n", "N", "n "):
            await store.notes.put("book", note, note, None)
        assert [await store.notes.get("book", n, clock()) for n in ("n", "N", "n ", "n  ")] == [
            "n",
            "N",
            "n ",
            None,
        ]

    async def test_a_batch_decides_in_the_order_of_arrival(
        self, store: Store, clock: Clock
    ) -> None:
        job = await job_in(store, SENT, clock())
        running, end = await asyncio.gather(
            store.jobs.move(MoveJob(job.id, RUNNING, "agent", "agent-1", "half")),
            store.jobs.move(MoveJob(job.id, SUCCEEDED, "agent", "agent-1", "all")),
        )
        assert (running.job.seq, end.job.seq) == (3, 4)
        history = [status for _, status, _ in await store.jobs.history(job.id)]
        assert history == [QUEUING, SENT, RUNNING, SUCCEEDED]
        now = await store.jobs.get(job.id)
        assert now is not None
        assert now == replace(end.job, thread=None)
        assert now.running_at == now.succeeded_at == clock()

    async def test_of_claims_in_one_batch_one_wins(self, store: Store, clock: Clock) -> None:
        job = await job_in(store, QUEUING, clock())
        claims = [MoveJob(job.id, SENT, "agent", "agent-1", journal=str(n)) for n in range(5)]
        made = await asyncio.gather(
            *(store.jobs.move(claim) for claim in claims), return_exceptions=True
        )
        assert [isinstance(outcome, Conflict) for outcome in made] == [False, *[True] * 4]
        now = await store.jobs.get(job.id)
        assert now is not None
        assert (now.seq, now.journal) == (2, "0")


SECRET = "HUNTER2"
REFUSE = {
    True: "SELECT RAISE(ABORT, 'not today'); END",
    False: "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'; END",
}


@pytest.mark.parametrize("table", ["jobs", "notes"])
async def test_what_the_database_refuses_is_logged_without_what_it_was_told(
    store: Store, clock: Clock, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    database = store._database
    each = "" if database.lite else "FOR EACH ROW "
    trigger = f"CREATE TRIGGER no BEFORE INSERT ON {table} {each}BEGIN {REFUSE[database.lite]}"
    async with database.engine.begin() as connection:
        await connection.execute(text(trigger))
    try:
        if table == "jobs":
            await store.jobs.add(AddJob(a_job(QUEUING, clock(), command=SECRET)))
        else:
            await store.notes.put("smtp", "key", SECRET, None)
    except (SkadiError, SQLAlchemyError):
        logging.getLogger("test").exception("it was refused")
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP TRIGGER no"))
    assert "not today" in caplog.text
    assert SECRET not in caplog.text
