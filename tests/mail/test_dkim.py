"""A domain on the list vouches for its people by DKIM; nothing less than that will do."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from adapters.smtp.letter import read_letter
from adapters.smtp.signature import Verifier, is_acceptable, is_usable, with_line_ends
from tests.clock import START, Clock
from tests.mail.office import COMMAND, OWNER, STRANGER, Office, at_work, letter
from tests.mail.signing import USUAL, Zone, dns, new_key, sign, small_key

DOMAINS = ("corp.example", "other.example")


@pytest.fixture(scope="module")
def name_server() -> Iterator[tuple[Zone, str]]:
    keys = {
        "mail._domainkey.corp.example": new_key("corp.example").record(),
        "mail._domainkey.other.example": new_key("other.example").record(),
        "mail._domainkey.evil.example": new_key("evil.example").record(),
        "mail._domainkey.sub.corp.example": new_key("corp.example").record(),
        "small._domainkey.corp.example": small_key().record(),
        "test._domainkey.corp.example": new_key("corp.example").record("v=DKIM1; t=y; k=rsa"),
        "old._domainkey.corp.example": new_key("corp.example").record("v=DKIM1; h=sha1; k=rsa"),
        "web._domainkey.corp.example": new_key("corp.example").record("v=DKIM1; s=web; k=rsa"),
        "gone._domainkey.corp.example": "v=DKIM1; k=rsa; p=",
        "odd._domainkey.corp.example": "p=====;;;",
    }
    with dns(keys) as server:
        yield server


@pytest.fixture
def zone(name_server: tuple[Zone, str]) -> Iterator[Zone]:
    zone = name_server[0]
    yield zone
    zone.away = False


@pytest.fixture
async def office(
    clock: Clock, tmp_path: Path, name_server: tuple[Zone, str], zone: Zone
) -> AsyncIterator[Office]:
    options = {"dkim_domains": DOMAINS, "dns_server": name_server[1]}
    async with at_work(clock, tmp_path, **options) as office:
        yield office


async def refused(office: Office, raw: bytes) -> bool:
    code, _ = await office.post(raw, COMMAND)
    return code == 550 and office.inbox.messages == []


async def test_a_signed_mail_is_its_senders(office: Office) -> None:
    assert await office.post(sign(office.letter()), COMMAND) == (250, "2.0.0 Accepted")
    message = office.inbox.only
    assert message.proof == "dkim"
    assert message.account_id is None
    assert message.sender_id == "-/ada@corp.example"


@pytest.mark.parametrize("head", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
@pytest.mark.parametrize(
    "text",
    [
        "web-1 uptime",
        "",
        "\r\n\r\n",
        "web-1  a\tb \r\n\t \r\n\r\nend  \r\n\r\n",
        " \t x" * 400,
        ".\r\n.",
    ],
)
async def test_every_form_of_a_signature_is_understood(
    office: Office, head: bytes, body: bytes, text: str
) -> None:
    raw = office.letter(text, subject="web-1   uptime")
    assert (await office.post(sign(raw, canonicalize=(head, body)), COMMAND))[0] == 250


async def test_a_mail_without_a_signature_is_refused(office: Office) -> None:
    assert await refused(office, office.letter())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"web-1 uptime", b"web-1 reboot"),
        (b"Subject: a matter", b"Subject: another"),
        (b"From: ada@", b"From: ben@"),
        (b"From: ada@corp.example", b"From: eve@evil.example"),
        (b"Message-Id: <", b"Message-Id: <x"),
        (b"Date: Mon", b"Date: Tue"),
    ],
)
async def test_a_mail_changed_on_its_way_is_refused(office: Office, old: bytes, new: bytes) -> None:
    raw = sign(office.letter())
    changed = raw.replace(old, new)
    assert changed != raw
    assert await refused(office, changed)


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Message-Id", "Content-Type"])
async def test_a_second_header_beside_the_signed_one_is_refused(office: Office, name: str) -> None:
    raw = sign(office.letter(content_type="text/plain"))
    added = f"{name}: {STRANGER}\r\n".encode()
    assert await refused(office, added + raw)
    assert await refused(office, raw.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1))


async def test_the_signature_of_another_domain_proves_nothing(office: Office) -> None:
    raw = office.letter()
    assert await refused(office, sign(raw, "other.example"))
    assert await refused(office, sign(raw, "evil.example"))
    assert await refused(office, sign(raw, "sub.corp.example", key=new_key("corp.example")))


async def test_a_domain_that_is_not_on_the_list_proves_nothing(office: Office) -> None:
    assert await refused(office, sign(office.letter(sender=STRANGER), "evil.example"))


async def test_a_key_of_somebody_else_proves_nothing(office: Office) -> None:
    assert await refused(office, sign(office.letter(), key=new_key("evil.example")))


@pytest.mark.parametrize("selector", ["test", "old", "web", "gone", "odd", "none"])
async def test_a_key_that_is_not_for_mail_proves_nothing(office: Office, selector: str) -> None:
    assert await refused(office, sign(office.letter(), selector=selector))


async def test_a_key_that_is_too_small_proves_nothing(office: Office) -> None:
    assert await refused(office, sign(office.letter(), selector="small", key=small_key()))


async def test_a_signature_that_leaves_room_below_is_refused(office: Office) -> None:
    raw = sign(office.letter(), length=True)
    assert b"l=" in raw
    assert await refused(office, raw)


@pytest.mark.parametrize("left_out", ["subject", "date"])
async def test_what_decides_must_be_signed(office: Office, left_out: str) -> None:
    names = tuple(name for name in USUAL if name != left_out)
    assert await refused(office, sign(office.letter(), headers=names))


async def test_the_second_signature_may_be_the_right_one(office: Office) -> None:
    raw = sign(sign(office.letter()), "evil.example")
    raw = b"DKIM-Signature: nonsense\r\nDKIM-Signature: v=1; d=corp.example\r\n" + raw
    assert (await office.post(raw, COMMAND))[0] == 250


async def test_a_sixth_signature_is_not_looked_at(office: Office, zone: Zone) -> None:
    raw = sign(office.letter())
    for _ in range(5):
        raw = sign(raw, "evil.example")
    assert await refused(office, raw)


async def test_a_mail_signed_to_somebody_else_is_no_command(office: Office) -> None:
    assert await refused(office, sign(office.letter(to="friend@elsewhere.example")))
    named = f'"{COMMAND}" <friend@elsewhere.example>'
    assert await refused(office, sign(office.letter(to=named)))
    named = f'"A friend, {COMMAND}, and so on" <friend@elsewhere.example>'
    assert await refused(office, sign(office.letter(to=named)))
    beside = sign(office.letter(to="friend@elsewhere.example"))
    assert await refused(office, f"Cc: {COMMAND}\r\n".encode() + beside)


async def test_a_mail_signed_to_us_among_others_is_a_command(office: Office) -> None:
    to = f'"Friend, A" <friend@elsewhere.example>, Runner <{COMMAND}>'
    assert (await office.post(sign(office.letter(to=to)), COMMAND))[0] == 250


async def test_a_mail_that_is_signed_to_nobody_is_no_command(office: Office) -> None:
    """Whoever was sent a copy of it could pass it on to us."""
    names = tuple(name for name in USUAL if name != "to")
    assert await refused(office, sign(office.letter(), headers=names))
    assert await refused(office, sign(office.letter(to=""), headers=USUAL))


async def test_a_mail_signed_to_us_in_its_copies_is_a_command(office: Office) -> None:
    names = (*(name for name in USUAL if name != "to"), "cc")
    raw = sign(office.letter(to="friend@elsewhere.example", cc=COMMAND), headers=names)
    assert (await office.post(raw, COMMAND))[0] == 250


RECUT = (
    "--genuine",
    "Content-Type: text/plain",
    "",
    "web-1 uptime",
    "",
    "> --stranger",
    "--stranger",
    "",
    "web-1 reboot",
    "--stranger--",
    "--genuine--",
)


def in_parts(office: Office, **headers: str) -> bytes:
    kind = {"mime_version": "1.0", "content_type": 'multipart/mixed; boundary="genuine"'}
    return office.letter("\r\n".join(RECUT), **{**kind, **headers})


MIME = ("mime-version", "content-type", "content-transfer-encoding")


async def test_a_signed_mail_cannot_be_cut_into_other_parts(office: Office) -> None:
    raw = sign(in_parts(office), headers=tuple(name for name in USUAL if name not in MIME))
    assert await refused(office, raw.replace(b'boundary="genuine"', b'boundary="stranger"'))
    raw = sign(in_parts(office), headers=(*USUAL, *MIME))
    assert await refused(office, raw.replace(b'boundary="genuine"', b'boundary="stranger"'))
    assert (await office.post(raw, COMMAND))[0] == 250
    assert office.inbox.only.text == "web-1 uptime"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
async def test_what_makes_another_text_of_a_mail_must_be_signed(
    office: Office, encoding: str
) -> None:
    raw = in_parts(office, content_transfer_encoding=encoding)
    names = (*USUAL, "mime-version")
    assert await refused(office, sign(raw, headers=names))
    assert (await office.post(sign(raw, headers=(*names, MIME[-1])), COMMAND))[0] == 250


async def test_parts_that_fill_a_mail_need_no_signed_content_type(office: Office) -> None:
    """Google's mails are such."""
    names = tuple(name for name in USUAL if name not in MIME)
    assert (await office.post(sign(in_parts(office), headers=names), COMMAND))[0] == 250
    assert office.inbox.only.text == "web-1 uptime"


