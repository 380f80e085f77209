"""The snippets of docs/ci.md do what they say, as the shell of a runner runs them."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.program import PATIENCE, ROOT, Program, wait_for
from tests.servers import LOOPBACK

PAGE = (ROOT / "docs" / "ci.md").read_text()
STEP = re.compile(
    r"^ +curl -sS --fail-with-body.*?job\.json\n.*?job\.json$", re.MULTILINE | re.DOTALL
)
STEPS = [textwrap.dedent(step) for step in STEP.findall(PAGE)]
[LOOP] = re.findall(r"```sh\n(while .*?)```", PAGE, re.DOTALL)
RUN = {
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "CI_JOB_ID": "815",
    "BUILD_TAG": "jenkins-deploy-12",
    "KEY": "mine",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("ci")) as program:
        program.start().wait_until_said("Stop with Ctrl-C.")
        made = program.ask(
            *("token", "add", "account", "demo", "github"),
            *("--scope", "submit", "--scope", "read", "--expires", "90d"),
        )
        program.environment["SKADI_TOKEN"] = made["token"]
        program.environment["SKADI_URL"] = f"http://{LOOPBACK}:{program.port}"
        program.environment |= RUN
        wait_for(lambda: run(program, program.data, STEPS[0], "date", 99) == 0 or None, "the agent")
        yield program


def run(program: Program, folder: Path, step: str, command: str, attempt: int) -> int:
    step = step.replace('"web-1"', '"demo"').replace('"deploy 1.4"', json.dumps(command))
    keys = {name: f"{value}{attempt}" for name, value in RUN.items()}
    done = subprocess.run(
        ["sh", "-ec", step],
        env=program.environment | keys,
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode


def job_of(folder: Path) -> dict[str, str]:
    job: dict[str, str] = json.loads((folder / "job.json").read_bytes())
    return job


def test_there_is_one_for_each() -> None:
    assert len(STEPS) == 3
    for name in ("GitHub Actions", "GitLab CI", "Jenkins"):
        assert f"\n## {name}\n" in PAGE


@pytest.mark.parametrize("step", [*STEPS, LOOP], ids=["github", "gitlab", "jenkins", "loop"])
def test_a_step_fails_with_the_job_and_never_runs_it_twice(
    program: Program, tmp_path: Path, step: str
) -> None:
    assert run(program, tmp_path, step, "hello", 1) == 0
    first = job_of(tmp_path)
    assert first["result"].startswith("Hello from ")
    assert run(program, tmp_path, step, "hello", 1) == 0
    assert job_of(tmp_path)["id"] == first["id"]
    assert run(program, tmp_path, step, "fail", 2) != 0
    assert job_of(tmp_path)["status"] == "failed"


@pytest.mark.parametrize("step", STEPS, ids=["github", "gitlab", "jenkins"])
def test_a_job_that_is_still_going_after_the_wait_is_no_success(
    program: Program, tmp_path: Path, step: str
) -> None:
    short = step.replace("wait=600", "wait=0")
    assert run(program, tmp_path, short, "sleep 5", 3) != 0
    assert job_of(tmp_path)["status"] not in ("succeeded", "failed")


def test_a_long_job_is_asked_after_again_and_again(program: Program, tmp_path: Path) -> None:
    assert run(program, tmp_path, LOOP.replace("wait=600", "wait=1"), "sleep 5", 4) == 0
    assert job_of(tmp_path)["result"] == "Slept well.\n"
