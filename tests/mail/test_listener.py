"""The conversation itself: promises about 250, hostile and clumsy clients, and the end."""

import asyncio
import re
import resource
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest
import trustme
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from adapters.smtp.listener import Door, Limits, Receiver
from core.errors import Unavailable
from tests.clock import Clock
from tests.mail.office import COMMAND, SECRET, SECRET_COMMAND, Office, at_work, eventually

LETTER = b"From: ada@corp.example\r\nMessage-ID: <1@corp.example>\r\n\r\nweb-1 uptime\r\n"
END = b".\r\n"


async def test_the_greeting_names_the_domain(office: Office) -> None:
    assert (await (await office.call()).hear()).startswith("220 skadi.example ")


# What 250 means


async def test_the_mail_is_accepted_after_the_inbox_has_it_and_not_before(office: Office) -> None:
    office.inbox.gate.clear()
    client = await office.call()
    await client.begin()
    client.throw(LETTER + END)
    await asyncio.wait_for(office.inbox.entered.wait(), 5)
    hearing = asyncio.create_task(client.hear())
    await asyncio.sleep(0.05)
    assert not hearing.done()
    office.inbox.gate.set()
    assert (await hearing).startswith("250 ")


async def test_a_failing_inbox_puts_the_mail_off_and_tells_nobody_why(office: Office) -> None:
    office.inbox.failure = ConnectionError("mysql://root:hunter2@db.internal")
    code, said = await office.post(office.letter())
    assert (code, said) == (451, "4.3.0 Not now, try again later")
    office.inbox.failure = None
    assert (await office.post(office.letter()))[0] == 250


async def test_an_outage_is_a_line_in_the_log_and_not_one_a_mail(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.inbox.failure = Unavailable("The database does not answer.")
    for _ in range(5):
        assert (await office.post(office.letter()))[0] == 451
    office.clock.move(seconds=60)
    assert (await office.post(office.letter()))[0] == 451
    office.inbox.failure = None
    assert (await office.post(office.letter()))[0] == 250
    assert (await office.post(office.letter()))[0] == 250
    assert [record.getMessage() for record in caplog.records] == [
        "mails are put off (451), 1 until now: The database does not answer.",
        "mails are put off (451), 6 until now: The database does not answer.",
        "mails are taken in again; 6 had been put off",
    ]
    assert "Traceback" not in caplog.text


async def test_the_next_outage_is_told_at_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        office.inbox.failure = Unavailable("The database does not answer.")
        await office.post(office.letter())
        office.inbox.failure = None
        await office.post(office.letter())
    assert caplog.text.count("mails are put off (451), 1 until now") == 2


async def test_a_mail_put_off_and_sent_again_has_the_same_key(office: Office) -> None:
    raw = office.letter()
    await office.post(raw)
    await office.post(b"Received: once more\r\n" + raw)
    first, second = office.inbox.messages
    assert first.key == second.key


async def test_a_key_cannot_be_used_up_by_others(office: Office) -> None:
    """Who guesses a Message-ID and sends it first, to another address, changes nothing."""
    other = "b" * 26
    office.keys.holders[other] = ("account-ben", "token:2")
    await office.post(office.letter(), f"agent+{other}@skadi.example")
    await office.post(office.letter())
    first, second = office.inbox.messages
    assert first.key != second.key


async def test_what_was_begun_is_finished_though_the_client_is_gone(office: Office) -> None:
    office.inbox.gate.clear()
    client = await office.call()
    await client.begin()
    client.throw(LETTER + END)
    await asyncio.wait_for(office.inbox.entered.wait(), 5)
    client.hang_up()
    await asyncio.sleep(0.05)
    office.inbox.gate.set()
    await eventually(lambda: office.inbox.messages)


async def test_a_mail_cut_off_in_its_midst_is_nothing(office: Office) -> None:
    client = await office.call()
    await client.begin()
    client.throw(LETTER)
    await asyncio.sleep(0.05)
    client.hang_up()
    assert (await office.post(office.letter("web-1 other")))[0] == 250
    assert office.inbox.only.text == "web-1 other"


# Where a mail ends

SMUGGLED = (
    b"MAIL FROM:<eve@evil.example>\r\nRCPT TO:<%b>\r\nDATA\r\n"
    b"From: eve@evil.example\r\n\r\nweb-1 reboot\r\n"
)


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r\n\0.\r\n",
        b"\r.\r\n",
        b"\r\r\n.\r",
    ],
)
async def test_a_second_mail_cannot_be_hidden_in_the_first(office: Office, end: bytes) -> None:
    client = await office.call()
    await client.begin()
    client.throw(LETTER[:-2] + end + SMUGGLED % SECRET_COMMAND.encode() + b"\r\n" + END)
    assert (await client.hear()).startswith("250 ")
    assert (await client.say("NOOP")).startswith("250 ")
    assert len(office.inbox.messages) == 1


