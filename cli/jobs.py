"""The operator's commands about jobs: looked at, and handed to other programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

import orjson
import typer

from cli.desk import Answer, Desk, Row, ask, command, duration, listing, say
from core.errors import NotFound
from core.events import job_json
from core.model import Account, Job, JobStatus, utc_now
from core.sheet import heading, job_line
from core.store import Search

jobs = typer.Typer(help="What was run, by whom and how it ended.")

Since = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="Only of so long: 7d, 12h."),
]
Agent = Annotated[
    str, typer.Option(metavar="AGENT", help="Only of this agent, by its name, then or now.")
]
Owner = Annotated[str, typer.Option(metavar="ACCOUNT", help="Only of this account.")]
Status = Annotated[JobStatus | None, typer.Option(help="Only in this status.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which jobs, as it was typed."""

    since: timedelta | None
    agent: str
    account: str
    status: JobStatus | None

    async def search(self, desk: Desk) -> Search:
        owner = await desk.accounts.find(self.account) if self.account else None
        agent_id = await agent_of(desk, owner, self.agent) if owner and self.agent else None
        return Search(
            account_id=owner.id if owner else None,
            agent_id=agent_id,
            agent_name=None if agent_id else self.agent or None,
            status=self.status,
            since=utc_now() - self.since if self.since else None,
        )


async def agent_of(desk: Desk, owner: Account, name: str) -> str | None:
    """None for one that has another name now, or was removed; its jobs still know what it was called."""
    try:
        return (await desk.agents.find(owner.id, name)).id
    except NotFound:
        return None


def job_row(job: Job, names: dict[str, str]) -> Row:
    return {
        "id": job.id,
        "account": names.get(job.account_id, job.account_id),
        "agent": job.agent_name,
        "status": job.status,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "command": job.command,
    }


async def account_names(desk: Desk) -> dict[str, str]:
    return {account.id: account.name for account in await desk.accounts.list()}


@command(jobs, "list")
async def show(
    desk: Desk,
    since: Since = None,
    agent: Agent = "",
    account: Owner = "",
    status: Status = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20,
) -> Answer:
    """Show jobs, newest first."""
    search = await Asked(since, agent, account, status).search(desk)
    names = await account_names(desk)
    rows = [job_row(job, names) for job in await desk.history.newest(search, limit)]
    return listing(rows, "There is no such job.")


@command(jobs, "show")
async def show_one(
    desk: Desk,
    job: Annotated[str, typer.Argument(metavar="ID", help="As list shows it, or its end.")],
) -> Answer:
    """Show one of them whole, with what it printed."""
    found = await desk.history.find(job)
    fields = job_json(found) | {"requested_by": found.requested_by}
    lines = [f"{key:<12} {value}" for key, value in fields.items() if key != "result" and value]
    return Answer(fields, "\n".join([*lines, "", found.result]).rstrip())


@command(jobs, "cancel")
async def cancel(
    desk: Desk,
    job: Annotated[str, typer.Argument(metavar="ID", help="As list shows it, or its end.")],
) -> Answer:
    """Take back a job that waits, or ask its agent to stop it."""
    found = await desk.history.find(job)
    after = await desk.jobs.cancel(found.account_id, found.id)
    asked = f"{after.agent_name} is asked to stop it; `jobs show` says when it has."
    return Answer(job_json(after), "It is canceled." if after.status.final else asked)


@jobs.command("export")
def export(
    csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs: a line a job.")] = False,
    since: Since = None,
    agent: Agent = "",
    account: Owner = "",
    status: Status = None,
) -> None:
    """Write jobs to standard output, oldest first, as they come from the database."""
    if csv == json:
        raise typer.BadParameter("one of --csv and --json")
    writer = write_sheet if csv else write_lines
    try:
        answer = asyncio.run(ask(partial(writer, Asked(since, agent, account, status))))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has enough; nothing is left to be said to it, at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    if answer.failed:
        say(answer, json)
    print(answer.text, file=sys.stderr)


async def write_sheet(asked: Asked, desk: Desk) -> Answer:
    search = await asked.search(desk)
    put(heading().encode())
    return await write(desk, search, lambda job: job_line(job).encode())


async def write_lines(asked: Asked, desk: Desk) -> Answer:
    search = await asked.search(desk)
    return await write(desk, search, lambda job: orjson.dumps(job_json(job)) + b"\n")


async def write(desk: Desk, search: Search, spell: Callable[[Job], bytes]) -> Answer:
    count = 0
    async for job in desk.history.jobs(search):
        put(spell(job))
        count += 1
    return Answer(count, f"{count} job{'' if count == 1 else 's'}.")


def put(text: bytes) -> None:
    """UTF-8, whatever the terminal speaks."""
    sys.stdout.buffer.write(text)
