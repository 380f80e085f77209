"""Forged mail, by the whole way from the socket to the outbox: nothing is done, nobody is answered."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from core.store import migrate
from tests.clock import Clock
from tests.mail.forged_signatures import TRUSTED, seal, zone
from tests.mail.forgeries import FORGED, KINDS, NEXT_ID, TAKEN, Kind
from tests.mail.office import COMMAND, OWNER
from tests.mail.post_office import Attempt, Forge, PostOffice, Scene, open_post_office
from tests.mail.signing import USUAL, dns

FIRST, LAST = "web-1 uptime", "web-1 date"
UNSIGNED_ID = [name for name in USUAL if name != "message-id"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "skadi.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="module")
def name_server() -> Iterator[str]:
    with dns(zone()) as (_, address):
        yield address


@dataclass(frozen=True)
class Tls:
    options: dict[str, str]
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Tls({"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}, client)


@pytest.fixture
async def office(
    made: Path, tmp_path: Path, clock: Clock, name_server: str, tls: Tls
) -> AsyncIterator[PostOffice]:
    options = {
        "dkim_domains": TRUSTED,
        "dns_server": name_server,
        "auth": True,
        "require_tls_for_auth": False,
        **tls.options,
    }
    async with open_post_office(made, tmp_path, clock, **options) as office:
        yield office


@pytest.fixture
async def scene(office: PostOffice) -> Scene:
    """One mail of Ada's has been taken and answered; whoever forges has seen both."""
    genuine = seal(office.letter(FIRST), headers=UNSIGNED_ID)
    assert await hand_in(office, Attempt(genuine)) == f"{TAKEN}\r\n"
    [answer] = await office.tell()
    assert answer["To"] == OWNER
    [raw] = (office.outbox / "new").glob("*")
    return Scene(office, str(answer["Reply-To"]), raw.read_bytes(), genuine)


async def hand_in(office: PostOffice, attempt: Attempt) -> str:
    line = await office.call(attempt.login)
    return await line.hand_in(attempt.raw, attempt.to, attempt.mail_from, attempt.more)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])
async def test_a_forged_mail_does_nothing(
    scene: Scene, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    office, attempt = scene.office, kind.forge(scene)
    line = await office.call(attempt.login)
    said = await line.hand_in(attempt.raw, attempt.to, attempt.mail_from, attempt.more)
    assert said.startswith(kind.answer), said
    assert (await line.client.say("NOOP")).startswith("250 ")
    if attempt.login:
        line = await office.call()
    own = office.letter(LAST, message_id=NEXT_ID)
    assert (await line.hand_in(own, [office.ada.address], OWNER)).startswith(TAKEN)

    commands = await office.commands()
    assert FORGED not in commands
    assert len(commands) == 2 + attempt.genuine
    assert {LAST, FIRST} <= set(commands)
    answers = await office.tell()
    assert [answer["To"] for answer in answers] == [OWNER] * (2 + attempt.genuine)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_corpus_holds_forty_kinds_and_more() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) == len(KINDS) >= 40


WAYS: dict[str, Forge] = {
    "the secret address": lambda scene: Attempt(
        scene.office.letter(LAST), [scene.office.ada.address]
    ),
    "a password": lambda scene: Attempt(scene.office.letter(LAST), login=scene.office.ada.secret),
    "a signature": lambda scene: Attempt(seal(scene.office.letter(LAST))),
    "the address of an answer": lambda scene: Attempt(
        scene.office.letter(LAST), [scene.return_address]
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_mail_that_is_genuine_is_a_command(scene: Scene, way: Forge) -> None:
    """Without this the corpus would be refused for any reason at all."""
    assert (await hand_in(scene.office, way(scene))).startswith(TAKEN)
    assert sorted(await scene.office.commands()) == [LAST, FIRST]
    assert [answer["To"] for answer in await scene.office.tell()] == [OWNER] * 2


async def test_a_mail_slipped_in_behind_starttls_is_never_heard(scene: Scene, tls: Tls) -> None:
    """CVE-2024-34083: Ada's own login, made later, must not speak for it."""
    office = scene.office
    slipped = (
        f"STARTTLS\r\nEHLO eve\r\nMAIL FROM:<{OWNER}>\r\nRCPT TO:<{COMMAND}>\r\nDATA\r\n"
    ).encode() + office.letter(FORGED)
    own = office.letter(LAST, message_id=NEXT_ID)

    def converse() -> None:
        with smtplib.SMTP(*office.smtp.bound, timeout=10) as client:
            client.ehlo()
            client.send(slipped + b".\r\n")
            assert client.getreply()[0] == 220
            assert isinstance(client.sock, socket.socket)
            client.sock = tls.client.wrap_socket(client.sock, server_hostname="127.0.0.1")
            client.file = None
            client.ehlo()
            client.login("ada", office.ada.secret)
            assert client.sendmail(OWNER, COMMAND, own) == {}

    await asyncio.to_thread(converse)
    assert sorted(await office.commands()) == [LAST, FIRST]