async def test_doubled_dots_are_single_again(office: Office) -> None:
    client = await office.call()
    await client.begin()
    client.throw(b"From: ada@corp.example\r\n\r\n..hidden\r\n.\r\n")
    assert (await client.hear()).startswith("250 ")
    assert office.inbox.only.text == ".hidden"


@given(
    lines=st.lists(st.text(".\r\nx", max_size=4).map(str.encode)),
    cuts=st.lists(st.integers(0, 60)),
    rest=st.sampled_from([b"", b"QUIT\r\n", b".\r\n"]),
)
def test_a_mail_is_read_as_it_was_sent_in_whatever_pieces_it_comes(
    lines: list[bytes], cuts: list[int], rest: bytes
) -> None:
    mail = b"".join(line.replace(b"\r\n", b"") + b"\r\n" for line in lines)
    stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", mail) + END + rest

    async def scenario() -> None:
        reader, limits = asyncio.StreamReader(), Limits(1000, 1, 1, 1, 1)
        letter = Receiver(Door(limits))
        reading = asyncio.create_task(letter.read(reader))
        edges = [0, *sorted(cut for cut in cuts if cut < len(stuffed)), len(stuffed)]
        for start, end in pairwise(edges):
            reader.feed_data(stuffed[start:end])
            await asyncio.sleep(0)
        await asyncio.wait_for(reading, 1)
        assert letter.content() == mail
        reader.feed_eof()
        assert await reader.read() == rest

    asyncio.run(scenario())


async def test_an_empty_mail_ends_at_once(office: Office) -> None:
    client = await office.call()
    await client.begin()
    client.throw(END)
    assert (await client.hear()).startswith("550 5.6.0 ")
    assert (await client.say("NOOP")).startswith("250 ")


async def test_several_mails_may_be_said_in_one_breath(office: Office) -> None:
    client = await office.call()
    await client.hear()
    one = b"MAIL FROM:<a@corp.example>\r\nRCPT TO:<" + SECRET_COMMAND.encode() + b">\r\nDATA\r\n"
    client.throw(b"EHLO client.example\r\n" + (one + LETTER + END) * 3 + b"QUIT\r\n")
    said = await client.hear_all()
    assert said.count("250 2.0.0 Accepted") == 3
    assert len(office.inbox.messages) == 3


async def test_options_that_mail_servers_add_are_understood(office: Office) -> None:
    client = await office.call()
    await client.hear()
    await client.say("EHLO mx.corp.example")
    said = await client.say("MAIL FROM:<a@corp.example> SIZE=1000 BODY=8BITMIME AUTH=<> SMTPUTF8")
    assert said.startswith("250 ")


# Big, long, deep, many


async def test_a_mail_as_big_as_is_allowed_is_taken(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, size_limit=10_000_000) as office:
        raw = office.letter()
        raw += b"x" * (10_000_000 - len(raw) - 2) + b"\r\n"
        client = await office.call()
        await client.begin()
        client.throw(raw + END)
        assert (await client.hear()).startswith("250 ")
        assert office.inbox.only.text == "web-1 uptime"


