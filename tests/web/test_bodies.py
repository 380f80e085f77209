"""What may come in a body, and what becomes of what may not."""

import asyncio
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.output import Output
from agent.shell import closing_line
from core.errors import Invalid
from core.model import Job, JobStatus
from core.settings.values import MIB
from tests.web.conftest import House, Machine
from tests.web.wire import Line, Said, request, until
from web.report import CUT, NO_TEXT, mend, parse_cut, parse_long, parse_report
from web.settings import WebSettings

LOST = "[The output was dropped: it is larger than 16 MiB.]"


async def claimed(house: House, machine: Machine) -> Job:
    """A job that the agent is at work on."""
    job = await house.submit(machine)
    assert (await house.ask("GET", "/agent/job", machine.token)).status == 200
    return job


async def report(house: House, machine: Machine, body: bytes) -> tuple[Said, Job]:
    job = await claimed(house, machine)
    said = await house.ask("PUT", f"/agent/jobs/{job.id}/succeed", machine.token, body)
    return said, await house.job(job)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", ""),
        (b"  \n", ""),
        (b"{}", ""),
        (b'{"result": null}', ""),
        (b'{"result": 3.5}', "3.5"),
        (b'{"result": ["a", {"b": "\xc3\xa9"}]}', '["a", {"b": "é"}]'),
        (b'{"result": "a\\u0000b"}', "a\ufffdb"),
        (b'{"result": "a\x00b"}', "a\ufffdb"),
        (b'{"result": "a\x1b[0m\tb\n"}', "a\x1b[0m\tb\n"),
        (b'{"result": "caf\xe9"}', "caf\ufffd"),
        (b'{"result": "\\ud800 \\ud83d\\ude00 \\udc00"}', "\ufffd \U0001f600 \ufffd"),
        (b'{"result": ["\\ud800"]}', '["\ufffd"]'),
        (b'\xef\xbb\xbf{"result": "marked"}', "marked"),
        (b'{"result": "twice", "other": {"x": [1e999]}}', "twice"),
        (b'{"result": ' + b"[" * 900 + b"]" * 900 + b"}", "[" * 900 + "]" * 900),
    ],
)
async def test_a_report_is_never_refused_for_its_output(
    house: House, body: bytes, result: str
) -> None:
    said, job = await report(house, await house.enrol("web-1"), body)
    assert said.status == 204
    assert (job.status, job.result) == (JobStatus.SUCCEEDED, result)


@pytest.mark.parametrize("body", [b"[]", b'"done"', b"{", b"result=done", b"[" * 100_000, b"\xff"])
async def test_what_is_no_report_at_all_is_refused(house: House, body: bytes) -> None:
    said, job = await report(house, await house.enrol("web-1"), body)
    assert said.error == (400, "InvalidInput")
    assert job.status == JobStatus.SENT


