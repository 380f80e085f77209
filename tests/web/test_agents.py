"""What an agent calls, and what it is answered."""

import pytest

from core.model import JobStatus
from tests.clock import Clock
from tests.web.conftest import House
from tests.web.wire import request

SOME_ID = "0123456789abcdefghij"


async def test_an_agent_takes_its_job_and_reports_that_it_is_done(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web, "deploy  'a b'")

    taken = await house.ask("GET", "/agent/job", web.token)
    assert (taken.status, taken.json) == (200, {"id": job.id, "message": "deploy  'a b'"})
    done = await house.ask("PUT", f"/agent/jobs/{job.id}/succeed", web.token, {"result": "ok\n"})
    assert done.status == 204

    job = await house.job(job)
    assert (job.status, job.result) == (JobStatus.SUCCEEDED, "ok\n")


async def test_an_agent_says_that_it_works_and_then_that_it_failed(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)

    for verb, status in [("running", JobStatus.RUNNING), ("fail", JobStatus.FAILED)]:
        said = await house.ask("PUT", f"/agent/jobs/{job.id}/{verb}", web.token, {"result": verb})
        assert said.status == 204
        job = await house.job(job)
        assert (job.status, job.result) == (status, verb)


async def test_without_a_job_a_poll_is_answered_at_once_and_empty(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        for _ in range(3):
            said = await line.ask(request("GET", "/agent/job", web.token))
            assert (said.status, said.body) == (204, b"")
            assert said.headers["content-length"] == "0"


async def test_a_job_is_handed_out_once(house: House) -> None:
    web = await house.enrol("web-1")
    await house.submit(web)
    assert (await house.ask("GET", "/agent/job", web.token)).status == 200
    assert (await house.ask("GET", "/agent/job", web.token)).status == 204


async def test_head_takes_no_job(house: House) -> None:
    web = await house.enrol("web-1")
    await house.submit(web)
    assert (await house.ask("HEAD", "/agent/job", web.token)).status == 204
    assert (await house.ask("GET", "/agent/job", web.token)).status == 200


@pytest.mark.parametrize("path", ["/agent/job", f"/agent/jobs/{SOME_ID}/succeed", "/agent/info"])
@pytest.mark.parametrize("token", ["", "unknown", "x" * 5000, "naïve", "a b c"])
async def test_nothing_is_done_for_an_unknown_token(house: House, path: str, token: str) -> None:
    await house.enrol("web-1")
    method = {"/agent/job": "GET", "/agent/info": "POST"}.get(path, "PUT")
    said = await house.ask(method, path, token, b"not even json")
    assert said.error == (401, "Unauthorized")
    assert said.headers["www-authenticate"] == "bearer"


async def test_a_database_without_agents_turns_nobody_away_for_good(house: House) -> None:
    """An old agent ends on a 401; this may be the wrong database."""
    said = await house.ask("GET", "/agent/job", "unknown")
    assert said.error == (503, "Unavailable")


async def test_a_token_is_found_whatever_the_case_of_its_scheme(house: House) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("GET", "/agent/job", Authorization=f"bEARER {web.token}")
    assert said.status == 204


async def test_a_token_that_was_rotated_is_dead_at_once(house: House) -> None:
    web = await house.enrol("web-1")
    assert (await house.ask("GET", "/agent/job", web.token)).status == 204
    token = await house.agents.rotate(house.owner.id, web.agent.id)
    assert (await house.ask("GET", "/agent/job", web.token)).status == 401
    assert (await house.ask("GET", "/agent/job", token)).status == 204


async def test_the_job_of_another_agent_is_not_found_whatever_is_wrong(house: House) -> None:
    web, stranger = await house.enrol("web-1"), await house.enrol("db-1", house.stranger)
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    for job_id in (job.id, SOME_ID, "nonsense", "%2e%2e", job.id.upper()):
        said = await house.ask("PUT", f"/agent/jobs/{job_id}/succeed", stranger.token, {})
        assert said.error == (404, "NotFound")
    assert (await house.job(job)).status == JobStatus.SENT


async def test_a_verb_that_does_not_exist_is_not_found(house: House) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("PUT", f"/agent/jobs/{SOME_ID}/explode", web.token, {})
    assert said.error == (404, "NotFound")


async def test_a_job_ends_once(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    path = f"/agent/jobs/{job.id}"
    assert (await house.ask("PUT", f"{path}/succeed", web.token, {"result": "1"})).status == 204
    for verb in ("succeed", "fail"):
        said = await house.ask("PUT", f"{path}/{verb}", web.token, {"result": "2"})
        assert said.error == (400, "JobFinished")
    assert (await house.ask("PUT", f"{path}/running", web.token)).error == (400, "JobNotFound")
    assert (await house.job(job)).result == "1"


async def test_an_agent_that_is_switched_off_gets_no_jobs_but_may_report(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    await house.agents.switch(house.owner.id, web.agent.id, available=False)

    for path in ("/agent/job", "/agent/job?wait=30"):
        assert (await house.ask("GET", path, web.token)).error == (400, "UnavailableAgent")
    said = await house.ask("PUT", f"/agent/jobs/{job.id}/succeed", web.token, {})
    assert said.status == 204


@pytest.mark.parametrize(
    "message", ["db-1 vacuum full", " db-1\tvacuum full\n", "db-1\nvacuum full"]
)
async def test_an_agent_gives_a_job_to_another_agent_of_its_account(
    house: House, message: str
) -> None:
    web, db = await house.enrol("web-1"), await house.enrol("db-1")
    said = await house.ask("POST", "/agent/job/add", web.token, {"message": message})
    assert (said.status, said.body, said.headers["content-length"]) == (201, b"", "0")
    assert (await house.ask("GET", "/agent/job", db.token)).json["message"] == "vacuum full"


async def test_an_agent_cannot_reach_the_agents_of_others(house: House) -> None:
    web = await house.enrol("web-1")
    await house.enrol("db-1", house.stranger)
    said = await house.ask("POST", "/agent/job/add", web.token, {"message": "db-1 vacuum"})
    assert said.error == (404, "AgentNotFound")


async def test_an_empty_body_is_an_empty_object(house: House) -> None:
    web = await house.enrol("web-1")
    for body in (None, b"", b" \n", {}, {"message": None}, {"unknown": [1]}):
        said = await house.ask("POST", "/agent/job/add", web.token, body)
        assert said.error == (400, "InvalidMessage")


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"duration": "1h30m"}, 5400),
        ({"duration": "90s", "days": 3}, 90),
        ({"duration": "1.5h"}, 5400),
        ({"minutes": 5, "hours": 1, "days": 1}, 90300),
        ({"minutes": 0.5}, 30),
        ({"duration": None, "minutes": 1}, 60),
    ],
)
async def test_a_delayed_job_comes_when_it_is_due(
    house: House, clock: Clock, fields: dict[str, object], seconds: int
) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/job/delayed", web.token, {"message": "df", **fields})
    assert (said.status, said.body) == (201, b"")
    [job] = await house.jobs.recent(house.owner.id)
    assert job.status == JobStatus.DELAYED
    assert job.due_at is not None
    assert (job.due_at - clock()).total_seconds() == seconds


