"""The verb `agent`: made, named, given a new token, taken away."""

import re

import pytest

from bots.commands import RESERVED
from core.errors import Invalid, Unauthorized
from tests.bots.office import Machine, Office, Person

CODE = re.compile(r'/install\.py"\)\.read\(\)\)\' ([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})\n```')
TOKEN = re.compile(r"```\n([a-z2-7]{20})\n```")


@pytest.fixture
async def alone(office: Office) -> Person:
    """Ada, in private."""
    return await office.link(office.person("Ada"))


def token_in(text: str) -> str:
    found = TOKEN.search(text)
    assert found, text
    return found[1]


async def test_an_agent_is_made_in_private_and_its_token_works(alone: Person) -> None:
    text = await alone.hears("agent add web-1 the old machine")
    assert text.startswith("`web-1` is made. Paste this within 1 h;")
    agent = await alone.office.agents.authenticate(token_in(text))
    assert (agent.name, agent.remark) == ("web-1", "the old machine")
    assert await alone.hears("agent") == "- `web-1`: online (the old machine)"


async def test_a_token_is_never_shown_twice_nor_kept(alone: Person) -> None:
    first = await alone.hears("agent add web-1", key="once")
    again = await alone.hears("agent add web-1", key="once")
    assert again == (
        "`web-1` is made. What was shown with that is not shown again; `agent line web-1` gives a"
        " new line to paste, `agent rotate web-1` makes a new token."
    )
    assert token_in(first) not in again
    assert CODE.search(first)
    assert not CODE.search(again)


async def test_the_line_to_paste_brings_the_agent_a_token(alone: Person, web: Machine) -> None:
    enrolment = alone.office.agents.enrolment
    made, line = await alone.hears("agent add db-1"), await alone.hears("agent line web-1")
    for text, name in ((made, "db-1"), (line, "web-1")):
        found = CODE.search(text)
        assert found, text
        agent, token = await enrolment.exchange(found[1], "192.0.2.7")
        assert agent.name == name
        assert (await alone.office.agents.authenticate(token)).id == agent.id
    with pytest.raises(Unauthorized):
        await alone.office.agents.authenticate(web.token)


async def test_a_line_is_shown_again_to_nobody(alone: Person, web: Machine) -> None:
    assert CODE.search(await alone.hears("agent line web-1", key="once"))
    assert await alone.hears("agent line web-1", key="once") == (
        "The line for `web-1` was shown once and is not shown again; `agent line web-1` gives a"
        " new one."
    )


@pytest.mark.parametrize(
    "text", ["agent add db-1", "agent rotate web-1", "agent line web-1", "代理 添加 db-1"]
)
async def test_among_others_no_token_is_shown_nor_made(
    ada: Person, web: Machine, text: str
) -> None:
    assert await ada.hears(text) == (
        "A token is shown only in a private conversation, so nothing was done. Ask me again there."
    )
    assert await ada.hears("agent list") == "- `web-1`: online"
    assert await ada.office.agents.authenticate(web.token)


