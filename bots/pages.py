"""A job's output in answers of a size that the platform takes, the end first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bots.notices import code
from bots.picks import pick_job
from bots.turn import Desk, Turn
from core.chat import Abilities, Reply
from core.model import Account, Job

HEADING = 500
"""Characters of a text that are left for what stands above the output."""
SMALLEST = 500
LONGEST_NUMBER = 3
"""Digits of a page; the ends of ids are longer."""


async def log(desk: Desk, turn: Turn, account: Account) -> Reply:
    """In a chat without threads every job ever is "here", so that the newest is meant."""
    end, page = read_page(turn.rest)
    named = replace(turn, said=replace(turn.said, rest=end))
    job = await pick_job(desk, named, account, speaks, newest=not turn.in_thread)
    shown = desk.notices.job(
        job,
        turn.message.thread,
        language=turn.language,
        abilities=turn.abilities,
        now=turn.now,
    )
    reply = replace(shown, actions=())
    output = await desk.jobs.output.known(job)
    if not output:
        nothing = turn.words("log.none" if job.status.final else "log.none_yet")
        return replace(reply, text=f"{reply.text}\n{nothing}")
    return paged(reply, turn, job, output, page)


def paged(reply: Reply, turn: Turn, job: Job, output: str, page: int | None) -> Reply:
    pages = split_pages(output, page_size(turn.abilities))
    # Where output can be attached it is, whole, unless a page of it is asked for.
    if len(pages) == 1 or (page is None and turn.abilities.files):
        return replace(reply, output=output)
    number = min(max(page or 1, 1), len(pages))
    older = code(f"{turn.said.verb} {job.tag} {number + 1}")
    key = "log.page" if number < len(pages) else "log.first"
    about = turn.words(key, page=number, pages=len(pages), older=older)
    return replace(reply, text=f"{reply.text}\n{about}", output=pages[-number])


def speaks(job: Job) -> bool:
    return bool(job.result) or job.status.final or job.status.active


def read_page(text: str) -> tuple[str, int | None]:
    """What names the job, and the page if one is asked for."""
    *words, last = text.split() or [""]
    if last.isdecimal() and len(last) <= LONGEST_NUMBER:
        return " ".join(words), int(last)
    return text, None


def page_size(abilities: Abilities) -> int:
    return max(abilities.longest - HEADING, SMALLEST)


def split_pages(text: str, size: int) -> Sequence[str]:
    """From the end, so that the last page is full; each begins with a line where it can."""
    pages: list[str] = []
    end = len(text)
    while end > size:
        start = text.find("\n", end - size - 1, end - 1) + 1 or end - size
        pages.append(text[start:end])
        end = start
    return [text[:end], *reversed(pages)]
