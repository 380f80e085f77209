"""Who is who: strangers, links, tokens, and where an account is at home."""

import re
from collections.abc import Callable

import pytest

from bots.bot import Hints
from core.errors import Unavailable
from core.messages import message_key
from tests.bots.office import Machine, Office, Person
from tests.clock import Clock

HINT = (
    "I do not know you here yet, so nothing was done. Ask the operator for a code"
    " (`python app.py identity code ACCOUNT`), then tell me `link CODE` in a private conversation."
    " `whoami` shows how I see you."
)


async def code_for(office: Office) -> str:
    return await office.house.accounts.new_code(office.account.id)


# Strangers


@pytest.mark.parametrize(
    "text", ["web-1 rm -rf /", "status", "agent", "agent add x", "cancel", "home", "unlink", "plan"]
)
async def test_a_stranger_gets_nothing_done(mallory: Person, web: Machine, text: str) -> None:
    reply = await mallory.says(text)
    assert reply is not None
    assert (reply.text, reply.private) == (HINT, True)
    assert await mallory.office.count_jobs() == 0
    assert await mallory.office.house.accounts.home(mallory.office.account.id) is None


async def test_a_stranger_is_told_the_way_in_once_a_minute(mallory: Person) -> None:
    assert await mallory.hears("status") == HINT
    assert await mallory.says("status") is None
    assert await mallory.office.person("Eve").hears("status") == HINT
    mallory.office.clock.move(minutes=1)
    assert await mallory.hears("status") == HINT


async def test_a_repeat_of_a_strangers_message_is_answered_the_same(mallory: Person) -> None:
    assert await mallory.hears("status", key="once") == HINT
    assert await mallory.hears("status", key="once") == HINT


def test_of_many_strangers_the_earliest_are_forgotten(clock: Clock) -> None:
    hints = Hints(most=2)
    assert all(hints.may(("slack", name), name, clock()) for name in ("eve", "mallory", "trudy"))
    assert not hints.may(("slack", "trudy"), "2", clock())
    assert hints.may(("slack", "eve"), "2", clock())


async def test_a_stranger_may_ask_for_help_and_who_they_are(mallory: Person) -> None:
    assert (await mallory.hears("help")).startswith(
        "I run commands on servers for people I know, and I do not know you yet."
    )
    assert await mallory.hears("whoami") == (
        "You are Mallory, on slack `T1/Mallory`, and not linked to an account."
    )


async def test_a_stranger_is_spoken_to_in_the_language_of_the_platform(office: Office) -> None:
    mallory = office.person("Mallory", locale="zh-CN")
    assert "`绑定 绑定码`" in await mallory.hears("状态")


async def test_a_strangers_mail_is_answered_too(office: Office) -> None:
    eve = office.person("Eve", "mail")
    assert await eve.says("status") is None
    assert await eve.reads() == [HINT]


async def test_somebody_on_another_platform_is_somebody_else(ada: Person, web: Machine) -> None:
    impostor = ada.office.person("Ada", "wechat")
    assert impostor.sender_id == ada.sender_id
    assert await impostor.hears("web-1 uptime") == HINT


# link and unlink


async def test_a_code_links_a_private_chat_and_makes_it_the_home(office: Office) -> None:
    cleo = office.person("Cleo")
    code = await code_for(office)
    assert await cleo.hears(f"link {code}") == (
        "Linked. You now speak for the account Ada's servers here. Try `status` or `help`."
    )
    assert await office.house.accounts.home(office.account.id) == cleo.at
    assert (await cleo.hears("status")).startswith("You have no agents yet.")
    dora = office.person("Dora")
    assert await dora.hears(f"link {code}") == (
        "This code is not valid. A code works once and for ten minutes: ask the operator for a new"
        " one."
    )


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda code: code.replace("-", "—"),
        lambda code: code.replace("-", " "),
        lambda code: f"“{code}”",
        lambda code: code.translate({ord(c): ord(c) + 0xFEE0 for c in code}),
    ],
)
async def test_a_code_is_understood_however_it_is_typed(
    office: Office, typed: Callable[[str], str]
) -> None:
    cleo = office.person("Cleo")
    assert (await cleo.hears(f"link {typed(await code_for(office))}")).startswith("Linked.")


