"""`app.py submit`: one command that runs something, waits for it and ends as it did."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import httpx
import pytest

from cli.remote import Unreached, away, events_of
from core.errors import Unavailable
from tests.app.program import PATIENCE, ROOT, Program, wait_for
from tests.servers import LOOPBACK

LAST_LINE = "Stop with Ctrl-C."


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("submit")) as program:
        program.start().wait_until_said(LAST_LINE)
        secrets = json.loads((program.data / "demo" / "secrets.json").read_bytes())
        program.environment["SKADI_URL"] = f"http://{LOOPBACK}:{program.port}"
        program.environment["SKADI_TOKEN"] = secrets["token"]
        wait_for(lambda: agent_is_there(program), "the demo agent")
        for name in ("idle", "mute"):
            program.tell("agent", "add", "demo", name)
        yield program


def agent_is_there(program: Program) -> bool | None:
    return True if program.start_command("submit", "demo", "date").returncode == 0 else None


@pytest.mark.parametrize(
    ("words", "status", "out"),
    [
        (("demo", "echo", "one", "two", "--wait"), 0, "one two\n"),
        (("--wait", "1m", "demo", "echo", "one"), 0, "one\n"),
        (("demo", "echo", "-x", "one", "--wait=1m"), 0, "-x one\n"),
        (("--wait", "demo", "--", "echo", "--json"), 0, "--json\n"),
        (("demo", "fail", "--wait"), 1, "This one always fails.\n"),
        (("demo", "sleep", "5", "--wait", "200ms"), 5, ""),
        (("demo", "echo one\u2028two\u2029three\x85four", "--wait"), 0, "one\u2028two\u2029three"),
        (("demo", "echo ✓", "--wait"), 0, "✓\n"),
    ],
)
def test_the_exit_status_follows_the_job(
    program: Program, words: tuple[str, ...], status: int, out: str
) -> None:
    done = program.start_command("submit", *words)
    assert (done.returncode, done.stdout.startswith(out)) == (status, True), done
    assert done.stderr == ""


def test_without_waiting_it_says_which_job_it_is(program: Program) -> None:
    done = program.start_command("submit", "demo", "hello", "--json")
    job = json.loads(done.stdout)
    assert (done.returncode, job["message"], job["source"]) == (0, "hello", "app.py submit")
    done = program.start_command("follow", job["id"])
    assert (done.returncode, done.stdout.startswith("Hello from ")) == (0, True)
    done = program.start_command("follow", job["id"], "--json")
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_a_job_that_was_canceled_or_expired_has_a_status_of_its_own(program: Program) -> None:
    """Nobody misses an agent yet that has only just been made."""
    program.tell("agent", "add", "demo", "new")
    for path, method, status in (
        ("/api/jobs/{}/cancel", "POST", 4),
        ("/sys/jobs/{}/expire", "PUT", 3),
    ):
        done = program.start_command("submit", "new", "hello", "--json")
        job_id = json.loads(done.stdout)["id"]
        call(program, method, path.format(job_id))
        assert program.start_command("follow", job_id).returncode == status


def call(program: Program, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}{path}"
    with urlopen(Request(url, method=method, headers=headers), timeout=PATIENCE):
        pass


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("submit", "demo"), 2, "Missing argument"),
        (("submit", "demo", "date", "--url", "here"), 2, "begins with http"),
        (("submit", "demo", "date", "--token", ""), 2, "SKADI_TOKEN"),
        (("submit", "demo", "date", "--url", "https://"), 2, "begins with http"),
        (("submit", "demo", "date", "--account", "demo"), 2, "--account"),
        (("submit", "demo", "date", "--key", "two words"), 2, "a key has"),
        (("submit", "demo", "date", "--url", "", "--key", "mine"), 2, "a key is for a server"),
        (("submit", "nobody", "date", "--wait"), 1, "There is no agent nobody."),
        (("submit", "demo", "date", "--token", "ska_wrong"), 1, "token"),
        (("follow", "06vlmdv0i8q8kc2h1m4g"), 1, "no such job"),
    ],
)
def test_what_cannot_be_done_says_why(
    program: Program, words: tuple[str, ...], status: int, said: str
) -> None:
    done = program.start_command(*words)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("token", ["ska_secret\nska_secret", "ska_secrét", "ska_secret\x7f"])
def test_a_token_that_is_none_is_not_shown(program: Program, token: str) -> None:
    done = program.start_command("submit", "demo", "date", "--wait", "--token", token)
    [line] = [line for line in done.stderr.splitlines() if "token" in line]
    assert (done.returncode, line) == (
        2,
        "Error: Invalid value: the token holds what no token does: copy it again",
    )
    assert "secr" not in done.stdout + done.stderr


def test_a_line_end_behind_the_token_is_not_part_of_it(program: Program) -> None:
    """Secrets are often pasted with one, or read from a file."""
    token = program.environment["SKADI_TOKEN"]
    done = program.start_command("submit", "demo", "echo one", "--wait", "--token", f"{token}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sh", "-c", "exit 7"], "sh -c 'exit 7'"),
        (["echo", "it's", "", "$HOME"], "echo 'it'\"'\"'s' '' '$HOME'"),
        (["df -h | sort; exit 7"], "df -h | sort; exit 7"),
        (["deploy", "1.4"], "deploy 1.4"),
    ],
)
def test_words_reach_the_agent_as_the_shell_had_them(
    program: Program, words: list[str], message: str
) -> None:
    done = program.start_command("submit", "--json", "mute", *words)
    assert json.loads(done.stdout)["message"] == message


def test_with_the_same_key_it_is_the_same_job(program: Program) -> None:
    said = [
        program.start_command("submit", "demo", "echo one", "--key", key, "--json").stdout
        for key in ("first", "first", "second")
    ]
    one, same, other = (json.loads(each)["id"] for each in said)
    assert one == same != other
    done = program.start_command("submit", "demo", "echo two", "--key", "first")
    assert done.returncode == 1
    assert "another job" in done.stderr


def test_a_token_that_may_not_read_does_not_know_the_end(program: Program) -> None:
    made = program.ask("token", "add", "account", "demo", "blind", "--scope", "submit")
    words = "submit", "demo", "echo one", "--token", made["token"]
    done = program.start_command(*words)
    assert (done.returncode, done.stderr) == (0, "")
    done = program.start_command(*words, "--wait")
    assert (done.returncode, done.stdout) == (5, "")
    assert "python app.py follow " in done.stderr
    done = program.start_command(*words, "--wait", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["error"]) == (5, "Forbidden")
    assert program.start_command("follow", answer["job"]).returncode == 0


def test_output_that_the_locale_cannot_say_is_output_all_the_same(program: Program) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "submit", "demo", "echo ✓", "--wait"],
        env=program.environment | {"PYTHONIOENCODING": "cp1252"},
        cwd=ROOT,
        capture_output=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "✓\n".encode(), b"")


def test_a_reader_that_leaves_does_not_make_the_job_a_failure(program: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, str(ROOT / "app.py"), "submit", "demo", "hello", "--wait"],
            env=program.environment,
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=2 * PATIENCE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (5, b"")


# A server that says what it is told to.

JOB = json.dumps(
    {"id": "06vlmdv0i8q8kc2h1m4g", "status": "queuing", "agent_name": "web-1", "result": ""}
)
REVOKED = json.dumps({"error": "Unauthorized", "message": "No such token."})


def answer(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


@contextmanager
def saying(*answers: bytes) -> Iterator[str]:
    """The address of a server that gives these answers, one a connection; without a word it hangs up."""
    with socket.create_server((LOOPBACK, 0)) as server:
        thread = threading.Thread(target=say, args=(server, answers), daemon=True)
        thread.start()
        yield f"http://{LOOPBACK}:{server.getsockname()[1]}"


def say(server: socket.socket, answers: Sequence[bytes]) -> None:
    with server:
        for words in answers:
            line, _ = server.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(words)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([answer("201 Created", JOB), answer("401 Unauthorized", REVOKED)], 5),
        ([answer("201 Created", JOB), *[answer("200 OK", "<html>")] * 2], 5),
        ([b"", answer("401 Unauthorized", REVOKED)], 5),
        ([answer("500 Internal Server Error", "<html>"), answer("404 Not Found", REVOKED)], 5),
        ([answer("401 Unauthorized", REVOKED)], 1),
        ([answer("200 OK", "<html>")], 1),
        ([answer("201 Created", "{}")], 1),
        ([answer("301 Moved Permanently", "")], 1),
    ],
    ids=["revoked", "replaced", "lost, revoked", "broken, gone", "no", "no Skadi", "nor", "moved"],
)
def test_nothing_is_called_a_failure_that_may_succeed(
    program: Program, answers: list[bytes], status: int
) -> None:
    with saying(*answers) as url:
        done = program.start_command("submit", "demo", "date", "--wait", "--url", url)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert "Traceback" not in done.stderr
    assert ("is not known" in done.stderr) == (status == 5)


def test_who_never_heard_whether_there_is_a_job_is_told_by_which_key_to_ask(
    program: Program,
) -> None:
    lost = [b"", answer("401 Unauthorized", REVOKED)]
    for words, key in (((), "With --key "), (("--key", "mine"), "With --key mine the same call")):
        with saying(*lost) as url:
            done = program.start_command("submit", "demo", "date", "--url", url, *words)
        assert (done.returncode, key in done.stderr) == (5, True), done


def test_following_with_a_token_that_is_worth_nothing_is_not_the_jobs_failure(
    program: Program,
) -> None:
    with saying(answer("401 Unauthorized", REVOKED)) as url:
        done = program.start_command("follow", "06vlmdv0i8q8kc2h1m4g", "--url", url)
    assert done.returncode == 5


def test_what_the_server_cannot_have_heard_made_no_job() -> None:
    assert isinstance(away(httpx.ConnectError("nobody there")), Unreached)
    for error in (httpx.ReadError(""), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("cut")):
        assert type(away(error)) is Unavailable
    secret = httpx.LocalProtocolError("Illegal header value b'Bearer ska_secret'")
    assert "secret" not in away(secret).message


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
async def test_only_cr_and_lf_end_a_line_of_an_event(size: int, end: str) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1e✓"
    lines = [": pulse", "", "id: 1", "event:output", f"data: {text}", "", "id: 2", "", "data: cut"]
    raw = end.join(lines).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    found = [fields async for fields in events_of(pieces())]
    assert found == [{"id": "1", "event": "output", "data": text}]


def test_a_refusal_is_json_for_programs(program: Program) -> None:
    done = program.start_command("submit", "nobody", "date", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "AgentNotFound"


def test_without_an_address_it_is_done_beside_the_server(program: Program) -> None:
    environment = {
        key: value
        for key, value in program.environment.items()
        if key not in ("SKADI_URL", "SKADI_TOKEN")
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "submit", "demo", "echo", "here", "--wait"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "here\n"), done
    assert time.monotonic() - began < PATIENCE


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(program: Program) -> None:
    waiting = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "submit", "demo", "sleep 5", "--wait"],
        env=program.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: has_running(program, "sleep 5"), "the job")
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    [line] = [line for line in said.splitlines() if "goes on." in line]
    words = line.partition("python app.py ")[2].split()
    done = program.start_command(*words)
    assert (done.returncode, done.stdout) == (0, "Slept well.\n"), done


def has_running(program: Program, command: str) -> bool | None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}/api/jobs?limit=1"
    with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
        [job] = json.load(answer)["jobs"]
    return True if job["message"] == command and job["status"] in ("sent", "running") else None


def test_a_restart_of_the_server_is_waited_out(program: Program, tmp_path: Path) -> None:
    output = (tmp_path / "out").open("w+")
    waiting = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "submit", "idle", "hello", "--wait", "--json"],
        env=program.environment,
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: newest_of(program, "idle"), "the job")
    assert program.stop() == 0
    program.start()
    wait_for(lambda: program.said.count(LAST_LINE) == 2 or None, "a second start")
    job_id = newest_of(program, "idle")
    assert job_id
    call(program, "POST", f"/api/jobs/{job_id}/cancel")
    assert waiting.wait(PATIENCE) == 4
    output.seek(0)
    assert json.load(output)["id"] == job_id
    output.close()


def newest_of(program: Program, agent: str) -> str | None:
    headers = {"Authorization": f"Bearer {program.environment['SKADI_TOKEN']}"}
    url = f"http://{LOOPBACK}:{program.port}/api/jobs?limit=1&agent={agent}&status=queuing"
    with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
        jobs = json.load(answer)["jobs"]
    return str(jobs[0]["id"]) if jobs else None
