"""Which addresses are ours: refused at once is what is not."""

from pathlib import Path

import pytest

from core.errors import Unavailable
from tests.clock import Clock
from tests.mail.office import COMMAND, SECRET, SECRET_COMMAND, Office, at_work

UNKNOWN = [
    "nobody@skadi.example",
    "agent@elsewhere.example",
    "agent+@skadi.example",
    "agent+aaaaaaaaaaaaaaaaaaaaaaaaaa@skadi.example",
    f"agent+{SECRET}x@skadi.example",
    f"agent+{SECRET}@elsewhere.example",
    f"{SECRET}@skadi.example",
    "agent+r.aaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaa@skadi.example",
    "agent+r.@skadi.example",
    "agent+r@skadi.example",
    "skadi@skadi.example",
    "agent",
    "agent+é@skadi.example",
    "agent+a b@skadi.example",
    f"agent+{'a' * 200}@skadi.example",
    "agent@skadi.example.evil.example",
    "agent%skadi.example@evil.example",
]


@pytest.mark.parametrize("address", UNKNOWN)
async def test_an_unknown_address_is_refused_before_the_mail_is_sent(
    office: Office, address: str
) -> None:
    client = await office.call()
    await client.hear()
    await client.say("EHLO client.example", "MAIL FROM:<a@corp.example>")
    assert (await client.say(f"RCPT TO:<{address}>")).startswith("550 5.1.1 ")
    assert (await client.say("DATA")).startswith("503 ")


async def test_a_secret_address_opens(office: Office) -> None:
    assert await office.post(office.letter("web-1 uptime")) == (250, "2.0.0 Accepted")
    message = office.inbox.only
    assert message.text == "web-1 uptime"
    assert message.proof == "token"
    assert (message.account_id, message.requested_by) == ("account-ada", "token:1")
    assert message.sender_id == "-/ada@corp.example"
    assert message.private
    assert message.patience == 0


async def test_the_case_of_an_address_does_not_matter(office: Office) -> None:
    code, _ = await office.post(office.letter(), f"Agent+{SECRET.upper()}@SKADI.example")
    assert code == 250


async def test_a_secret_that_was_revoked_opens_no_more(office: Office) -> None:
    office.keys.holders.clear()
    assert (await office.post(office.letter()))[0] == 550
    assert office.inbox.messages == []


async def test_an_alias_leads_to_the_command_address(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, aliases=("Jobs@corp.example",)) as office:
        to = ["jobs@corp.example", SECRET_COMMAND]
        assert (await office.post(office.letter(), to))[0] == 250


async def test_recipients_beyond_the_limit_are_put_off(clock: Clock, tmp_path: Path) -> None:
    async with at_work(clock, tmp_path, max_recipients=2) as office:
        answer = await office.post(office.letter(), [SECRET_COMMAND, COMMAND, COMMAND])
        assert answer == (452, "4.5.3 Too many recipients")


async def test_several_addresses_of_ours_make_one_command(office: Office) -> None:
    assert (await office.post(office.letter(), [COMMAND, SECRET_COMMAND, SECRET_COMMAND]))[0] == 250
    assert office.inbox.only.account_id == "account-ada"


async def test_a_keyring_that_is_away_puts_the_mail_off(office: Office) -> None:
    async def away(secret: str) -> None:
        raise ConnectionError("mysql://root:hunter2@db")

    office.keys.holder = away  # type: ignore[method-assign]
    code, said = await office.post(office.letter())
    assert code == 451
    assert "hunter2" not in said


async def test_an_outage_of_the_keyring_is_one_line_in_the_log(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(secret: str) -> None:
        raise Unavailable("The database does not answer.")

    office.keys.holder = away  # type: ignore[method-assign]
    for _ in range(3):
        assert (await office.post(office.letter()))[0] == 451
    assert [record.getMessage() for record in caplog.records] == [
        "mails are put off (451), 1 until now: The database does not answer."
    ]


async def test_no_secret_is_logged(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await office.post(office.letter())
    await office.post(office.letter(), f"agent+{SECRET[::-1]}@skadi.example")
    office.inbox.failure = OSError("no disk")
    await office.post(office.letter())
    client = await office.call()
    await client.hear()
    await client.say("EHLO client.example", f"{SECRET}", f"AUTH PLAIN {SECRET}")
    assert SECRET not in caplog.text.lower()
    assert SECRET[::-1] not in caplog.text.lower()
    assert "no disk" in caplog.text