async def test_an_output_of_a_mebibyte_is_kept_whole(house: House) -> None:
    output = "é" * (MIB // 2)
    said, job = await report(
        house, await house.enrol("web-1"), f'{{"result": "{output}"}}'.encode()
    )
    assert said.status == 204
    assert job.result == output


async def test_the_end_of_an_output_that_was_cut_by_its_agent_is_kept(house: House) -> None:
    """By the limits that both have without being told others."""
    output = Output(MIB)
    for chunk in (b"begun\n", b"x" * 900_000, "é".encode() * 200_000, b"\nFATAL: disk full\n"):
        output.add(chunk)
    text = closing_line(output.text(), "exit status 3")
    body = json.dumps({"result": text}, ensure_ascii=False).encode()
    _, job = await report(house, await house.enrol("web-1"), body)
    assert job.result == text
    assert job.result.startswith("begun\nxxx")
    assert job.result.endswith("é\nFATAL: disk full\nexit status 3")
    assert job.result.count(" left out") == 1


async def test_the_end_of_a_longer_report_is_kept_as_well(house: House) -> None:
    """What is no text grows when it is made one: three bytes for each."""
    output = Output(MIB)
    for chunk in (b"begun\n", b"\xff" * 3 * MIB, b"\nFATAL: disk full\n"):
        output.add(chunk)
    text = closing_line(output.text(), "exit status 3")
    body = json.dumps({"result": text}, ensure_ascii=False).encode()
    _, job = await report(house, await house.enrol("web-1"), body)
    assert job.result.startswith("begun\n\ufffd")
    assert job.result.endswith("\ufffd\nFATAL: disk full\nexit status 3")
    assert MIB - 6 <= len(job.result.encode()) < MIB + 200
    [lost] = re.findall(r"(\d+) bytes left out", text)
    assert job.result.count(" left out") == 1
    assert f" left out; it said that it lacked {lost} bytes of the output ...]" in job.result


async def test_a_report_beyond_sixteen_mebibytes_ends_the_job(house: House) -> None:
    said, job = await report(house, await house.enrol("web-1"), b'{"result": "' + b"x" * 17 * MIB)
    assert said.status == 204
    assert (job.status, job.result) == (JobStatus.SUCCEEDED, LOST)


async def test_a_report_without_a_length_is_counted_while_it_comes(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    async with house.line() as line:
        await line.write(
            request("PUT", f"/agent/jobs/{job.id}/fail", web.token, Transfer_Encoding="chunked")
        )
        for _ in range(17):
            await line.write(chunk)
        # The job has ended before the last byte came.
        await until(lambda: house.has_come(job, JobStatus.FAILED))
        await line.write(b"0\r\n\r\n")
        assert (await line.answer()).status == 204
        assert (await line.ask(request("GET", "/agent/job", web.token))).status == 204
    assert (await house.job(job)).result == LOST


async def test_a_report_whose_caller_keeps_on_writing_is_answered_in_the_end(
    quiet_house: House,
) -> None:
    house = quiet_house
    settings = WebSettings(longest_body=1000, longest_report=2000, drain_seconds=0.1)
    async with house.serving(settings):
        web = await house.enrol("web-1")
        job = await claimed(house, web)
        async with house.line() as line:
            head = request("PUT", f"/agent/jobs/{job.id}/fail", web.token, Content_Length="10000")
            await line.write(head + b"x" * 3000)
            assert (await line.answer()).status == 204
    assert "larger than 2000 bytes" in (await house.job(job)).result


async def test_a_report_that_stalls_ends_the_job_without_its_output(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(body_seconds=0.1)):
        web = await house.enrol("web-1")
        job = await claimed(house, web)
        async with house.line() as line:
            head = request("PUT", f"/agent/jobs/{job.id}/succeed", web.token, Content_Length="99")
            await line.write(head + b'{"result":')
            assert (await line.answer()).status == 204
    assert (await house.job(job)).status == JobStatus.SUCCEEDED
    assert "dropped" in (await house.job(job)).result


async def test_a_report_that_breaks_off_is_no_report(house: House) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    async with house.line() as line:
        head = request("PUT", f"/agent/jobs/{job.id}/succeed", web.token, Content_Length="99")
        await line.write(head + b'{"result":')
        await asyncio.sleep(0.05)
        line.hang_up()
    assert (await house.ask("GET", "/agent/job", web.token)).status == 204
    assert (await house.job(job)).status == JobStatus.SENT


async def test_long_reports_are_read_a_few_at_a_time(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(long_bodies=1)):
        web, db = await house.enrol("web-1"), await house.enrol("db-1")
        first, second = await claimed(house, web), await claimed(house, db)
        body = b'{"result": "' + b"x" * 2 * MIB + b'"}'
        async with house.line() as slow, house.line() as other:
            calls = [
                request("PUT", f"/agent/jobs/{job.id}/succeed", machine.token, body)
                for job, machine in ((first, web), (second, db))
            ]
            await slow.write(calls[0][:-1])
            await asyncio.sleep(0.05)
            await other.write(calls[1])
            await asyncio.sleep(0.05)
            assert (await house.job(second)).status == JobStatus.SENT
            await slow.write(calls[0][-1:])
            assert [(await line.answer()).status for line in (slow, other)] == [204, 204]
        assert (await house.job(second)).status == JobStatus.SUCCEEDED


LONG = b'{"result": "' + b"x" * 2 * MIB + b'"}'


async def begin(line: Line, job: Job, machine: Machine, body: bytes = LONG) -> None:
    """All of a report but its last byte."""
    path = f"/agent/jobs/{job.id}/succeed"
    await line.write(request("PUT", path, machine.token, body)[:-1])
    await asyncio.sleep(0.05)


async def test_who_finds_no_room_for_a_long_report_in_time_has_it_cut(quiet_house: House) -> None:
    """Somebody else's reports may keep all the room for as long as bodies may take."""
    house = quiet_house
    async with house.serving(WebSettings(long_bodies=1, place_seconds=0.1)):
        web, db = await house.enrol("web-1"), await house.enrol("db-1", house.stranger)
        first, second = await claimed(house, web), await claimed(house, db)
        async with house.line() as hog:
            await begin(hog, first, web)
            path = f"/agent/jobs/{second.id}/succeed"
            assert (await house.ask("PUT", path, db.token, LONG)).status == 204
    ended = await house.job(second)
    assert ended.status == JobStatus.SUCCEEDED
    assert ended.result.startswith("x" * (MIB - 1000))
    assert ended.result.endswith(CUT)
    assert len(ended.result) < MIB + 100 and " left out" not in ended.result


async def test_one_agent_has_one_long_report_read_at_a_time(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(long_bodies=2, place_seconds=0.1)):
        hog, db = await house.enrol("web-1"), await house.enrol("db-1", house.stranger)
        jobs = [await claimed(house, hog) for _ in range(3)]
        other = await claimed(house, db)
        async with house.line() as one, house.line() as two, house.line() as three:
            for line, job in zip((one, two, three), jobs, strict=True):
                await begin(line, job, hog)
            path = f"/agent/jobs/{other.id}/succeed"
            assert (await house.ask("PUT", path, db.token, LONG)).status == 204
            await until(lambda: house.has_come(jobs[2], JobStatus.SUCCEEDED))
    assert "(cut: other" not in (await house.job(other)).result


async def test_a_long_report_of_nobodys_job_is_not_read(house: House) -> None:
    web, db = await house.enrol("web-1"), await house.enrol("db-1", house.stranger)
    ended, others, waiting = (
        (await report(house, web, b"{}"))[1],
        await claimed(house, db),
        await house.submit(web),
    )
    expected = {ended: (400, "JobFinished"), others: (404, "NotFound"), waiting: (404, "NotFound")}
    for job, error in expected.items():
        async with house.line() as line:
            await begin(line, job, web)
            assert (await line.answer()).error == error


@pytest.mark.parametrize("verb", ["running", "succeed"])
async def test_a_late_long_report_is_refused_as_a_short_one_is(house: House, verb: str) -> None:
    web = await house.enrol("web-1")
    job = await claimed(house, web)
    await house.jobs.expire(house.owner.id, job.id)
    path = f"/agent/jobs/{job.id}/{verb}"
    said = await house.ask("PUT", path, web.token, LONG)
    assert said.status == (204 if verb == "succeed" else 400)


async def test_a_long_report_that_is_no_text_is_dropped_and_holds_up_nobody(house: House) -> None:
    web = await house.enrol("web-1")
    slowest, looking = 0.0, True

    async def look() -> None:
        nonlocal slowest
        while looking:
            begun = asyncio.get_running_loop().time()
            await asyncio.sleep(0)
            slowest = max(slowest, asyncio.get_running_loop().time() - begun)

    watching = asyncio.create_task(look())
    said, job = await report(house, web, b'{"result": [' + b"[]," * (5 * MIB) + b"[]]}")
    looking = False
    await watching
    assert said.status == 204
    assert (job.status, job.result) == (
        JobStatus.SUCCEEDED,
        "[The output was dropped: it is long, and no text.]",
    )
    assert slowest < 0.5


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"result": "done"}', "done"),
        (b'\xef\xbb\xbf { "id" : 7 , "result" : "a\\nb" , "more" : null } \n', "a\nb"),
        (b'{"result": "a", "result": "b"}', "b"),
        (b'{"result": null}', ""),
        (b'{"result": 3.5}', "3.5"),
        (b'{"other": ""}', ""),
        (
            b'{"result": "caf\xe9 \\ud800 \\ud83d\\ude00 \x00 \\u0000"}',
            "caf\ufffd \ufffd \U0001f600 \ufffd \ufffd",
        ),
        (b'{"other": {}, "result": "lost"}', NO_TEXT),
        (b"{" + b'"a": 1, ' * 200 + b'"result": "lost"}', NO_TEXT),
    ],
)
def test_a_long_report_is_understood_as_a_short_one_is(body: bytes, result: str) -> None:
    assert parse_long(body) == result
    if result != NO_TEXT:
        assert parse_report(body) == result


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"result": "x', b'{"result": "x"', b'{"result": "x"} y', b"{result}"],
)
def test_a_long_report_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_long(body)