async def test_a_token_is_not_sent_by_mail(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail"))
    await dan.says("agent add web-1")
    assert (await dan.reads())[0].startswith("A token would stay in a mailbox")
    assert await office.agents.list(office.account.id) == []


@pytest.mark.parametrize("private", [True, False])
async def test_where_it_would_have_to_be_kept_a_token_is_not_sent(
    ada: Person, web: Machine, private: bool
) -> None:
    for text in ("agent add db-1", "agent rotate web-1", "agent line web-1"):
        await ada.says(text, patience=0.0, private=private)
        answer = (await ada.sees())[-1]
        assert answer.text == (
            "A token would be kept until it is delivered here, so I do not send it and nothing was"
            " done. The operator makes one: `python app.py agent add ACCOUNT NAME`"
        )
        assert answer.private is not private
    assert await ada.office.agents.authenticate(web.token)


async def test_who_has_no_agent_is_told_a_way_that_works_there(ada: Person) -> None:
    for locale, words in (("en", "The operator makes one:"), ("zh", "可以请管理员生成：")):
        await ada.says("agent", patience=0.0, locale=locale)
        answer = (await ada.reads())[-1]
        assert words in answer
        assert "`python app.py agent add ACCOUNT NAME`" in answer


async def test_a_new_token_kills_the_old_one(alone: Person, web: Machine) -> None:
    text = await alone.hears("agent rotate web-1")
    assert (await alone.office.agents.authenticate(token_in(text))).name == "web-1"
    with pytest.raises(Unauthorized):
        await alone.office.agents.authenticate(web.token)


async def test_an_agent_is_renamed(ada: Person, web: Machine) -> None:
    assert await ada.hears("agent rename web-1 www") == "`web-1` is now called `www`."
    await ada.says("www uptime")
    assert await web.work() == "uptime"


async def test_removing_asks_first_and_says_what_would_be_lost(ada: Person, web: Machine) -> None:
    await ada.says("web-1 sleep 60")
    running = await ada.office.newest()
    await web.poll()
    await ada.says("delay 20m web-1 reboot")
    delayed = await ada.office.newest()
    await ada.says("web-1 uptime")
    queuing = await ada.office.newest()
    question = await ada.says("agent remove web-1")
    assert question is not None
    assert question.text == (
        "These jobs would be canceled:\n"
        f"- `{queuing.tag}` `web-1` `uptime`: queuing\n"
        f"- `{delayed.tag}` `web-1` `reboot`: starts in 20 min\n"
        "These are with it now; you would not learn how they end:\n"
        f"- `{running.tag}` `web-1` `sleep 60`: sent 1 s ago\n"
        "Removing `web-1` cannot be undone, and its token dies at once. If you are sure, say"
        " `agent remove web-1 yes`"
    )
    assert await ada.office.agents.authenticate(web.token)
    [button] = question.actions
    assert await ada.hears(button.command) == "`web-1` is removed. Its token is dead."
    posts = await ada.reads()
    assert f"**Canceled**: `uptime` did not run on `web-1` (`{queuing.tag}`)" in posts
    assert any(post.startswith("**Outcome unknown**: `sleep 60`") for post in posts)
    with pytest.raises(Unauthorized):
        await ada.office.agents.authenticate(web.token)


@pytest.mark.parametrize("yes", ["yes", "YES", "是", "确认"])
async def test_removing_is_confirmed_in_both_languages(ada: Person, web: Machine, yes: str) -> None:
    assert (await ada.hears(f"代理 删除 web-1 {yes}")).endswith("is removed. Its token is dead.")


@pytest.mark.parametrize(
    "text",
    ["agent fire web-1", "agent remove web-1 maybe", "agent rename web-1", "agent rename a b c"],
)
async def test_what_is_not_understood_is_shown_how_to_say(
    ada: Person, web: Machine, text: str
) -> None:
    if text == "agent rename a b c":
        await ada.office.enrol("a")
    assert (await ada.hears(text)).startswith(
        "Say it like this: `agent [NAME, list, add, line, remove, rename, rotate]`"
    )
    assert "`web-1`" in await ada.hears("agent")


async def test_an_agent_needs_a_good_name(alone: Person, web: Machine) -> None:
    assert await alone.hears("agent add") == "An agent needs a name: `agent add web-1`"
    assert "no other agent of yours has it" in await alone.hears("agent add web-1")
    assert "no other agent of yours has it" in await alone.hears("agent add " + "x" * 51)
    assert "250 characters are the most" in await alone.hears("agent add db " + "x" * 251)
    for word in ("status", "STATUS", "ｓｔａｔｕｓ", "状态", "plan"):
        assert "is one of my own words" in await alone.hears(f"agent add {word}")


async def test_no_word_of_ours_becomes_an_agents_name(office: Office) -> None:
    for word in RESERVED:
        for name in (word, word.upper()):
            with pytest.raises(Invalid):
                await office.agents.enrol(office.account.id, name)


async def test_an_agent_nobody_has_is_not_found(ada: Person, web: Machine) -> None:
    assert await ada.hears("agent remove wbe-1") == (
        "You have no agent called `wbe-1`. Did you mean `web-1`?"
    )


async def test_many_agents_are_counted_rather_than_named(ada: Person) -> None:
    for number in range(23):
        await ada.office.agents.enrol(ada.office.account.id, f"web-{number:02}")
    lines = (await ada.hears("agent")).splitlines()
    assert (len(lines), lines[-1]) == (21, "… and 3 more")
