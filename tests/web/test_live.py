"""Cancel and live output over HTTP, with the agent's program of this tree where it matters."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from bots.bot import Bot
from core.chat import Abilities, Message, Thread
from core.messages import Messages
from core.model import Job, JobStatus
from core.output import SEAM
from tests.agent.daemon import Daemon
from tests.web.conftest import LISTENING, House, Machine
from tests.web.test_polls import SOON, held
from tests.web.test_waiting import read_all
from tests.web.wire import Said, request, until

MENU = """\
kill_grace: 300ms
slots: 3
shortcuts:
  - short: long
    cmd: . {home}/long.sh
  - short: count
    cmd: for n in 1 2 3 4 5 6; do echo "line $n"; sleep 0.5; done
  - short: flood
    cmd: yes | head -c 1500000; echo "FATAL disk full"; exit 3
"""
LONG = """\
trap '' TERM
setsid sh -c 'trap "" TERM; while :; do sleep {mark}; done' &
nohup sleep {mark} &
(sleep {mark} &)
echo begun
while :; do sleep {mark}; done
"""
MARK = f"7654.{os.getpid()}"
"""Seconds that nobody else's sleep would choose, by which what a job has started is found."""


async def claimed(house: House, machine: Machine, journal: str = "j1") -> Job:
    """A job that a journal has."""
    job = await house.submit(machine)
    said = await poll(house, machine, journal)
    assert said.json["id"] == job.id
    return job


async def poll(
    house: House, machine: Machine, journal: str = "j1", *held: Job, more: str = ""
) -> Said:
    ids = ",".join(job.id for job in held)
    path = f"/agent/job?journal={journal}&holding={ids}{more}"
    return await house.ask("GET", path, machine.token)


async def cancel(house: House, job: Job) -> Said:
    return await house.ask("POST", f"/api/jobs/{job.id}/cancel", await house.account_token())


async def say(house: House, machine: Machine, job: Job, offset: object, text: object) -> Said:
    fields = {"offset": offset, "text": text}
    return await house.ask("POST", f"/agent/jobs/{job.id}/output", machine.token, fields)


async def read(house: House, job: Job, query: str = "") -> Said:
    return await house.ask("GET", f"/api/jobs/{job.id}/output{query}", await house.account_token())


# Cancel


