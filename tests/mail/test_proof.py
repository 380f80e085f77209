"""Who may command by mail: a token's address, a token by AUTH, the address of an answer."""

import asyncio
import email
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message as Mail
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme

from core.chat import Reply
from tests.clock import Clock
from tests.mail.office import (
    COMMAND,
    OWNER,
    SECRET,
    SECRET_COMMAND,
    STRANGER,
    TEAMMATE,
    Office,
    at_work,
)


async def test_a_mail_that_nothing_proves_is_refused_and_does_nothing(office: Office) -> None:
    code, said = await office.post(office.letter(), COMMAND)
    assert (code, said[:6]) == (550, "5.7.1 ")
    assert office.inbox.messages == []


async def test_a_mail_for_two_accounts_is_nobodys(office: Office) -> None:
    office.keys.holders["b" * 26] = ("account-ben", "token:2")
    to = [SECRET_COMMAND, f"agent+{'b' * 26}@skadi.example"]
    assert (await office.post(office.letter(), to))[0] == 550
    assert office.inbox.messages == []


@pytest.mark.parametrize(
    "sender",
    [
        "boss@corp.example <eve@evil.example>",
        "ada@corp.example, eve@evil.example",
        "Ada <ada@corp.example> <eve@evil.example>",
        "ada@corp.example eve@evil.example",
        "Team: ada@corp.example;",
        "<ada@corp.example",
        "ada",
        "@corp.example",
        "ada@corp..example",
        "ada@[192.0.2.1]",
        "Ada <ada@corp.example>, ",
        "=?utf-8?q?ada=40corp.example?=",
        "Ada <=?utf-8?q?ada=40corp.example?=>",
        "=?utf-8?q?eve=40evil.example=2C?=@corp.example",
        "Ada \\<x@y.example\\> <ada@corp.example>",
        "(ada@corp.example)",
        "ada@corp.example\u200b",
        "ada\0@corp.example",
        "ada@corp.example\0",
        "adа@corp.example",
        "Ada <ada@corp.example>\r\nFrom: Eve <eve@evil.example>",
        "Ada <ada@corp.example>\r\nFROM : Eve <eve@evil.example>",
    ],
)
async def test_a_doubtful_sender_is_refused(office: Office, sender: str) -> None:
    code, said = await office.post(office.letter(sender=sender))
    assert (code, said[:6]) == (550, "5.6.0 ")
    assert office.inbox.messages == []


@pytest.mark.parametrize(
    ("sender", "address", "name"),
    [
        ("ada@corp.example", "ada@corp.example", ""),
        ("<ada@corp.example>", "ada@corp.example", ""),
        ("Ada Lovelace <Ada@Corp.EXAMPLE>", "Ada@corp.example", "Ada Lovelace"),
        ('"Lovelace, Ada" <ada@corp.example>', "ada@corp.example", "Lovelace, Ada"),
        ('"boss@corp.example" <eve@evil.example>', "eve@evil.example", "boss@corp.example"),
        ("ada@corp.example (Ada)", "ada@corp.example", "Ada"),
        ("=?gb2312?B?s8LQocP3?= <ada@corp.example>", "ada@corp.example", "陈小明"),
        (
            "=?utf-8?q?Ada_=3Ceve=40evil=2Eexample=3E?= <ada@corp.example>",
            "ada@corp.example",
            "Ada <eve@evil.example>",
        ),
        ("Ada\r\n <ada@corp.example>", "ada@corp.example", "Ada"),
        ("陈小明 <ada+x_y@corp.example>", "ada+x_y@corp.example", "陈小明"),
    ],
)
async def test_a_sane_sender_is_known(office: Office, sender: str, address: str, name: str) -> None:
    assert (await office.post(office.letter(sender=sender)))[0] == 250
    message = office.inbox.only
    assert (message.sender_id, message.sender_name) == (f"-/{address}", name)
    assert message.thread.channel_id == address


