"""What is counted, how it is shown, and to whom."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from platform import python_version

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.errors import Unavailable
from core.metrics import Histogram, Outage
from core.model import JobStatus, moment_of, new_id, utc_now
from core.store import Depths
from tests.web.conftest import House, Server, serving
from tests.web.wire import Line, Said, request, until
from web.door import route
from web.metrics import LOOK_EVERY, MetricsApi, Waiting, metrics_app

ROOT = Path(__file__).parents[2]
NOTHING = Depths({}, 0, None, 0)


@asynccontextmanager
async def shown(house: House, token: str = "") -> AsyncIterator[Server]:
    """The metrics on a port of their own, of the house's database."""

    async def look() -> Depths:
        return await house.store.depths.look(house.clock())

    api = MetricsApi(look, token, "1.2.3", house.clock)
    async with serving(metrics_app(route("GET", "/metrics", api.show))) as server:
        yield server


async def scrape(server: Server, token: str = "", **headers: str) -> Said:
    line = await Line.open(server.port)
    try:
        return await line.ask(request("GET", "/metrics", token, None, **headers))
    finally:
        await line.close()


def read(said: Said) -> dict[str, float]:
    """Each sample by its name and labels, as it would be asked for."""
    assert said.status == 200, said
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(said.body.decode())
        for sample in family.samples
    }


async def grown(house: House, deed: Callable[[], Awaitable[None]]) -> dict[str, float]:
    """By how much each number grew while something was done."""
    async with shown(house) as server:
        before = read(await scrape(server))
        await deed()
        after = read(await scrape(server))
    return {name: value - before.get(name, 0) for name, value in after.items()}


# What is counted.


async def test_a_job_is_counted_in_every_status_it_comes_into(house: House) -> None:
    async def one_job() -> None:
        machine = await house.enrol("web-1")
        job = await house.submit(machine)
        house.clock.move(seconds=2)
        assert (await house.ask("GET", "/agent/job", machine.token)).status == 200
        for text in ("half", "more"):
            house.clock.move(seconds=20)
            path = f"/agent/jobs/{job.id}/running"
            await house.ask("PUT", path, machine.token, {"result": text})
        await house.ask("PUT", f"/agent/jobs/{job.id}/succeed", machine.token, {"result": "x"})

    more = await grown(house, one_job)
    for status in ("queuing", "sent", "running", "succeeded"):
        assert more[f"skadi_jobs_total status={status}"] == 1, status
    assert more["skadi_dispatch_seconds_count"] == 1
    assert more["skadi_dispatch_seconds_sum"] == pytest.approx(2)
    assert more["skadi_dispatch_seconds_bucket le=1.0"] == 0
    assert more["skadi_dispatch_seconds_bucket le=2.5"] == 1
    assert more["skadi_job_run_seconds_count"] == 1
    assert more["skadi_job_run_seconds_sum"] == pytest.approx(40)
    # That its agent came is a fact as well.
    assert more["skadi_batch_facts_sum"] == 6
    assert more["skadi_commit_seconds_count"] == more["skadi_batch_facts_count"]
    assert more["skadi_http_requests_total class=2xx method=GET route=/agent/job"] == 1
    name = "skadi_http_requests_total class=2xx method=PUT route=/agent/jobs/{id}/{verb}"
    assert more[name] == 3


async def test_a_refusal_is_counted_as_one(house: House) -> None:
    await house.enrol("web-1")

    async def stranger() -> None:
        await house.ask("GET", "/agent/job", "nobodyknowsthistoken")

    more = await grown(house, stranger)
    assert more["skadi_http_requests_total class=4xx method=GET route=/agent/job"] == 1


async def test_held_polls_are_counted_while_they_are_held(quiet_house: House) -> None:
    house, machine = quiet_house, await quiet_house.enrol("web-1")
    async with shown(house) as server, house.serving() as door:
        before = read(await scrape(server))["skadi_held_polls"]

        async def held() -> bool:
            return read(await scrape(server))["skadi_held_polls"] == before + 1

        async with house.line() as line:
            await line.write(request("GET", "/agent/job?wait=30", machine.token))
            await until(held)
            door.close()
            assert (await line.answer()).status == 204
        assert read(await scrape(server))["skadi_held_polls"] == before


