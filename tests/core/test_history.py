"""Jobs are looked through page by page, and written so that no spreadsheet runs them."""

from __future__ import annotations

import csv
import io
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, NotFound
from core.history import History
from core.model import Job, JobStatus, first_id, is_id, new_id, utc_now
from core.sheet import COLUMNS, FORMULA, heading, job_line, line
from core.store import Search, Store
from tests.clock import Clock
from tests.core.parts import EXPIRED, FAILED, QUEUING, SUCCEEDED, a_job, job_in
from tests.core.test_keeping import old_rows, put


@pytest.fixture
def clock() -> Clock:
    return Clock(utc_now())


async def found(store: Store, search: Search) -> list[str]:
    return [job.id async for job in History(store).jobs(search)]


class TestHistory:
    async def test_every_job_comes_once_and_the_oldest_first(
        self, store: Store, clock: Clock
    ) -> None:
        rows = old_rows(120, clock() - timedelta(days=1))
        await put(store, "jobs", rows)
        assert await found(store, Search()) == sorted(row["id"] for row in rows)

    async def test_what_is_asked_for_and_nothing_else(self, store: Store, clock: Clock) -> None:
        one = await job_in(store, FAILED, clock(), account_id="ada", agent_name="web-1")
        two = await job_in(store, SUCCEEDED, clock(), account_id="ada", agent_id="agent-2")
        three = await job_in(store, FAILED, clock(), account_id="mallory", agent_name="db")
        asked: list[tuple[Search, list[Job]]] = [
            (Search(), [one, two, three]),
            (Search(account_id="ada"), [one, two]),
            (Search(status=FAILED), [one, three]),
            (Search(account_id="ada", status=FAILED), [one]),
            (Search(agent_name="db"), [three]),
            (Search(account_id="ada", agent_id="agent-2"), [two]),
            (Search(account_id="mallory", agent_id="agent-2"), []),
            (Search(since=clock() + timedelta(minutes=5)), []),
            (Search(since=clock() - timedelta(minutes=5)), [one, two, three]),
        ]
        for search, jobs in asked:
            assert await found(store, search) == sorted(job.id for job in jobs)
            newest = await History(store).newest(search, 10)
            assert [job.id for job in newest] == sorted((job.id for job in jobs), reverse=True)
        assert len(await History(store).newest(Search(), 2)) == 2

    async def test_a_job_is_found_by_the_end_of_its_id(self, store: Store, clock: Clock) -> None:
        ids = [new_id()[:-5] + end for end in ("1abcd", "2abcd", "3efgh")]
        for each in ids:
            await job_in(store, QUEUING, clock(), id=each)
        history = History(store)
        for word in (ids[2], "efgh", "EFGH"):
            assert (await history.find(word)).id == ids[2]
        with pytest.raises(Conflict, match="Several jobs end in abcd"):
            await history.find("abcd")
        for unknown in ("gh", "zzzz", new_id(), "%%%%"):
            with pytest.raises(NotFound):
                await history.find(unknown)

    async def test_however_much_there_is_little_of_it_is_in_memory(
        self, sqlite_url: str, clock: Clock
    ) -> None:
        store = await Store.open(sqlite_url)
        rows = old_rows(2_000, clock() - timedelta(days=1))
        await put(store, "jobs", rows)
        size = 20_000
        await put(store, "results", [{"job_id": row["id"], "text": "x" * size} for row in rows])
        tracemalloc.start()
        try:
            written = 0
            async for job in History(store).jobs(Search()):
                written += len(job_line(job))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await store.close()
        assert written > 2_000 * size
        assert peak < written / 5


class TestIds:
    @given(st.datetimes(min_value=utc_now().replace(tzinfo=None, year=2000)))
    def test_the_first_id_of_a_moment_is_an_id(self, moment: Any) -> None:
        assert is_id(first_id(moment.replace(tzinfo=utc_now().tzinfo)))

    def test_ids_are_made_after_the_first_id_of_their_moment(self) -> None:
        before = first_id(utc_now())
        made = new_id()
        assert before < made < first_id(utc_now() + timedelta(milliseconds=2))

    def test_before_there_were_ids_is_before_all(self) -> None:
        assert first_id(utc_now() - timedelta(days=100_000)) == "0" * 20


def a_report(**changes: Any) -> Job:
    return replace(a_job(EXPIRED, utc_now()), **changes)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


class TestSheet:
    def test_a_job_is_one_line_below_its_heading(self) -> None:
        job = a_report(command="uptime", result='a "b",\nc', status=JobStatus.EXPIRED)
        names, cells = read(heading() + job_line(job))
        said = dict(zip(names, cells, strict=True))
        assert names == list(COLUMNS)
        assert (said["id"], said["message"], said["status"]) == (job.id, "uptime", "expired")
        assert said["result"] == 'a "b",\nc'
        assert said["sent_at"] == ""

    @pytest.mark.parametrize(
        "first",
        ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\u200b=", "\ufeff+", "\uff1d", " \uff20"],
    )
    def test_what_an_agent_prints_is_no_formula(self, first: str) -> None:
        [cells] = read(job_line(a_report(result=f"{first}HYPERLINK(1)", command=f"{first}1")))
        assert cells[-1] == f"'{first}HYPERLINK(1)"
        assert cells[COLUMNS.index("message")] == f"'{first}1"

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_every_text_arrives_and_none_begins_as_a_formula(self, text: str) -> None:
        [cells] = read(job_line(a_report(result=text)))
        assert cells[-1].removeprefix("'") == text.removeprefix("'")
        assert not FORMULA.match(cells[-1])

    def test_lines_end_as_the_format_wants(self) -> None:
        assert line(["a", "b"]) == "a,b\r\n"