async def test_a_held_poll_hears_of_a_cancel_at_once_even_with_no_slot_free(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    async with house.line() as line:
        path = f"/agent/job?wait=30&slots=0&journal=j1&holding={job.id}"
        waiting = await held(line, path, web.token)
        began = monotonic()
        said = await cancel(house, job)
        assert (said.status, said.json["status"]) == (202, "sent")
        assert "cancel_asked_at" in said.json
        assert (await waiting).json == {"cancel": [job.id]}
        assert monotonic() - began < SOON


async def test_a_cancel_comes_beside_a_job(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    other = await house.submit(web, "df -h")
    said = await poll(house, web, "j1", job)
    assert said.json == {"id": other.id, "message": "df -h", "cancel": [job.id]}


async def test_an_agent_is_not_told_the_same_with_every_poll(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    assert (await poll(house, web, "j1", job)).status == 200
    began = monotonic()
    assert (await poll(house, web, "j1", job, more="&wait=0.5")).status == 204
    assert monotonic() - began >= 0.5


async def test_another_journal_hears_nothing(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    assert (await poll(house, web, "j2")).status == 204
    assert (await house.job(job)).status is JobStatus.SENT


async def test_a_job_that_never_arrived_is_canceled_by_the_next_poll(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    assert (await poll(house, web, "j1")).status == 204
    assert (await house.job(job)).status is JobStatus.CANCELED


async def test_a_poll_that_was_held_before_the_job_came_says_nothing_about_it(
    house: House,
) -> None:
    """An answer that nobody waits for any more may be held for a while beside the agent's newer poll."""
    web = await house.enrol("web-1")
    async with house.line() as line:
        stale = await held(line, "/agent/job?wait=1.5&slots=0&journal=j1&holding=", web.token)
        job = await claimed(house, web)
        await cancel(house, job)
        assert (await stale).status == 204
    assert (await house.job(job)).status is JobStatus.SENT


async def test_a_report_of_canceled_is_taken(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    text = "canceled; 2 processes could not be stopped: 123, 456"
    said = await house.ask("PUT", f"/agent/jobs/{job.id}/canceled", web.token, {"result": text})
    assert said.status == 204
    ended = await house.job(job)
    assert (ended.status, ended.result) == (JobStatus.CANCELED, text)
    assert (await poll(house, web, "j1", job)).status == 204


async def test_a_switched_off_agent_still_hears_what_to_stop(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await house.agents.switch(house.owner.id, web.agent.id, False)
    assert (await poll(house, web, "j1", job)).error == (400, "UnavailableAgent")
    await cancel(house, job)
    assert (await poll(house, web, "j1", job)).json == {"cancel": [job.id]}


async def test_the_job_of_an_old_agent_cannot_be_interrupted(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    assert (await cancel(house, job)).error == (409, "JobRunning")


async def test_a_poll_with_nothing_to_hear_asks_no_database(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await poll(house, web, "j1", job)
    asked = []
    reading = type(house.store._database).reading

    class Counting(type(house.store._database)):  # type: ignore[misc]
        def reading(self) -> object:
            asked.append("read")
            return reading(self)

    house.store._database.__class__ = Counting
    assert (await poll(house, web, "j1", job)).status == 204
    assert asked == []


# Output


async def test_output_is_kept_and_read_as_it_comes(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    assert (await say(house, web, job, 0, "eins\n")).json == {"have": 5, "cancel": False}
    assert (await say(house, web, job, 0, "eins\nzwei\n")).json == {"have": 10, "cancel": False}
    assert (await say(house, web, job, 99, "later")).json == {"have": 10, "cancel": False}
    said = await read(house, job, "?offset=5")
    assert (said.status, said.body) == (200, b"zwei\n")
    assert said.headers["content-type"] == "text/plain; charset=utf-8"
    assert (said.headers["skadi-next-offset"], said.headers["skadi-status"]) == ("10", "sent")


async def test_a_reader_that_waits_is_answered_the_moment_there_is_more(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    waiting = asyncio.create_task(read(house, job, "?offset=0&wait=20"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    began = monotonic()
    await say(house, web, job, 0, "hello")
    assert (await waiting).body == b"hello"
    assert monotonic() - began < SOON
    waiting = asyncio.create_task(read(house, job, "?offset=5&wait=20"))
    await asyncio.sleep(0.1)
    await house.ask("PUT", f"/agent/jobs/{job.id}/succeed", web.token, {"result": "hello you"})
    said = await waiting
    assert (said.body, said.headers["skadi-status"]) == (b" you", "succeeded")


async def test_a_reader_waits_no_longer_than_asked(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    said = await read(house, job, "?wait=0.2")
    assert (said.status, said.body, said.headers["skadi-next-offset"]) == (200, b"", "0")


async def test_the_answer_to_output_carries_the_cancel(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await cancel(house, job)
    assert (await say(house, web, job, 0, "x")).json == {"have": 1, "cancel": True}


async def test_output_that_makes_no_sense_is_refused(house: House) -> None:
    web, other = await house.enrol("web-1"), await house.enrol("web-2")
    job = await claimed(house, web)
    for offset in (-1, "0", None, True, 1.5, 10**12):
        assert (await say(house, web, job, offset, "x")).error == (400, "InvalidInput")
    for text in (5, "\ud800"):
        assert (await say(house, web, job, 0, text)).error == (400, "InvalidInput")
    assert (await say(house, other, job, 0, "x")).error == (404, "NotFound")
    assert (await say(house, web, job, 0, "x" * (2 << 20))).error == (413, "TooLarge")
    for query in ("?offset=-1", "?offset=x", "?offset=99999999999", "?wait=x", "?wait=-1"):
        assert (await read(house, job, query)).error == (400, "InvalidInput")


async def events(house: House, job: Job, after: str = "") -> list[tuple[str, str]]:
    """Of a job that has ended: the id of each event and the text that it brings."""
    path, token = f"/api/jobs/{job.id}/events", await house.account_token()
    async with house.line() as line:
        said = await line.ask(request("GET", path, token, Last_Event_ID=after))
        if said.status == 204:
            return []
        return [(id, data.get("text", "")) async for _, id, data in read_all(line)]


async def test_a_report_unlike_the_pieces_is_told_once(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    live, result = "line one\nline two\n", "exit 1\nline one\nline two\nmore"
    await say(house, web, job, 0, live)
    await house.ask("PUT", f"/agent/jobs/{job.id}/fail", web.token, {"result": result})
    report = SEAM.decode() + result
    end = f"{len((live + report).encode())}"
    for _ in range(2):
        assert await events(house, job, "2.18") == [(f"2.{end}", report), (f"3.{end}", "")]
        assert await events(house, job, f"2.{end}") == [(f"3.{end}", "")]
        assert await events(house, job, f"3.{end}") == []
        assert [text for _, text in await events(house, job)] == ["", "", result, ""]
        for offset, text in (("18", report), (end, ""), ("0", result)):
            said = await read(house, job, f"?offset={offset}")
            assert (said.body.decode(), said.headers["skadi-next-offset"]) == (text, end)
        for _ in range(2):
            await house.watcher.tidy()


async def test_a_stranger_reads_no_output(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    token = await house.account_token(house.stranger)
    said = await house.ask("GET", f"/api/jobs/{job.id}/output", token)
    assert said.error == (404, "JobNotFound")


# With the agent's own program


@pytest.fixture
async def daemon(house: House, tmp_path: Path) -> AsyncIterator[tuple[House, Machine]]:
    house.clock.now = datetime.now(UTC)
    await house.broker.listen(house.clock(), LISTENING)
    web = await house.enrol("web-1")
    home = tmp_path / "agent"
    home.mkdir()
    (home / "long.sh").write_text(LONG.format(mark=MARK))
    server = f"http://127.0.0.1:{house.port}"
    agent = Daemon(home, server, MENU.format(home=home), token=web.token)
    try:
        yield house, web
    finally:
        agent.clear_away()
        for pid in alive():  # of a job that was not stopped
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def alive() -> list[int]:
    """What still runs of what the jobs have started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if MARK.encode() in words and b"agent" not in words and state not in "ZX":
            found.append(int(folder.name))
    return found


async def begun(house: House, web: Machine) -> Job:
    job = await house.submit(web, "long")

    async def said() -> bool:
        return len(alive()) >= 3 and (await read(house, job)).body == b"begun\n"

    await until(said)
    return job


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc")
async def test_a_running_tree_is_stopped_by_http(daemon: tuple[House, Machine]) -> None:
    house, web = daemon
    job = await begun(house, web)
    assert (await cancel(house, job)).status == 202
    await until(lambda: house.has_come(job, JobStatus.CANCELED))
    assert alive() == []
    ended = await house.job(job)
    assert ended.result.startswith("begun\n")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc")
async def test_a_running_tree_is_stopped_by_a_word(daemon: tuple[House, Machine]) -> None:
    house, web = daemon
    job = await begun(house, web)
    bot = Bot(
        accounts=house.accounts,
        agents=house.agents,
        jobs=house.jobs,
        messages=Messages(house.store, house.broker, clock=house.clock),
        platforms={"mail": "mail"},
        abilities={"mail": Abilities()},
        clock=house.clock,
    )
    message = Message(
        "1",
        Thread("mail", "ada@example.org"),
        "-/ada@example.org",
        f"cancel {job.tag}",
        house.clock(),
        private=True,
        account_id=house.owner.id,
        requested_by="token:x",
        patience=10,
    )
    reply = await bot.handle(message)
    assert reply is not None
    assert reply.text.startswith("`web-1` is asked to stop `long`")
    await until(lambda: house.has_come(job, JobStatus.CANCELED))
    assert alive() == []


async def test_what_a_command_prints_can_be_followed_without_a_gap(
    daemon: tuple[House, Machine],
) -> None:
    house, web = daemon
    job = await house.submit(web, "count")
    told, offset, pieces = b"", 0, 0
    while True:
        said = await read(house, job, f"?offset={offset}&wait=20")
        told, offset = told + said.body, int(said.headers["skadi-next-offset"])
        pieces += bool(said.body)
        if said.headers["skadi-status"] == "succeeded":
            break
    assert told == b"".join(b"line %d\n" % n for n in range(1, 7))
    assert pieces > 1


async def test_the_end_of_a_flood_is_known(daemon: tuple[House, Machine]) -> None:
    house, web = daemon
    job = await house.submit(web, "flood")
    await until(lambda: house.has_come(job, JobStatus.FAILED))
    result = (await house.job(job)).result
    assert result.startswith("y\ny\n")
    assert result.endswith("y\nFATAL disk full\nexit status 3")
    assert result.count(" left out") == 1
