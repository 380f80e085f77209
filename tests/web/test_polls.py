"""Held polls: answered the moment there is a job, and given up the moment the caller does."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

import pytest

from core.broker import Sign
from core.broker.bells import HeldBell
from core.broker.embedded import EmbeddedBroker
from core.jobs import Claimed, Jobs
from core.model import Agent, JobStatus, new_id
from tests.clock import Clock
from tests.web.conftest import LISTENING, House, Machine, open_house
from tests.web.wire import Line, Said, request, until
from web.settings import WebSettings

SOON = 0.5
"""Seconds; well below the time after which a poll looks by itself."""


async def held(line: Line, path: str, token: str) -> "asyncio.Task[Said]":
    """A poll that the server is holding."""
    task = asyncio.create_task(line.ask(request("GET", path, token)))
    await asyncio.sleep(0.1)
    assert not task.done()
    return task


async def test_a_held_poll_gets_a_job_the_moment_it_is_submitted(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        poll = await held(line, "/agent/job?wait=30", web.token)
        job = await house.submit(web)
        began = monotonic()
        assert (await poll).json["id"] == job.id
        assert monotonic() - began < SOON


async def test_a_job_that_waits_already_is_given_at_once(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    said = await house.ask("GET", "/agent/job?wait=30", web.token)
    assert said.json["id"] == job.id


async def test_a_held_poll_returns_empty_when_its_time_is_up(house: House) -> None:
    web = await house.enrol("web-1")
    began = monotonic()
    assert (await house.ask("GET", "/agent/job?wait=0.3", web.token)).status == 204
    assert 0.3 <= monotonic() - began < 3


async def test_a_poll_without_wait_and_one_with_nought_are_answered_at_once(house: House) -> None:
    web = await house.enrol("web-1")
    for path in ("/agent/job", "/agent/job?wait=0", "/agent/job?slots=2", "/agent/job?journal=abc"):
        began = monotonic()
        assert (await house.ask("GET", path, web.token)).status == 204
        assert monotonic() - began < SOON


async def test_of_many_polls_one_gets_the_job(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as one, house.line() as other:
        polls = [await held(line, "/agent/job?wait=1", web.token) for line in (one, other)]
        await house.submit(web)
        assert sorted([(await poll).status for poll in polls]) == [200, 204]


async def test_a_job_wakes_nobody_but_its_agent(house: House) -> None:
    web, db = await house.enrol("web-1"), await house.enrol("db-1")
    async with house.line() as line, house.line() as other:
        poll = await held(line, "/agent/job?wait=30", web.token)
        await house.submit(db)
        quiet = await held(other, "/agent/job?wait=30&slots=0", db.token)
        await asyncio.sleep(0.1)
        assert not poll.done() and not quiet.done()
        await house.submit(web)
        assert (await poll).status == 200


async def test_a_connection_is_good_for_many_polls(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        for _ in range(3):
            poll = await held(line, "/agent/job?wait=30", web.token)
            await house.submit(web)
            assert (await poll).status == 200


async def test_a_caller_that_left_takes_no_job_with_it(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as left, house.line() as here:
        await held(left, "/agent/job?wait=30", web.token)
        left.hang_up()
        await asyncio.sleep(0.1)
        job = await house.submit(web)
        said = await here.ask(request("GET", "/agent/job", web.token))
        assert said.json["id"] == job.id


async def test_a_poll_is_let_go_of_the_moment_its_caller_leaves(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        await held(line, "/agent/job?wait=30", web.token)
        assert await house.in_hand() == 1
        began = monotonic()
        line.hang_up()
        await until(lambda: nothing_in_hand(house))
        assert monotonic() - began < SOON


async def nothing_in_hand(house: House) -> bool:
    return await house.in_hand() == 0


async def test_a_caller_that_left_is_no_sign_of_life(quiet_house: House, clock: Clock) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.05)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            await held(line, "/agent/job?wait=30", web.token)
            line.hang_up()
            await asyncio.sleep(0.1)
        left_at = clock()
        clock.move(minutes=1)
        await asyncio.sleep(0.2)
        assert await last_seen(house, web.agent) == left_at


async def last_seen(house: House, agent: Agent) -> datetime | None:
    return (await house.agents.standing([agent]))[agent.id].last_seen


class Hesitant:
    """Jobs that let go of a claimed one only when the test allows it."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def claim(self, agent: Agent, **how: Any) -> Claimed | None:
        claimed = await self._jobs.claim(agent, **how)
        if claimed:
            self.reached.set()
            await self.go_on.wait()
        return claimed

    async def give_back(self, agent: Agent, claimed: Claimed) -> None:
        await self._jobs.give_back(agent, claimed)