async def test_a_repeat_of_a_link_says_linked_again(office: Office) -> None:
    cleo, code = office.person("Cleo"), await code_for(office)
    first = await cleo.hears(f"link {code}", key="once")
    assert await cleo.hears(f"link {code}", key="once") == first


async def test_a_code_shown_among_others_is_void(mallory: Person) -> None:
    office = mallory.office
    code = await code_for(office)
    assert (await mallory.hears(f"link {code}")).startswith("Others could read that code here")
    cleo = office.person("Cleo")
    assert (await cleo.hears(f"link {code}")).startswith("This code is not valid.")
    assert (await mallory.hears("link")).startswith("Codes belong in a private conversation")


async def test_a_code_cannot_be_guessed_for_long(office: Office) -> None:
    eve = office.person("Eve")
    for _ in range(5):
        assert (await eve.hears("link AAA-AAA-AAA")).startswith("This code is not valid.")
    code = await code_for(office)
    assert await eve.hears(f"link {code}") == (
        "Too many wrong codes. Wait ten minutes, then try again."
    )


async def test_a_code_is_not_spent_on_who_is_linked_already(ada: Person) -> None:
    code = await code_for(ada.office)
    alone = ada.elsewhere("D-Ada", private=True)
    assert (await alone.hears(f"link {code}")).startswith("You already speak for the account Ada's")
    assert (await ada.office.person("Cleo").hears(f"link {code}")).startswith("Linked.")


async def test_link_alone_is_asked_for_its_code(office: Office) -> None:
    assert await office.person("Cleo").hears("link") == (
        "Say it like this: `link CODE`\nFor example: `link K7Q-D2M-4X9`"
    )


async def test_linking_greets_in_the_language_of_the_account(office: Office) -> None:
    await office.house.accounts.set_language(office.account.id, "zh")
    reply = await office.person("Cleo").hears(f"link {await code_for(office)}")
    assert reply.startswith("绑定成功。")
    assert "`状态` 或 `帮助`" in reply


async def test_who_is_unlinked_is_a_stranger_again(ada: Person, web: Machine) -> None:
    assert (await ada.hears("unlink")).startswith("Unlinked. You no longer speak for the account")
    assert await ada.hears("web-1 uptime") == HINT


async def test_the_home_goes_with_who_is_unlinked(office: Office) -> None:
    cleo = office.person("Cleo")
    await cleo.says(f"link {await code_for(office)}")
    web = await office.enrol()
    assert await office.house.accounts.home(office.account.id) == cleo.at
    assert await cleo.hears("unlink") == (
        "Unlinked. You no longer speak for the account Ada's servers here, and the home you had set"
        " for it is gone: whoever still speaks for it can say `home` where its messages are to be"
        " told."
    )
    assert await office.house.accounts.home(office.account.id) is None
    await office.agents.say(web.agent, "info", "Backup done.")
    assert not any("Backup" in post for post in await cleo.reads())


async def test_the_home_goes_wherever_unlink_is_said(ada: Person) -> None:
    team = ada.elsewhere("C-team", private=False)
    await team.hears("home")
    await ada.elsewhere("D-Ada").hears("unlink")
    assert await ada.office.house.accounts.home(ada.office.account.id) is None


async def test_the_home_of_somebody_else_stays(ada: Person, ben: Person) -> None:
    await ada.hears("home")
    await ben.hears("home")
    assert (await ada.hears("unlink")).startswith("Unlinked. You no longer speak for the account")
    assert await ada.office.house.accounts.home(ada.office.account.id) == ben.at


async def test_a_link_by_mail_is_answered_by_mail(office: Office) -> None:
    dan = office.person("Dan", "mail")
    assert await dan.says(f"link {await code_for(office)}") is None
    assert (await dan.reads())[0].startswith("Linked.")


async def test_whoami_names_the_account(ada: Person) -> None:
    assert await ada.hears("whoami") == (
        "You are Ada, on slack `T1/Ada`, and speak for the account Ada's servers."
    )


# Tokens


