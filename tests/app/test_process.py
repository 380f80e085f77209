"""How the program starts, refuses to start, and leaves."""

from __future__ import annotations

import asyncio
import json
import signal
import smtplib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from app import live
from core.errors import SettingsError, SkadiError
from core.settings import load
from tests.app.program import ROOT, Program, wait_for
from tests.servers import LOOPBACK, free_port

LEAVES_WITHIN = 10.0
NO_DEMO = {"SKADI_DEMO": "off"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path, NO_DEMO) as program:
        yield program


def poll(program: Program, token: str, wait: int) -> tuple[int, bytes]:
    connection = HTTPConnection(LOOPBACK, program.port, timeout=60)
    with closing(connection):
        head = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/agent/job?wait={wait}", headers=head)
        answer = connection.getresponse()
        return answer.status, answer.read()


class Poller(threading.Thread):
    """An agent that has its poll held."""

    def __init__(self, program: Program, token: str, wait: int = 50) -> None:
        super().__init__(daemon=True)
        self._ask = (program, token, wait)
        self.status = 0
        self.body = b""
        self.start()

    def run(self) -> None:
        self.status, self.body = poll(*self._ask)


def enrol(program: Program, name: str = "web-1") -> tuple[str, str]:
    """The tokens of an agent and of its account."""
    program.tell("account", "add", "ada")
    agent = program.ask("agent", "add", "ada", name)
    account = program.ask("token", "add", "account", "ada", "ci")
    return agent["token"], account["token"]


def submit(program: Program, token: str, command: str, agent: str = "web-1") -> int:
    connection = HTTPConnection(LOOPBACK, program.port, timeout=30)
    with closing(connection):
        body = json.dumps({"agent": agent, "message": command})
        head = {"Authorization": f"Bearer {token}"}
        connection.request("POST", "/api/jobs", body, head)
        return connection.getresponse().status


# Refused.


def test_a_port_that_is_taken_is_named_with_the_setting_to_change(program: Program) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, program.port))
        taken.listen()
        said = program.refusal()
    assert f"skadi: [web] HTTP cannot listen on 127.0.0.1:{program.port}" in said
    assert "SKADI_WEB__PORT" in said


def test_a_mail_port_that_is_taken_is_named_as_well(program: Program) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, program.mail_port))
        taken.listen()
        said = program.refusal()
    assert "skadi: [adapters.smtp] cannot listen" in said
    assert "SKADI_ADAPTERS__SMTP__PORT" in said


def test_a_host_that_is_none_of_this_machine_is_named_and_not_the_port(program: Program) -> None:
    for section in ("SKADI_WEB", "SKADI_ADAPTERS__SMTP"):
        program.environment[f"{section}__HOST"] = "nosuch.invalid"
    said = program.refusal()
    for section in ("SKADI_WEB", "SKADI_ADAPTERS__SMTP"):
        assert f"Name an address of this machine with {section}__HOST." in said
    assert "port" not in said


def test_a_second_start_says_what_is_the_matter_and_leaves_the_first_alone(
    program: Program,
) -> None:
    program.start().wait_until_ready()
    agent, _ = enrol(program)
    holder, address = f"process {program.process.pid}", f"http://{LOOPBACK}:{program.port}"
    for port in (program.port, free_port()):
        program.environment["SKADI_WEB__PORT"] = str(port)
        program.environment["SKADI_ADAPTERS__SMTP__PORT"] = str(free_port())
        said = program.refusal()
        assert said.startswith(
            f"skadi: Skadi runs already with {program.data}: {holder}, {address}."
        )
    assert poll(program, agent, 0)[0] == 204
    program.process.kill()
    program.process.wait()
    program.environment["SKADI_WEB__PORT"] = str(program.port)
    program.start().wait_until_ready()


def test_what_it_writes_is_for_its_owner_alone(program: Program) -> None:
    program.data.mkdir(mode=0o755)
    program.start().wait_until_ready()
    enrol(program)
    files = [path for path in program.data.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"skadi.db", "skadi.db-wal", "skadi.lock"}
    assert {path.name for path in files if path.stat().st_mode & 0o077} == set()
    [finding] = [
        each for each in program.ask("check")["findings"] if each["about"] == "data folder"
    ]
    assert finding["level"] == "warn"
    assert finding["todo"] == f"Close it: chmod 700 {program.data}"