async def test_a_mail_that_is_bigger_is_refused_however_it_is_told(
    clock: Clock, tmp_path: Path
) -> None:
    async with at_work(clock, tmp_path, size_limit=1000) as office:
        client = await office.call()
        await client.hear()
        said = await client.say("EHLO me", "MAIL FROM:<a@corp.example> SIZE=1001")
        assert said.startswith("552 ")
        await client.say("MAIL FROM:<a@corp.example>", f"RCPT TO:<{SECRET_COMMAND}>", "DATA")
        client.throw(LETTER + b"x" * 200_000 + b"\r\n" + END)
        assert (await client.hear()).startswith("552 5.3.4 ")
        assert (await client.say("NOOP")).startswith("250 ")
        assert office.inbox.messages == []


async def test_a_line_may_be_as_long_as_the_mail(office: Office) -> None:
    await office.post(office.letter("web-1 echo " + "x" * 300_000))
    assert office.inbox.only.text.startswith("web-1 echo xxx")


async def test_a_command_may_not(office: Office) -> None:
    client = await office.call()
    await client.hear()
    assert (await client.say("EHLO " + "x" * 600)).startswith("500 ")
    assert (await client.say("EHLO " + "x" * 200_000)).startswith("500 ")
    assert (await client.say("EHLO client.example")).startswith("250-")


async def test_thousands_of_headers_are_read(office: Office) -> None:
    await office.post(b"X-Small: a\r\n" * 5000 + office.letter())
    assert office.inbox.only.text == "web-1 uptime"


async def test_parts_in_parts_in_parts_end_somewhere(office: Office) -> None:
    layers = "".join(
        f"Content-Type: multipart/mixed; boundary=b{depth}\r\n\r\n--b{depth}\r\n"
        for depth in range(5000)
    ).encode()
    head = office.letter().partition(b"\r\n\r\n")[0]
    assert (await office.post(head + b"\r\n" + layers + b"\r\nweb-1 deep\r\n"))[0] == 250
    assert office.inbox.only.remarks == ("attachments",)


