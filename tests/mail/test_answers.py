"""A reply as a mail: in its thread, harmless, whole."""

import email
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.smtp.addresses import Addresses
from adapters.smtp.answer import LONGEST, Answer, compose
from adapters.smtp.courier import Courier
from adapters.smtp.letter import read_letter
from adapters.smtp.markup import printable, to_html, to_plain
from adapters.smtp.quotes import MARK
from bots.words import remark
from core.chat import DeliveryError, Reply, Thread
from tests.clock import START
from tests.mail.office import COMMAND, OWNER, Office

SENDER = "skadi@skadi.example"
LONG_ID = f"<{'x' * 180}@{'y' * 40}.example>"


def answer(reply: Reply) -> EmailMessage:
    composed = compose(reply, sender=SENDER, domain="skadi.example", reply_to=COMMAND, now=START)
    message = email.message_from_bytes(composed.raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def reply_to(text: str = "done", **ref: Any) -> Reply:
    return Reply(Thread("mail", OWNER, "t" * 26, {"message_id": "<q@corp.example>", **ref}), text)


def plain(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body
    return str(body.get_content()).replace("\r\n", "\n")


def html(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body
    return str(body.get_content()).replace("\r\n", "\n")


# Threads


def test_an_answer_points_at_its_question() -> None:
    message = answer(reply_to(references=["<a@x>", "<b@x>"], subject="a matter"))
    assert message["In-Reply-To"] == "<q@corp.example>"
    assert message["References"] == "<a@x> <b@x> <q@corp.example>"
    assert message["Subject"] == "Re: a matter"
    assert message["From"] == f"Skadi <{SENDER}>"
    assert message["To"] == OWNER
    assert message["Date"] == "Mon, 02 Mar 2026 09:00:00 +0000"


def test_an_answer_says_that_a_machine_wrote_it() -> None:
    message = answer(reply_to())
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["X-Loop"] == SENDER


def test_long_ids_are_sent_as_they_are() -> None:
    """The standard library would encode them, and break the thread."""
    raw = compose(
        reply_to(message_id=LONG_ID, references=[LONG_ID.replace("x", "z")]),
        sender=SENDER,
        domain="skadi.example",
        reply_to=COMMAND,
        now=START,
    ).raw.decode("ascii")
    assert f"In-Reply-To: {LONG_ID}\r\n" in raw
    assert f"References: {LONG_ID.replace('x', 'z')}\r\n {LONG_ID}\r\n" in raw
    assert max(map(len, raw.split("\r\n"))) < 998


def test_of_many_references_the_first_and_the_latest_are_kept() -> None:
    message = answer(reply_to(references=[f"<{number}@x>" for number in range(100)]))
    kept = message["References"].split()
    assert (kept[0], kept[-2:], len(kept)) == ("<0@x>", ["<99@x>", "<q@corp.example>"], 11)


@pytest.mark.parametrize(
    ("asked", "named", "subject"),
    [
        ("a matter", "web-1 uptime", "Re: a matter"),
        ("Re: RE: a matter", "", "Re: a matter"),
        ("", "web-1 uptime", "Re: web-1 uptime"),
        ("", "", "Re:"),
        ("重启 web-1", "", "Re: 重启 web-1"),
    ],
)
def test_the_subject_stays(asked: str, named: str, subject: str) -> None:
    assert answer(replace(reply_to(subject=asked), subject=named))["Subject"] == subject


def test_a_notice_has_a_subject_of_its_own() -> None:
    message = answer(Reply(Thread("mail", OWNER), "web-1 is back", subject="web-1"))
    assert (message["Subject"], message["In-Reply-To"]) == ("web-1", None)
    assert message["Auto-Submitted"] == "auto-generated"


async def sent(office: Office, reply: Reply) -> EmailMessage:
    handle = await office.adapter.send(reply)
    for file in (office.data / "outbox" / "new").glob("*"):
        message = email.message_from_bytes(file.read_bytes(), policy=default)
        if message["Message-ID"] == handle:
            assert isinstance(message, EmailMessage)
            return message
    raise AssertionError(f"{handle} was not sent")


@pytest.mark.parametrize("keeps", ["References", "In-Reply-To"])
async def test_a_conversation_stays_one_thread(office: Office, keeps: str) -> None:
    """Some programs give back all the ids they were sent, some only that of the last mail."""
    await office.post(office.letter("web-1 one", message_id="<one@corp.example>"))
    thread = office.inbox.messages[0].thread
    for number in range(3):
        answered = await sent(office, Reply(office.inbox.messages[-1].thread, "done"))
        known = f"{answered['References']} {answered['Message-ID']}"
        again = {"References": known, "In-Reply-To": answered["Message-ID"]}
        raw = office.letter(
            f"web-1 {number}",
            message_id=f"<{number}@corp.example>",
            **{keeps: again[keeps]},
        )
        await office.post(raw)
        latest = office.inbox.messages[-1].thread
        assert (latest.channel_id, latest.thread_id) == (thread.channel_id, thread.thread_id)


async def test_a_second_mail_of_ones_own_in_a_thread_belongs_to_it(office: Office) -> None:
    await office.post(office.letter("web-1 one", message_id="<one@corp.example>"))
    await office.post(office.letter("web-1 two", references="<one@corp.example>"))
    await office.post(office.letter("web-1 three"))
    one, two, three = (message.thread.thread_id for message in office.inbox.messages)
    assert one == two != three


async def test_an_answer_to_a_notice_belongs_to_it(office: Office) -> None:
    notice = await sent(office, Reply(Thread("mail", OWNER), "web-1 is back", subject="web-1"))
    for _ in range(2):
        await office.post(office.letter("web-1 x", in_reply_to=notice["Message-ID"]))
    first, second = office.inbox.messages
    assert first.thread.thread_id == second.thread.thread_id


async def test_what_is_kept_of_a_mail_to_answer_it_holds_no_secret(office: Office) -> None:
    await office.post(office.letter(subject="a matter"))
    kept = dict(office.inbox.only.thread.ref)
    assert kept.pop("message_id").startswith("<")
    assert kept == {
        "references": [],
        "subject": "a matter",
        "account": "account-ada",
        "requested_by": "token:1",
        "proved_at": START.isoformat(),
    }


# Harmless

HOSTILE = "x\r\nBcc: eve@evil.example\r\n\r\nbody"


def test_no_header_can_be_slipped_in() -> None:
    reply = reply_to(
        "done",
        message_id=f"<{HOSTILE}>",
        references=[f"<{HOSTILE}>", "not an id", "<a@x> <b@x>"],
        subject=HOSTILE,
    )
    for hostile in (reply, replace(reply, subject=HOSTILE), reply_to(subject=HOSTILE)):
        message = answer(hostile)
        assert message["Bcc"] is None
        assert {"eve@evil.example"}.isdisjoint(str(message["To"]).split(","))
        assert len(message["Subject"].splitlines()) == 1
    assert answer(reply)["References"] is None
    reply = reply_to(references=[f"<{HOSTILE}>", "not an id", "<a@x> <b@x>", "<c@x>"])
    assert answer(reply)["References"] == "<c@x> <q@corp.example>"


HEADERS = [
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("Auto-Submitted", "X-Auto-Response-Suppress", "X-Loop", "MIME-Version", "Content-Type"),
]
ENCODED = "=?utf-8?q?ok=0D=0ABcc:_eve=40evil.example=0D=0A=0D=0Abody?="


def header_names(reply: Reply) -> list[str]:
    """As the strictest and the laxest reader find them: any line end is one, a blank line ends."""
    composed = compose(reply, sender=SENDER, domain="skadi.example", reply_to=COMMAND, now=START)
    lines = re.split("\r\n|\r|\n", composed.raw.decode("ascii"))
    head = lines[: lines.index("")]
    return [line.partition(":")[0] for line in head if line[0] not in " \t"]


@pytest.mark.parametrize("hostile", [HOSTILE, ENCODED, f"Re: {ENCODED}", f"=\0{ENCODED[1:]}"])
def test_no_header_can_be_slipped_in_by_an_encoded_word(hostile: str) -> None:
    """Words that ask to be decoded stand in the text of an agent, or in a subject, twice encoded."""
    assert header_names(reply_to(subject=hostile)) == HEADERS
    assert header_names(replace(reply_to(), subject=hostile)) == HEADERS
    notice = header_names(Reply(Thread("mail", OWNER), "web-1 is back", subject=hostile))
    assert notice == [name for name in HEADERS if name not in ("In-Reply-To", "References")]


PIECES = (
    *("=?utf-8?q?", "=?utf-8?b?DQpCY2M6?=", "=0D=0ABcc:_x", "?="),
    *("=", "?", "\r\n", " ", "\0", "é"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_a_subject_is_made_of_it_is_one_header(hostile: str) -> None:
    assert header_names(reply_to(subject=hostile)) == HEADERS


def test_an_answer_goes_to_no_address_but_the_one() -> None:
    hostile = "=?utf-8?q?eve=40evil.example=2C?=@corp.example"
    with pytest.raises(ValueError, match="no mail address"):
        header_names(Reply(Thread("mail", hostile), "hello"))


async def test_a_mail_whose_id_is_an_encoded_word_is_answered_all_the_same(office: Office) -> None:
    for hostile in ("<=?utf-8?q?=C3=A9?=@x>", "<=?utf-8?q?=0D=0ABcc:_x=40y?=@x>"):
        await office.post(office.letter(hostile, message_id=hostile, references=hostile))
        reply = Reply(office.inbox.messages[-1].thread, "done")
        await office.adapter.send(reply)
        assert set(header_names(reply)) < set(HEADERS)


class Unwritable:
    """A post that finds a mail to be none, as newer standard libraries do when they write it."""

    place = "nowhere"

    async def deliver(self, answer: Answer) -> None:
        raise MessageError("a header holds a line end")


async def test_a_mail_that_cannot_be_written_is_refused_for_good(office: Office) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(DeliveryError) as caught:
        await Courier(
            addresses=Addresses("agent", "skadi.example", (), SENDER),
            returns=None,
            notebook=office.notes,
            post=Unwritable(),
            signer=None,
            clock=office.clock,
            threads=threads,
            answers_per_hour=30,
            remark=remark,
        ).send(reply_to())
    assert caught.value.permanent


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@corp.example\r\nBcc: eve@evil.example", "a@b.example, c@d.example"]
)
async def test_a_thread_without_one_address_is_refused_for_good(
    office: Office, address: str
) -> None:
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(Reply(Thread("mail", address), "hello"))
    assert caught.value.permanent


async def test_a_broken_reference_is_refused_for_good(office: Office) -> None:
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(reply_to(proved_at="yesterday"))
    assert caught.value.permanent


def test_output_cannot_speak_html() -> None:
    reply = replace(reply_to("<script>1</script> `<b>`"), output="<img src=x>&amp;</pre>")
    shown = html(answer(reply))
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "&lt;img src=x&gt;&amp;amp;&lt;/pre&gt;" in shown


def test_output_cannot_steer_a_terminal() -> None:
    assert printable("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x00\x08\r\ny\rz\x1b") == "red x\ny\nz"
    assert "\x1b" not in plain(answer(replace(reply_to(), output="\x1b[2J\x1b[31mred")))


def test_halves_of_characters_are_dropped() -> None:
    assert plain(answer(replace(reply_to("a\ud83db"), output="c\udcffd"))).split() == [
        *MARK.split(), "ab", "cd",
    ]  # fmt: skip


# Whole


def test_text_and_output_are_there_in_both_forms() -> None:
    message = answer(replace(reply_to("**done** in 3 s"), output="line 1\n  line 2\n"))
    assert plain(message).splitlines() == [MARK, "", "done in 3 s", "", "line 1", "  line 2"]
    assert "<strong>done</strong> in 3 s" in html(message)
    assert "line 1\n  line 2" in html(message)
    assert list(message.iter_attachments()) == []


def test_long_output_is_shown_in_part_and_attached_whole() -> None:
    output = "".join(f"line {number} é\n" for number in range(10_000))
    message = answer(replace(reply_to(), output=output))
    shown = plain(message)
    assert len(shown) < LONGEST + 500
    assert "line 0 é\n" in shown
    assert shown.endswith("line 9999 é\n")
    assert "line 5000 " not in shown
    assert " → output.txt …]" in shown
    [attached] = message.iter_attachments()
    assert attached.get_filename() == "output.txt"
    assert attached.get_payload(decode=True) == output.encode()


def test_a_mail_is_seven_bits_wide_whatever_it_says() -> None:
    """Else a server on the way may recode it, and its signature holds no more."""
    assert answer(replace(reply_to("重启 é"), output="重启 é")).as_bytes().isascii()


def test_one_endless_line_is_cut_too() -> None:
    message = answer(replace(reply_to(), output="x" * 1_000_000))
    assert LONGEST < len(plain(message)) < LONGEST + 500
    assert max(map(len, message.as_bytes().split(b"\n"))) < 998


def test_an_answer_that_comes_back_quoted_holds_no_command() -> None:
    raw = compose(
        replace(reply_to("web-1 done"), output="web-1 reboot"),
        sender=SENDER,
        domain="skadi.example",
        reply_to=COMMAND,
        now=START,
    ).raw
    assert list(read_letter(raw).fresh) == []


@pytest.mark.parametrize(
    ("text", "as_plain", "as_html"),
    [
        ("a **b** c", "a b c", "<p>a <strong>b</strong> c</p>"),
        ("`a*b*`", "`a*b*`", "<p><code>a*b*</code></p>"),
        (r"a\*\*b\*\* \<c\>", "a**b** <c>", "<p>a**b** &lt;c&gt;</p>"),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree", "<p>one<br>\ntwo</p><p>three</p>"),
        ("```\na <b>\n  `c`\n```", "a <b>\n  `c`", "<pre>a &lt;b&gt;\n  `c`\n</pre>"),
        ("````\n```\n````", "```", "<pre>```\n</pre>"),
        (
            "[here](https://x.example/?a=1&b=2)",
            "here (https://x.example/?a=1&b=2)",
            '<p><a href="https://x.example/?a=1&amp;b=2">here</a></p>',
        ),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("- a\n- b", "- a\n- b", "<p>- a<br>\n- b</p>"),
        ("", "", ""),
    ],
)
def test_the_small_markup_is_understood(text: str, as_plain: str, as_html: str) -> None:
    assert to_plain(text) == as_plain
    assert to_html(text) == as_html


# The Maildir


async def test_without_a_smarthost_answers_are_files_that_start_up_names(
    office: Office, tmp_path: Path
) -> None:
    await office.adapter.send(reply_to("done"))
    [file] = (tmp_path / "outbox" / "new").iterdir()
    assert b"done" in file.read_bytes()
    assert list((tmp_path / "outbox" / "tmp").iterdir()) == []
    host, port = office.adapter.bound
    assert office.adapter.describe() == (
        f"mail to {COMMAND} at {host}:{port}, answers into {tmp_path / 'outbox'}"
    )


async def test_a_folder_that_cannot_be_written_is_tried_again(
    office: Office, tmp_path: Path
) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(reply_to("done"))
    assert not caught.value.permanent
