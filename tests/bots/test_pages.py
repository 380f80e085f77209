"""`log` pages through what a job has said, and `cancel` asks for what runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.pages import page_size, read_page, split_pages
from core.model import Job
from tests.bots.office import WECHAT, Machine, Office, Person

LONG = "".join(f"line {n} {'.' * 40}\n" for n in range(200))


async def handed(machine: Machine) -> Job:
    """The newest job, with an agent that has a journal."""
    await machine.office.agents.authenticate(machine.token)
    assert await machine.office.jobs.claim(machine.agent, journal="j1", holding=frozenset())
    return await machine.office.newest()


@given(st.text(st.sampled_from("ab\n"), max_size=300), st.integers(1, 60))
def test_pages_are_the_text_and_none_is_too_long(text: str, size: int) -> None:
    pages = split_pages(text, size)
    assert "".join(pages) == text
    assert all(len(page) <= size for page in pages)
    for page in pages[1:]:
        assert page


def test_pages_begin_with_lines_where_they_can() -> None:
    pages = split_pages("one\ntwo\nthree\nfour\n", 11)
    assert pages == ["one\ntwo\n", "three\nfour\n"]


@pytest.mark.parametrize(
    ("typed", "end", "page"),
    [
        ("", "", None),
        ("k3f9", "k3f9", None),
        ("k3f9 2", "k3f9", 2),
        ("2", "", 2),
        ("0023", "0023", None),
        ("k3f9 0", "k3f9", 0),
    ],
)
def test_what_is_typed_names_a_job_a_page_or_both(typed: str, end: str, page: int | None) -> None:
    assert read_page(typed) == (end, page)


async def test_log_shows_the_end_first_and_leads_to_what_came_before(
    ben: Person, web: Machine
) -> None:
    await ben.says("web-1 make")
    await web.work("succeed", LONG)
    tag = (await ben.office.newest()).tag
    seen: list[str] = []
    for number in range(1, 20):
        reply = await ben.says(f"log {tag} {number}" if number > 1 else f"log {tag}")
        assert reply is not None
        assert len(reply.output) <= page_size(WECHAT)
        seen.insert(0, reply.output)
        if "this is how it began" in reply.text:
            break
        assert f"`log {tag} {number + 1}` shows what came before." in reply.text
    assert "".join(seen) == LONG
    beyond = await ben.says(f"log {tag} 99")
    assert beyond is not None
    assert beyond.output == seen[0]


async def test_log_of_a_running_job_shows_what_it_has_said(ada: Person, web: Machine) -> None:
    await ada.says("web-1 make")
    job = await handed(web)
    assert (await ada.hears("log")).endswith("\nNo output yet.")
    await ada.office.jobs.output.add(web.agent, job.id, 0, "half-way\n")
    reply = await ada.says("log")
    assert reply is not None
    assert reply.output == "half-way\n"


async def test_where_files_can_be_attached_the_log_is_whole(office: Office) -> None:
    dan = await office.link(office.person("Dan", "mail"))
    web = await office.enrol()
    await dan.says("web-1 make", patience=5)
    await web.work("succeed", LONG)
    tag = (await office.newest()).tag
    whole = await dan.says(f"log {tag}", patience=5)
    page = await dan.says(f"log {tag} 2", patience=5)
    assert whole is not None
    assert page is not None
    assert whole.output == LONG
    assert page.output in LONG
    assert len(page.output) < len(LONG)


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("en", "is asked to stop `make`", "has been asked already to stop `make`"),
        ("zh", "已要求 `web-1` 停止 `make`", "之前已要求 `web-1` 停止 `make`"),
    ],
)
async def test_cancel_asks_for_what_runs_and_says_when_it_has(
    ada: Person, web: Machine, language: str, first: str, second: str
) -> None:
    await ada.says("web-1 make")
    job = await handed(web)
    assert first in await ada.hears("cancel", locale=language)
    assert second in await ada.hears(f"cancel {job.tag}", locale=language)
    said = await ada.hears("status", locale=language)
    assert {"en": "**Stopping** on `web-1`", "zh": "**正在停止**，`web-1`"}[language] in said


async def test_a_running_job_has_a_button_to_stop_it_until_somebody_asked(
    ada: Person, web: Machine
) -> None:
    await ada.says("web-1 make")
    job = await handed(web)
    shown = await ada.says("status")
    assert shown is not None
    assert [action.command for action in shown.actions] == [f"cancel {job.id}"]
    await ada.says(f"cancel {job.id}")
    shown = await ada.says("status")
    assert shown is not None
    assert shown.actions == ()
