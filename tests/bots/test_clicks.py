"""Buttons: who clicks is asked like who types, and a question that was answered cannot be answered again."""

from __future__ import annotations

import pytest

from core.chat import Action, Reply
from core.model import Offer
from tests.bots.office import Machine, Office, Person


async def asks(person: Person, text: str) -> tuple[str, Reply]:
    """What is asked back, and the handle of that post."""
    await person.says(text, patience=0.0)
    posts = await person.sees()
    return str(len(posts) - 1), posts[-1]


async def clicks(person: Person, action: Action, handle: str) -> None:
    answer = await person.says(action.command, clicked=handle if action.once else "", patience=0.0)
    assert answer is None, "it is delivered"


async def shown(person: Person, handle: str) -> Reply:
    return (await person.sees())[int(handle)]


@pytest.fixture
async def eve(office: Office, ada: Person) -> Person:
    """A teammate of Ada's, in the same thread."""
    return await office.link(office.person("Eve").elsewhere("C1", "1.1", private=False))


@pytest.fixture
async def deploys(web: Machine) -> Machine:
    """An agent that has one command, and so one misspelling of it is offered."""
    await web.office.agents.hellos.say(
        web.agent, version="1", hostname="x", commands=[Offer("deploy", "", ("version",))]
    )
    return web


@pytest.mark.parametrize(
    ("language", "says"),
    [("en", "Ada chose `cancel {tag}`."), ("zh", "Ada 选择了 `cancel {tag}`。")],
)
async def test_a_question_that_was_answered_says_who_did_and_what(
    ada: Person, web: Machine, language: str, says: str
) -> None:
    await ada.office.house.accounts.set_language(ada.office.account.id, language)
    for command in ("one", "two"):
        await ada.says(f"web-1 {command}")
    handle, question = await asks(ada, "cancel")
    job = await ada.office.newest()
    assert [action.once for action in question.actions] == [True, True]
    await clicks(ada, question.actions[0], handle)
    spent = await shown(ada, handle)
    assert (spent.text, spent.actions) == (says.format(tag=job.tag), ())
    assert (await ada.office.newest()).status == "canceled"


async def test_an_answer_takes_the_place_of_its_question(ada: Person, web: Machine) -> None:
    handle, question = await asks(ada, "agent remove web-1")
    await clicks(ada, question.actions[0], handle)
    removed = await shown(ada, handle)
    assert (removed.text, removed.actions) == ("`web-1` is removed. Its token is dead.", ())
    assert len(await ada.sees()) == int(handle) + 1


async def test_what_was_offered_is_started_once_however_many_click(
    ada: Person, eve: Person, deploys: Machine
) -> None:
    handle, offer = await asks(ada, "web-1 dpeloy 1.4")
    for person in (ada, ada, eve):
        await clicks(person, offer.actions[0], handle)
    assert await ada.office.count_jobs() == 1
    assert (await ada.office.newest()).command == "deploy 1.4"
    first, second = await ada.reads()
    assert first == "Ada chose `web-1 deploy 1.4`."
    assert second.startswith("**Queuing**: `deploy 1.4`")


async def test_whoever_may_not_click_is_told_alone_and_the_question_stays(
    ada: Person, mallory: Person, deploys: Machine
) -> None:
    handle, offer = await asks(ada, "web-1 dpeloy 1.4")
    await clicks(mallory, offer.actions[0], handle)
    assert (await shown(ada, handle)).actions == offer.actions
    refusal = (await ada.sees())[-1]
    assert refusal.private
    assert refusal.text.startswith("I do not know you here yet")
    assert await ada.office.count_jobs() == 0
    await clicks(ada, offer.actions[0], handle)
    assert await ada.office.count_jobs() == 1


async def test_a_click_that_was_refused_may_be_made_again(ada: Person, deploys: Machine) -> None:
    handle, offer = await asks(ada, "web-1 dpeloy 1.4")
    ada.office.clock.move(minutes=12)
    await clicks(ada, offer.actions[0], handle)
    refusal = (await ada.sees())[-1]
    assert (refusal.private, "is offline" in refusal.text) == (True, True)
    assert (await shown(ada, handle)).actions == offer.actions
    await ada.office.agents.authenticate(deploys.token)
    await clicks(ada, offer.actions[0], handle)
    assert await deploys.poll() == "deploy 1.4"
    assert (await shown(ada, handle)).text == "Ada chose `web-1 deploy 1.4`."


