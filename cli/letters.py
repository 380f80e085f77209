"""The operator's commands about letters: answers that could not be delivered."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.desk import Answer, Desk, Row, command, listing, spell
from core.model import Delivery

letters = typer.Typer(help="Answers that could not be delivered.")

Which = Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")]


def letter_row(delivery: Delivery) -> Row:
    return {
        "id": delivery.id,
        "adapter": delivery.thread.adapter,
        "channel": delivery.thread.channel_id,
        "job": delivery.job_id,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "error": delivery.last_error,
    }


@command(letters, "list")
async def show(
    desk: Desk,
    account: Annotated[str, typer.Argument(help="Only of this account.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
) -> Answer:
    """Show what could not be delivered, newest first."""
    only = (await desk.accounts.find(account)).id if account else None
    rows = [letter_row(delivery) for delivery in await desk.letters.list(only, limit)]
    return listing(rows, "Nothing is undelivered.")


@command(letters, "show")
async def show_one(desk: Desk, letter: Which) -> Answer:
    """Show one of them whole."""
    found = await desk.letters.get(letter)
    row = {**letter_row(found), "account_id": found.account_id, "thread": found.thread}
    shown = {**letter_row(found), "account": found.account_id, "thread": found.thread.thread_id}
    return Answer(row, "\n".join(f"{key:<11} {spell(value)}" for key, value in shown.items()))


@command(letters, "retry")
async def retry(desk: Desk, letter: Which) -> Answer:
    """Try once more to deliver."""
    await desk.letters.retry(letter)
    return Answer({"id": letter, "retried": True}, f"Letter {letter} is tried again.")


@command(letters, "drop")
async def drop(desk: Desk, letter: Which) -> Answer:
    """Give up on it."""
    await desk.letters.drop(letter)
    return Answer({"id": letter, "dropped": True}, f"Letter {letter} is dropped.")