@pytest.mark.parametrize(
    ("old", "new"),
    [("--genuine\r\n", "words\r\n--genuine\r\n"), ("--genuine--", "--genuine--\r\nx")],
)
async def test_parts_with_words_around_them_do(office: Office, old: str, new: str) -> None:
    raw = in_parts(office).replace(old.encode(), new.encode(), 1)
    assert await refused(office, sign(raw, headers=tuple(n for n in USUAL if n not in MIME)))
    assert (await office.post(sign(raw), COMMAND))[0] == 250


@pytest.mark.parametrize(
    "added",
    [
        b"Content-Type: text/html",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b'Content-Type: multipart/mixed; boundary="stranger"',
        b"Content-Disposition: attachment",
        b"Content-Disposition: inline; filename=x",
    ],
)
async def test_a_stranger_cannot_say_how_to_read_a_signed_mail(
    office: Office, added: bytes
) -> None:
    names = tuple(name for name in USUAL if name not in MIME)
    assert await refused(office, added + b"\r\n" + sign(office.letter(), headers=names))


async def test_what_is_signed_may_say_how_to_read_a_mail(office: Office) -> None:
    raw = sign(office.letter(content_disposition="inline"))
    assert (await office.post(raw, COMMAND))[0] == 250
    names = (*USUAL, "content-disposition")
    raw = sign(office.letter("web-1 two", content_disposition="attachment"), headers=names)
    assert (await office.post(raw, COMMAND))[0] == 250