async def test_what_waits_is_shown_with_the_age_of_the_oldest(house: House) -> None:
    machine = await house.enrol("web-1")
    jobs = [await house.submit(machine) for _ in range(3)]
    assert all(job.status is JobStatus.QUEUING for job in jobs)
    house.clock.now = moment_of(jobs[0].id) + timedelta(seconds=90)
    async with shown(house) as server:
        now = read(await scrape(server))
    assert now["skadi_jobs_waiting status=queuing"] == 3
    assert now["skadi_jobs_oldest_seconds status=queuing"] == pytest.approx(90, abs=0.01)
    assert now["skadi_jobs_waiting status=running"] == 0
    assert now["skadi_jobs_oldest_seconds status=running"] == 0
    assert now["skadi_deliveries_due"] == now["skadi_dead_letters"] == 0


async def test_the_database_is_asked_once_in_ten_seconds() -> None:
    asked, moments = list[float](), [100.0]

    async def look() -> Depths:
        asked.append(moments[-1])
        if moments[-1] > 110:
            raise Unavailable("The database does not answer.")
        return NOTHING

    waiting = Waiting(look, lambda: moments[-1])
    for moment in (100.0, 103.0, 100.0 + LOOK_EVERY):
        moments.append(moment)
        assert await waiting.depths() is NOTHING
    assert asked == [100.0, 110.0]
    moments.append(121.0)
    assert await waiting.depths() is None


async def test_without_a_database_the_rest_is_shown(house: House) -> None:
    async def look() -> Depths:
        raise Unavailable("The database does not answer.")

    api = MetricsApi(look, "", "1.2.3", house.clock)
    async with serving(metrics_app(route("GET", "/metrics", api.show))) as server:
        now = read(await scrape(server))
    assert "skadi_jobs_waiting status=queuing" not in now
    assert "skadi_away_seconds_total part=database" in now
    assert now["skadi_build_info python=" + python_version() + " version=1.2.3"] == 1
    assert now["process_resident_memory_bytes"] > 0


def test_an_outage_is_as_long_as_it_lasted() -> None:
    outage = Outage("broker")
    outage.end()
    assert outage.seconds == 0
    outage.begin()
    first = outage.seconds
    outage.begin()
    assert outage.seconds >= first >= 0
    outage.end()
    assert outage.seconds == outage.over > 0


def test_a_histogram_counts_up_to_each_bound_and_beyond() -> None:
    histogram = Histogram("x", "X.", (1, 2))
    for value in (-0.5, 1, 1.5, 99):
        histogram.observe(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.total == pytest.approx(101.5)


def test_an_id_says_when_it_was_made() -> None:
    assert abs(moment_of(new_id()) - utc_now()) < timedelta(seconds=1)


# To whom it is shown.


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"]
)
async def test_who_comes_through_a_proxy_is_not_on_this_machine(house: House, header: str) -> None:
    async with shown(house) as server:
        assert (await scrape(server)).status == 200
        assert (await scrape(server, **{header: "127.0.0.1"})).status == 403


async def test_with_a_token_everybody_needs_it(house: House) -> None:
    async with shown(house, "a-secret-of-the-watch") as server:
        assert (await scrape(server)).status == 401
        assert (await scrape(server, "a-secret-of-the-watcH")).status == 401
        assert (await scrape(server, "a-secret-of-the-watch")).status == 200
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        assert (await scrape(server, "a-secret-of-the-watch", **forwarded)).status == 200


# What is written about it.


async def test_every_metric_is_in_the_manual_and_no_other(house: House) -> None:
    async with shown(house) as server:
        said = await scrape(server)
    shown_ones = {
        family.name
        for family in text_string_to_metric_families(said.body.decode())
        if family.name.startswith("skadi_")
    }
    manual = (ROOT / "docs" / "operations.md").read_text()
    rows = set(re.findall(r"^\| `(skadi_\w+)", manual, re.MULTILINE))
    written = {re.sub("_total$|_info$", "", name) for name in rows}
    assert written == {re.sub("_info$", "", name) for name in shown_ones}
