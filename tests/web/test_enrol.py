"""How an agent comes to a machine: the installer, the program, a code for a token, and its hello."""

import asyncio
import base64
import hashlib
import subprocess
import sys
from typing import Any

import pytest

from agent.bundle import bundle
from core.enrolment import TRIES
from core.model import Offer
from tests.web.conftest import House, Machine
from tests.web.wire import Said, request
from web.settings import WebSettings

HELLO = {
    "version": "1.1",
    "hostname": "northwind",
    "commands": [{"name": "deploy", "help": "bring a version online", "params": ["version"]}],
}


# Hello.


async def test_an_agent_says_what_it_can_run(house: House) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/hello", web.token, HELLO)
    assert (said.status, said.body) == (204, b"")
    hello = await house.agents.hellos.of(web.agent)
    assert hello is not None
    assert (hello.version, hello.hostname, hello.shell) == ("1.1", "northwind", False)
    assert hello.commands == (Offer("deploy", "bring a version online", ("version",)),)
    assert (await house.ask("POST", "/agent/hello", web.token, HELLO)).status == 204


async def test_a_hello_may_say_next_to_nothing(house: House) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/hello", web.token, {"shell": True, "new": 1})
    assert said.status == 204
    hello = await house.agents.hellos.of(web.agent)
    assert hello is not None
    assert hello.shell


async def test_who_looks_whose_token_it_is_is_no_sign_of_life(house: House) -> None:
    ada = house.owner
    agent, token = await house.agents.enrol(ada.id, "web-9")
    said = await house.ask("GET", "/agent/self", token)
    assert (said.status, said.json) == (200, {"id": agent.id, "name": "web-9"})
    assert (await house.agents.standing([agent]))[agent.id].last_seen is None
    for other in ("", "a" * 20, await house.account_token()):
        assert (await house.ask("GET", "/agent/self", other)).error == (401, "Unauthorized")


async def test_nobody_says_hello_for_an_agent_without_its_token(house: House) -> None:
    await house.enrol("web-1")
    for token in ("", "a" * 20, await house.account_token()):
        said = await house.ask("POST", "/agent/hello", token, HELLO)
        assert said.error == (401, "Unauthorized")


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 1},
        {"hostname": ["a"]},
        {"commands": "deploy"},
        {"commands": ["deploy"]},
        {"commands": [{"name": 5}]},
        {"commands": [{"name": "a", "params": "b"}]},
        {"commands": [{"name": "a", "params": [1]}]},
        {"shell": "yes"},
        {"shell": 1},
        [],
    ],
)
async def test_a_hello_that_makes_no_sense_is_refused(house: House, fields: Any) -> None:
    web = await house.enrol("web-1")
    said = await house.ask("POST", "/agent/hello", web.token, fields)
    assert said.error == (400, "InvalidInput")
    assert await house.agents.hellos.of(web.agent) is None


async def test_an_agent_that_keeps_changing_its_mind_is_slowed_down(house: House) -> None:
    web = await house.enrol("web-1")
    await house.ask("POST", "/agent/hello", web.token, HELLO)
    said = await house.ask("POST", "/agent/hello", web.token, {**HELLO, "version": "2"})
    assert said.error == (429, "TooMany")


# Codes.


async def new_code(house: House, web: Machine) -> str:
    return (await house.agents.enrolment.new_line(web.agent)).split()[-1]


async def test_a_code_is_exchanged_for_a_token_once(house: House) -> None:
    web = await house.enrol("web-1")
    fields = {"code": await new_code(house, web), "hostname": "northwind"}
    said = await house.ask("POST", "/agent/enrol", fields=fields)
    assert said.status == 201
    assert said.json == {"id": web.agent.id, "name": "web-1", "token": said.json["token"]}
    assert said.headers["cache-control"] == "no-store"
    assert (await house.ask("GET", "/agent/job", said.json["token"])).status == 204
    assert (await house.ask("GET", "/agent/job", web.token)).status == 401
    again = await house.ask("POST", "/agent/enrol", fields=fields)
    assert again.error == (404, "EnrolCodeNotFound")


async def test_of_two_exchanges_at_once_one_wins(house: House) -> None:
    web = await house.enrol("web-1")
    fields = {"code": await new_code(house, web)}
    calls = (house.ask("POST", "/agent/enrol", fields=fields) for _ in range(5))
    answers = await asyncio.gather(*calls)
    assert sorted(said.status for said in answers) == [201, 404, 404, 404, 404]


