"""The operator looks at jobs and hands them to other programs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import desk, update_tables
from cli.commands import run
from cli.desk import Program
from core.model import Job, utc_now
from core.settings import load
from core.store import MoveJob
from tests.core.parts import FAILED, QUEUING, SENT, SUCCEEDED, job_in

ROOT = Path(__file__).parents[2]

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"SKADI_DATA": str(tmp_path / "data")}


@pytest.fixture
def skadi(
    tmp_path: Path, environment: dict[str, str], capsysbinary: pytest.CaptureFixture[bytes]
) -> Type:
    """Type a command; its exit status and what it says on both outputs."""

    def type_words(*words: str) -> tuple[int, str, str]:
        program = Program(partial(load, tmp_path, environment), desk, update_tables)
        with pytest.raises(SystemExit) as ended:
            run(words, program)
        said = capsysbinary.readouterr()
        return int(ended.value.code or 0), said.out.decode(), said.err.decode()

    return type_words


@pytest.fixture
def jobs(skadi: Type, environment: dict[str, str], tmp_path: Path) -> list[Job]:
    """Two of Ada's, one of Mallory's; the first printed what a spreadsheet would run."""
    ids = [
        json.loads(skadi("account", "add", name, "--json")[1])["id"] for name in ("ada", "mallory")
    ]
    for name, agent in (("ada", "web-1"), ("mallory", "db")):
        skadi("agent", "add", name, agent)
    return asyncio.run(run_three(load(tmp_path, environment), *ids))


async def run_three(settings: Any, ada: str, mallory: str) -> list[Job]:
    async with desk(settings) as parts:
        web = await parts.agents.find(ada, "web-1")
        mine = {"account_id": ada, "agent_id": web.id, "agent_name": "web-0"}
        first = await job_in(parts.store, SENT, utc_now(), **mine)
        end = MoveJob(first.id, FAILED, "agent", web.id, "=cmd|' /C calc'!A0\né")
        return [
            (await parts.store.jobs.move(end)).job,
            await job_in(parts.store, SUCCEEDED, utc_now(), **mine),
            await job_in(parts.store, QUEUING, utc_now(), account_id=mallory, agent_name="db"),
        ]


def exported(skadi: Type, *words: str) -> list[dict[str, str]]:
    """The ids, of CSV and of JSON, which agree."""
    status, out, said = skadi("jobs", "export", "--csv", *words)
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert (status, said) == (0, f"{len(rows)} job{'' if len(rows) == 1 else 's'}.\n")
    _, lines, _ = skadi("jobs", "export", "--json", *words)
    assert [json.loads(each)["id"] for each in lines.splitlines()] == [row["id"] for row in rows]
    return rows


def test_all_jobs_are_exported_the_oldest_first(skadi: Type, jobs: list[Job]) -> None:
    rows = exported(skadi)
    assert [row["id"] for row in rows] == sorted(job.id for job in jobs)
    [first] = [row for row in rows if row["id"] == jobs[0].id]
    assert first["result"] == "'=cmd|' /C calc'!A0\né"
    assert (first["status"], first["message"]) == ("failed", "uptime")
    _, lines, _ = skadi("jobs", "export", "--json", "--status", "failed")
    assert json.loads(lines)["result"] == "=cmd|' /C calc'!A0\né"


def test_some_jobs_are_exported(skadi: Type, jobs: list[Job]) -> None:
    first, second, third = (job.id for job in jobs)
    for words, ids in (
        (("--account", "ada"), {first, second}),
        (("--status", "failed"), {first}),
        (("--agent", "web-0"), {first, second}),  # what it was called then
        (("--account", "ada", "--agent", "web-1"), {first, second}),  # what it is called now
        (("--agent", "db", "--since", "7d"), {third}),
        (("--agent", "nobody"), set()),
    ):
        assert {row["id"] for row in exported(skadi, *words)} == ids


def test_an_export_says_in_which_form(skadi: Type) -> None:
    for words in ((), ("--csv", "--json")):
        status, out, said = skadi("jobs", "export", *words)
        assert (status, out) == (2, "")
        assert "one of --csv and --json" in said


def test_an_export_of_an_account_that_is_not_there_is_refused(skadi: Type) -> None:
    status, out, said = skadi("jobs", "export", "--csv", "--account", "nobody")
    assert (status, out) == (1, "")
    assert "nobody" in said
    status, out, _ = skadi("jobs", "export", "--json", "--account", "nobody")
    assert (status, json.loads(out)["error"]) == (1, "AccountNotFound")


def test_who_has_read_enough_may_go(
    skadi: Type, jobs: list[Job], environment: dict[str, str]
) -> None:
    """As `… | head -1` does."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "jobs", "export", "--csv"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


def test_jobs_are_listed_the_newest_first(skadi: Type, jobs: list[Job]) -> None:
    rows = json.loads(skadi("jobs", "list", "--json")[1])
    assert [row["id"] for row in rows] == sorted((job.id for job in jobs), reverse=True)
    assert {row["account"] for row in rows} == {"ada", "mallory"}
    [row] = json.loads(skadi("jobs", "list", "--json", "--status", "queuing")[1])
    assert (row["id"], row["ended_at"]) == (jobs[2].id, None)
    _, out, _ = skadi("jobs", "list", "--account", "ada", "--limit", "1")
    assert len(out.splitlines()) == 2
    assert skadi("jobs", "list", "--agent", "nobody")[1] == "There is no such job.\n"


def test_a_job_is_shown_by_the_end_of_its_id(skadi: Type, jobs: list[Job]) -> None:
    _, out, _ = skadi("jobs", "show", jobs[0].id[-6:])
    assert out.endswith("\n\n=cmd|' /C calc'!A0\né\n")
    assert f"id           {jobs[0].id}\n" in out
    said = json.loads(skadi("jobs", "show", jobs[1].id, "--json")[1])
    assert (said["id"], said["status"]) == (jobs[1].id, "succeeded")
    status, out, _ = skadi("jobs", "show", "nothing", "--json")
    assert (status, json.loads(out)["error"]) == (1, "JobNotFound")


def test_a_job_that_waits_is_taken_back(skadi: Type, jobs: list[Job]) -> None:
    waiting = jobs[-1]
    status, out, _ = skadi("jobs", "cancel", waiting.id)
    assert (status, out) == (0, "It is canceled.\n")
    assert json.loads(skadi("jobs", "show", waiting.id, "--json")[1])["status"] == "canceled"
    status, _, said = skadi("jobs", "cancel", waiting.id)
    assert (status, "canceled" in said) == (1, True)
