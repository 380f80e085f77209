"""Who somebody is: a member of the team, a guest or nobody we answer; their name and language."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from adapters.slack.installations import Installation
from adapters.slack.reading import field
from adapters.slack.web import TROUBLES, error_of, make_client
from core.chat import Message, Notebook

log = logging.getLogger(__name__)

KNOWN = timedelta(hours=1)
"""After so long Slack is asked anew, in the background."""
KEPT = timedelta(days=1)
"""What was known counts so long at most: until Slack has said otherwise."""
LATELY = timedelta(seconds=5)
"""How long Slack is not asked again about somebody whom it did not know or would not tell."""
MOST = 10_000
MOST_ASKED = 100
"""People about whom Slack is asked at a time."""
NOBODY = ("user_not_found", "user_not_visible", "users_not_found")


class Unknown(Exception):
    """Slack would not tell who it is, so nothing may be done for them."""


@dataclass(frozen=True, slots=True)
class Person:
    """`stranger`: of another company, a bot, or gone; `homes`: their team and organization."""

    name: str = ""
    locale: str = ""
    guest: bool = False
    stranger: bool = False
    homes: tuple[str, ...] = ()

    def lives_in(self, home: str) -> bool:
        return home in self.homes


class People:
    """`guests`: whether guests are let in."""

    def __init__(
        self, notebook: Notebook, clock: Callable[[], datetime], api: str, *, guests: bool
    ) -> None:
        self._notebook, self._clock, self._api = notebook, clock, api
        self.guests = guests
        self._known: OrderedDict[str, tuple[datetime, Person]] = OrderedDict()
        self._lately: OrderedDict[str, tuple[datetime, Person | str]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Person]] = {}

    async def meet(self, message: Message, installation: Installation) -> Person:
        """Who wrote it. Raises Unknown, and what the notebook raises."""
        user = str(message.thread.ref["user"])
        key = f"{installation.key}/{user}"
        met_at, known = self._known.get(key) or await self._recall(key)
        age = self._clock() - met_at if met_at else KEPT
        if known and age < KNOWN:
            return known
        found = self._said_lately(key) or self._begin(key, user, installation)
        if known and age < KEPT:
            return known
        return await self._learn(found, user)

    async def close(self) -> None:
        for asking in self._asking.values():
            asking.cancel()
        if self._asking:
            await asyncio.wait([*self._asking.values()])

    def locale(self, key: str, user: str) -> str:
        """The language of somebody met lately."""
        _, known = self._known.get(f"{key}/{user}", (None, None))
        return known.locale if known else ""

    async def _recall(self, key: str) -> tuple[datetime | None, Person | None]:
        kept = await self._notebook.get(note(key))
        if not kept:
            return None, None
        met_at = datetime.fromisoformat(kept["met_at"])
        person = Person(**{**kept["person"], "homes": tuple(kept["person"]["homes"])})
        self._remember(key, met_at, person)
        return met_at, person

    def _said_lately(self, key: str) -> Person | str | None:
        """Nobody whom we know, or what was the matter when Slack was asked a moment ago."""
        said_at, said = self._lately.get(key, (None, None))
        return said if said_at and abs(self._clock() - said_at) < LATELY else None

    def _begin(self, key: str, user: str, at: Installation) -> asyncio.Task[Person] | str:
        """Slack is asked once for all who want to know, and to the end: whoever has to leave before it
        answers finds the answer when they come again."""
        if key not in self._asking:
            if len(self._asking) >= MOST_ASKED:
                return "too many are asked about at once"
            self._asking[key] = asyncio.create_task(self._ask(key, user, at))
            self._asking[key].add_done_callback(partial(self._done, key))
        return self._asking[key]

    async def _learn(self, found: asyncio.Task[Person] | Person | str, user: str) -> Person:
        if isinstance(found, asyncio.Task):
            await asyncio.wait([found])
            found = "we are leaving" if found.cancelled() else found.result()
        if isinstance(found, Person):
            return found
        raise Unknown(f"Slack was asked who {user} is: {found}")

    def _done(self, key: str, asking: asyncio.Task[Person]) -> None:
        del self._asking[key]
        if not asking.cancelled() and (error := asking.exception()):
            log.info("who %s is was not learnt: %s", key, error)

    async def _ask(self, key: str, user: str, installation: Installation) -> Person:
        client = make_client(self._api, installation.token)
        try:
            answer = await client.users_info(user=user, include_locale=True)
        except TROUBLES as error:
            return await self._make_do(key, user, error)
        told = answer.get("user")
        person = read_person(told if isinstance(told, Mapping) else {})
        now = self._clock()
        self._remember(key, now, person)
        kept = {"met_at": now.isoformat(), "person": asdict(person)}
        await self._notebook.put(note(key), kept, KEPT.total_seconds())
        return person

    async def _make_do(self, key: str, user: str, error: Exception) -> Person:
        """Somebody whom Slack does not know, or not any more, is a stranger."""
        said = error_of(error) or repr(error)
        if said not in NOBODY:
            self._note(key, said)
            raise Unknown(f"Slack was asked who {user} is: {said}") from error
        nobody = Person(stranger=True)
        self._note(key, nobody)
        self._known.pop(key, None)
        await self._notebook.put(note(key), None, KEPT.total_seconds())
        return nobody

    def _note(self, key: str, said: Person | str) -> None:
        self._lately[key] = (self._clock(), said)
        self._lately.move_to_end(key)
        if len(self._lately) > MOST:
            self._lately.popitem(last=False)

    def _remember(self, key: str, met_at: datetime, person: Person) -> None:
        self._known[key] = (met_at, person)
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)


def read_person(user: Mapping[str, Any]) -> Person:
    """https://docs.slack.dev/reference/objects/user-object/"""
    homes = (field(user, "team_id"), field(user, "enterprise_user", "enterprise_id"))
    return Person(
        name=field(user, "profile", "display_name") or field(user, "real_name"),
        locale=field(user, "locale"),
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        stranger=any(user.get(key) for key in ("is_stranger", "is_bot", "deleted")),
        homes=tuple(filter(None, homes)),
    )


def note(key: str) -> str:
    return f"person:{key}"