@pytest.mark.parametrize(
    "fields",
    [{"duration": "-5m"}, {"duration": "0"}, {"minutes": -1}, {"duration": "800ns"}, {"hours": 0}],
)
async def test_a_delay_of_nought_or_less_means_now(house: House, fields: dict[str, object]) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/job/delayed", web.token, {"message": "df", **fields})
    assert said.status == 201
    [job] = await house.jobs.recent(house.owner.id)
    assert job.status in (JobStatus.DELAYED, JobStatus.QUEUING)
    assert job.due_at is not None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"duration": ""},
        {"duration": None, "minutes": None},
        {"duration": "soon"},
        {"duration": "10"},
        {"duration": 10},
        {"duration": "1" * 500_000},
        {"duration": "90000h"},
        {"days": 4000},
        {"days": 1e300},
        {"minutes": "5"},
        {"minutes": True},
        {"hours": []},
    ],
)
async def test_junk_is_no_duration(house: House, fields: dict[str, object]) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/job/delayed", web.token, {"message": "df", **fields})
    assert said.error == (400, "InvalidDuration")
    assert await house.jobs.recent(house.owner.id) == []


@pytest.mark.parametrize(
    "path",
    [
        *("/agent/message/info", "/agent/message/warning", "/agent/message/text"),
        *("/agent/message/auto", "/agent/info", "/agent/warning", "/agent/kf", "/agent/text"),
    ],
)
async def test_an_agent_speaks_to_its_owner(house: House, path: str) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", path, web.token, {"message": "disk full", "channel": "ops"})
    assert (said.status, said.body, said.headers["content-length"]) == (202, b"", "0")
    assert (await house.ask("POST", path, web.token, {})).error == (400, "InvalidMessage")


async def test_any_call_of_an_agent_is_a_sign_of_life(house: House, clock: Clock) -> None:
    web = await house.enrol("web-1")
    clock.move(minutes=10)
    await house.ask("POST", "/agent/message/info", web.token, {"message": "here"})
    standing = await house.agents.standing([web.agent])
    assert standing[web.agent.id].last_seen == clock()


async def test_the_address_it_comes_from_is_kept(house: House, clock: Clock) -> None:
    web = await house.enrol("web-1")
    clock.move(minutes=4)
    await house.sweep()
    await house.ask("GET", "/agent/job", web.token, X_Forwarded_For="203.0.113.7")
    [agent] = await house.agents.list(house.owner.id)
    assert agent.address == "127.0.0.1"