@pytest.mark.parametrize("age", [timedelta(days=5, seconds=1), timedelta(days=-1, seconds=-1)])
async def test_an_old_mail_or_one_from_the_future_is_no_command(
    office: Office, age: timedelta
) -> None:
    sent = letter("web-1 uptime", OWNER, date=office.clock() - age)
    assert await refused(office, sign(sent))


async def test_a_copy_with_another_unsigned_id_is_the_same_mail(office: Office) -> None:
    """Else anybody with a copy of a signed mail could have its command run once more."""
    names = tuple(name for name in USUAL if name != "message-id")
    raw = sign(office.letter(), headers=names)
    await office.post(raw, COMMAND)
    await office.post(raw.replace(b"Message-Id: <", b"Message-Id: <again."), COMMAND)
    first, second = office.inbox.messages
    assert first.key == second.key


@pytest.mark.parametrize("names", [USUAL, ("from", "to", "subject", "date")])
async def test_two_signed_mails_are_two(office: Office, names: tuple[str, ...]) -> None:
    for text in ("web-1 one", "web-1 two"):
        await office.post(sign(office.letter(text), headers=names), COMMAND)
    first, second = office.inbox.messages
    assert first.key != second.key


async def test_a_key_that_cannot_be_asked_for_puts_the_mail_off(office: Office, zone: Zone) -> None:
    zone.away = True
    code, said = await office.post(sign(office.letter(), selector="fresh"), COMMAND)
    assert (code, said[:5]) == (451, "4.7.5")