@pytest.mark.parametrize("line", [b"\r\n", b"..\r\n", b"--b\r\n", b"--bb\r\n", b" \r\n"])
async def test_millions_of_lines_cost_neither_memory_nor_patience(
    office: Office, line: bytes
) -> None:
    head = office.letter(content_type="multipart/mixed; boundary=b")
    before = peak = memory()
    client, other = await office.call(), await office.call()
    await client.begin()
    await other.hear()
    client.throw(head + line * (8_000_000 // len(line)) + END)
    hearing = asyncio.create_task(client.hear())
    slowest = 0.0
    while not hearing.done():
        asked = monotonic()
        await other.say("EHLO me")
        slowest, peak = max(slowest, monotonic() - asked), max(peak, memory())
        await asyncio.sleep(0.01)
    assert (await hearing).startswith("250 ")
    assert slowest < 0.5
    assert peak - before < 100_000_000


def memory() -> int:
    """Bytes this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_memory_for_mails_on_their_way_has_an_end(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, size_limit=40_000_000) as office:
        first, second = await office.call(), await office.call()
        for client in (first, second):
            await client.begin()
        first.throw(LETTER + b"x" * 39_000_000)
        await eventually(lambda: office.adapter._door.memory > 38_000_000)
        second.throw(LETTER + b"x" * 39_000_000 + b"\r\n" + END)
        assert (await second.hear()).startswith("452 4.3.1 ")
        first.throw(b"\r\n" + END)
        assert (await first.hear()).startswith("250 ")
        assert office.adapter._door.memory == 0


# Too many, too slow


async def test_a_host_has_so_many_connections(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, max_connections_per_host=2) as office:
        inside = [await office.call() for _ in range(2)]
        for client in inside:
            assert (await client.hear()).startswith("220 ")
        late = await office.call()
        assert (await late.hear()).startswith("421 ")
        assert await late.hear() == ""
        await inside[0].say("QUIT")
        await eventually(lambda: len(office.adapter._door._inside) == 1)
        assert (await (await office.call()).hear()).startswith("220 ")


async def test_all_together_have_so_many_connections(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, max_connections=1) as office:
        await (await office.call()).hear()
        assert (await (await office.call()).hear()).startswith("421 ")


async def test_who_says_nothing_is_left(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, idle_timeout=timedelta(seconds=0.2)) as office:
        client = await office.call()
        assert (await client.hear()).startswith("220 ")
        assert await client.hear() == ""


async def test_who_sends_a_mail_drop_by_drop_is_left(clock: Clock, tmp_path: Path) -> None:
    limits = {"idle_timeout": timedelta(seconds=60), "data_timeout": timedelta(seconds=0.3)}
    async with at_work(clock, tmp_path, **limits) as office:
        client = await office.call()
        await client.begin()
        hearing = asyncio.create_task(client.hear())
        started = monotonic()
        while not hearing.done() and monotonic() - started < 5:
            client.throw(b"x\r\n")
            await asyncio.sleep(0.02)
        with suppress(ConnectionResetError):  # what is thrown after the end is answered by a reset
            assert await hearing == ""
        assert monotonic() - started < 3


async def test_a_slow_mail_is_not_cut_off_by_the_pause_between_commands(
    clock: Clock, tmp_path: Path
) -> None:
    async with at_work(clock, tmp_path, idle_timeout=timedelta(seconds=0.2)) as office:
        client = await office.call()
        await client.begin()
        client.throw(LETTER)
        await asyncio.sleep(0.4)
        client.throw(END)
        assert (await client.hear()).startswith("250 ")


async def test_who_waits_for_our_verdict_is_not_taken_for_idle(
    clock: Clock, tmp_path: Path
) -> None:
    limits = {"idle_timeout": timedelta(seconds=0.2), "data_timeout": timedelta(seconds=0.3)}
    async with at_work(clock, tmp_path, **limits) as office:
        office.inbox.gate.clear()
        client = await office.call()
        await client.begin()
        client.throw(LETTER + END)
        await asyncio.sleep(0.5)
        office.inbox.gate.set()
        assert (await client.hear()).startswith("250 ")


async def test_nonsense_is_answered_and_then_ended(office: Office) -> None:
    client = await office.call()
    await client.hear()
    for line in ("GET / HTTP/1.1", "\0\0\0", "é", "", "."):
        assert (await client.say(line)).startswith("500 ")
    client.throw(b"x\r\n" * 10)
    assert "502 5.5.1 " in await client.hear_all()


# The end


async def test_on_closing_those_who_idle_are_sent_away_at_once(office: Office) -> None:
    idle, receiving = await office.call(), await office.call()
    await idle.hear()
    await receiving.begin()
    receiving.throw(LETTER)
    await eventually(lambda: office.adapter._door.memory)
    started = monotonic()
    assert office.listening
    office.listening.cancel()
    assert (await idle.hear()).startswith("421 4.3.2 ")
    assert (await receiving.hear()).startswith("421 4.3.2 ")
    await asyncio.wait({office.listening})
    assert monotonic() - started < 2
    with pytest.raises(OSError):
        await office.call()


async def test_on_closing_who_waits_for_a_verdict_gets_it(office: Office) -> None:
    office.inbox.gate.clear()
    client = await office.call()
    await client.begin()
    client.throw(LETTER + END)
    await asyncio.wait_for(office.inbox.entered.wait(), 5)
    assert office.listening
    office.listening.cancel()
    await asyncio.sleep(0.05)
    office.inbox.gate.set()
    assert (await client.hear()).startswith("250 ")
    assert (await client.hear()).startswith("421 4.3.2 ")
    await asyncio.wait({office.listening}, timeout=2)
    assert office.listening.done()


@pytest.fixture
def loops() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def test_all_this_works_on_uvloop(loops: asyncio.Runner, clock: Clock, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}

    async def scenario() -> None:
        async with at_work(clock, tmp_path, auth=True, **tls) as office:
            answer = await office.post(
                office.letter(),
                COMMAND,
                tls=context,
                login=lambda client: client.login("ada", SECRET),
            )
            assert answer[0] == 250
            idle = await office.call()
            await idle.hear()
            assert office.listening
            office.listening.cancel()
            assert (await idle.hear()).startswith("421 ")
            await asyncio.wait({office.listening}, timeout=2)
            assert office.listening.done()

    loops.run(scenario())
