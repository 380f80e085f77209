"""Answers by a smarthost, and what its refusals mean."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dkim
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from core.chat import DeliveryError, Reply, Thread
from core.settings import Secret
from tests.clock import Clock
from tests.mail.office import OWNER, Office, at_work, build
from tests.mail.signing import new_key

REPLY = Reply(Thread("mail", OWNER, "t" * 26), "done", subject="a matter")


@dataclass
class Smarthost:
    """A mail server that says what it is told to say."""

    says: dict[str, str] = field(default_factory=dict)
    mails: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(self, server: Any, session: Any, mail: Any, *given: Any) -> str:
        mail.mail_from = given[0]
        return self.says.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, mail: Any, *given: Any) -> str:
        mail.rcpt_tos.append(given[0])
        return self.says.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, session: Session, mail: Envelope) -> str:
        self.mails.append(mail)
        self.encrypted.append(session.ssl is not None)
        return self.says.get("DATA", "250 OK")

    def authenticate(self, server: Any, session: Any, mail: Any, how: str, data: Any) -> AuthResult:
        self.logins.append(tuple(data))
        return AuthResult(success=data.password == b"p@ss:word", handled=False)


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None,
    says: dict[str, str] | None = None,
    *,
    at_once: ssl.SSLContext | None = None,
) -> AsyncIterator[Smarthost]:
    host, loop = Smarthost(says or {}), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            host,
            hostname="smarthost.example",
            tls_context=tls,
            auth_require_tls=tls is not None,
            authenticator=host.authenticate,
            loop=loop,
        ),
        "127.0.0.1",
        ssl=at_once,
    )
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


@pytest.fixture
def work(clock: Clock, tmp_path: Path) -> Any:
    def start(host: Smarthost, **options: Any) -> Any:
        plain = {"smarthost": f"127.0.0.1:{host.port}", "smarthost_tls": "none"}
        return at_work(clock, tmp_path, **{**plain, **options})

    return start


async def failure(office: Office, reply: Reply = REPLY) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(reply)
    return caught.value


async def test_an_answer_is_handed_to_the_smarthost(work: Any) -> None:
    async with serving() as host, work(host) as office:
        handle = await office.adapter.send(REPLY)
        [mail] = host.mails
        assert (mail.mail_from, mail.rcpt_tos) == ("skadi@skadi.example", [OWNER])
        assert isinstance(mail.content, bytes)
        assert f"Message-ID: {handle}\r\n".encode() in mail.content
        assert office.adapter.describe().endswith(f"answers into 127.0.0.1:{host.port}")


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("said", "permanent"),
    [
        ("550 5.1.1 no such user", True),
        ("554 5.7.1 refused", True),
        ("421 4.7.0 later", False),
        ("450 4.2.0 greylisted", False),
        ("452 4.2.2 full", False),
        ("530 5.7.0 Authentication required", False),
    ],
)
async def test_a_refusal_of_the_mail_is_permanent_if_the_smarthost_says_so(
    work: Any, command: str, said: str, permanent: bool
) -> None:
    async with serving(says={command: said}) as host, work(host) as office:
        error = await failure(office)
        assert error.permanent == permanent
        assert said in str(error)


async def test_a_smarthost_that_is_away_is_tried_again(clock: Clock, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"smarthost": f"smtp://127.0.0.1:{port}", "smarthost_tls": "none"}
    async with at_work(clock, tmp_path, **options) as office:
        assert not (await failure(office)).permanent


@dataclass(frozen=True)
class Tls:
    server: ssl.SSLContext
    authority: str


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    yield Tls(context, str(file))


async def test_the_password_is_given_by_tls(work: Any, tls: Tls) -> None:
    async with serving(tls.server) as host:
        url = f"smtp://skadi%40corp:p%40ss%3Aword@127.0.0.1:{host.port}"
        options = {"smarthost": url, "smarthost_tls": "starttls", "smarthost_ca": tls.authority}
        async with work(host, **options) as office:
            await office.adapter.send(REPLY)
        assert host.encrypted == [True]
        assert host.logins == [(b"skadi@corp", b"p@ss:word")]


async def test_tls_may_begin_at_once(work: Any, tls: Tls) -> None:
    async with serving(at_once=tls.server) as host:
        options = {"smarthost": f"smtps://127.0.0.1:{host.port}", "smarthost_ca": tls.authority}
        async with work(host, **options) as office:
            await office.adapter.send(REPLY)
        assert len(host.mails) == 1


async def test_a_wrong_password_can_be_mended_and_is_told_to_nobody(work: Any, tls: Tls) -> None:
    async with serving(tls.server) as host:
        options = {
            "smarthost_username": "skadi",
            "smarthost_password": Secret("hunter2"),
            "smarthost_tls": "starttls",
            "smarthost_ca": tls.authority,
        }
        async with work(host, **options) as office:
            error = await failure(office)
        assert not error.permanent
        assert "hunter2" not in str(error)
        assert "hunter2" not in repr(office.adapter._options)


async def test_nothing_is_sent_where_tls_was_wanted_and_is_not_offered(work: Any) -> None:
    async with serving() as host, work(host, smarthost_tls="starttls") as office:
        assert not (await failure(office)).permanent
        assert host.mails == []


async def test_nothing_is_sent_to_a_smarthost_of_unknown_authority(work: Any, tls: Tls) -> None:
    async with serving(tls.server) as host, work(host, smarthost_tls="starttls") as office:
        assert not (await failure(office)).permanent
        assert host.mails == []


async def test_answers_are_signed_where_a_key_is_given(work: Any, tmp_path: Path) -> None:
    key = tmp_path / "dkim.pem"
    key.write_bytes(new_key("skadi").pem)
    async with serving() as host:
        options = {"dkim_selector": "s1", "dkim_key": str(key)}
        async with work(host, **options) as office:
            await office.adapter.send(REPLY)
    [mail] = host.mails
    asked = []

    def find(name: bytes, timeout: float = 5) -> bytes:
        asked.append(name)
        return new_key("skadi").record().encode()

    content = mail.content
    assert isinstance(content, bytes)
    assert dkim.verify(content, dnsfunc=find)
    # Twice, so that a second one cannot be added.
    assert re.search(rb"h=from : from : ", content)
    assert asked == [b"s1._domainkey.skadi.example."]
    for name in (b"Auto-Submitted", b"From", b"To", b"Reply-To"):
        assert not dkim.verify(content.replace(name + b": ", name + b": x", 1), dnsfunc=find)
    assert not dkim.verify(b"From: eve@evil.example\r\n" + content, dnsfunc=find)


async def test_the_adapter_sends_without_listening(clock: Clock, tmp_path: Path) -> None:
    office = build(clock, tmp_path)
    await office.adapter.send(REPLY)
    assert len(list((tmp_path / "outbox" / "new").iterdir())) == 1
    await office.adapter.close()