@pytest.mark.parametrize("path", ["/agent/job", "/agent/job?wait=30"])
async def test_a_job_whose_taker_left_meanwhile_is_given_back(
    quiet_house: House, path: str
) -> None:
    house = quiet_house
    jobs = Hesitant(house.jobs)
    async with house.serving(jobs=jobs):
        web = await house.enrol("web-1")
        job = await house.submit(web)
        async with house.line() as line:
            await line.write(request("GET", path, web.token))
            await jobs.reached.wait()
            assert (await house.job(job)).status == JobStatus.SENT
            line.hang_up()
            await asyncio.sleep(0.1)
            jobs.go_on.set()
        await until(lambda: house.has_come(job, JobStatus.QUEUING))
        assert (await house.ask("GET", "/agent/job", web.token)).json["id"] == job.id


@pytest.mark.parametrize("first", [1000, 60, 5])
async def test_a_report_whose_caller_left_is_kept(house: House, first: int) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    body = b'{"result": "%s"}' % (b"x" * 200)
    call = request("PUT", f"/agent/jobs/{job.id}/succeed", web.token, body)
    async with house.line() as line:
        await line.write(call[:-first])
        await asyncio.sleep(0.05)
        await line.write(call[-first:])
        line.hang_up()
    await until(lambda: house.has_come(job, JobStatus.SUCCEEDED))


class Untimely:
    """Jobs of which one comes right after a look that found nothing."""

    def __init__(self, house: House, machine: Machine, look: int) -> None:
        self._house = house
        self._machine = machine
        self._look = look
        self._looks = 0

    async def claim(self, agent: Agent, **how: Any) -> Claimed | None:
        claimed = await self._house.jobs.claim(agent, **how)
        self._looks += 1
        if self._looks == self._look:
            await self._house.submit(self._machine)
        elif self._looks < self._look:
            self._house.broker.ring_all()
        return claimed


@pytest.mark.parametrize("look", [1, 2])
async def test_a_job_that_comes_between_the_look_and_the_wait_is_not_missed(
    quiet_house: House, look: int
) -> None:
    house = quiet_house
    web = await house.enrol("web-1")
    async with house.serving(jobs=Untimely(house, web, look)), house.line() as line:
        began = monotonic()
        poll = await held(line, "/agent/job?wait=30", web.token) if look > 1 else None
        house.broker.ring_all()
        said = await (poll or line.ask(request("GET", "/agent/job?wait=30", web.token)))
        assert said.status == 200
        assert monotonic() - began < SOON


class Mute(EmbeddedBroker):
    """A broker all of whose bells are lost."""

    def bell(self, agent_id: str, *, takes: bool = False) -> HeldBell:
        return EmbeddedBroker().bell(agent_id, takes=takes)


async def test_a_held_poll_looks_by_itself_as_a_bell_may_be_lost(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.2), broker=Mute()):
        web = await house.enrol("web-1")
        async with house.line() as line:
            poll = await held(line, "/agent/job?wait=30", web.token)
            job = await house.submit(web)
            await asyncio.sleep(0.05)
            assert not poll.done()
            assert (await poll).json["id"] == job.id


