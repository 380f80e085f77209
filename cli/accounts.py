"""The operator's commands about accounts: who owns agents and is spoken to."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.desk import Answer, Desk, Row, command, listing
from core.errors import Conflict, Invalid
from core.model import Account, utc_now
from core.notebook import Notes

accounts = typer.Typer(help="Who owns agents and is spoken to.")

Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account's name or id.")]
Language = Literal["en", "zh"]


def account_row(account: Account) -> Row:
    return {
        "id": account.id,
        "name": account.name,
        "language": account.language,
        "created_at": account.created_at,
    }


@command(accounts, "add")
async def add(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    language: Annotated[Language, typer.Option(help="en or zh.")] = "en",
) -> Answer:
    """Make an account."""
    account = await desk.accounts.add(name, language)
    text = f"Account {account.name} ({account.id}) is made. Next: agent add {account.name} NAME"
    return Answer(account_row(account), text)


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
    await desk.accounts.set_language(found.id, language)
    row = account_row(await desk.accounts.get(found.id))
    return Answer(row, f"Account {found.name} is spoken to in {language}.")


@command(accounts, "callback-secret")
async def callback_secret(
    desk: Desk,
    account: Who,
    rotate: Annotated[
        bool, typer.Option(help="Make a new one; the old one signs for a day.")
    ] = False,
) -> Answer:
    """Show, once, the secret that an account's callbacks are signed with."""
    # Adapters bring their libraries along, which other commands need not load.
    from adapters.callback.signature import Secrets

    found = await desk.accounts.find(account)
    secrets = Secrets(Notes(desk.store, callback_section(desk)), utc_now)
    secret = await (secrets.rotate(found.id) if rotate else secrets.show(found.id))
    if secret is None:
        text = f"It was shown before. Make a new one: account callback-secret {account} --rotate"
        raise Conflict(text, code="SecretShown")
    text = f"Receivers verify the callbacks of {found.name} with this secret, shown only now:"
    return Answer({"account_id": found.id, "secret": secret}, f"{text}\n\n  {secret}")


def callback_section(desk: Desk) -> str:
    for name, section in desk.settings.adapters.items():
        if section.get("kind", name) == "callback":
            return name
    raise Invalid("No address is called: there is no section [adapters.callback] in the settings.")


@command(accounts, "remove")
async def remove(desk: Desk, account: Who) -> Answer:
    """Remove an account with its agents, tokens and identities; the history of its jobs stays."""
    found = await desk.accounts.find(account)
    for agent in await desk.agents.list(found.id):
        await desk.agents.remove(found.id, agent.id)
    await desk.accounts.remove(found.id)
    return Answer(
        account_row(found), f"Account {found.name} is removed, with its agents and tokens."
    )
