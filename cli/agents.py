"""The operator's commands about agents: the servers that run things."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from cli.accounts import Who, called
from cli.desk import Answer, Desk, Row, command, listing
from core.agents import Standing
from core.durations import spell_duration
from core.model import Account, Agent, Hello, Offer

agents = typer.Typer(help="The servers that run things.")

Which = Annotated[str, typer.Argument(metavar="AGENT", help="Its name or alias.")]


def agent_row(agent: Agent, account: Account) -> dict[str, object]:
    return {
        "id": agent.id,
        "account": account.name,
        "name": agent.name,
        "alias": agent.alias,
        "remark": agent.remark,
        "available": agent.available,
    }


def standing_row(standing: Standing) -> Row:
    return {"online": standing.online, "busy": standing.busy, "last_seen": standing.last_seen}


def shown_once(token: str) -> str:
    return f"\n\n  {token}\n\nThis token is shown once; only its hash is kept."


@command(agents, "add")
async def add(
    desk: Desk,
    account: Who,
    name: Annotated[str, typer.Argument(help="The word people begin a command with.")],
    alias: Annotated[str, typer.Option(help="A second, shorter name.")] = "",
    remark: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> Answer:
    """Make an agent; show its token and a line that installs it, once."""
    owner = await desk.accounts.find(account)
    agent, token = await desk.agents.enrol(owner.id, name, alias, remark)
    line = await desk.agents.enrolment.new_line(agent)
    text = (
        f"Agent {agent.name} of {called(owner)} is made. {to_paste(desk, line)}\n\n"
        f"Or start one that is there already with its token:{shown_once(token)}"
    )
    return Answer({**agent_row(agent, owner), "token": token, "line": line}, text)


def to_paste(desk: Desk, line: str) -> str:
    """What to do with the line that installs an agent, and how far it reaches."""
    within = spell_duration(desk.settings.web.enrol_within)
    if desk.settings.web.url:
        return f"Paste this on its machine within {within}:\n\n  {line}"
    return (
        f"Paste this within {within}, on this machine (for others set [web] url to the address "
        f"at which they reach this server):\n\n  {line}"
    )


@command(agents, "line")
async def line(desk: Desk, account: Who, agent: Which) -> Answer:
    """Show a line that installs an agent, or moves it: its token of now dies when it is pasted."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    line = await desk.agents.enrolment.new_line(found)
    return Answer({**agent_row(found, owner), "line": line}, to_paste(desk, line))


@command(agents, "show")
async def about(desk: Desk, account: Who, agent: Which) -> Answer:
    """Show what an agent says of itself: its version, its machine, what it can run."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    hello = await desk.agents.hellos.of(found)
    return Answer({**agent_row(found, owner), **hello_row(hello)}, hello_text(found, hello))


def hello_row(hello: Hello | None) -> Row:
    return {
        "version": hello and hello.version,
        "hostname": hello and hello.hostname,
        "shell": hello and hello.shell,
        "commands": hello and [asdict(command) for command in hello.commands],
        "said_at": hello and hello.said_at,
    }


def hello_text(agent: Agent, hello: Hello | None) -> str:
    if hello is None:
        return f"{agent.name} has not said what it can run: it is an old one, or was never here."
    where = f"{agent.name}: version {hello.version or '-'} on {hello.hostname or '-'}"
    shell = ["Any command of a shell."] if hello.shell else []
    return "\n".join([where, *shell, *map(offer_line, hello.commands)])


def offer_line(offer: Offer) -> str:
    usage = " ".join([offer.name, *offer.params])
    return f"  {usage}: {offer.help}" if offer.help else f"  {usage}"


@command(agents, "list")
async def show(
    desk: Desk, account: Annotated[str, typer.Argument(help="Only of this account.")] = ""
) -> Answer:
    """Show agents, and who of them is there."""
    owners = [await desk.accounts.find(account)] if account else await desk.accounts.list()
    rows = [row for owner in owners for row in await agent_rows(desk, owner)]
    return listing(rows, "There is no agent yet. Make one: agent add ACCOUNT NAME")


async def agent_rows(desk: Desk, owner: Account) -> list[Row]:
    found = await desk.agents.list(owner.id)
    if not desk.settings.redis.url:
        # Who was seen lately is known inside the server alone; this is what it last wrote down.
        return [{**agent_row(agent, owner), "online": agent.online} for agent in found]
    standing = await desk.agents.standing(found)
    return [{**agent_row(agent, owner), **standing_row(standing[agent.id])} for agent in found]


@command(agents, "rotate")
async def rotate(desk: Desk, account: Who, agent: Which) -> Answer:
    """Give an agent a new token; the old one is dead at once."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    token = await desk.agents.rotate(owner.id, found.id)
    text = f"The new token of {found.name}:{shown_once(token)}"
    return Answer({**agent_row(found, owner), "token": token}, text)


@command(agents, "rename")
async def rename(
    desk: Desk, account: Who, agent: Which, name: Annotated[str, typer.Argument(metavar="NAME")]
) -> Answer:
    """Give an agent another name."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    renamed = await desk.agents.rename(owner.id, found.id, name)
    return Answer(agent_row(renamed, owner), f"Agent {found.name} is called {renamed.name} now.")


@command(agents, "switch")
async def switch(
    desk: Desk,
    account: Who,
    agent: Which,
    position: Annotated[Literal["on", "off"], typer.Argument(help="off: it gets no jobs.")],
) -> Answer:
    """Let an agent have jobs, or none for a while."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    await desk.agents.switch(owner.id, found.id, position == "on")
    row = agent_row(await desk.agents.get(owner.id, found.id), owner)
    return Answer(row, f"Agent {found.name} is switched {position}.")


@command(agents, "remove")
async def remove(desk: Desk, account: Who, agent: Which) -> Answer:
    """Remove an agent: what waits for it is canceled, what it has in hand expires."""
    owner = await desk.accounts.find(account)
    found = await desk.agents.find(owner.id, agent)
    await desk.agents.remove(owner.id, found.id)
    return Answer(agent_row(found, owner), f"Agent {found.name} of {called(owner)} is removed.")