async def test_no_key_is_asked_for_on_behalf_of_strangers(office: Office, zone: Zone) -> None:
    zone.asked.clear()
    await refused(office, sign(office.letter(sender=STRANGER), "evil.example"))
    await refused(office, sign(office.letter(), "evil.example"))
    assert zone.asked == []


async def test_a_huge_hostile_body_is_judged_quickly(office: Office) -> None:
    signed = sign(office.letter())
    head = signed[: signed.index(b"\r\n\r\n") + 4]
    started = monotonic()
    assert await refused(office, head + (b" " * 30_000 + b"x\r\n") * 300)
    assert monotonic() - started < 5


async def test_signatures_full_of_blanks_are_passed_over(office: Office) -> None:
    """They cost the library's patterns time that grows with their square."""
    tags = b"v=1; a=rsa-sha256; d=corp.example; s=mail; h=from:date:subject; bh=x; b="
    blanks = b"DKIM-Signature: " + tags + b"\r\n " * 30_000 + b"!\r\n"
    started = monotonic()
    assert (await office.post(blanks + sign(office.letter()), COMMAND))[0] == 250
    assert monotonic() - started < 2


GOOD = {
    b"d": b"corp.example",
    b"a": b"rsa-sha256",
    b"h": b"From : To:subject:DATE",
    b"x": b"1772442000",
}


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (b"d", b"example"),
        (b"d", b"evil.example"),
        (b"i", b"@sub.corp.example"),
        (b"i", b"corp.example"),
        (b"a", b"rsa-sha1"),
        (b"a", b"ed25519-sha256"),
        (b"l", b"100"),
        (b"h", b"to:subject:date"),
        (b"h", b"from:date:subject:" + b":".join(b"x%d" % number for number in range(100))),
        (b"x", b"1772441999"),
        (b"x", b"never"),
        (b"x", b""),
    ],
)
def test_what_a_signature_must_not_say(tag: bytes, value: bytes) -> None:
    assert is_acceptable(GOOD, "corp.example", START)
    assert is_acceptable({**GOOD, b"i": b"ada@Corp.example"}, "corp.example", START)
    assert not is_acceptable({**GOOD, tag: value}, "corp.example", START)


@pytest.mark.parametrize(
    "record", [b"p=x; s=web", b"p=x; t=s:y", b"p=x; h=sha1", b"p=x; p=y", b"nonsense"]
)
def test_what_a_key_must_not_say(record: bytes) -> None:
    assert is_usable(b"v=DKIM1; p=x; s=tlsrpt:email; h=sha1:sha256; t=s")
    assert not is_usable(record)


def test_a_stranger_is_not_asked_about() -> None:
    def find(name: bytes, timeout: float) -> bytes | None:
        raise AssertionError("asked")

    raw = sign(letter("web-1 uptime", STRANGER, date=START), "evil.example")
    verifier = Verifier(DOMAINS, find, lambda: START)
    assert verifier.seal(read_letter(raw), lambda address: True) is None


def test_line_ends_are_made_the_same() -> None:
    assert with_line_ends(b"a\nb\r\n\r\n\n") == b"a\r\nb\r\n"
    assert with_line_ends(b"\r\n") == b""


def test_a_letter_keeps_its_headers_as_they_were_sent() -> None:
    raw = b"From: a@corp.example\r\nSubject:  two\r\n\tlines \r\n\r\nbody"
    fields = read_letter(raw).head.fields
    assert b"".join(field.name + b":" + field.raw for field in fields) + b"\r\nbody" == raw