def test_neither_a_database_elsewhere_nor_the_mail_is_for_others(program: Program) -> None:
    program.data.mkdir(mode=0o755)
    elsewhere = program.data.with_name("elsewhere")
    elsewhere.mkdir(mode=0o755)
    program.environment["SKADI_DATABASE__URL"] = f"sqlite:///{elsewhere}/skadi.db"
    program.start().wait_until_ready()
    program.tell("account", "add", "ada")
    write_mail(program, program.ask("token", "add", "mail", "ada", "phone")["address"])
    outbox = program.data / "outbox" / "new"
    wait_for(lambda: next(iter(outbox.glob("*")), None), "an answer")
    made = [path for folder in (program.data, elsewhere) for path in folder.rglob("*")]
    assert {path.name for path in made} >= {"skadi.db", "outbox", "new"}
    assert {path for path in made if path.stat().st_mode & 0o077} == set()


def test_the_start_says_where_mail_is_taken_and_where_answers_go(program: Program) -> None:
    said = program.start().wait_until_said("answers into")
    outbox = program.data / "outbox"
    place = f"{LOOPBACK}:{program.mail_port}"
    assert f"smtp: mail to agent@localhost at {place}, answers into {outbox}" in said


def test_a_log_that_says_much_says_no_secret_and_no_output(program: Program) -> None:
    program.environment["SKADI_LOG"] = "debug"
    program.start().wait_until_ready()
    token, account = enrol(program)
    address = program.ask("token", "add", "mail", "ada", "phone")["address"]
    write_mail(program, address)
    status, body = poll(program, token, 10)
    assert status == 200
    report(program, token, json.loads(body)["id"])
    folder = program.data / "outbox" / "new"
    answer = wait_for(lambda: next(iter(folder.glob("*")), None), "an answer")
    assert b"all is well" in answer.read_bytes()
    code = program.ask("identity", "code", "ada")["code"]
    program.stop()
    said = program.said
    assert "playing" in said
    for secret in (token, account, address.partition("+")[2].partition("@")[0], code):
        assert secret not in said
    assert "all is well" not in said
    assert "SELECT" not in said


def test_a_database_that_is_away_is_a_sentence(program: Program) -> None:
    url = f"mysql://skadi@{LOOPBACK}:{free_port()}/skadi"
    program.environment["SKADI_DATABASE__URL"] = url
    assert program.refusal() == "skadi: The database does not answer.\n"
    assert program.refusal("migrate") == "The database does not answer.\n"


def test_a_word_that_is_neither_role_nor_command_is_misuse(program: Program) -> None:
    done = program.start_command("wep")
    assert done.returncode == 2
    assert 'there is no role or command "wep"; did you mean "web"?' in done.stderr
    assert "smtp" in done.stderr


def refused(program: Program, *words: str) -> str:
    """Why it does not start; in this process, which is quicker."""
    with pytest.raises((SettingsError, SkadiError)) as caught:
        asyncio.run(live(load(ROOT, program.environment), words))
    return str(caught.value)


def test_some_roles_without_redis_are_refused(program: Program) -> None:
    said = refused(program, "web", "worker")
    assert said.startswith("Only web, worker, and no [redis] url")
    assert "SKADI_REDIS__URL" in said
    assert not (program.data / "skadi.db").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SKADI_WEB__PROT", "1", 'SKADI_WEB__PROT: there is no setting "prot"'),
        ("SKADI_ADAPTERS__SMTP__PROT", "1", "SKADI_ADAPTERS__SMTP__PROT: there is no setting"),
        ("SKADI_ADAPTERS__SMPT__PORT", "1", '[adapters.smpt]: there is no platform "smpt"'),
        ("SKADI_ADAPTERS__SMTP__TLS_CERT", "/nowhere", "[adapters.smtp] tls_key"),
        ("SKADI_DATABASE__URL", "mysql://root@127.0.0.1:1/skadi", "The database does not answer."),
        ("SKADI_DATA", "/proc/skadi", "/proc/skadi cannot be"),
        ("SKADI_DATA", "/dev/null/skadi", "/dev/null/skadi cannot be written. Let this user write"),
        (
            "SKADI_DATABASE__URL",
            "sqlite:////proc/s.db",
            "SQLite cannot use /proc/s.db: unable to open",
        ),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start(
    program: Program, variable: str, value: str, message: str
) -> None:
    program.environment[variable] = value
    assert message in refused(program)


# Commands beside a running server.


def test_what_a_command_changes_holds_in_the_running_server(program: Program) -> None:
    program.start().wait_until_ready()
    token, account = enrol(program)
    assert poll(program, token, 0) == (204, b"")
    assert submit(program, account, "uptime") == 201

    done = program.start_command("agent", "rotate", "ada", "web-1", "--json")
    rotated = json.loads(done.stdout)["token"]
    assert poll(program, rotated, 0)[0] == 200
    wait_for(lambda: poll(program, token, 0)[0] == 401 or None, "the end of the old token")

    [listed] = [row for row in program.ask("token", "list") if row["name"] == "ci"]
    program.tell("token", "revoke", listed["id"])
    wait_for(lambda: submit(program, account, "uptime") == 401 or None, "the end of the token")


