"""What upstream systems and pipelines call."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from core.model import JobStatus, new_id
from tests.clock import Clock
from tests.web.conftest import House, Machine

AGENT_FIELDS = {
    *("id", "user_id", "available", "name", "alias", "remark"),
    *("ip", "activated_at", "created_at", "updated_at"),
}


def job_for(machine: Machine, **fields: Any) -> dict[str, Any]:
    agent = machine.agent
    return {"user_id": agent.account_id, "agent_id": agent.id, "message": "uptime", **fields}


async def test_a_system_submits_a_job(house: House) -> None:
    web, system = await house.enrol("web-1"), await house.system_token()
    fields = job_for(web, source="jenkins", callback="disable")
    said = await house.ask("POST", "/sys/jobs", system, fields)
    assert (said.status, said.body) == (204, b"")
    [job] = await house.jobs.recent(house.owner.id)
    assert (job.command, job.source, job.callback) == ("uptime", "jenkins", "disable")
    assert (await house.ask("GET", "/agent/job", web.token)).json["message"] == "uptime"


async def test_a_system_that_asks_for_json_is_shown_the_job(house: House) -> None:
    web, system = await house.enrol("web-1"), await house.system_token()
    said = await house.ask("POST", "/sys/jobs", system, job_for(web), Accept="application/json")
    assert said.status == 200
    [job] = await house.jobs.recent(house.owner.id)
    assert said.json["id"] == job.id
    assert said.json["user_id"] == house.owner.id
    assert said.json["agent_id"] == web.agent.id
    assert said.json["status"] == "queuing"
    assert said.json["created_at"].endswith("Z")
    assert "sent_at" not in said.json


async def test_the_token_of_an_account_speaks_for_that_account_alone(house: House) -> None:
    web, db = await house.enrol("web-1"), await house.enrol("db-1", house.stranger)
    ci = await house.account_token()
    assert (await house.ask("POST", "/sys/jobs", ci, job_for(web))).status == 204
    assert (await house.ask("POST", "/sys/jobs", ci, job_for(web, user_id=None))).status == 204
    said = await house.ask("POST", "/sys/jobs", ci, job_for(db))
    assert said.error == (403, "Forbidden")
    said = await house.ask("POST", "/sys/jobs", ci, job_for(db, user_id=house.owner.id))
    assert said.error == (404, "AgentNotFound")
    assert await house.jobs.recent(house.stranger.id) == []


@pytest.mark.parametrize("path", ["/sys/jobs", "/sys/users/ada/agents", "/api/jobs"])
async def test_nothing_is_done_without_a_token(house: House, path: str) -> None:
    web = await house.enrol("web-1")
    for token in ("", "sks_unknown", web.token):
        said = await house.ask("POST", path, token, job_for(web))
        assert said.error == (401, "Unauthorized")


async def test_a_token_that_was_revoked_or_has_ended_is_unknown(house: House, clock: Clock) -> None:
    web = await house.enrol("web-1")
    token, secret = await house.accounts.add_token("system", None, "upstream")
    _, short = await house.accounts.add_token(
        "system", None, "trial", expires_at=clock() + timedelta(minutes=1)
    )
    for given in (secret, short):
        assert (await house.ask("POST", "/sys/jobs", given, job_for(web))).status == 204
    await house.accounts.revoke_token(token.id)
    clock.move(minutes=2)
    for given in (secret, short):
        assert (await house.ask("POST", "/sys/jobs", given, job_for(web))).status == 401


async def test_a_job_for_an_absent_agent_is_refused(house: House, clock: Clock) -> None:
    web, system = await house.enrol("web-1"), await house.system_token()
    clock.move(minutes=4)
    said = await house.ask("POST", "/sys/jobs", system, job_for(web))
    assert said.error == (400, "InvalidAgent")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"message": ""}, (400, "InvalidMessage")),
        ({"message": "x" * 4097}, (400, "InvalidMessage")),
        ({"message": None}, (400, "InvalidMessage")),
        ({"message": 5}, (400, "InvalidInput")),
        ({"agent_id": new_id()}, (404, "AgentNotFound")),
        ({"agent_id": None}, (404, "AgentNotFound")),
        ({"agent_id": "x" * 10_000}, (404, "AgentNotFound")),
        ({"user_id": ""}, (400, "InvalidInput")),
        ({"user_id": "x" * 21}, (400, "InvalidInput")),
        ({"source": 5}, (400, "InvalidInput")),
        ({"callback": "gopher://x"}, (400, "InvalidInput")),
        ({"callback": "https://x.example/" + "x" * 2000}, (400, "InvalidInput")),
    ],
)
async def test_a_job_that_makes_no_sense_is_refused(
    house: House, fields: dict[str, Any], error: tuple[int, str]
) -> None:
    web, system = await house.enrol("web-1"), await house.system_token()
    said = await house.ask("POST", "/sys/jobs", system, job_for(web, **fields))
    assert said.error == error
    assert await house.jobs.recent(house.owner.id) == []


async def test_a_system_gives_up_on_a_job_once(house: House) -> None:
    web, system = await house.enrol("web-1"), await house.system_token()
    job = await house.submit(web)
    path = f"/sys/jobs/{job.id}/expire"
    assert (await house.ask("PUT", path, system)).status == 204
    assert (await house.job(job)).status == JobStatus.EXPIRED
    assert (await house.ask("PUT", path, system)).error == (400, "JobFinished")


async def test_a_stranger_cannot_give_up_on_it(house: House) -> None:
    job = await house.submit(await house.enrol("web-1"))
    ci = await house.account_token(house.stranger)
    for job_id in (job.id, new_id(), "nonsense"):
        assert (await house.ask("PUT", f"/sys/jobs/{job_id}/expire", ci)).status == 404
    assert (await house.job(job)).status == JobStatus.QUEUING


async def test_a_system_makes_an_agent_for_a_user_it_names(house: House) -> None:
    system = await house.system_token()
    about = {"name": "web-1", "alias": "w1", "remark": "in the cellar"}
    said = await house.ask("POST", "/sys/users/u-4711/agents", system, about)
    assert said.status == 201
    made = said.json
    secret = made.pop("secret")
    assert len(secret) == 20
    assert set(made) == AGENT_FIELDS
    assert made["user_id"] == "u-4711"
    assert made["available"] is True
    assert made["activated_at"] is None
    assert (made["name"], made["alias"], made["remark"]) == ("web-1", "w1", "in the cellar")
    assert made["created_at"].endswith("Z")
    assert datetime.fromisoformat(made["created_at"]) == house.clock()
    assert (await house.ask("GET", "/agent/job", secret)).status == 204

    job = {"user_id": "u-4711", "agent_id": made["id"], "message": "uptime"}
    assert (await house.ask("POST", "/sys/jobs", system, job)).status == 204


@pytest.mark.parametrize(
    ("about", "key"),
    [
        ({}, "MissingName"),
        ({"name": "two words"}, "InvalidName"),
        ({"name": "x" * 51}, "InvalidName"),
        ({"name": "help"}, "InvalidName"),
        ({"name": "ｈｅｌｐ"}, "InvalidName"),
        ({"name": "taken"}, "InvalidName"),
        ({"name": "web-1", "alias": "x" * 51}, "InvalidAlias"),
        ({"name": "web-1", "alias": "taken"}, "InvalidAlias"),
        ({"name": "web-1", "remark": "x" * 251}, "InvalidRemark"),
        ({"name": 7}, "InvalidInput"),
    ],
)
async def test_an_agent_that_cannot_be_called_is_not_made(
    house: House, about: dict[str, Any], key: str
) -> None:
    await house.enrol("taken")
    ci = await house.account_token()
    said = await house.ask("POST", f"/sys/users/{house.owner.id}/agents", ci, about)
    assert said.error == (400, key)


async def test_an_account_makes_agents_for_itself_alone(house: House) -> None:
    ci = await house.account_token()
    path = f"/sys/users/{house.stranger.id}/agents"
    assert (await house.ask("POST", path, ci, {"name": "mine"})).error == (403, "Forbidden")
    assert await house.agents.list(house.stranger.id) == []
