"""Who somebody is: a member of the team, a guest or nobody we answer; their name and language."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from adapters.slack.installations import Installation
from adapters.slack.reading import field
from adapters.slack.web import TROUBLES, error_of, make_client
from core.chat import Message, Notebook

log = logging.getLogger(__name__)

KNOWN = timedelta(hours=1)
"""Somebody who is made a guest is one for us after so long."""
KEPT = timedelta(days=1)
"""While Slack cannot be asked, what was known counts so long."""
PATIENCE = 1
"""Seconds: the one who wrote is waiting, and so is Slack."""
MOST = 10_000
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
        return not self.homes or home in self.homes


class People:
    """`guests`: whether guests are let in, so that it is no matter who is one."""

    def __init__(
        self, notebook: Notebook, clock: Callable[[], datetime], api: str, *, guests: bool
    ) -> None:
        self._notebook, self._clock, self._api = notebook, clock, api
        self.guests = guests
        self._known: OrderedDict[str, tuple[datetime, Person]] = OrderedDict()

    async def meet(self, message: Message, installation: Installation) -> Person:
        """Who wrote it. Raises Unknown, and what the notebook raises."""
        user = str(message.thread.ref["user"])
        key = f"{installation.key}/{user}"
        met_at, known = self._known.get(key) or await self._recall(key)
        if known and met_at and self._clock() - met_at < KNOWN:
            return known
        try:
            return await self._ask(key, user, installation)
        except TROUBLES as error:
            usable = known if met_at and self._clock() - met_at < KEPT else None
            return self._make_do(usable, user, error)

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

    async def _ask(self, key: str, user: str, installation: Installation) -> Person:
        client = make_client(self._api, installation.token, timeout=PATIENCE)
        try:
            answer = await client.users_info(user=user, include_locale=True)
        except TROUBLES as error:
            if error_of(error) not in NOBODY:
                raise
            return Person(stranger=True)
        told = answer.get("user")
        person = read_person(told if isinstance(told, Mapping) else {})
        now = self._clock()
        self._remember(key, now, person)
        kept = {"met_at": now.isoformat(), "person": asdict(person)}
        await self._notebook.put(note(key), kept, KEPT.total_seconds())
        return person

    def _make_do(self, known: Person | None, user: str, error: Exception) -> Person:
        said = error_of(error) or repr(error)
        if known or self.guests:
            log.info("Slack was asked who %s is: %s", user, said)
            return known or Person()
        raise Unknown(f"Slack was asked who {user} is: {said}") from error

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