def test_check_tells_a_running_server_from_another_program(program: Program) -> None:
    findings = program.ask("check")["findings"]
    assert {finding["level"] for finding in findings} == {"ok"}, findings
    assert "is free" in next(f["message"] for f in findings if f["about"] == "HTTP")
    assert not (program.data / "skadi.db").exists()

    program.start().wait_until_ready()
    said = program.tell("check")
    assert f"* web.port                                {program.port}" in said
    assert "  web.host                                127.0.0.1" in said
    assert f"ok    HTTP: The server runs at http://127.0.0.1:{program.port}." in said
    assert "ok    smtp: The inbox runs at " in said
    program.stop()

    with socket.socket() as other:
        other.bind((LOOPBACK, program.mail_port))
        other.listen()
        answering = threading.Thread(target=say_hello, args=(other,))
        answering.start()
        done = program.start_command("check")
        answering.join()
    assert done.returncode == 1
    assert "FAIL  smtp: At " in done.stdout
    assert "SKADI_ADAPTERS__SMTP__PORT" in done.stdout


def say_hello(server: socket.socket) -> None:
    caller, _ = server.accept()
    with caller:
        caller.sendall(b"hello\r\n")


def test_check_does_not_show_secrets(program: Program) -> None:
    program.environment["SKADI_DATABASE__URL"] = "mysql://root:hush@127.0.0.1:1/skadi"
    program.environment["SKADI_ADAPTERS__SMTP__SMARTHOST"] = "smtp://me:hush@mail.example.org"
    done = program.start_command("check", "--json")
    assert done.returncode == 1
    assert "hush" not in done.stdout + done.stderr
    assert "mysql://127.0.0.1:1/skadi does not answer" in done.stdout


def test_what_cannot_be_delivered_is_a_letter_until_it_is_dropped(tmp_path: Path) -> None:
    nowhere = {
        "SKADI_ADAPTERS__SMTP__SMARTHOST": f"smtp://{LOOPBACK}:1",
        "SKADI_NOTIFIER__GIVE_UP": "300ms",
        "SKADI_NOTIFIER__FIRST_PAUSE": "100ms",
        "SKADI_NOTIFIER__LOOK": "100ms",
    }
    with Program(tmp_path, {**nowhere, **NO_DEMO}) as program:
        program.start().wait_until_ready()
        program.tell("account", "add", "ada")
        address = program.ask("token", "add", "mail", "ada", "phone")["address"]
        wait_for(lambda: write_mail(program, address) or None, "a mail that was taken")

        def listed(tries: int) -> str | None:
            found = program.ask("letters", "list")
            return found[0]["id"] if found and found[0]["attempts"] >= tries else None

        letter = wait_for(lambda: listed(1), "a dead letter")
        shown = program.ask("letters", "show", letter)
        assert shown["thread"]["channel_id"] == "ada@example.org"
        assert "smarthost" in shown["error"]
        program.tell("letters", "retry", letter)
        assert wait_for(lambda: listed(2), "a letter that died again") == letter
        program.tell("letters", "drop", letter)
        assert program.ask("letters", "list") == []


# Leaving.


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_leaves_in_time_and_held_polls_return_empty(
    program: Program, how: signal.Signals
) -> None:
    program.start().wait_until_ready()
    token, _ = enrol(program)
    pollers = [Poller(program, token) for _ in range(3)]
    wait_for(lambda: held(program) >= 3 or None, "three held polls")
    begun = time.monotonic()
    assert program.stop(how) == 0
    assert time.monotonic() - begun < LEAVES_WITHIN
    for poller in pollers:
        poller.join(LEAVES_WITHIN)
        assert (poller.status, poller.body) == (204, b"")
    assert "Traceback" not in program.said


def held(program: Program) -> int:
    """How many callers are connected."""
    port = f":{program.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(port) and line.split()[3] == "01" for line in lines)


def test_a_second_signal_ends_it_at_once(program: Program) -> None:
    program.start().wait_until_ready()
    with socket.create_connection((LOOPBACK, program.port)) as slow:
        # A request that never ends is in hand until the deadline.
        slow.sendall(b"POST /api/jobs HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{")
        program.process.send_signal(signal.SIGTERM)
        program.wait_until_said("stopping")
        begun = time.monotonic()
        assert program.stop() == -signal.SIGTERM
        assert time.monotonic() - begun < 2


