"""Who may have what a job says sent elsewhere."""

from tests.web.conftest import House

ADDRESS = "https://hooks.example/"


async def test_a_token_that_may_not_read_names_no_address(house: House) -> None:
    web = await house.enrol("web-1")
    of = house.owner.id
    calls = {
        "/api/jobs": {"agent": "web-1", "message": "uptime"},
        "/sys/jobs": {"user_id": of, "agent_id": web.agent.id, "message": "uptime"},
    }
    _, blind = await house.accounts.add_token("account", of, "ci", scopes=("submit",))
    _, reader = await house.accounts.add_token("account", of, "ci", scopes=("submit", "read"))
    for path, fields in calls.items():
        said = await house.ask("POST", path, blind, fields | {"callback": ADDRESS})
        assert said.error == (403, "Forbidden")
        said = await house.ask("POST", path, blind, fields | {"callback": "disable"})
        assert said.status in (201, 204)
        said = await house.ask("POST", path, reader, fields | {"callback": ADDRESS})
        assert said.error == (400, "InvalidInput"), "this server calls nobody, and says so"


async def test_no_door_takes_what_is_no_address(house: House) -> None:
    web, token = await house.enrol("web-1"), await house.account_token()
    calls = {
        "/api/jobs": (token, {"agent": "web-1"}),
        "/sys/jobs": (token, {"user_id": house.owner.id, "agent_id": web.agent.id}),
        "/agent/job/delayed": (web.token, {"duration": "1h"}),
    }
    for path, (bearer, fields) in calls.items():
        whole = fields | {"message": "uptime", "callback": "gopher://x"}
        assert (await house.ask("POST", path, bearer, whole)).error == (400, "InvalidInput")
    assert await house.jobs.recent(house.owner.id) == []
