"""The verbs about who is who, and where an account is at home."""

from __future__ import annotations

from dataclasses import replace

from bots.language import plain
from bots.notices import code, foreign
from bots.turn import Desk, Refusal, Turn
from bots.words import LANGUAGES, choose, verb_word
from core.chat import Reply
from core.model import Account

OPERATOR = "python app.py identity code ACCOUNT"
"""How the operator makes a code."""


def way_in(language: str) -> dict[str, str]:
    """How a stranger comes to be known."""
    verbs = LANGUAGES[language].verbs
    return {"operator": OPERATOR, "link": verbs["link"].usage, "whoami": verbs["whoami"].usage}


async def link(desk: Desk, turn: Turn) -> Reply:
    given = plain("".join(turn.rest.split())).upper()
    if not turn.message.private:
        await refuse_in_public(desk, given)
    if turn.account:
        code = "AlreadyLinked" if turn.identity else "TokenSpeaks"
        raise Refusal(code, account=turn.account.name)
    if not given:
        raise Refusal("Usage", verb="link")
    message = turn.message
    identity = await desk.accounts.link(
        given, turn.platform, message.sender_id, message.sender_name
    )
    account = await desk.accounts.get(identity.account_id)
    await desk.accounts.first_home(account.id, turn.room, f"identity:{identity.id}")
    return greet(turn, account)


async def refuse_in_public(desk: Desk, given: str) -> None:
    """Others have read the code before we could refuse it, so it must not work for them either."""
    if not given:
        raise Refusal("LinkInPublic")
    await desk.accounts.spoil_code(given)
    raise Refusal("CodeInPublic")


def greet(turn: Turn, account: Account) -> Reply:
    """In the language of the account, which is known from here on."""
    known = replace(turn, language=choose(account.language, turn.language))
    verbs = {verb: code(verb_word(known.language, verb)) for verb in ("status", "help")}
    return known.say("linked", account=foreign(account.name), **verbs)


async def unlink(desk: Desk, turn: Turn, account: Account) -> Reply:
    if turn.identity is None:
        raise Refusal("TokenSpeaks")
    homeless = await desk.accounts.remove_identity(account.id, turn.identity.id)
    facts = {"account": foreign(account.name), "home": code(verb_word(turn.language, "home"))}
    return turn.say("unlinked.homeless", **facts) if homeless else turn.say("unlinked", **facts)


async def whoami(desk: Desk, turn: Turn) -> Reply:
    message = turn.message
    facts = {
        "name": foreign(message.sender_name) or code(message.sender_id, 200),
        "platform": turn.platform,
        "subject": code(message.sender_id, 200),
        "account": foreign(turn.account.name) if turn.account else "",
    }
    speaker = "linked" if turn.identity else "token" if turn.account else "stranger"
    return turn.reply(turn.words(f"whoami.{speaker}", **facts), quiet=True)


async def home(desk: Desk, turn: Turn, account: Account) -> Reply:
    await desk.accounts.set_home(account.id, turn.room, turn.requested_by)
    return turn.say("home.set", account=foreign(account.name))
