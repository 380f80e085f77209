"""The operator's commands: each does what it says, says it to people and to programs, and refuses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import Parts, desk, update_tables
from cli.commands import GROUPS, run
from cli.desk import Program
from core.chat import Reply, Thread
from core.model import Job, JobStatus, utc_now
from core.settings import load

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Skadi = Callable[..., Said]


@pytest.fixture
def settings() -> dict[str, str]:
    return {}


@pytest.fixture
def skadi(tmp_path: Path, settings: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Skadi:
    """Type a command."""
    environment = {
        "SKADI_DATA": str(tmp_path / "data"),
        "SKADI_ADAPTERS__SMTP__DOMAIN": "skadi.example",
        **settings,
    }

    def type_words(*words: str) -> Said:
        program = Program(partial(load, tmp_path, environment), desk, update_tables)
        with pytest.raises(SystemExit) as ended:
            run(words, program)
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return type_words


@pytest.fixture
def ada(skadi: Skadi) -> str:
    """The id of an account."""
    return str(skadi("account", "add", "ada", "--json").data["id"])


OpenParts = Callable[[Callable[[Parts], Awaitable[Any]]], Any]


@pytest.fixture
def parts(tmp_path: Path, settings: dict[str, str]) -> OpenParts:
    """Do something with the parts of the program that the commands work on as well."""

    def do(deed: Callable[[Parts], Awaitable[Any]]) -> Any:
        async def open_and_do() -> Any:
            data = {"SKADI_DATA": str(tmp_path / "data"), **settings}
            async with desk(load(tmp_path, data)) as parts:
                return await deed(parts)

        return asyncio.run(open_and_do())

    return do


async def submit(parts: Parts, account_id: str, agent_id: str) -> Job:
    """A job that waits: its agent was here a moment ago."""
    agent = await parts.agents.get(account_id, agent_id)
    await parts.broker.sign(agent.id, utc_now())
    return await parts.jobs.submit(account_id, agent, "uptime", source="", requested_by="token:t")


def column(said: Said, name: str) -> list[object]:
    return [row[name] for row in said.data]


# Accounts.


def test_an_account_is_added_listed_spoken_to_and_removed(skadi: Skadi) -> None:
    assert skadi("account", "list").out == ("There is no account yet. Make one: account add NAME\n")
    made = skadi("account", "add", "ada", "--language", "zh", "--json").data
    assert (made["name"], made["language"]) == ("ada", "zh")
    skadi("account", "add", "bob")
    assert column(skadi("account", "list", "--json"), "name") == ["ada", "bob"]
    assert skadi("account", "language", "ada", "en", "--json").data["language"] == "en"
    assert skadi("account", "remove", made["id"]).status == 0
    assert column(skadi("account", "list", "--json"), "name") == ["bob"]


def test_a_name_that_is_taken_is_refused(skadi: Skadi, ada: str) -> None:
    for name in ("ada", " ada ", ada):
        said = skadi("account", "add", name, "--json")
        assert (said.status, said.data["error"]) == (1, "NameTaken")
    assert column(skadi("account", "list", "--json"), "id") == [ada]


def test_an_account_that_is_removed_takes_its_agents_and_tokens_along(
    skadi: Skadi, ada: str, parts: OpenParts
) -> None:
    made = skadi("agent", "add", "ada", "web-1", "--json").data
    skadi("token", "add", "account", "ada", "ci")
    job = parts(lambda parts: submit(parts, ada, made["id"]))
    skadi("account", "remove", "ada")
    assert parts(lambda parts: parts.store.agents.get(ada, made["id"])) is None
    ended = parts(lambda parts: parts.store.jobs.get(job.id))
    assert ended is not None
    assert ended.status is JobStatus.CANCELED
    assert skadi("agent", "list", "--json").data == []
    [token] = skadi("token", "list", "--json").data
    assert token["revoked_at"]


def test_a_table_is_for_people(skadi: Skadi, ada: str) -> None:
    head, row = skadi("account", "list").out.splitlines()
    assert head.split() == ["ID", "NAME", "LANGUAGE", "CREATED", "AT"]
    assert row.split()[:3] == [ada, "ada", "auto"]


def test_an_account_is_spoken_to_as_its_platforms_say_unless_it_is_told(
    skadi: Skadi, ada: str
) -> None:
    assert skadi("account", "language", "ada", "zh", "--json").data["language"] == "zh"
    assert skadi("account", "language", "ada", "auto", "--json").data["language"] == "auto"
    assert skadi("account", "language", "ada", "auto").out == (
        f"Account ada ({ada}) is spoken to in the language of each message.\n"
    )


def test_a_language_we_do_not_speak_is_misuse(skadi: Skadi, ada: str) -> None:
    said = skadi("account", "language", "ada", "fr")
    assert said.status == 2
    assert "Usage: python app.py account language" in said.err


def test_two_accounts_that_one_word_means_are_told_apart_by_their_ids(
    skadi: Skadi, ada: str, parts: OpenParts
) -> None:
    """An upstream system chooses the ids of its accounts."""
    parts(lambda parts: parts.accounts.account_for_upstream("ada"))
    for command in (["agent", "add", "ada", "web-1"], ["token", "add", "account", "ada", "ci"]):
        said = skadi(*command, "--json")
        assert (said.status, said.data["error"]) == (1, "Ambiguous")
        assert f"id:{ada}" in said.data["message"]
    assert f"speaks for ada ({ada}):" in skadi("token", "add", "account", ada, "ci").out
    assert "speaks for ada (ada):" in skadi("token", "add", "account", "id:ada", "ci").out


def test_what_a_stranger_wrote_stays_on_its_line_and_commands_no_terminal(
    skadi: Skadi, ada: str, parts: OpenParts
) -> None:
    remark = "\x1b]0;PWNED\x07\x1b[2K\x9b2J\u202e\nok  forged"
    parts(lambda parts: parts.agents.enrol(ada, "web-1", remark=remark))
    parts(lambda parts: parts.accounts.account_for_upstream("\x1b[2K\nforged"))
    said = skadi("agent", "list").out + skadi("account", "list").out
    assert len(said.splitlines()) == 2 + 3
    assert all(c.isprintable() or c == "\n" for c in said)
    said = skadi("account", "remove", "\x1b[2K\nforged").out
    assert said.count("\n") == 1
    assert "\x1b" not in said + skadi("account", "remove", "\x1b[2K").err


# Refusals.


def test_a_refusal_is_a_sentence_for_people_and_a_code_for_programs(skadi: Skadi) -> None:
    said = skadi("agent", "add", "nobody", "web-1")
    assert (said.status, said.out) == (1, "")
    assert said.err == "There is no account nobody.\n"
    said = skadi("agent", "add", "nobody", "web-1", "--json")
    assert said.status == 1
    assert said.data == {"error": "AccountNotFound", "message": "There is no account nobody."}


@pytest.mark.parametrize("settings", [{"SKADI_WEB__PROT": "1"}])
def test_settings_that_cannot_be_used_are_a_refusal(skadi: Skadi) -> None:
    said = skadi("account", "list", "--json")
    assert said.status == 1
    assert said.data["error"] == "Settings"
    assert 'did you mean "port"?' in said.data["message"]


# Agents.


def test_an_agent_is_added_with_its_token_shown_once(skadi: Skadi, ada: str) -> None:
    made = skadi(
        "agent", "add", "ada", "web-1", "--alias", "w1", "--remark", "the shop", "--json"
    ).data
    assert len(made["token"]) == 20
    assert (made["account"], made["alias"], made["remark"]) == ("ada", "w1", "the shop")
    said = skadi("agent", "list", "ada", "--json")
    assert column(said, "id") == [made["id"]]
    assert made["token"] not in said.out
    assert column(said, "online") == [False]


def test_an_agent_is_rotated_renamed_switched_and_removed(skadi: Skadi, ada: str) -> None:
    made = skadi("agent", "add", ada, "web-1", "--json").data
    rotated = skadi("agent", "rotate", "ada", "web-1", "--json").data
    assert rotated["id"] == made["id"]
    assert rotated["token"] != made["token"]
    assert skadi("agent", "rename", "ada", "web-1", "shop", "--json").data["name"] == "shop"
    assert skadi("agent", "switch", "ada", "shop", "off", "--json").data["available"] is False
    assert skadi("agent", "switch", "ada", "shop", "on", "--json").data["available"] is True
    assert skadi("agent", "remove", "ada", "shop").status == 0
    assert skadi("agent", "list", "--json").data == []


def test_a_token_is_shown_to_people_on_a_line_of_its_own(skadi: Skadi, ada: str) -> None:
    lines = skadi("agent", "add", "ada", "web-1").out.splitlines()
    _line, token = [line.strip() for line in lines if line.startswith("  ")]
    assert len(token) == 20
    assert lines[-1] == "This token is shown once; only its hash is kept."


def test_a_line_to_paste_is_shown_with_how_long_it_is_good(skadi: Skadi, ada: str) -> None:
    said = skadi("agent", "add", "ada", "web-1").out
    assert "Paste this within 1h, on this machine (for others set [web] url" in said
    line = skadi("agent", "line", "ada", "web-1", "--json").data["line"]
    assert re.fullmatch(
        r"python3 -I -c 'import urllib.request as u; "
        r'exec\(u.urlopen\("http://127.0.0.1:8000/install.py"\).read\(\)\)\''
        r" [A-Z2-9]{4}(-[A-Z2-9]{4}){3}",
        line,
    )
    assert line not in said
    assert skadi("agent", "line", "ada", "wbe-1", "--json").data["error"] == "AgentNotFound"


@pytest.mark.parametrize(
    "settings",
    [{"SKADI_WEB__URL": "https://skadi.example.com/", "SKADI_WEB__ENROL_WITHIN": "20m"}],
)
def test_a_line_leads_to_the_address_that_was_set(skadi: Skadi, ada: str) -> None:
    said = skadi("agent", "add", "ada", "web-1").out
    assert "Paste this on its machine within 20m:" in said
    assert 'u.urlopen("https://skadi.example.com/install.py")' in said


def test_an_agent_that_never_said_hello_is_shown_all_the_same(skadi: Skadi, ada: str) -> None:
    skadi("agent", "add", "ada", "web-1")
    said = skadi("agent", "show", "ada", "web-1")
    assert said.out.startswith("web-1 has not said what it can run")
    shown = skadi("agent", "show", "ada", "web-1", "--json").data
    assert (shown["name"], shown["version"], shown["commands"]) == ("web-1", None, None)


def test_a_word_of_the_language_is_no_name(skadi: Skadi, ada: str) -> None:
    assert skadi("agent", "add", "ada", "help", "--json").data["error"] == "InvalidName"


# Tokens.


def test_a_system_token_is_made_with_its_secret(skadi: Skadi) -> None:
    made = skadi("token", "add", "system", "bench", "--json").data
    assert made["token"].startswith("sks_")
    assert made["kind"] == "system"
    assert made["id"]


def test_an_account_token_can_end_by_itself(skadi: Skadi, ada: str) -> None:
    made = skadi("token", "add", "account", "ada", "ci", "--expires", "720h", "--json").data
    assert made["token"].startswith("ska_")
    assert made["expires_at"] > made["created_at"]
    for wrong in ("a month", "0s", "-5m"):
        said = skadi("token", "add", "account", "ada", "ci", f"--expires={wrong}")
        assert said.status == 2
        assert 'a duration like "30d"' in said.err
    assert len(skadi("token", "list", "--json").data) == 1


def test_an_account_token_can_be_restricted(skadi: Skadi, ada: str) -> None:
    made = skadi(
        *("token", "add", "account", "ada", "ci", "--expires", "90d"),
        *("--scope", "submit", "--scope", "read", "--json"),
    ).data
    assert made["scopes"] == "read submit"
    days = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert abs(days - timedelta(days=90)) < timedelta(minutes=1)
    assert column(skadi("token", "list", "--json"), "scopes") == ["read submit"]
    assert "read submit" in skadi("token", "list").out
    skadi("token", "add", "account", "ada", "other")
    assert column(skadi("token", "list", "--json"), "scopes") == ["read submit", ""]
    said = skadi("token", "add", "account", "ada", "ci", "--scope", "write", "--json")
    assert (said.status, said.data["error"]) == (1, "InvalidScope")


def test_a_mail_token_is_shown_as_the_address_it_makes(skadi: Skadi, ada: str) -> None:
    made = skadi("token", "add", "mail", "ada", "phone", "--json").data
    assert made["address"] == f"agent+{made['token']}@skadi.example"
    assert made["address"] not in skadi("token", "list").out
    assert "@skadi.example\n" in skadi("token", "add", "mail", "ada", "desk").out


@pytest.mark.parametrize("settings", [{"SKADI_ADAPTERS__SMTP__ENABLED": "false"}])
def test_without_mail_there_is_no_mail_token(skadi: Skadi, ada: str) -> None:
    assert "No mail is taken" in skadi("token", "add", "mail", "ada", "phone").err
    assert skadi("token", "list", "--json").data == []


@pytest.mark.parametrize("verb", ["revoke", "remove"])
def test_a_token_is_revoked(skadi: Skadi, ada: str, verb: str) -> None:
    made = skadi("token", "add", "account", "ada", "ci", "--json").data
    assert skadi("token", verb, made["id"]).status == 0
    [token] = skadi("token", "list", "ada", "--json").data
    assert token["revoked_at"]
    assert skadi("token", verb, "nothing").status == 1


# Identities.


def test_an_identity_is_added_by_mail_address(skadi: Skadi, ada: str) -> None:
    made = skadi("identity", "add", "ada", "smtp", "ada@example.org", "--json").data
    assert made["subject"] == "-/ada@example.org"
    same = skadi("identity", "add", "ada", "smtp", "-/ada@example.org", "--json").data
    assert same["id"] == made["id"]
    assert column(skadi("identity", "list", "ada", "--json"), "account") == ["ada"]
    assert skadi("identity", "remove", made["id"]).status == 0
    assert skadi("identity", "list", "--json").data == []


def test_an_identity_is_spelled_as_its_mails_will_be(skadi: Skadi, ada: str) -> None:
    made = skadi("identity", "add", "ada", "smtp", "Ada@Example.ORG", "--json").data
    assert made["subject"] == "-/Ada@example.org"


@pytest.mark.parametrize("subject", ["ada", "ada@", "Ada <ada@example.org>", "T1/U2", "-/", ""])
def test_what_is_no_mail_address_is_no_identity(skadi: Skadi, ada: str, subject: str) -> None:
    said = skadi("identity", "add", "ada", "smtp", subject)
    assert (said.status, said.err) == (1, f"{subject} is nobody's address on smtp.\n")
    assert skadi("identity", "list", "--json").data == []


def test_an_identity_of_a_platform_that_is_not_there_is_refused(skadi: Skadi, ada: str) -> None:
    said = skadi("identity", "add", "ada", "smpt", "ada@example.org")
    assert said.err == "smpt is not configured; the platforms that are: smtp.\n"


def test_a_link_code_is_made(skadi: Skadi, ada: str) -> None:
    code = skadi("identity", "code", "ada", "--json").data["code"]
    assert len(code.replace("-", "")) >= 8
    assert "link " in skadi("identity", "code", "ada").out


# The whole.


def test_letters_there_are_none(skadi: Skadi) -> None:
    assert skadi("letters", "list").out == "Nothing is undelivered.\n"
    for verb in ("show", "retry", "drop"):
        said = skadi("letters", verb, "nothing", "--json")
        assert (said.status, said.data["error"]) == (1, "LetterNotFound")


def test_a_letter_is_shown_whole(skadi: Skadi, ada: str, dead: str) -> None:
    shown = dict(line.split(maxsplit=1) for line in skadi("letters", "show", dead).out.splitlines())
    assert shown.pop("created_at")
    assert shown == {
        "id": dead,
        "adapter": "smtp",
        "channel": "ada@example.org",
        "job": "-",
        "attempts": "1",
        "error": "550 no such user",
        "account": ada,
        "thread": "t1",
    }
    whole = skadi("letters", "show", dead, "--json").data["thread"]
    assert whole == {
        "adapter": "smtp",
        "channel_id": "ada@example.org",
        "thread_id": "t1",
        "ref": {"subject": "a matter"},
    }
    skadi("letters", "retry", dead)
    assert skadi("letters", "show", dead).status == 1


@pytest.fixture
def dead(tmp_path: Path, skadi: Skadi, ada: str) -> str:
    """The id of an answer that could not be delivered."""

    async def die() -> str:
        thread = Thread("smtp", "ada@example.org", "t1", {"subject": "a matter"})
        async with desk(load(tmp_path, {"SKADI_DATA": str(tmp_path / "data")})) as parts:
            messages, deliveries, now = parts.store.messages, parts.store.deliveries, utc_now()
            await messages.begin("k", now, timedelta(minutes=1))
            id = await messages.finish("k", Reply(thread, "done"), now, deliver_for=ada)
            delivery = await deliveries.claim(id or "", now, timedelta(minutes=1))
            assert delivery
            await deliveries.failed(delivery, "550 no such user", now, None)
            return delivery.id

    return asyncio.run(die())


def test_migrating_again_does_nothing(skadi: Skadi) -> None:
    assert skadi("migrate").out == "The tables are up to date.\n"
    assert skadi("migrate", "--json").data == {"migrated": True}


def test_help_teaches(skadi: Skadi) -> None:
    said = skadi("--help")
    assert said.status == 0
    for word in ("account", "identity", "agent", "token", "letters", "migrate", "check"):
        assert f"\n  {word} " in said.out
    assert "python app.py agent add ada web-1" in said.out
    assert "worker (tells people)" in said.out


@pytest.mark.parametrize("settings", [{"SKADI_ADAPTERS__HOOKS__KIND": "callback"}])
def test_a_callback_secret_is_shown_once_and_changed(skadi: Skadi, ada: str) -> None:
    shown = skadi("account", "callback-secret", "ada")
    [secret] = re.findall(r"^  (whsec_\S{44})$", shown.out, re.MULTILINE)
    again = skadi("account", "callback-secret", "ada")
    assert again.status == 1
    assert "account callback-secret ada --rotate" in again.err
    assert secret not in again.out + again.err
    fresh = skadi("account", "callback-secret", "ada", "--rotate", "--json").data
    assert fresh["account_id"] == ada
    assert fresh["secret"] != secret
    assert skadi("account", "callback-secret", "eve").status == 1


def test_where_no_address_is_called_there_is_no_callback_secret(skadi: Skadi, ada: str) -> None:
    said = skadi("account", "callback-secret", "ada")
    assert said.status == 1
    assert "docs/callbacks.md" in said.err


@pytest.mark.parametrize("group", ["account", "identity", "agent", "token", "letters"])
def test_a_group_alone_shows_what_it_can_do(skadi: Skadi, group: str) -> None:
    said = skadi(group)
    assert f"Usage: python app.py {group}" in said.out + said.err
    assert "  list " in said.out + said.err


def test_every_command_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text()
    for name, group in GROUPS.items():
        [row] = [line for line in manual.splitlines() if line.startswith(f"| `{name} ")]
        written = set(re.findall(r"`(?:\w+ )?([\w-]+)`", row))
        known = {command.name for command in group.registered_commands if not command.hidden}
        assert known - written == set()


def test_what_is_not_understood_is_misuse(skadi: Skadi) -> None:
    said = skadi("agent", "ad")
    assert said.status == 2
    assert "No such command 'ad'" in said.err
