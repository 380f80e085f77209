"""What an agent can run, as it told us: listed for people, and held against what they typed."""

from __future__ import annotations

from collections.abc import Sequence

from bots.language import nearest, plain, split_word
from bots.notices import code, foreign, one_line
from bots.turn import Desk, Refusal, Turn
from core.chat import Action
from core.model import Agent, Hello, Offer

LISTED = 40
"""Most commands that are named one by one."""
OWN = frozenset({"help", "all"})
"""To these agents answer themselves."""


async def refuse_misspelt(desk: Desk, turn: Turn, agent: Agent, command: str) -> None:
    """Refusal (NoSuchCommand) where the agent would refuse as well, and we can tell what was meant."""
    hello = await desk.agents.hellos.of(agent)
    meant = meant_by(command, hello)
    if not meant:
        return
    refusal = Refusal(
        "NoSuchCommand",
        name=agent.name,
        word=split_word(command)[0],
        near=meant,
        help=turn.words("typed.help", name=agent.name),
    )
    if turn.rest == command:  # what is to start later is typed again
        word = turn.said.word
        refusal.actions = [
            Action(one_line(each, 40), f"{word} {each}", once=True) for each in meant
        ]
    raise refusal


def meant_by(command: str, hello: Hello | None) -> list[str]:
    """The commands that this one may be a misspelling of; none where it may be right as it is."""
    if hello is None or hello.shell:
        return []
    word, rest = split_word(command)
    known = {split_word(offer.name)[0] for offer in hello.commands}
    if {word, plain(word)} & (known | OWN):
        return []
    return [f"{near} {rest}".rstrip() for near in nearest(word, known)]


async def about_agent(desk: Desk, turn: Turn, agent: Agent) -> list[str]:
    """Lines about its version, its machine and its commands."""
    hello = await desk.agents.hellos.of(agent)
    if hello is None:
        return [turn.words("hello.none", name=code(agent.name))]
    facts = {"version": code(hello.version), "hostname": code(hello.hostname)}
    return [turn.words("hello.where", **facts), *offer_lines(turn, hello)]


def offer_lines(turn: Turn, hello: Hello) -> list[str]:
    """What can be run, as it is typed."""
    lines = [turn.words("hello.shell")] if hello.shell else []
    if not hello.commands:
        return lines or [turn.words("hello.nothing")]
    shown = [offer_line(turn, offer) for offer in hello.commands[:LISTED]]
    more = len(hello.commands) - len(shown)
    heading = turn.words("hello.commands")
    return [*lines, heading, *shown, *([turn.words("and_more", n=more)] if more else [])]


def offer_line(turn: Turn, offer: Offer) -> str:
    usage = code(" ".join(spelled(offer)), 120)
    if not offer.help:
        return turn.words("hello.line.bare", usage=usage)
    return turn.words("hello.line", usage=usage, does=foreign(offer.help, 120))


def spelled(offer: Offer) -> Sequence[str]:
    """Names of what must follow look like the words of our own help."""
    return [offer.name, *(param if param == "..." else param.upper() for param in offer.params)]