async def test_a_held_poll_keeps_its_agent_online(quiet_house: House, clock: Clock) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.05)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            await held(line, "/agent/job?wait=30", web.token)
            clock.move(minutes=10)
            await until(lambda: was_seen_now(house, web.agent))


async def test_who_is_back_while_its_poll_is_held_is_said_to_be_online_again(
    quiet_house: House, clock: Clock
) -> None:
    """The process that holds it had not given its signs of life for a while."""
    house = quiet_house
    async with house.serving(WebSettings(look_again=1)), house.line() as line:
        web = await house.enrol("web-1")
        await held(line, "/agent/job?wait=30", web.token)
        clock.move(minutes=10)
        await house.broker.listen(clock(), LISTENING)
        await house.agents.sweep_absent()
        assert not await is_said_online(house, web.agent)
        await until(lambda: is_said_online(house, web.agent))


async def is_said_online(house: House, agent: Agent) -> bool:
    [found] = [each for each in await house.agents.list_all() if each.id == agent.id]
    return found.online


async def was_seen_now(house: House, agent: Agent) -> bool:
    return await last_seen(house, agent) == house.clock()


async def test_a_held_poll_ends_when_its_token_is_revoked(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.05)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            poll = await held(line, "/agent/job?wait=30", web.token)
            await house.agents.rotate(house.owner.id, web.agent.id)
            assert (await poll).error == (401, "Unauthorized")


async def test_a_job_given_to_a_poll_whose_token_is_revoked_is_for_the_new_one(
    quiet_house: House,
) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=5)):
        web = await house.enrol("web-1")
        async with house.line() as old, house.line() as new:
            poll = await held(old, "/agent/job?wait=30", web.token)
            token = await house.agents.rotate(house.owner.id, web.agent.id)
            job = await house.submit(web)
            assert (await poll).error == (401, "Unauthorized")
            said = await new.ask(request("GET", "/agent/job", token))
            assert said.json["id"] == job.id


async def test_a_held_poll_gets_a_job_that_was_lost_on_the_wire(quiet_house: House) -> None:
    """That it was handed out may be heard late, or again by the watcher."""
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.1)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            poll = await held(line, "/agent/job?wait=30&journal=disk&holding=", web.token)
            job = await house.submit(web)
            assert (await poll).json["id"] == job.id
            await house.broker.take_back(web.agent.id, job.id)
            again = await held(line, "/agent/job?wait=30&journal=disk&holding=", web.token)
            await house.broker.hand_out(web.agent.id, job.id)
            assert (await again).json["id"] == job.id


class Counting(EmbeddedBroker):
    """A broker that counts the looks for one and for many."""

    def __init__(self) -> None:
        super().__init__()
        self.single, self.many = 0, list[int]()

    async def sign(
        self, agent_id: str, now: datetime, *, out: bool = False, take: bool = False
    ) -> Sign:
        self.single += 1
        return await super().sign(agent_id, now, out=out, take=take)

    async def sign_all(
        self, agent_ids: Sequence[str], now: datetime, *, out: Collection[str] = ()
    ) -> Sequence[Sign]:
        self.many.append(len(agent_ids))
        alone = self.single
        signs = await super().sign_all(agent_ids, now, out=out)
        self.single = alone
        return signs


async def test_polls_that_are_held_together_are_looked_after_together(
    sqlite_url: str, clock: Clock
) -> None:
    broker = Counting()
    async with (
        open_house(sqlite_url, clock, broker) as house,
        house.serving(WebSettings(look_again=0.1)),
    ):
        machines = [await house.enrol(f"web-{n}") for n in range(20)]
        lines = [await Line.open(house.port) for _ in machines]
        polls = [
            asyncio.create_task(line.ask(request("GET", "/agent/job?wait=1", machine.token)))
            for line, machine in zip(lines, machines, strict=True)
        ]
        assert {(await poll).status for poll in polls} == {204}
        assert broker.single == 20 * 2  # the enrolment's, and each poll's own
        assert len(broker.many) < 40
        assert sum(broker.many) >= 20 * 5
        for line in lines:
            await line.close()


