"""The whole program with Slack: both ways in, and the pages beside a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.fernet import Fernet

from tests.app.program import Program
from tests.slack.desk import APP, eventually
from tests.slack.fake import Server, Slack, open_slack


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def running(
    folder: Path, *, sockets: bool, **given: str
) -> AsyncIterator[tuple[Server, Program]]:
    """`given`: settings of the section [adapters.north]."""
    fake = Slack(now, app=APP)
    fake.team()
    async with open_slack(fake, sockets=sockets) as server:
        chosen = {"kind": "slack", "api": server.api, **given}
        section = {f"SKADI_ADAPTERS__NORTH__{key.upper()}": value for key, value in chosen.items()}
        with Program(folder, {"SKADI_DEMO": "off", "NO_PROXY": "127.0.0.1", **section}) as program:
            program.start()
            await asyncio.to_thread(program.wait_until_ready)
            fake.app.url = f"http://127.0.0.1:{program.port}/north/events"
            fake.app.redirect = f"http://127.0.0.1:{program.port}/north/oauth_redirect"
            yield server, program
            assert await asyncio.to_thread(program.stop) == 0


async def ask(server: Server, program: Program) -> str:
    """What Ada is told who wants to know who she is."""
    fake = server.slack
    ada = fake.person(fake.teams["T1"], "ada")
    room = fake.direct(ada)
    await fake.say(ada, room, "whoami")
    await eventually(lambda: [post for post in room.posts if post.by_app], 20)
    return room.last().text


async def test_over_http(tmp_path: Path) -> None:
    secrets = {"bot_token": "xoxb-T1-secret", "signing_secret": APP.signing_secret}
    async with running(tmp_path, sockets=False, **secrets) as (server, program):
        assert "on slack `T1/UADA`" in await ask(server, program)
        checked = await asyncio.to_thread(program.tell, "check")
        assert "bot_token is skadi's in corp (T1)." in checked
        assert "xoxb" not in checked + program.log.read_text()


async def test_over_a_socket_with_pages_beside_it(tmp_path: Path) -> None:
    secrets = {"client_id": APP.client_id, "client_secret": APP.client_secret}
    secrets |= {"app_token": APP.token, "key": Fernet.generate_key().decode()}
    async with running(tmp_path, sockets=True, **secrets) as (server, program):
        await eventually(lambda: server.sockets.lines, 20)
        await install(server, program)
        assert "on slack `T1/UADA`" in await ask(server, program)
        assert "north: messages by Socket Mode" in program.log.read_text()


async def install(server: Server, program: Program) -> None:
    fake, base = server.slack, f"http://127.0.0.1:{program.port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as browser:
        answer = await browser.get("/north/install")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        ada = fake.person(fake.teams["T1"], "ada")
        target = server.oauth.approve(fake.teams["T1"], ada, answer.headers["location"])
        answer = await browser.get(target, headers={"cookie": cookie})
        assert "I am installed" in answer.text
