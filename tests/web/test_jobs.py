"""What programs of an account call."""

from functools import partial

import pytest

from core.model import new_id
from tests.web.conftest import House
from tests.web.wire import request, until


async def test_a_pipeline_submits_a_job_by_the_name_of_the_agent(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    said = await house.ask("POST", "/api/jobs", ci, {"agent": "web-1", "message": "deploy 1.4"})
    assert said.status == 201
    assert said.json["agent_name"] == "web-1"
    assert said.json["message"] == "deploy 1.4"
    assert said.json["status"] == "queuing"
    assert (await house.ask("GET", "/agent/job", web.token)).json["id"] == said.json["id"]


async def test_a_pipeline_asks_what_became_of_it(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    await house.ask("GET", "/agent/job", web.token)
    output = "x" * 20_000
    await house.ask("PUT", f"/agent/jobs/{job.id}/fail", web.token, {"result": output})
    said = await house.ask("GET", f"/api/jobs/{job.id}", ci)
    assert said.status == 200
    assert (said.json["status"], said.json["result"]) == ("failed", output)
    assert said.json["failed_at"].endswith("Z")


async def test_a_repeated_call_with_its_key_makes_one_job(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    fields = {"agent": "web-1", "message": "deploy 1.4"}
    first, again = [
        await house.ask("POST", "/api/jobs", ci, fields, Idempotency_Key="build-7")
        for _ in range(2)
    ]
    assert first.json["id"] == again.json["id"]
    assert first.status == again.status == 201
    assert len(await house.jobs.recent(house.owner.id)) == 1
    await house.ask("GET", "/agent/job", web.token)
    late = await house.ask("POST", "/api/jobs", ci, fields, Idempotency_Key="build-7")
    assert (late.json["id"], late.json["status"]) == (first.json["id"], "sent")


async def test_a_repeat_finds_its_job_whatever_became_of_the_agent(house: House) -> None:
    """Who repeats a call heard no answer, and must not take the job for refused."""
    web, ci = await house.enrol("web-1"), await house.account_token()
    fields = {"agent": "web-1", "message": "deploy 1.4"}
    call = partial(house.ask, "POST", "/api/jobs", ci, fields, Idempotency_Key="build-7")
    first = await call()
    agents, owner = house.agents, house.owner.id
    for change in (
        partial(agents.switch, owner, web.agent.id, available=False),
        partial(agents.rename, owner, web.agent.id, name="web-9"),
        partial(agents.remove, owner, web.agent.id),
    ):
        await change()
        said = await call()
        assert (said.status, said.json["id"]) == (201, first.json["id"])
    fields["message"] = "deploy 1.5"
    assert (await call()).error == (422, "KeyReused")


async def test_a_key_belongs_to_one_job(house: House) -> None:
    await house.enrol("web-1")
    ci = await house.account_token()
    fields = {"agent": "web-1", "message": "deploy 1.4"}
    await house.ask("POST", "/api/jobs", ci, fields, Idempotency_Key="build-7")
    for change in ({"message": "deploy 1.5"}, {"source": "other"}, {"callback": "disable"}):
        said = await house.ask("POST", "/api/jobs", ci, fields | change, Idempotency_Key="build-7")
        assert said.error == (422, "KeyReused")
    assert len(await house.jobs.recent(house.owner.id)) == 1


async def test_the_same_key_of_two_accounts_is_two_keys(house: House) -> None:
    fields = {"agent": "web-1", "message": "deploy 1.4"}
    for account in (house.owner, house.stranger):
        await house.enrol("web-1", account)
        ci = await house.account_token(account)
        said = await house.ask("POST", "/api/jobs", ci, fields, Idempotency_Key="1")
        assert said.status == 201
        assert len(await house.jobs.recent(account.id)) == 1


async def test_a_key_that_is_too_long_is_refused(house: House) -> None:
    await house.enrol("web-1")
    ci = await house.account_token()
    said = await house.ask("POST", "/api/jobs", ci, {}, Idempotency_Key="k" * 256)
    assert said.error == (400, "InvalidInput")


async def test_a_stranger_sees_neither_agents_nor_jobs(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    stranger = await house.account_token(house.stranger)
    fields = {"agent": "web-1", "message": "rm -rf /"}
    said = await house.ask("POST", "/api/jobs", stranger, fields)
    assert said.error == (404, "AgentNotFound")
    for job_id in (job.id, new_id(), "nonsense", "%00"):
        said = await house.ask("GET", f"/api/jobs/{job_id}", stranger)
        assert said.error == (404, "JobNotFound")


async def test_a_system_has_no_account_of_its_own(house: House) -> None:
    system = await house.system_token()
    assert (await house.ask("POST", "/api/jobs", system, {})).error == (403, "Forbidden")
    said = await house.ask("GET", f"/api/jobs/{new_id()}", system)
    assert said.error == (403, "Forbidden")


@pytest.mark.parametrize("message", ["", None, "x" * 4097])
async def test_a_command_is_neither_empty_nor_endless(house: House, message: str | None) -> None:
    await house.enrol("web-1")
    ci = await house.account_token()
    said = await house.ask("POST", "/api/jobs", ci, {"agent": "web-1", "message": message})
    assert said.error == (400, "InvalidMessage")


async def test_a_submit_whose_caller_left_is_kept(house: House) -> None:
    await house.enrol("web-1")
    ci = await house.account_token()
    body = b'{"agent": "web-1", "message": "deploy"}'
    async with house.line() as line:
        await line.write(request("POST", "/api/jobs", ci, body))
        line.hang_up()
    await until(lambda: has_jobs(house, 1))


async def has_jobs(house: House, number: int) -> bool:
    return len(await house.jobs.recent(house.owner.id)) == number