@given(st.text(), st.integers(0))
def test_a_report_may_be_cut_anywhere(result: str, lost: int) -> None:
    """Even in the midst of an escape or of a letter's bytes."""
    for text in (json.dumps(result), json.dumps(result, ensure_ascii=False)):
        body = text.encode(errors="surrogatepass")[1:-1]
        kept = parse_cut(b'{"result": "' + body[: len(body) - lost % (len(body) + 1)])
        assert kept.endswith(CUT)
        whole = mend(result)
        assert whole.startswith(kept.removesuffix(CUT).rstrip("\ufffd"))


def test_what_is_cut_before_its_result_is_dropped() -> None:
    for body in (b'{"resu', b'{"result": [1, 2', b""):
        assert parse_cut(body) == NO_TEXT


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"[]",
            b"7",
            b"null",
            b'"text"',
            b"{",
            b"message=hello",
            b"\xff\xfe",
            b'{"message":"\xff"}',
        ),
        *(b'{"message": 7}', b'{"message": ["a"]}', b'{"message": "x", "channel": {}}'),
        *(b'{"message": "\\ud800"}', b'{"message":' + b"[" * 100_000, b'{"message": NaN}'),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_in_one_sentence(
    house: House, body: bytes
) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/message/info", web.token, body)
    assert said.error == (400, "InvalidInput")
    assert said.json["message"].count(".") == 1