async def test_a_token_speaks_for_its_account_whoever_sends_it(office: Office) -> None:
    web = await office.enrol()
    anyone = office.person("Anyone", "mail")
    proof = {"account_id": office.account.id, "requested_by": "token:t1"}
    await anyone.says("web-1 uptime", **proof)
    assert (await office.newest()).requested_by == "token:t1"
    assert await web.work(seconds=1) == "uptime"
    for text in ("whoami", "unlink", f"link {await code_for(office)}"):
        assert await anyone.says(text, **proof) is None
    _, who, unlink, link = await anyone.reads()
    assert who == "This conversation speaks for the account Ada's servers by a token."
    assert unlink == link
    assert link.startswith("A token speaks for you here")
    assert await office.house.accounts.identities(office.account.id) == []


async def test_a_token_of_an_account_that_is_gone_is_nobodys(office: Office) -> None:
    anyone = office.person("Anyone")
    assert await anyone.hears("status", account_id="gone", requested_by="token:t1") == HINT


async def test_a_job_remembers_who_asked_for_it(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    office = ada.office
    [identity] = await office.house.accounts.identities(office.account.id)
    job = await office.newest()
    assert (job.requested_by, job.source) == (f"identity:{identity.id}", "slack")
    assert job.thread == ada.at


# home


async def test_home_is_where_it_was_last_said(ada: Person, ben: Person, web: Machine) -> None:
    assert (await ada.hears("home")).startswith(
        "This is now the home of the account Ada's servers."
    )
    await ada.office.agents.say(web.agent, "info", "Backup done.")
    assert (await ada.elsewhere().reads())[-1] == "`web-1`: Backup done."
    await ben.says("主页")
    await ada.office.agents.say(web.agent, "info", "Backup done again.")
    assert (await ben.reads())[-1] == "`web-1`: Backup done again."
    assert "again" not in (await ada.elsewhere().reads())[-1]


# When we fail


async def test_a_message_that_is_being_answered_is_for_the_platform_to_repeat(
    ada: Person, web: Machine
) -> None:
    """Somebody else took it up and went away without an answer."""
    office, message = ada.office, ada.message("agent", key="once")
    await office.house.messages.begin(message_key("slack", message.sender_id, "once"))
    with pytest.raises(Unavailable):
        await office.bot.handle(message)
    office.clock.move(minutes=1)
    assert await ada.hears("agent", key="once") == "- `web-1`: online"


# Languages


async def test_who_writes_chinese_is_answered_in_chinese(office: Office) -> None:
    """What is said later too: the end of a job, and what comes to the home."""
    dan = await office.link(office.person("Dan", "mail", locale="zh-CN"))
    eva = await office.link(office.person("Eva", "mail"))
    web = await office.enrol()
    await dan.says("我是谁")
    await dan.says("web-1 uptime")
    await web.work(seconds=5)
    await dan.says("home")
    await office.agents.say(web.agent, "text", "1\n2")
    texts = await dan.reads()
    assert [language_of(text) for text in texts] == ["zh"] * len(texts)
    assert len(texts) == 4
    await eva.says("web-1 uptime")
    await web.work(seconds=5)
    assert (await eva.reads())[0].startswith("**Succeeded**")


def language_of(text: str) -> str:
    return "zh" if re.search("[㐀-鿿]", text) else "en"


async def test_what_an_account_is_set_to_comes_first(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail", locale="zh-CN"))
    web = await office.enrol()
    await office.house.accounts.set_language(office.account.id, "en")
    await dan.says("web-1 uptime")
    await web.work(seconds=5)
    assert (await dan.reads())[0].startswith("**Succeeded**")
    await office.house.accounts.set_language(office.account.id, "")
    await dan.says("help")
    assert language_of((await dan.reads())[1]) == "zh"


async def test_linking_greets_in_the_language_of_the_platform(office: Office) -> None:
    cleo = office.person("Cleo", locale="zh-CN")
    assert (await cleo.hears(f"link {await code_for(office)}")).startswith("绑定成功。")


async def test_a_home_is_the_whole_channel_where_there_are_threads(
    ada: Person, office: Office, web: Machine
) -> None:
    await ada.hears("home")
    home = await office.house.accounts.home(office.account.id)
    assert home is not None
    assert (home.channel_id, home.thread_id) == ("C1", "")
    dan = await office.link(office.person("Dan", "mail").elsewhere("dan@example.org", "t1"))
    await dan.hears("home", patience=5)
    home = await office.house.accounts.home(office.account.id)
    assert home is not None
    assert home.thread_id == "t1", "a mail cannot be written into no thread"
