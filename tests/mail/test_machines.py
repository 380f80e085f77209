"""What a machine wrote is taken and set aside: no command, no answer, no loop."""

from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from adapters.smtp.letter import read_letter
from adapters.smtp.machines import why_machine
from adapters.smtp.quotes import MARK
from core.chat import DeliveryError, Reply, Thread
from tests.clock import Clock
from tests.mail.office import COMMAND, OWNER, SECRET_COMMAND, Office, at_work

SENDER = "skadi@skadi.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"auto_submitted": "auto-replied"},
        {"auto_submitted": "Auto-Generated; owner=x"},
        {"precedence": "bulk"},
        {"precedence": "Junk"},
        {"precedence": "list"},
        {"list_id": "<ops.corp.example>"},
        {"list_unsubscribe": "<mailto:x@corp.example>"},
        {"x_auto_response_suppress": "All"},
        {"x_auto_response_suppress": "OOF, DR"},
        {"x_loop": "Skadi@skadi.example"},
        {"content_type": "multipart/report; report-type=delivery-status; boundary=b"},
        {"content_type": "message/delivery-status"},
        {"sender": "MAILER-DAEMON@corp.example"},
        {"sender": "Postmaster <postmaster@corp.example>"},
        {"sender": "no-reply@corp.example"},
        {"sender": "NoReply+tag@corp.example"},
        {"sender": COMMAND},
        {"sender": SENDER},
        {"sender": SECRET_COMMAND},
    ],
)
async def test_a_machines_mail_is_taken_and_nothing_is_done(
    office: Office, headers: dict[str, str]
) -> None:
    code, said = await office.post(office.letter("web-1 reboot", **headers))
    assert (code, said[:11]) == (250, "2.0.0 Noted")
    assert office.inbox.messages == []


async def test_a_mail_without_a_return_path_is_set_aside(office: Office) -> None:
    assert (await office.post(office.letter(), mail_from=""))[1].startswith("2.0.0 Noted")
    assert office.inbox.messages == []


async def test_a_report_of_a_lost_answer_finds_its_way(office: Office) -> None:
    report = office.letter("lost", "MAILER-DAEMON@corp.example")
    assert (await office.post(report, SENDER, mail_from=""))[0] == 250
    assert (await office.post(report, SENDER))[0] == 550


@pytest.mark.parametrize(
    "headers",
    [
        {"auto_submitted": "no"},
        {"precedence": "first-class"},
        {"x_auto_response_suppress": "None"},
        {"x_loop": "somebody@corp.example"},
        {"listening": "yes"},
        {"sender": "norel@corp.example"},
    ],
)
async def test_a_persons_mail_is_a_command(office: Office, headers: dict[str, str]) -> None:
    await office.post(office.letter(**headers))
    assert office.inbox.only.text == "web-1 uptime"


async def test_our_own_answer_sent_back_is_a_machines_mail(office: Office) -> None:
    await office.post(office.letter())
    await office.adapter.send(Reply(office.inbox.only.thread, "done"))
    [answer] = (office.data / "outbox" / "new").glob("*")
    assert why_machine(read_letter(answer.read_bytes()), OWNER, SENDER) == "Auto-Submitted"
    assert (await office.post(answer.read_bytes()))[1].startswith("2.0.0 Noted")


@pytest.mark.parametrize("ours", ["skadi@Skadi.Example", SENDER])
@pytest.mark.parametrize("seen", ["skadi@Skadi.Example", SENDER])
def test_our_mark_is_known_however_its_domain_is_written(ours: str, seen: str) -> None:
    raw = f"From: {OWNER}\r\nX-Loop: {seen}\r\n\r\nweb-1 uptime\r\n".encode()
    assert why_machine(read_letter(raw), OWNER, ours) == "X-Loop"


@pytest.mark.parametrize("address", [COMMAND, SENDER, SECRET_COMMAND])
async def test_nothing_is_sent_to_ourselves(office: Office, address: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(Reply(Thread("mail", address), "hello"))
    assert caught.value.permanent


async def test_an_address_gets_so_many_answers_an_hour(office: Office) -> None:
    reply = Reply(Thread("mail", OWNER), "hello")
    for _ in range(30):
        await office.adapter.send(reply)
    with pytest.raises(DeliveryError) as caught:
        await office.adapter.send(reply)
    assert not caught.value.permanent
    assert caught.value.retry_after
    await office.adapter.send(Reply(Thread("mail", "ben@corp.example"), "hello"))
    office.clock.move(hours=1)
    await office.adapter.send(reply)


async def test_the_last_answer_of_an_hour_says_that_it_is_the_last(
    clock: Clock, tmp_path: Path
) -> None:
    async with at_work(clock, tmp_path, answers_per_hour=2) as office:
        for language, text in (("en", "one"), ("zh", "two")):
            await office.adapter.send(Reply(Thread("mail", OWNER), text, language=language))
    answers = {plain(file.read_bytes()) for file in (tmp_path / "outbox" / "new").iterdir()}
    assert answers == {"one", "two\n\n此地址一小时内的回复已达上限，其余回复稍后发送。"}


def plain(raw: bytes) -> str:
    """What an answer reads, without the mark above it."""
    body = message_from_bytes(raw, policy=default).get_body(("plain",))
    assert body is not None
    return "\n".join(str(body.get_content()).partition(MARK)[2].split("\r\n")).strip()


async def test_what_does_not_get_through_is_not_counted(clock: Clock, tmp_path: Path) -> None:
    reply, in_the_way = Reply(Thread("mail", OWNER), "hello"), tmp_path / "outbox"
    in_the_way.write_text("")
    async with at_work(clock, tmp_path, answers_per_hour=2) as office:
        for _ in range(5):
            with pytest.raises(DeliveryError, match="outbox: "):
                await office.adapter.send(reply)
        in_the_way.unlink()
        for _ in range(2):
            await office.adapter.send(reply)
        for _ in range(2):
            with pytest.raises(DeliveryError, match="2 answers went to this address"):
                await office.adapter.send(reply)
