"""How a running server is watched: its metrics, and the way of a job in its log."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.log import FORMATS
from core.model import new_id
from tests.app.program import Program, wait_for
from tests.app.test_process import enrol, poll, report, write_mail

SECRET = "uptime"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    settings = {"SKADI_DEMO": "off", "SKADI_LOG_FORMAT": "json"}
    with Program(tmp_path, settings) as program:
        yield program


def lines(program: Program) -> list[dict[str, object]]:
    return [json.loads(line) for line in program.said.splitlines()]


def test_the_id_of_a_job_leads_through_the_log(program: Program) -> None:
    program.start().wait_until_ready()
    token, _ = enrol(program)
    address = program.ask("token", "add", "mail", "ada", "phone")["address"]
    poll(program, token, 0)
    write_mail(program, address)
    status, body = poll(program, token, 10)
    assert status == 200
    job = json.loads(body)["id"]
    report(program, token, job)

    def told() -> bool | None:
        return any("told by smtp" in str(line["message"]) for line in lines(program)) or None

    wait_for(told, "the word that it was told")
    way = [str(line["message"]) for line in lines(program) if job in line.get("trace", ())]  # type: ignore[operator]
    arrived, handed_out, reported, said = way
    assert f"{job} queuing for " in arrived
    assert f"{job} sent" in handed_out
    assert f"{job} succeeded" in reported
    assert said == f"{job}: told by smtp as far as 3"
    assert SECRET not in program.said
    metrics = (program.get("/metrics") or b"").decode()
    assert 'skadi_jobs_total{status="succeeded"} 1.0' in metrics
    assert 'skadi_delivery_tries_total{adapter="smtp",outcome="told"} 1.0' in metrics


def test_a_line_of_json_has_what_a_line_of_text_has() -> None:
    first, second = new_id(), new_id()
    said = f"{first}: led to {second}, not to {first}"
    try:
        raise ValueError("broken")
    except ValueError as error:
        cause = (type(error), error, error.__traceback__)
    record = logging.LogRecord("core.jobs", logging.WARNING, "", 1, said, (), cause)
    line = json.loads(FORMATS["json"].format(record))
    assert (line["level"], line["logger"], line["message"]) == ("warning", "core.jobs", said)
    assert line["trace"] == [first, second]
    assert "ValueError: broken" in line["error"]
    assert line["time"].endswith("+00:00")
    text = FORMATS["text"].format(record)
    assert "WARNING" in text
    assert said in text