async def test_guessing_ends_soon(house: House) -> None:
    web = await house.enrol("web-1")
    for _ in range(TRIES):
        said = await house.ask("POST", "/agent/enrol", fields={"code": "nonsense"})
        assert said.error == (404, "EnrolCodeNotFound")
    said = await house.ask("POST", "/agent/enrol", fields={"code": "nonsense"})
    assert said.error == (429, "TooManyTries")
    right = {"code": await new_code(house, web)}
    assert (await house.ask("POST", "/agent/enrol", fields=right)).status == 201


async def test_a_name_that_is_taken_does_not_cost_the_code(house: House) -> None:
    web = await house.enrol("web-1")
    await house.enrol("db-1")
    code = await new_code(house, web)
    said = await house.ask("POST", "/agent/enrol", fields={"code": code, "name": "db-1"})
    assert said.error == (409, "InvalidName")
    said = await house.ask("POST", "/agent/enrol", fields={"code": code, "name": "shop"})
    assert (said.status, said.json["name"]) == (201, "shop")


async def test_nobody_unknown_makes_us_read_much(house: House) -> None:
    said = await house.ask("POST", "/agent/enrol", fields={"code": "x" * 5000})
    assert said.error == (413, "TooLarge")
    for fields in ({"code": 7}, {"code": "a", "name": []}, b"nonsense"):
        assert (await house.ask("POST", "/agent/enrol", fields=fields)).error == (
            400,
            "InvalidInput",
        )


# The program and its installer.


async def test_the_program_is_handed_out_with_its_digest(house: House) -> None:
    said = await house.ask("GET", "/agent/skadi-agent.pyz")
    digest = hashlib.sha256(bundle())
    assert (said.status, said.body) == (200, bundle())
    assert said.headers["etag"] == f'"{digest.hexdigest()}"'
    shown = base64.b64encode(digest.digest()).decode()
    assert said.headers["repr-digest"] == f"sha-256=:{shown}:".lower()
    for known in (said.headers["etag"], f'"other", W/{said.headers["etag"]}'):
        again = await house.ask("GET", "/agent/skadi-agent.pyz", if_none_match=known)
        assert (again.status, again.body) == (304, b"")
    assert (await house.ask("GET", "/agent/skadi-agent.pyz", if_none_match='"x"')).status == 200


async def script(house: House, host: str) -> Said:
    async with house.line() as line:
        asked = request("GET", "/install.py").replace(b"Host: skadi", b"Host: " + host.encode())
        return await line.ask(asked)


def run(said: Said) -> str:
    """What it says where it does not go on."""
    done = subprocess.run(
        [sys.executable, "-c", said.body], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done
    return done.stderr


async def test_the_installer_knows_our_address_from_the_operator_alone(quiet_house: House) -> None:
    async with quiet_house.serving(url="https://skadi.example.com/x"):
        said = await script(quiet_house, "evil.example")
    assert "URL = 'https://skadi.example.com/x'\n" in said.body.decode()
    assert f"DIGEST = '{hashlib.sha256(bundle()).hexdigest()}'\n" in said.body.decode()
    assert b"evil" not in said.body


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:9"])
async def test_without_a_word_of_the_operators_this_machine_is_served(
    house: House, host: str
) -> None:
    host = host.format(port=house.port)
    said = await script(house, host)
    assert said.headers["cache-control"] == "no-store"
    assert f"URL = 'http://{host.lower()}'\n" in said.body.decode()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "192.0.2.7:{port}",
        "127.0.0.1.evil.example",
        "127.0.0.1:80@evil.example",
        "127.0.0.1:80/evil",
        "127.0.0.1'+exit()+'",
        '127.0.0.1"',
        "localhost\\",
        "127.0.0.1:999999",
        "999.1.1.1",
        "[::1]evil",
        "",
    ],
)
async def test_no_caller_leads_another_machine_astray(house: House, host: str) -> None:
    said = await script(house, host.format(port=house.port))
    assert said.status == 200
    assert b"evil" not in said.body
    assert "URL" not in said.body.decode().replace("SKADI_WEB__URL", "")
    assert "Its operator sets [web] url (SKADI_WEB__URL)" in run(said)


@pytest.mark.parametrize(
    "trace",
    [
        {"x_forwarded_for": "192.0.2.7"},
        {"x_forwarded_host": "evil.example"},
        {"x_real_ip": "192.0.2.7"},
        {"forwarded": "for=192.0.2.7"},
        {"via": "1.1 proxy"},
    ],
)
async def test_an_address_that_a_proxy_has_put_there_is_not_believed(
    quiet_house: House, trace: dict[str, str]
) -> None:
    async with quiet_house.serving(WebSettings(trust_proxy=True)), quiet_house.line() as line:
        asked = request("GET", "/install.py", "", None, **trace)
        said = await line.ask(asked.replace(b"Host: skadi", b"Host: 127.0.0.1:8000"))
    assert "Its operator sets [web] url (SKADI_WEB__URL)" in run(said)
