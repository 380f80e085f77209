"""The operator's commands about tokens: secrets that speak for an account or an upstream system."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

import typer

from cli.accounts import Who, called
from cli.agents import shown_once
from cli.desk import Answer, Desk, Row, command, duration, listing
from core.errors import Invalid
from core.model import Account, Token, utc_now

tokens = typer.Typer(help="Secrets for programs, systems and mail.")
adding = typer.Typer(help="Make a token and show it, once.")
tokens.add_typer(adding, name="add")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is for; shown in lists.")]
Expires = Annotated[
    timedelta | None,
    typer.Option(parser=duration, metavar="DURATION", help="Valid for so long: 90d, 720h."),
]
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope", metavar="SCOPE", help="It may do this alone: submit, read, cancel or agents."
    ),
]


EVERYTHING: list[str] = []


def token_row(token: Token, names: dict[str, str]) -> dict[str, object]:
    return {
        "id": token.id,
        "kind": token.kind,
        "account": names.get(token.account_id or "", ""),
        "name": token.name,
        "scopes": " ".join(sorted(token.scopes)),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
    }


async def make(
    desk: Desk,
    kind: Literal["account", "system", "mail"],
    owner: Account | None,
    name: str,
    expires: timedelta | None,
    scopes: Sequence[str] = (),
) -> tuple[dict[str, object], str]:
    ends = utc_now() + expires if expires is not None else None
    account_id = owner.id if owner else None
    token, secret = await desk.accounts.add_token(kind, account_id, name, ends, scopes)
    names = {owner.id: owner.name} if owner else {}
    return {**token_row(token, names), "token": secret}, secret


@command(adding, "account")
async def add_account(
    desk: Desk, account: Who, name: Name, expires: Expires = None, scope: Scopes = EVERYTHING
) -> Answer:
    """A token that speaks for one account: programs, CI pipelines. Without --scope it may do everything."""
    owner = await desk.accounts.find(account)
    row, secret = await make(desk, "account", owner, name, expires, scope)
    return Answer(row, f"This token speaks for {called(owner)}:{shown_once(secret)}")


@command(adding, "system")
async def add_system(desk: Desk, name: Name, expires: Expires = None) -> Answer:
    """A token that speaks for an upstream system, and so for every account."""
    row, secret = await make(desk, "system", None, name, expires)
    return Answer(row, f"This token speaks for every account:{shown_once(secret)}")


@command(adding, "mail")
async def add_mail(desk: Desk, account: Who, name: Name, expires: Expires = None) -> Answer:
    """A secret mail address: what is written to it commands the account's agents."""
    # It brings the libraries of mail along, which the other commands need not load.
    from cli.platforms import find_mailbox

    owner = await desk.accounts.find(account)
    mailbox = find_mailbox(desk.settings)
    if mailbox is None:
        raise Invalid("No mail is taken: no section [adapters.<name>] in the settings does.")
    row, secret = await make(desk, "mail", owner, name, expires)
    address = mailbox.address(secret)
    text = f"Mail to this address commands the agents of {called(owner)}:{shown_once(address)}"
    return Answer({**row, "address": address}, text)


@command(tokens, "list")
async def show(
    desk: Desk, account: Annotated[str, typer.Argument(help="Only of this account.")] = ""
) -> Answer:
    """Show which tokens there are; never the secrets themselves."""
    only = (await desk.accounts.find(account)).id if account else None
    names = {owner.id: owner.name for owner in await desk.accounts.list()}
    rows: list[Row] = [token_row(token, names) for token in await desk.accounts.tokens(only)]
    return listing(rows, "There is no token yet. Make one: token add account ACCOUNT NAME")


async def revoke(
    desk: Desk, token: Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")]
) -> Answer:
    """Make a token worthless, at once and for ever."""
    await desk.accounts.revoke_token(token)
    return Answer({"id": token, "revoked": True}, f"Token {token} is revoked.")


command(tokens, "revoke")(revoke)
command(tokens, "remove", hidden=True)(revoke)
