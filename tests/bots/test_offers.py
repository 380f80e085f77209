"""What an agent says it can run: shown, and held against what people type."""

import pytest

from core.model import Offer
from tests.bots.office import Machine, Office, Person

DEPLOY = Offer("deploy", "bring a version online", ("version",))
UNITS = Offer("systemctl status", "", ("...",))


async def say_hello(web: Machine, *commands: Offer, shell: bool = False) -> None:
    await web.office.agents.hellos.say(
        web.agent, version="1.1", hostname="northwind", commands=commands, shell=shell
    )


@pytest.mark.parametrize("text", ["agent web-1", "agent show web-1", "代理 查看 web-1"])
async def test_an_agent_is_shown_with_what_it_can_run(ada: Person, web: Machine, text: str) -> None:
    await say_hello(web, DEPLOY, UNITS)
    assert await ada.hears(text) == (
        "- `web-1`: online\n"
        "Version `1.1` on `northwind`\n"
        "**What it can run**\n"
        "- `deploy VERSION`: bring a version online\n"
        "- `systemctl status ...`"
    )


async def test_help_about_an_agent_lists_its_commands(ada: Person, web: Machine) -> None:
    assert "has not said what it can run" in await ada.hears("help web-1")
    await say_hello(web, DEPLOY)
    assert "- `deploy VERSION`: bring a version online" in await ada.hears("help web-1")
    assert await ada.hears("help wbe-1") == "I know no verb called `wbe-1`. Did you mean `web-1`?"


async def test_a_stranger_learns_nothing_of_an_agent(office: Office, web: Machine) -> None:
    await say_hello(web, DEPLOY)
    mallory = office.person("Mallory")
    assert await mallory.hears("help web-1") == (
        "I know no verb called `web-1`. `help` lists those I know."
    )


async def test_what_an_agent_says_of_itself_is_no_markup_of_ours(ada: Person, web: Machine) -> None:
    evil = Offer("x`\n# **boss**", "[click](http://evil)\u202e\n- more")
    await say_hello(web, evil)
    text = await ada.hears("agent web-1")
    assert text.endswith("- `xˋ # **boss**`: `[click](http://evil) - more`")


@pytest.mark.parametrize("command", ["dpeloy 1.4", "Deploy 1.4", "deplpy  1.4"])
async def test_a_misspelt_command_is_answered_before_a_job_is_made(
    ada: Person, web: Machine, command: str
) -> None:
    await say_hello(web, DEPLOY)
    reply = await ada.says(f"web-1 {command}")
    assert reply is not None
    word = command.split()[0]
    assert reply.text == (
        f"`web-1` has no command `{word}`, so nothing was started. Did you mean `deploy 1.4`?"
        " `help web-1` lists what it can run."
    )
    assert await ada.office.count_jobs() == 0
    [button] = reply.actions
    await ada.says(button.command)
    assert await web.poll() == "deploy 1.4"


async def test_what_is_delayed_is_not_started_by_the_button(ada: Person, web: Machine) -> None:
    await say_hello(web, DEPLOY)
    reply = await ada.says("delay 20m web-1 dpeloy 1.4")
    assert reply is not None
    assert "Did you mean `deploy 1.4`?" in reply.text
    assert reply.actions == ()


@pytest.mark.parametrize(
    "command", ["deploy", "'deploy' 1.4", "systemctl restart nginx", "uptime", "help", "all"]
)
async def test_what_the_agent_may_understand_reaches_it(
    ada: Person, web: Machine, command: str
) -> None:
    await say_hello(web, DEPLOY, UNITS)
    await ada.says(f"web-1 {command}")
    assert await web.poll() == command


async def test_an_agent_with_a_shell_gets_whatever_is_typed(ada: Person, web: Machine) -> None:
    await say_hello(web, DEPLOY, shell=True)
    await ada.says("web-1 dpeloy 1.4")
    assert await web.poll() == "dpeloy 1.4"


async def test_an_agent_that_learns_a_command_is_believed_at_once(
    ada: Person, web: Machine
) -> None:
    await say_hello(web, DEPLOY)
    await ada.hears("web-1 dpeloy 1.4")
    ada.office.clock.move(seconds=30)
    await say_hello(web, DEPLOY, Offer("dpeloy"))
    await ada.says("web-1 dpeloy 1.4")
    assert await web.poll() == "dpeloy 1.4"
