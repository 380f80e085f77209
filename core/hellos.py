"""What agents say of themselves: who is there, and what each can run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice

from core.errors import TooMany
from core.memory import Memory
from core.model import Agent, Clock, Hello, Offer
from core.store import Store
from core.text import one_line

MOST_COMMANDS, MOST_PARAMS = 200, 20
LONGEST_VERSION, LONGEST_HOSTNAME = 50, 255
LONGEST_NAME, LONGEST_HELP = 100, 200
MOST_TEXT = 65_536
"""Characters of all commands together, as every process remembers them."""
PAUSE = timedelta(seconds=10)
"""Between two hellos of an agent that differ: each makes all processes ask for their facts anew."""


class Hellos:
    def __init__(self, store: Store, memory: Memory, clock: Clock) -> None:
        self._store = store.hellos
        self._memory = memory
        self._clock = clock

    async def say(
        self,
        agent: Agent,
        *,
        version: str,
        hostname: str,
        commands: Iterable[Offer] = (),
        shell: bool = False,
    ) -> None:
        """Keep what an agent says, as much of it as is sensible. TooMany when it changes its mind."""
        said = Hello(
            agent.id,
            one_line(version, LONGEST_VERSION),
            one_line(hostname, LONGEST_HOSTNAME),
            tuple(bounded(commands)),
            shell,
            self._clock(),
        )
        known = await self.of(agent)
        if known and replace(said, said_at=known.said_at) == known:
            return
        if known and known.said_at <= said.said_at < known.said_at + PAUSE:
            raise TooMany("This agent said something else a moment ago; say it again later.")
        await self._store.put(said)
        await self._memory.changed()

    async def of(self, agent: Agent) -> Hello | None:
        """None: an old agent, or one that has not been there yet. No SQL for what is remembered."""
        return await self._memory.recall(
            ("hello", agent.id), lambda: self._store.get(agent.id), keep_none=True
        )


def bounded(commands: Iterable[Offer]) -> Iterator[Offer]:
    """As many as we keep, each under a name of its own, on one line and short."""
    names, room = set[str](), MOST_TEXT
    for command in islice(commands, MOST_COMMANDS):
        offer = tidy(command)
        room -= len(offer.name) + len(offer.help) + sum(map(len, offer.params))
        if room < 0:
            return
        if offer.name and offer.name not in names:
            names.add(offer.name)
            yield offer


def tidy(offer: Offer) -> Offer:
    """A name that is cut would be a wrong one, so that one too long is none; a help may be cut."""
    params = (one_line(param, LONGEST_NAME) for param in offer.params[:MOST_PARAMS])
    name = one_line(offer.name, LONGEST_NAME + 1)
    return Offer(
        "" if len(name) > LONGEST_NAME else name,
        one_line(offer.help, LONGEST_HELP),
        tuple(filter(None, params)),
    )