def test_who_does_not_finish_is_left_behind(program: Program) -> None:
    program.start().wait_until_ready()
    token, _ = enrol(program)
    with socket.create_connection((LOOPBACK, program.port)) as slow:
        head = f"Authorization: Bearer {token}\r\nContent-Length: 100\r\n"
        slow.sendall(f"POST /agent/message/info HTTP/1.1\r\nHost: here\r\n{head}\r\n{{".encode())
        begun = time.monotonic()
        program.stop()
        assert time.monotonic() - begun < LEAVES_WITHIN + 5


def test_the_demo_agent_does_not_outlive_a_server_that_was_killed(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        program.start().wait_until_said("at work for")
        [agent] = children(program.process.pid)
        program.process.kill()
        wait_for(lambda: not Path(f"/proc/{agent}").exists() or None, "the end of the agent")


def test_a_demo_agent_that_loses_its_token_gets_a_new_one_once(tmp_path: Path) -> None:
    with Program(tmp_path, {"SKADI_WEB__LOOK_AGAIN": "200ms"}) as program:
        program.start().wait_until_said("at work for")
        program.tell("agent", "rotate", "demo", "demo")
        wait_for(
            lambda: program.said.count("at work for") == 2 or None, "the agent with a new token"
        )
        program.tell("agent", "rotate", "demo", "demo")
        said = program.wait_until_said("stays away")
        assert said.count("the demo agent ended with status 3") == 2
        assert children(program.process.pid) == []
        assert program.process.poll() is None


def test_the_demo_agent_keeps_its_token_over_a_restart(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        program.start().wait_until_said("at work for")
        secrets = (program.data / "demo" / "secrets.json").read_text()
        program.stop()
        program.start()
        wait_for(lambda: program.said.count("at work for") == 2 or None, "the agent once more")
        assert (program.data / "demo" / "secrets.json").read_text() == secrets
        assert poll(program, json.loads(secrets)["agent"], 0)[0] == 204


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# As it grows.


def test_roles_in_processes_of_their_own_share_one_database_and_one_redis(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    shared = {"SKADI_DATABASE__URL": mysql_url, "SKADI_REDIS__URL": redis_url, **NO_DEMO}
    with (
        Program(tmp_path, shared) as web,
        Program(tmp_path, shared) as mail,
        Program(tmp_path, shared) as others,
    ):
        web.start("web").wait_until_ready()
        mail.start("smtp")
        others.start("worker", "watcher")
        token, _ = enrol(web)
        address = web.ask("token", "add", "mail", "ada", "phone")["address"]
        poller = Poller(web, token)
        wait_for(lambda: write_mail(mail, address) or None, "a mail that was taken")
        poller.join(30)
        assert json.loads(poller.body)["message"] == "uptime"
        report(web, token, json.loads(poller.body)["id"])
        folder = tmp_path / "data" / "outbox" / "new"
        answer = wait_for(lambda: next(iter(folder.glob("*")), None), "an answer")
        assert b"all is well" in answer.read_bytes()
        assert [each.stop() for each in (web, mail, others)] == [0, 0, 0]


def write_mail(program: Program, address: str) -> bool:
    letter = "From: ada@example.org\nMessage-ID: <1@example.org>\nSubject: -\n\nweb-1 uptime\n"
    try:
        with smtplib.SMTP(LOOPBACK, program.mail_port) as server:
            server.sendmail("ada@example.org", address, letter)
            return True
    except (OSError, smtplib.SMTPException):
        return False


def report(program: Program, token: str, job: str) -> None:
    connection = HTTPConnection(LOOPBACK, program.port, timeout=30)
    with closing(connection):
        body = json.dumps({"result": "all is well"})
        head = {"Authorization": f"Bearer {token}"}
        connection.request("PUT", f"/agent/jobs/{job}/succeed", body, head)
        assert connection.getresponse().status == 204


# In somebody else's server.


def hosted(program: Program) -> list[str]:
    words = ["app:app", "--host", LOOPBACK, "--port", str(program.port)]
    return [sys.executable, "-m", "uvicorn", *words]


def test_uvicorn_gives_the_role_web(tmp_path: Path, redis_url: str) -> None:
    with Program(tmp_path, {"SKADI_REDIS__URL": redis_url, **NO_DEMO}) as program:
        program.start(command=hosted(program)).wait_until_ready()
        token, _ = enrol(program)
        poller = Poller(program, token)
        wait_for(lambda: held(program) >= 1 or None, "a held poll")
        begun = time.monotonic()
        program.stop()
        assert time.monotonic() - begun < LEAVES_WITHIN
        poller.join(LEAVES_WITHIN)
        assert (poller.status, poller.body) == (204, b"")
        assert "Traceback" not in program.said


def test_uvicorn_is_told_why_it_cannot_start(program: Program) -> None:
    program.start(command=hosted(program))
    assert program.process.wait(30) != 0
    assert "skadi: Only web, and no [redis] url" in program.said
