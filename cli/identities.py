"""The operator's commands about identities: who on which platform speaks for an account."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.accounts import Who, called
from cli.desk import Answer, Desk, Row, command, listing
from core.errors import Invalid, NotFound
from core.model import Identity
from core.settings import Settings

identities = typer.Typer(help="Who on which platform speaks for whom.")


def identity_row(identity: Identity, account: str) -> Row:
    return {
        "id": identity.id,
        "account": account,
        "platform": identity.platform,
        "subject": identity.subject,
        "name": identity.name,
        "created_at": identity.created_at,
    }


# A sender's id may begin with a dash, and is no option then.
@command(identities, "add", context_settings={"ignore_unknown_options": True})
async def add(
    desk: Desk,
    account: Who,
    platform: Annotated[str, typer.Argument(help="slack, teams, wechat or smtp.")],
    subject: Annotated[str, typer.Argument(help="Scope and person: T1/U2, or a mail address.")],
    name: Annotated[str, typer.Option(help="What people call them.")] = "",
) -> Answer:
    """Let a person of a platform speak for an account, without a link code."""
    owner = await desk.accounts.find(account)
    demand_platform(platform, desk.settings)
    subject = read_subject(platform, subject)
    identity = await desk.accounts.add_identity(owner.id, platform, subject, name)
    text = f"{platform} {subject} speaks for {called(owner)} now."
    return Answer(identity_row(identity, owner.name), text)


def read_subject(platform: str, text: str) -> str:
    """As the platform's messages will name their sender."""
    # Adapters bring their libraries along, which the other commands need not load.
    from adapters import find_module

    subject: str | None = find_module(platform, platform).read_subject(text)
    if subject is None:
        raise Invalid(f"{text} is nobody's address on {platform}.")
    return subject


def demand_platform(platform: str, settings: Settings) -> None:
    known = {str(section.get("kind", name)) for name, section in settings.adapters.items()}
    if platform not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise Invalid(f"{platform} is not configured; the platforms that are: {listed}.")


@command(identities, "code")
async def code(desk: Desk, account: Who) -> Answer:
    """Make a one-time code; whoever types `link CODE` in a private chat speaks for the account."""
    owner = await desk.accounts.find(account)
    code = await desk.accounts.new_code(owner.id)
    text = f"Type this in a private chat with the bot within 10 minutes:\n\n  link {code}\n"
    return Answer({"account": owner.name, "code": code}, text)


@command(identities, "list")
async def show(
    desk: Desk, account: Annotated[str, typer.Argument(help="Only of this account.")] = ""
) -> Answer:
    """Show who speaks for whom."""
    only = (await desk.accounts.find(account)).id if account else None
    names = {owner.id: owner.name for owner in await desk.accounts.list()}
    found = await desk.accounts.identities(only)
    rows = [identity_row(identity, names[identity.account_id]) for identity in found]
    return listing(rows, "Nobody is linked yet. Make a link code: identity code ACCOUNT")


@command(identities, "remove")
async def remove(
    desk: Desk, identity: Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")]
) -> Answer:
    """Let a person no longer speak for an account."""
    known = {found.id: found for found in await desk.accounts.identities()}
    if identity not in known:
        text = f"There is no identity {identity}. See: identity list"
        raise NotFound(text, code="IdentityNotFound")
    found = known[identity]
    owner = await desk.accounts.get(found.account_id)
    homeless = await desk.accounts.remove_identity(owner.id, found.id)
    text = f"{found.platform} {found.subject} speaks for {called(owner)} no longer."
    if homeless:
        text += " The home set from there is gone: somebody has to say `home` anew."
    return Answer(identity_row(found, owner.name), text)