async def test_of_another_account_nothing_is_taken_by_a_click(
    ada: Person, mallory: Person, deploys: Machine
) -> None:
    office = ada.office
    other = await office.house.accounts.add("Mallory's")
    await office.house.accounts.add_identity(other.id, "slack", mallory.sender_id, "Mallory")
    await office.agents.enrol(other.id, "web-1")
    await office.agents.authenticate((await office.agents.enrol(other.id, "web-2"))[1])
    handle, offer = await asks(ada, "web-1 dpeloy 1.4")
    await clicks(ada, offer.actions[0], handle)
    await clicks(mallory, Action("", "web-2 uptime", once=True), handle)
    refusal = (await ada.sees())[-1]
    assert (refusal.private, refusal.text) == (
        True,
        "That question was put to another account, so nothing was done.",
    )
    assert (await shown(ada, handle)).text == "Ada chose `web-1 deploy 1.4`."


@pytest.fixture
async def bob(office: Office) -> Person:
    """Of another account, in the same thread, with an agent whose name Ada's has too."""
    other = await office.house.accounts.add("Bob's")
    bob = office.person("Bob").elsewhere("C1", "1.1", private=False)
    await office.house.accounts.add_identity(other.id, "slack", bob.sender_id, "Bob")
    await office.agents.enrol(other.id, "web-1")
    return bob


async def test_a_question_is_answered_by_the_account_it_was_put_to(
    ada: Person, bob: Person, web: Machine
) -> None:
    handle, question = await asks(ada, "agent remove web-1")
    await clicks(bob, question.actions[0], handle)
    refusal = (await ada.sees())[-1]
    assert (refusal.private, refusal.text) == (
        True,
        "That question was put to another account, so nothing was done.",
    )
    assert (await shown(ada, handle)).actions == question.actions
    assert await bob.hears("agent") == "- `web-1`: never seen yet"
    assert await ada.hears("agent") == "- `web-1`: online"
    await clicks(ada, question.actions[0], handle)
    assert (await shown(ada, handle)).text == "`web-1` is removed. Its token is dead."
    assert await bob.hears("agent") == "- `web-1`: never seen yet"


async def test_the_button_that_removes_means_one_agent_and_no_other_of_its_name(
    ada: Person, bob: Person, web: Machine
) -> None:
    _handle, question = await asks(ada, "agent remove web-1")
    command = question.actions[0].command
    assert (await bob.hears(command)).startswith(f"You have no agent called `{web.agent.id}`")
    assert await bob.hears("agent") == "- `web-1`: never seen yet"
    await ada.says("agent rename web-1 db-1")
    await ada.office.enrol("web-1")
    assert await ada.hears(command) == "`db-1` is removed. Its token is dead."


async def test_a_double_click_on_again_runs_it_once(ada: Person, eve: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    await web.work()
    [post] = await ada.sees()
    [again] = post.actions
    await clicks(ada, again, "0")
    ada.office.clock.move(seconds=9)
    for person in (ada, eve):
        await clicks(person, again, "0")
    assert await ada.office.count_jobs() == 2
    assert len(await ada.sees()) == 2, "and nothing is said of it"
    ada.office.clock.move(seconds=2)
    await clicks(ada, again, "0")
    assert await ada.office.count_jobs() == 3, "a little later it is meant"


async def test_again_runs_as_often_as_it_is_typed(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    await web.work()
    job = await ada.office.newest()
    for _ in range(2):
        await ada.says(f"again {job.tag}")
    assert await ada.office.count_jobs() == 3


async def test_a_jobs_own_buttons_change_its_own_post(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    [post] = await ada.sees()
    [cancel] = post.actions
    assert not cancel.once
    await clicks(ada, cancel, "0")
    [post] = await ada.sees()
    assert post.text.startswith("**Canceled**")
    assert [action.label for action in post.actions] == ["Again"]


async def test_the_log_of_a_job_is_a_click_away(ada: Person, web: Machine) -> None:
    await ada.says("web-1 uptime")
    await web.work(result="up 3 days")
    [post] = await ada.sees()
    again, log = post.actions
    assert (again.label, log.label, log.once) == ("Again", "Log", False)
    await clicks(ada, log, "0")
    _job, shown = await ada.sees()
    assert (shown.output, shown.replaces, shown.actions) == ("up 3 days", None, ())


async def test_a_name_in_the_answer_is_no_markup(ada: Person, web: Machine) -> None:
    for command in ("one", "two"):
        await ada.says(f"web-1 {command}")
    handle, question = await asks(ada, "cancel")
    await ada.says(
        question.actions[0].command, clicked=handle, patience=0.0, sender_name="*<!here>*"
    )
    assert (await shown(ada, handle)).text.startswith("`*<!here>*` chose `cancel ")
