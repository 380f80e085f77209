"""The operator's commands about accounts: who owns agents and is spoken to."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.desk import Answer, Desk, Row, command, listing, spell
from core.errors import Conflict, Invalid
from core.model import Account

accounts = typer.Typer(help="Who owns agents and is spoken to.")

Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account's name, its id, or id:ID.")]
Language = Literal["auto", "en", "zh"]


def account_row(account: Account) -> Row:
    return {
        "id": account.id,
        "name": account.name,
        "language": account.language or "auto",
        "created_at": account.created_at,
    }


def called(account: Account) -> str:
    """Its id as well: another account may have the same name."""
    return f"{spell(account.name)} ({spell(account.id)})"


def stored(language: Language) -> str:
    return "" if language == "auto" else language


@command(accounts, "add")
async def add(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    language: Annotated[
        Language, typer.Option(help="en, zh, or auto: as each person's platform says.")
    ] = "auto",
) -> Answer:
    """Make an account."""
    await demand_new(desk, name)
    account = await desk.accounts.add(name, stored(language))
    text = f"Account {called(account)} is made. Next: agent add {account.name} NAME"
    return Answer(account_row(account), text)


async def demand_new(desk: Desk, name: str) -> None:
    """Commands find an account by its name or id, so that one may mean but one."""
    if any(name.strip() in (known.name, known.id) for known in await desk.accounts.list()):
        raise Conflict(f"There is an account {name.strip()} already.", code="NameTaken")


@command(accounts, "list")
async def show(desk: Desk) -> Answer:
    """Show all accounts."""
    rows = [account_row(account) for account in await desk.accounts.list()]
    return listing(rows, "There is no account yet. Make one: account add NAME")


@command(accounts, "language")
async def language(
    desk: Desk, account: Who, language: Annotated[Language, typer.Argument()]
) -> Answer:
    """Say in which language an account is spoken to."""
    found = await desk.accounts.find(account)
    await desk.accounts.set_language(found.id, stored(language))
    row = account_row(await desk.accounts.get(found.id))
    tongue = "the language of each message" if language == "auto" else language
    return Answer(row, f"Account {called(found)} is spoken to in {tongue}.")


@command(accounts, "callback-secret")
async def callback_secret(
    desk: Desk,
    account: Who,
    rotate: Annotated[
        bool, typer.Option(help="Make a new one; the old one signs for a day.")
    ] = False,
) -> Answer:
    """Show, once, the secret that an account's callbacks are signed with."""
    # It brings the libraries of callbacks along, which the other commands need not load.
    from cli.platforms import find_secrets

    found = await desk.accounts.find(account)
    secrets = find_secrets(desk.settings, desk.store)
    if secrets is None:
        text = "No address is called: no section [adapters.<name>] does. See docs/callbacks.md"
        raise Invalid(text)
    secret = await (secrets.rotate(found.id) if rotate else secrets.show(found.id))
    if secret is None:
        text = f"It was shown before. Make a new one: account callback-secret {account} --rotate"
        raise Conflict(text, code="SecretShown")
    text = f"Receivers verify the callbacks of {called(found)} with this secret, shown only now:"
    return Answer({"account_id": found.id, "secret": secret}, f"{text}\n\n  {secret}")


@command(accounts, "remove")
async def remove(desk: Desk, account: Who) -> Answer:
    """Remove an account with its agents, tokens and identities; the history of its jobs stays."""
    found = await desk.accounts.find(account)
    for agent in await desk.agents.list(found.id):
        await desk.agents.remove(found.id, agent.id)
    await desk.accounts.remove(found.id)
    text = f"Account {called(found)} is removed, with its agents and tokens."
    return Answer(account_row(found), text)