# AUTH


@dataclass(frozen=True)
class Tls:
    options: dict[str, str]
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    client = ssl.create_default_context()
    authority.configure_trust(client)
    yield Tls({"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}, client)


def by(mechanism: str, password: str = SECRET) -> Callable[[smtplib.SMTP], Any]:
    def login(client: smtplib.SMTP) -> Any:
        client.user, client.password = "ada", password
        return client.auth(
            mechanism, getattr(client, f"auth_{mechanism.lower()}"), initial_response_ok=False
        )

    return login


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_token_may_be_given_by_auth(
    clock: Clock, tmp_path: Path, tls: Tls, mechanism: str
) -> None:
    async with at_work(clock, tmp_path, auth=True, **tls.options) as office:
        answer = await office.post(office.letter(), COMMAND, tls=tls.client, login=by(mechanism))
        assert answer[0] == 250
        message = office.inbox.only
        assert message.proof == "auth"
        assert (message.account_id, message.requested_by) == ("account-ada", "token:1")


async def test_the_whole_login_may_come_at_once(clock: Clock, tmp_path: Path, tls: Tls) -> None:
    async with at_work(clock, tmp_path, auth=True, **tls.options) as office:

        def login(client: smtplib.SMTP) -> None:
            client.login("ada", SECRET)

        answer = await office.post(office.letter(), COMMAND, tls=tls.client, login=login)
        assert answer[0] == 250


async def test_a_wrong_password_is_refused(clock: Clock, tmp_path: Path, tls: Tls) -> None:
    async with at_work(clock, tmp_path, auth=True, **tls.options) as office:
        for password in ("wrong", "", "\0", SECRET[:-1]):
            with pytest.raises(smtplib.SMTPException, match="535"):
                await office.post(
                    office.letter(), COMMAND, tls=tls.client, login=by("LOGIN", password)
                )


async def test_a_password_is_not_taken_without_tls(clock: Clock, tmp_path: Path, tls: Tls) -> None:
    async with at_work(clock, tmp_path, auth=True, **tls.options) as office:
        client = await office.call()
        await client.hear()
        assert "AUTH" not in await client.say("EHLO client.example")
        assert (await client.say("AUTH PLAIN AGFkYQBzZWNyZXQ=")).startswith("538 ")
        assert office.keys.asked == []


async def test_auth_is_not_there_unless_it_is_switched_on(
    clock: Clock, tmp_path: Path, tls: Tls
) -> None:
    async with at_work(clock, tmp_path, **tls.options) as office:
        with pytest.raises(smtplib.SMTPException, match="502"):
            await office.post(office.letter(), COMMAND, tls=tls.client, login=by("PLAIN"))
        client = await office.call()
        await client.hear()
        assert "AUTH" not in await client.say("EHLO client.example")


@pytest.mark.parametrize("said", ["AUTH", "AUTH PLAIN ***", "AUTH plain AGE=", "AUTH LOGIN YQ== b"])
async def test_a_broken_login_is_refused(clock: Clock, tmp_path: Path, said: str) -> None:
    async with at_work(clock, tmp_path, auth=True, require_tls_for_auth=False) as office:
        client = await office.call()
        await client.hear()
        await client.say("EHLO client.example")
        assert (await client.say(said)).startswith(("501 ", "535 "))


async def test_guessing_ends_the_conversation(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, auth=True, require_tls_for_auth=False) as office:
        client = await office.call()
        await client.hear()
        await client.say("EHLO client.example", *["AUTH PLAIN AGFkYQB3cm9uZw=="] * 5)
        assert (await client.say("AUTH PLAIN AGFkYQB3cm9uZw==")).startswith("421 ")
        assert await client.hear() == ""


async def test_what_was_said_before_tls_counts_for_nothing(
    clock: Clock, tmp_path: Path, tls: Tls
) -> None:
    """CVE-2024-34083: commands slipped in behind STARTTLS by somebody in between."""
    async with at_work(clock, tmp_path, auth=True, **tls.options) as office:
        said = await asyncio.to_thread(slip_in, *office.adapter.bound, tls.client)
        assert said == ["503 Error: send HELO first", "503 Error: need MAIL command"]


def slip_in(host: str, port: int, context: ssl.SSLContext) -> list[str]:
    """Send plain commands together with STARTTLS; what is said of others once TLS is there."""
    with socket.create_connection((host, port), timeout=10) as plain:
        hear(plain)
        ask(plain, "EHLO client.example")
        said = ask(plain, "STARTTLS\r\nEHLO eve\r\nMAIL FROM:<eve@evil.example>")
        assert said.startswith("220 ")
        with context.wrap_socket(plain, server_hostname=host) as safe:
            first = ask(safe, f"RCPT TO:<{COMMAND}>")
            ask(safe, "EHLO client.example")
            return [first, ask(safe, f"RCPT TO:<{COMMAND}>")]


def ask(client: socket.socket, said: str) -> str:
    client.sendall(f"{said}\r\n".encode())
    return hear(client)


def hear(client: socket.socket) -> str:
    """The last line of one answer."""
    line = ""
    while not re.match(r"\d{3} .*\n", line):
        line = ""
        while not line.endswith("\n"):
            line += client.recv(1).decode()
    return line.strip()


# A token that is revoked while a conversation goes on


async def test_a_login_ends_with_its_token(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, auth=True, require_tls_for_auth=False) as office:

        def one_after_the_other(host: str, port: int) -> list[int]:
            with smtplib.SMTP(host, port, "client.example", timeout=60) as client:
                client.ehlo()
                by("LOGIN")(client)
                first = hand_in(client, office.letter("web-1 one"), COMMAND)
                office.keys.holders.clear()
                return [first, hand_in(client, office.letter("web-1 two"), COMMAND)]

        assert await asyncio.to_thread(one_after_the_other, *office.adapter.bound) == [250, 550]
        assert office.inbox.only.text == "web-1 one"


def hand_in(client: smtplib.SMTP, raw: bytes, to: str) -> int:
    client.mail(OWNER)
    client.rcpt(to)
    return client.data(raw)[0]


async def test_an_address_that_dies_before_its_mail_has_come_proves_nothing(office: Office) -> None:
    client = await office.call()
    await client.begin()
    office.keys.holders.clear()
    client.throw(office.letter() + b".\r\n")
    assert (await client.hear()).startswith("550 5.7.1 ")
    assert office.inbox.messages == []


# The address of an answer


async def answer_of(office: Office, text: str = "done") -> Mail:
    """Answer the last message, and read the answer as its receiver does."""
    before = set((office.data / "outbox" / "new").glob("*"))
    await office.adapter.send(Reply(office.inbox.messages[-1].thread, text))
    [new] = set((office.data / "outbox" / "new").glob("*")) - before
    return email.message_from_bytes(new.read_bytes())


async def first_answer(office: Office) -> Mail:
    assert (await office.post(office.letter()))[0] == 250
    return await answer_of(office)


async def test_who_writes_back_has_proven_the_thread(office: Office) -> None:
    answer = await first_answer(office)
    assert answer["Reply-To"] not in (COMMAND, SECRET_COMMAND)
    assert SECRET not in answer.as_string()
    assert (await office.post(office.letter("again"), answer["Reply-To"]))[0] == 250
    first, second = office.inbox.messages
    assert second.thread.thread_id == first.thread.thread_id
    assert second.proof == "token"
    assert (second.account_id, second.requested_by) == ("account-ada", "token:1")


async def test_the_address_of_an_answer_fits_where_addresses_must_fit(office: Office) -> None:
    answer = await first_answer(office)
    assert len(answer["Reply-To"].partition("@")[0]) <= 64


@pytest.mark.parametrize("sender", [TEAMMATE, STRANGER, "ADA@corp.example"])
async def test_the_address_of_an_answer_is_of_no_use_to_others(office: Office, sender: str) -> None:
    answer = await first_answer(office)
    code, _ = await office.post(office.letter("again", sender), answer["Reply-To"])
    assert code == 550
    assert len(office.inbox.messages) == 1


async def test_an_altered_address_of_an_answer_is_unknown(office: Office) -> None:
    address = (await first_answer(office))["Reply-To"]
    local, _, domain = address.partition("@")
    for forged in (local[:-1] + ("b" if local[-1] != "b" else "c"), local[:-1], local + "a"):
        code, said = await office.post(office.letter("again"), f"{forged}@{domain}")
        assert (code, said[:5]) == (550, "5.1.1")


async def test_the_address_of_an_answer_holds_for_a_week_and_no_longer(office: Office) -> None:
    address = (await first_answer(office))["Reply-To"]
    office.clock.move(hours=24 * 7 - 1)
    assert (await office.post(office.letter("again"), address))[0] == 250
    prolonged = (await answer_of(office))["Reply-To"]
    office.clock.move(hours=2)
    assert (await office.post(office.letter("once more"), address))[0] == 550
    assert (await office.post(office.letter("once more"), prolonged))[0] == 550
    assert (await answer_of(office))["Reply-To"] == COMMAND


async def test_the_address_of_an_answer_dies_with_the_token(office: Office) -> None:
    answer = await first_answer(office)
    office.keys.holders.clear()
    assert (await office.post(office.letter("again"), answer["Reply-To"]))[0] == 550
    assert len(office.inbox.messages) == 1


async def test_answers_need_not_carry_such_an_address(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path) as office:
        old = (await first_answer(office))["Reply-To"]
        notes = office.notes
    async with at_work(clock, tmp_path, signed_replies=False) as office:
        office.notes.kept.update(notes.kept)
        assert (await office.post(office.letter("again"), old))[0] == 550
        assert (await first_answer(office))["Reply-To"] == COMMAND


async def test_who_reads_what_we_keep_cannot_write_to_the_address_of_an_answer(
    office: Office,
) -> None:
    address = (await first_answer(office))["Reply-To"]
    secret = address.partition("+r.")[2].partition("@")[0]
    kept = [key for key in office.notes.kept if key.startswith("return")]
    assert kept == [f"return:{sha256(secret.encode()).hexdigest()}"]
    assert secret not in repr(office.notes.kept)


async def test_answers_to_one_mail_bear_one_address(office: Office) -> None:
    """However often they are tried."""
    first = await first_answer(office)
    assert (await answer_of(office, "more"))["Reply-To"] == first["Reply-To"]
    await office.post(office.letter("another"))
    assert (await answer_of(office))["Reply-To"] != first["Reply-To"]


async def test_two_processes_know_each_others_addresses(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path) as office, at_work(clock, tmp_path) as other:
        other.notes.kept = office.notes.kept
        address = (await first_answer(office))["Reply-To"]
        assert (await other.post(other.letter("again"), address))[0] == 250


async def test_the_owner_is_who_is_answered(office: Office) -> None:
    """Where answers go is not for a header to say that nobody vouches for."""
    await office.post(office.letter(reply_to=STRANGER))
    assert office.inbox.only.thread.channel_id == OWNER


async def test_a_secret_gives_nobody_the_name_of_another_accounts_person(office: Office) -> None:
    office.keys.people[f"-/{STRANGER}"] = "account-eve"
    assert (await office.post(office.letter("web-1 date", sender=STRANGER), SECRET_COMMAND))[
        0
    ] == 550
    office.keys.people[f"-/{STRANGER}"] = "account-ada"
    assert (await office.post(office.letter(sender=STRANGER), SECRET_COMMAND))[0] == 250
