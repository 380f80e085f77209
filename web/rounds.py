"""The polls that are held, and the rounds in which all of them are looked after at small cost."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from core.broker import Bell, Sign
from core.errors import Unavailable
from web.auth import Auth

log = logging.getLogger(__name__)

PAUSE = 0.02
"""Seconds from one look to the next; those whose turn comes meanwhile are looked after together."""
FEWEST = 50
"""Polls in one look at the least. Those who came together do not stay so: a look takes no more than
twice its share of all, so that it holds up nobody else for more than a moment."""
TOLD_AGAIN = 2.0
"""Seconds after which an agent is told again what to stop."""
MOST_TOLD = 500
"""Tellings that are remembered; then those that no longer count are forgotten."""
NOTHING: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True)
class Held:
    """A poll that waits. `holding`: the jobs its journal knows of (None: it keeps none). `takes`: it
    would take a job. `epoch`: that of its own last look. `due`: when its turn comes, as the loop counts."""

    agent_id: str
    bell: Bell
    holding: frozenset[str] | None
    takes: bool
    epoch: int | None
    due: float
    _sign: Sign | None = None

    def wake(self, sign: Sign | None = None) -> None:
        """Let it look for itself, with the sign of life that was given in its place, if one was."""
        self._sign = sign
        self.bell.ring()

    def sign(self) -> Sign | None:
        """What it was woken with; it counts once."""
        sign, self._sign = self._sign, None
        return sign


class Wishes:
    """The jobs whose agents this process has told to stop them. It takes a while until a job has
    stopped; meanwhile its agent is told again only now and then, as an answer may be lost."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def untold(self, sign: Sign | None, holding: frozenset[str] | None) -> frozenset[str]:
        """Which of the jobs that a journal holds are to be stopped, and were not told just now."""
        if sign is None or not sign.asked or not holding:
            return NOTHING
        since = asyncio.get_running_loop().time() - TOLD_AGAIN
        return frozenset(id for id in sign.asked & holding if self._told.get(id, since) <= since)

    def told(self, job_ids: Iterable[str]) -> None:
        now = asyncio.get_running_loop().time()
        for job_id in job_ids:
            self._told[job_id] = now
        if len(self._told) > MOST_TOLD:
            self._told = {id: at for id, at in self._told.items() if at > now - TOLD_AGAIN}


class Rounds:
    """Gives each held poll's sign of life in its place and wakes only those that have a reason.

    A poll's turn comes when it begins to be held, as something may have come since it looked, and
    then every `every` seconds, as a bell may be lost."""

    def __init__(self, auth: Auth, every: float, wishes: Wishes) -> None:
        self._auth = auth
        self._wishes = wishes
        self._every = every
        self._held: OrderedDict[Held, None] = OrderedDict()  # by their turns
        self._going: asyncio.Task[None] | None = None

    @contextmanager
    def hold(self, held: Held) -> Iterator[None]:
        self._held[held] = None
        self._held.move_to_end(held, last=False)
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())
        try:
            yield
        finally:
            del self._held[held]

    def close(self) -> None:
        if self._going is not None:
            self._going.cancel()

    async def _go(self) -> None:
        while self._held:
            await asyncio.sleep(PAUSE)
            try:
                await self._look(self._take_turns(asyncio.get_running_loop().time()))
            except Exception:  # those who are held depend on the next look
                log.exception("A look after the held polls failed.")

    def _take_turns(self, now: float) -> Sequence[Held]:
        due: list[Held] = []
        most = max(FEWEST, round(2 * len(self._held) * PAUSE / self._every))
        while self._held and len(due) < most and (held := next(iter(self._held))).due <= now:
            held.due = now + self._every
            self._held.move_to_end(held)
            due.append(held)
        return due

    async def _look(self, due: Sequence[Held]) -> None:
        if not due:
            return
        ids = [held.agent_id for held in due]
        out = {held.agent_id for held in due if held.holding is not None}
        try:
            signs = await self._auth.sign_all(ids, out)
        except Unavailable:
            for held in due:
                held.wake()  # what can be said without the broker each says for itself
            return
        for held, sign in zip(due, signs, strict=True):
            if self._matters(held, sign):
                held.wake(sign)

    def _matters(self, held: Held, sign: Sign) -> bool:
        if sign.epoch is None or sign.epoch != held.epoch or self._auth.was_away(sign):
            return True
        if self._wishes.untold(sign, held.holding):
            return True
        return held.takes and (
            sign.ready or (held.holding is not None and not sign.out <= held.holding)
        )