async def test_a_held_poll_ends_when_its_agent_is_switched_off(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(look_again=0.05)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            poll = await held(line, "/agent/job?wait=30", web.token)
            await house.agents.switch(house.owner.id, web.agent.id, available=False)
            assert (await poll).error == (400, "UnavailableAgent")


async def test_when_the_server_stops_held_polls_return_empty_at_once(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving() as door:
        machines = [await house.enrol(f"web-{n}") for n in range(3)]
        lines = [await Line.open(house.port) for _ in machines]
        polls = [
            await held(line, "/agent/job?wait=60", machine.token)
            for line, machine in zip(lines, machines, strict=True)
        ]
        began = monotonic()
        door.polls.close()
        assert [(await poll).status for poll in polls] == [204, 204, 204]
        late = await house.ask("GET", "/agent/job?wait=60", machines[0].token)
        assert late.status == 204
        assert monotonic() - began < SOON
        for line in lines:
            await line.close()


async def test_an_agent_without_slots_is_given_nothing(house: House) -> None:
    web = await house.enrol("web-1")
    await house.submit(web)
    for path in ("/agent/job?slots=0", "/agent/job?slots=0&wait=0.2"):
        assert (await house.ask("GET", path, web.token)).status == 204
    assert (await house.ask("GET", "/agent/job?slots=2", web.token)).status == 200


async def test_a_job_that_was_lost_on_the_wire_is_handed_out_again(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    first = await house.ask("GET", "/agent/job?journal=J-1&holding=", web.token)
    assert first.json["id"] == job.id
    again = await house.ask("GET", "/agent/job?journal=J-1&holding=", web.token)
    assert again.json["id"] == job.id
    known = await house.ask("GET", f"/agent/job?journal=J-1&holding={job.id}", web.token)
    assert known.status == 204
    for path in ("/agent/job", "/agent/job?holding=", "/agent/job?journal=J-1"):
        assert (await house.ask("GET", path, web.token)).status == 204


async def test_another_journal_never_gets_it(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job?journal=J-1&holding=", web.token)
    other = await house.ask("GET", "/agent/job?journal=J-2&holding=", web.token)
    assert other.status == 204
    assert (await house.job(job)).status != JobStatus.QUEUING


async def test_an_agent_may_hold_a_thousand_jobs(house: House) -> None:
    web = await house.enrol("web-1")
    ids = [new_id() for _ in range(1001)]
    path = "/agent/job?journal=J-1&holding="
    assert (await house.ask("GET", path + ",".join(ids[:1000]), web.token)).status == 204
    said = await house.ask("GET", path + ",".join(ids), web.token)
    assert said.error == (400, "InvalidInput")


@pytest.mark.parametrize(
    "query",
    [
        *("wait=soon", "wait=", "wait=-1", "wait=61", "wait=nan", "wait=inf", "wait=1e9"),
        *("slots=-1", "slots=many", "slots=", "slots=1.5", "slots=99999999999999", "slots=%C2%B2"),
        *("journal=", "journal=a%20b", f"journal={'x' * 65}"),
        *("journal=J&holding=x", "journal=J&holding=,", "journal=J&holding=%00"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(house: House, query: str) -> None:
    web = await house.enrol("web-1")
    for _ in range(2):
        said = await house.ask("GET", f"/agent/job?{query}", web.token)
        assert said.error == (400, "InvalidInput")


async def test_unknown_parameters_mean_nothing(house: House) -> None:
    web = await house.enrol("web-1")
    for query in ("", "x=1", "&&=", "holding=nonsense", "%ff=%ff;"):
        assert (await house.ask("GET", f"/agent/job?{query}", web.token)).status == 204