async def test_unknown_fields_and_a_missing_content_type_do_no_harm(house: House) -> None:
    web = await house.enrol("web-1")
    fields = {"message": "hello", "level": "info", "extra": {"deep": [1, 2]}}
    assert (await house.ask("POST", "/agent/message/info", web.token, fields)).status == 202


@pytest.mark.parametrize("path", ["/agent/message/info", "/agent/job/add", "/agent/job/delayed"])
async def test_other_bodies_end_at_a_mebibyte(house: House, path: str) -> None:
    web = await house.enrol("web-1")
    body = b'{"message": "' + b"x" * MIB + b'"}'
    assert (await house.ask("POST", path, web.token, body)).error == (413, "TooLarge")


async def test_a_body_without_a_length_ends_there_too(house: House) -> None:
    web = await house.enrol("web-1")
    async with house.line() as line:
        path = "/agent/message/info"
        await line.write(request("POST", path, web.token, Transfer_Encoding="chunked"))
        await line.write(b"%x\r\n" % (MIB + 1) + b"x" * (MIB + 1) + b"\r\n")
        assert (await line.answer()).error == (413, "TooLarge")


async def test_a_stranger_cannot_make_the_server_hold_a_body(house: House) -> None:
    await house.enrol("web-1")
    async with house.line() as line:
        await line.write(request("POST", "/agent/message/info", "?", Content_Length="1000000"))
        assert (await line.answer()).error == (401, "Unauthorized")


async def test_a_body_that_does_not_come_is_not_waited_for(quiet_house: House) -> None:
    house = quiet_house
    async with house.serving(WebSettings(body_seconds=0.1)):
        web = await house.enrol("web-1")
        async with house.line() as line:
            await line.write(request("POST", "/agent/info", web.token, Content_Length="10"))
            assert (await line.answer()).error == (408, "Timeout")


def test_a_report_nested_too_deeply_to_be_told_has_no_text() -> None:
    assert parse_report(b'{"result": ' + b"[" * 1015 + b"]" * 1015 + b"}") == ""
