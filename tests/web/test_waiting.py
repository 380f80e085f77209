"""Programs wait for the end of their jobs, and read how it came to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from core.broker import News
from core.broker.embedded import EmbeddedBroker
from core.model import Job, new_id
from tests.clock import Clock
from tests.web.conftest import House, Machine, open_house
from tests.web.wire import Line, Said, request, until
from web.settings import WebSettings

SOON = 0.5
"""Seconds; well below the time after which a wait looks by itself."""
FIELDS = {"agent": "web-1", "message": "deploy 1.4"}
BODY = json.dumps(FIELDS).encode()


@asynccontextmanager
async def waiting(
    house: House, method: str, path: str, token: str, body: bytes | None = None, **headers: str
) -> AsyncIterator["asyncio.Task[Said]"]:
    """A call whose answer is held back."""
    async with house.line() as line:
        task = asyncio.create_task(line.ask(request(method, path, token, body, **headers)))
        await asyncio.sleep(0.1)
        assert not task.done()
        yield task


async def take(house: House, web: Machine) -> str:
    claimed = await house.ask("GET", "/agent/job", web.token)
    return str(claimed.json["id"])


async def end(house: House, web: Machine, verb: str = "succeed", result: str = "done") -> str:
    job_id = await take(house, web)
    await house.ask("PUT", f"/agent/jobs/{job_id}/{verb}", web.token, {"result": result})
    return job_id


# The end of a job.


@pytest.mark.parametrize(("verb", "status"), [("succeed", 200), ("fail", 424)])
async def test_one_call_submits_waits_and_fails_with_the_job(
    house: House, verb: str, status: int
) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    async with waiting(house, "POST", "/api/jobs?wait=30", ci, BODY) as call:
        job_id = await end(house, web, verb, "x" * 20_000)
        began = monotonic()
        said = await call
        assert monotonic() - began < SOON
    assert (said.status, said.json["id"], said.json["result"]) == (status, job_id, "x" * 20_000)


async def test_a_job_that_exists_is_waited_for(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    async with waiting(house, "GET", f"/api/jobs/{job.id}?wait=30", ci) as call:
        await end(house, web)
        assert ((await call).status, (await call).json["status"]) == (200, "succeeded")
    again = await house.ask("GET", f"/api/jobs/{job.id}?wait=30", ci)
    assert (again.status, again.json["result"]) == (200, "done")


async def test_a_job_that_was_canceled_or_expired_fails_the_pipeline(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    for end_it in (house.jobs.cancel, house.jobs.expire):
        job = await house.submit(web)
        async with waiting(house, "GET", f"/api/jobs/{job.id}?wait=30", ci) as call:
            ended = await end_it(house.owner.id, job.id)
            assert ((await call).status, (await call).json["status"]) == (424, ended.status)


async def test_what_goes_on_after_the_wait_is_told_as_going_on(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    began = monotonic()
    said = await house.ask("POST", "/api/jobs?wait=0.3", ci, FIELDS)
    assert (said.status, said.json["status"]) == (202, "queuing")
    assert 0.3 <= monotonic() - began < 3
    await take(house, web)
    said = await house.ask("GET", f"/api/jobs/{said.json['id']}?wait=0", ci)
    assert (said.status, said.json["status"]) == (202, "sent")


@pytest.mark.parametrize(
    "wait", ["3600.1", "99999", "-1", "soon", "", "nan", "inf", "1_0", "%205", "1e3"]
)
async def test_a_wait_beyond_the_bound_is_refused_before_anything_is_done(
    house: House, wait: str
) -> None:
    await house.enrol("web-1")
    ci = await house.account_token()
    said = await house.ask("POST", f"/api/jobs?wait={wait}", ci, FIELDS)
    assert said.error == (400, "InvalidInput")
    assert "at most 3600" in said.json["message"]
    assert await house.jobs.recent(house.owner.id) == []


async def test_the_bound_is_a_setting(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(longest_follow=5)):
        job = await house.submit(await house.enrol("web-1"))
        ci = await house.account_token()
        said = await house.ask("GET", f"/api/jobs/{job.id}?wait=6", ci)
        assert "at most 5." in said.json["message"]


async def test_a_repeat_with_the_same_key_joins_the_wait(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    path, key = "/api/jobs?wait=30", {"Idempotency_Key": "run-7"}
    async with (
        waiting(house, "POST", path, ci, BODY, **key) as first,
        waiting(house, "POST", path, ci, BODY, **key) as again,
    ):
        other = await house.ask("POST", path, ci, FIELDS | {"message": "rm"}, **key)
        assert other.error == (422, "KeyReused")
        job_id = await end(house, web)
        for call in (first, again):
            assert ((await call).status, (await call).json["id"]) == (200, job_id)
    assert len(await house.jobs.recent(house.owner.id)) == 1


async def test_a_caller_that_hangs_up_is_waited_for_no_longer(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    path = f"/api/jobs/{job.id}"
    for call in (
        request("GET", f"{path}?wait=3000", ci),
        request("GET", f"{path}/events", ci),
        request("POST", "/api/jobs?wait=3000", ci, BODY),
    ):
        line = await Line.open(house.port)
        await line.write(call)
        await until(lambda: has_calls(house, 1))
        line.hang_up()
        await until(lambda: has_calls(house, 0))
        await line.close()
    assert (await house.job(job)).status == "queuing"


async def has_calls(house: House, number: int) -> bool:
    return await house.in_hand() == number


async def test_when_the_server_stops_every_wait_ends_at_once(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving() as door:
        web, ci = await house.enrol("web-1"), await house.account_token()
        job = await house.submit(web)
        async with (
            waiting(house, "GET", f"/api/jobs/{job.id}?wait=3000", ci) as call,
            following(house, job, ci) as told,
        ):
            assert [event["status"] async for event in first(told, 1)] == ["queuing"]
            began = monotonic()
            door.close()
            assert (await call).status == 202
            assert [event async for event in told] == []
            late = await house.ask("GET", f"/api/jobs/{job.id}?wait=3000", ci)
            assert late.status == 202
            assert monotonic() - began < SOON


class Deaf(EmbeddedBroker):
    """A broker whose hints about jobs are lost."""

    async def tell(
        self,
        news: Sequence[News],
        ready: Sequence[tuple[str, str]] = (),
        stirred: Collection[str] = (),
    ) -> None:
        await super().tell(news, ready)


async def test_a_hint_that_was_lost_is_made_good(sqlite_url: str, clock: Clock) -> None:
    async with (
        open_house(sqlite_url, clock, Deaf()) as house,
        house.serving(WebSettings(look_again=0.15)),
    ):
        web, ci = await house.enrol("web-1"), await house.account_token()
        job = await house.submit(web)
        async with (
            waiting(house, "GET", f"/api/jobs/{job.id}?wait=30", ci) as call,
            following(house, job, ci) as told,
        ):
            await end(house, web)
            assert (await call).status == 200
            seen = [event["status"] async for event in told]
            assert seen == ["queuing", "sent", "succeeded"]


async def test_a_token_that_was_revoked_meanwhile_reads_nothing(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(pulse=0.1)):
        web = await house.enrol("web-1")
        token, ci = await house.accounts.add_token("account", house.owner.id, "ci")
        job = await house.submit(web)
        async with (
            waiting(house, "GET", f"/api/jobs/{job.id}?wait=30", ci) as call,
            following(house, job, ci) as told,
        ):
            assert [event["status"] async for event in first(told, 1)] == ["queuing"]
            await house.accounts.revoke_token(token.id)
            assert [event async for event in told] == []
            await end(house, web)
            assert (await call).error == (401, "Unauthorized")


async def test_a_token_that_expired_meanwhile_still_learns_what_it_waited_for(house: House) -> None:
    web = await house.enrol("web-1")
    soon = house.clock() + timedelta(minutes=1)
    _, ci = await house.accounts.add_token("account", house.owner.id, "ci", soon)
    async with waiting(house, "POST", "/api/jobs?wait=30", ci, BODY) as call:
        house.clock.move(minutes=2)
        job_id = await end(house, web)
        said = await call
    assert (said.status, said.json["id"]) == (200, job_id)
    assert (await house.ask("GET", f"/api/jobs/{job_id}", ci)).error == (401, "Unauthorized")


# The stream of events.


@asynccontextmanager
async def following(
    house: House, job: Job, token: str, last: str = ""
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events that a stream tells of, up to its end."""
    async with house.line() as line:
        headers = {"Last_Event_ID": last} if last else {}
        said = await line.ask(request("GET", f"/api/jobs/{job.id}/events", token, None, **headers))
        assert (said.status, said.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        yield read_events(line)


async def read_events(line: Line) -> AsyncIterator[dict[str, Any]]:
    """Each change of the job's status; what it says is another's business."""
    async for kind, id, data in read_all(line):
        if kind == "status":
            assert id.partition(".")[0] == str(data["seq"])
            yield data


async def read_all(line: Line) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    while chunk := await line.chunk():
        for block in chunk.decode().split("\n\n")[:-1]:
            if not block.startswith(":"):
                fields = dict(row.split(": ", 1) for row in block.split("\n"))
                assert set(fields) == {"id", "event", "data"}
                yield fields["event"], fields["id"], json.loads(fields["data"])


async def first(events: AsyncIterator[dict[str, Any]], most: int) -> AsyncIterator[dict[str, Any]]:
    for _ in range(most):
        yield await anext(events)


async def test_events_are_told_as_they_happen_and_end_with_the_job(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    async with following(house, job, ci) as told:
        assert (await anext(told))["status"] == "queuing"
        await take(house, web)
        assert (await anext(told))["status"] == "sent"
        path = f"/agent/jobs/{job.id}"
        for progress in ("one", "one", "two"):
            await house.ask("PUT", f"{path}/running", web.token, {"result": progress})
        assert [event["result"] async for event in first(told, 2)] == ["one", "two"]
        await house.ask("PUT", f"{path}/succeed", web.token, {"result": "done"})
        [last] = [event async for event in told]
    assert (last["status"], last["seq"], last["result"]) == ("succeeded", 5, "done")


async def test_a_stream_is_resumed_without_a_gap_or_a_repeat(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    async with following(house, job, ci) as told:
        seen = [event async for event in first(told, 1)]
        house.clock.move(seconds=1)
        await take(house, web)
        seen += [event async for event in first(told, 1)]
    house.clock.move(seconds=1)
    await house.ask("PUT", f"/agent/jobs/{job.id}/running", web.token, {"result": "halfway"})
    async with following(house, job, ci, str(seen[-1]["seq"])) as told:
        seen += [event async for event in first(told, 1)]
    house.clock.move(seconds=1)
    await house.ask("PUT", f"/agent/jobs/{job.id}/fail", web.token, {"result": "x" * 9000})
    async with following(house, job, ci, str(seen[-1]["seq"])) as told:
        seen += [event async for event in told]
    assert [event["seq"] for event in seen] == [1, 2, 3, 4]
    assert [event["status"] for event in seen] == ["queuing", "sent", "running", "failed"]
    assert (len(seen[-1]["result"]), seen[-1]["result_cut"]) == (8192, True)
    async with following(house, job, ci) as told:
        whole = [event async for event in told]
    assert [event["event_id"] for event in whole] == [event["event_id"] for event in seen]
    assert "failed_at" not in whole[2] and "sent_at" not in whole[0]


async def test_what_a_job_says_is_told_between_and_an_id_is_a_place_in_both(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    await take(house, web)
    path = f"/agent/jobs/{job.id}"
    await house.ask("POST", f"{path}/output", web.token, {"offset": 0, "text": "é\n"})
    async with house.line() as line:
        await line.ask(request("GET", f"/api/jobs/{job.id}/events", ci))
        told = read_all(line)
        assert [(await anext(told))[:2] for _ in range(2)] == [("status", "1"), ("status", "2")]
        assert await anext(told) == ("output", "2.3", {"offset": 0, "text": "é\n"})
    await house.ask("POST", f"{path}/output", web.token, {"offset": 3, "text": "two\n"})
    async with house.line() as line:
        await line.ask(request("GET", f"/api/jobs/{job.id}/events", ci, Last_Event_ID="2.3"))
        told = read_all(line)
        assert await anext(told) == ("output", "2.7", {"offset": 3, "text": "two\n"})
        await house.ask("PUT", f"{path}/succeed", web.token, {"result": "é\ntwo\nend\n"})
        (kind, id, data), (last_kind, last_id, last) = [each async for each in told]
        assert (kind, id, data) == ("output", "2.11", {"offset": 7, "text": "end\n"})
        assert (last_kind, last_id, last["status"]) == ("status", "3.11", "succeeded")
    again = await house.ask("GET", f"/api/jobs/{job.id}/events", ci, Last_Event_ID="3.11")
    assert again.status == 204


async def test_when_there_is_nothing_more_to_tell_nobody_need_ask_again(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    await end(house, web)
    for last in ("3", "77"):
        said = await house.ask("GET", f"/api/jobs/{job.id}/events", ci, Last_Event_ID=last)
        assert said.status == 204
    async with following(house, job, ci, "2") as told:
        assert [event["status"] async for event in told] == ["succeeded"]


async def test_a_silent_stream_gives_a_sign_of_life(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(pulse=0.05)), house.line() as line:
        job = await house.submit(await house.enrol("web-1"))
        ci = await house.account_token()
        await line.ask(request("GET", f"/api/jobs/{job.id}/events", ci))
        assert (await line.chunk()).startswith(b"id: 1\n")
        assert await line.chunk() == await line.chunk() == b": still going\n\n"


async def test_a_stream_that_cannot_begin_is_refused(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    stranger = await house.account_token(house.stranger)
    for token, job_id, last, error in (
        ("", job.id, "", (401, "Unauthorized")),
        (stranger, job.id, "", (404, "JobNotFound")),
        (ci, new_id(), "", (404, "JobNotFound")),
        (ci, job.id, "last", (400, "InvalidInput")),
        (ci, job.id, "-1", (400, "InvalidInput")),
        (ci, job.id, "9" * 40, (400, "InvalidInput")),
    ):
        headers = {"Last_Event_ID": last} if last else {}
        said = await house.ask("GET", f"/api/jobs/{job_id}/events", token, **headers)
        assert said.error == error
    head = await house.ask("HEAD", f"/api/jobs/{job.id}/events", ci)
    assert (head.status, head.body) == (200, b"")


# Looking over one's jobs, and calling them off.


async def test_jobs_are_listed_a_page_at_a_time(house: House) -> None:
    web, db = await house.enrol("web-1"), await house.enrol("db-1")
    ci = await house.account_token()
    jobs = [await house.submit(machine) for machine in (web, db, web, db, web)]
    await end(house, web, result="y" * 10_000)
    seen: list[str] = []
    page = (await house.ask("GET", "/api/jobs?limit=2", ci)).json
    seen += [job["id"] for job in page["jobs"]]
    while page["next"]:
        page = (await house.ask("GET", f"/api/jobs?limit=2&before={page['next']}", ci)).json
        seen += [job["id"] for job in page["jobs"]]
    assert seen == sorted((job.id for job in jobs), reverse=True)
    for query, number in (
        ("agent=db-1", 2),
        (f"agent={db.agent.id}", 2),
        ("status=succeeded", 1),
        ("agent=web-1&status=queuing", 2),
        ("agent=db-1&status=succeeded", 0),
    ):
        found = (await house.ask("GET", f"/api/jobs?{query}", ci)).json
        assert (len(found["jobs"]), found["next"]) == (number, None)
    [ended] = (await house.ask("GET", "/api/jobs?status=succeeded", ci)).json["jobs"]
    assert (len(ended["result"]), ended["result_cut"]) == (8192, True)
    stranger = await house.account_token(house.stranger)
    assert (await house.ask("GET", "/api/jobs", stranger)).json == {"jobs": [], "next": None}
    foreign = await house.ask("GET", f"/api/jobs?agent={db.agent.id}", stranger)
    assert foreign.json == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        *((f"limit={limit}", "InvalidInput") for limit in ("0", "101", "-1", "x", "9" * 5000)),
        *(
            ("before=x", "InvalidInput"),
            ("status=done", "InvalidInput"),
            ("agent=x", "AgentNotFound"),
        ),
    ],
)
async def test_a_page_that_makes_no_sense_is_refused(house: House, query: str, error: str) -> None:
    ci = await house.account_token()
    assert (await house.ask("GET", f"/api/jobs?{query}", ci)).error[1] == error


async def test_a_job_is_called_off(house: House) -> None:
    web, ci = await house.enrol("web-1"), await house.account_token()
    job = await house.submit(web)
    stranger = await house.account_token(house.stranger)
    path = f"/api/jobs/{job.id}/cancel"
    assert (await house.ask("POST", path, stranger)).error == (404, "JobNotFound")
    said = await house.ask("POST", path, ci)
    assert (said.status, said.json["status"]) == (200, "canceled")
    assert (await house.ask("POST", path, ci)).error == (400, "JobFinished")
    assert (await house.ask("GET", "/agent/job", web.token)).status == 204


# What a token may do.


async def scoped(house: House, *scopes: str) -> str:
    _, secret = await house.accounts.add_token("account", house.owner.id, "ci", None, scopes)
    return secret


async def test_a_token_does_what_its_scopes_say_and_no_more(house: House) -> None:
    web = await house.enrol("web-1")
    calls: list[tuple[set[str], str, str, dict[str, str]]] = []
    for scope in ("submit", "read", "cancel", "agents"):
        for other in ("submit", "read", "cancel", "agents"):
            job = await house.submit(web)
            fields = FIELDS | {"agent_id": web.agent.id}
            calls = [
                ({"submit"}, "POST", "/api/jobs", fields),
                ({"submit"}, "POST", "/sys/jobs", fields),
                ({"submit", "read"}, "POST", "/api/jobs?wait=0", fields),
                ({"read"}, "GET", "/api/jobs", {}),
                ({"read"}, "GET", f"/api/jobs/{job.id}", {}),
                ({"read"}, "GET", f"/api/jobs/{job.id}?wait=0", {}),
                ({"cancel"}, "POST", f"/api/jobs/{job.id}/cancel", {}),
                ({"cancel"}, "PUT", f"/sys/jobs/{(await house.submit(web)).id}/expire", {}),
                ({"agents"}, "POST", f"/sys/users/{house.owner.id}/agents", {"name": new_id()}),
            ]
            token = await scoped(house, scope, other)
            for needed, method, path, fields in calls:
                said = await house.ask(method, path, token, fields)
                if needed <= {scope, other}:
                    assert said.status < 300, (path, said)
                else:
                    assert said.error == (403, "Forbidden")
                    assert any(f"the scope {name}" in said.json["message"] for name in needed)


async def test_who_may_only_cancel_is_not_told_what_others_run(house: House) -> None:
    web = await house.enrol("web-1")
    job = await house.submit(web)
    said = await house.ask("POST", f"/api/jobs/{job.id}/cancel", await scoped(house, "cancel"))
    assert (said.json["status"], said.json["message"], said.json["callback"]) == (
        "canceled",
        "",
        "",
    )


async def test_a_token_without_scopes_does_everything(house: House) -> None:
    await house.enrol("web-1")
    ci = await scoped(house)
    job_id = (await house.ask("POST", "/api/jobs?wait=0", ci, FIELDS)).json["id"]
    assert (await house.ask("GET", f"/api/jobs/{job_id}", ci)).status == 200
    assert (await house.ask("POST", f"/api/jobs/{job_id}/cancel", ci)).status == 200


async def test_who_may_not_read_is_shown_no_result_by_a_repeat(house: House) -> None:
    web, ci = await house.enrol("web-1"), await scoped(house, "submit")
    await house.ask("POST", "/api/jobs", ci, FIELDS, Idempotency_Key="1")
    await end(house, web, result="the password is …")
    again = await house.ask("POST", "/api/jobs", ci, FIELDS, Idempotency_Key="1")
    assert (again.status, again.json["status"], again.json["result"]) == (201, "succeeded", "")
    job = await house.ask("GET", f"/api/jobs/{again.json['id']}/events", ci)
    assert job.error == (403, "Forbidden")
