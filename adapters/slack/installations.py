"""Who installed us: for each team the token that speaks there, and who we are there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from adapters.slack.web import TROUBLES, error_of, make_client
from core.chat import DeliveryError, Notebook
from core.errors import SettingsError
from core.settings import Secret

log = logging.getLogger(__name__)

REMEMBERED = timedelta(seconds=10)
"""How long a process relies on what it read: another may have learnt that the team is gone."""
MOST_REMEMBERED = 1000
ASK_AGAIN = timedelta(minutes=1)
FORGOTTEN = 60.0


@dataclass(frozen=True, slots=True)
class Installation:
    """`key`: the id of the team, or of the organization where all of it installed us."""

    key: str
    token: Secret
    bot_user: str = ""
    scopes: str = ""
    name: str = ""
    installed_at: float = 0.0
    """Seconds since 1970."""


class Installations(Protocol):
    async def find(self, key: str) -> Installation | None:
        """None: not installed there. Raises what the notebook raises, and SealError."""

    async def token(self, key: str) -> str:
        """Raises DeliveryError, a permanent one for a team that is gone."""

    async def forget(self, key: str, *, before: float | None = None) -> None:
        """It has been uninstalled; of an installation made after `before` that is not true any more."""

    async def close(self) -> None: ...


class SealError(Exception):
    """What is in the notebook cannot be opened with the key of the settings."""


class Sealer:
    """Keeps what the notebook holds from whoever reads the database. The first key seals, all open."""

    def __init__(self, name: str, keys: str) -> None:
        words = [word.strip() for word in keys.split(",") if word.strip()]
        try:
            self._keys = [Fernet(word) for word in words]
            self._ring = MultiFernet(self._keys)
        except ValueError as error:
            raise SettingsError(
                f"[adapters.{name}] key is 32 bytes in URL-safe Base64, or two of them with a comma "
                "between, the new one first."
            ) from error

    def seal(self, content: Any, at: datetime) -> str:
        raw = json.dumps(content).encode()
        return self._ring.encrypt_at_time(raw, int(at.timestamp())).decode()

    def open(self, sealed: str) -> Any:
        """Raises SealError."""
        try:
            return json.loads(self._ring.decrypt(sealed.encode()))
        except (InvalidToken, ValueError) as error:
            raise SealError("the key of the settings does not open what is kept") from error

    def fresh(self, sealed: str, now: datetime, seconds: int) -> bool:
        """Whether it was sealed by us, and not longer ago than that."""
        try:
            self._ring.decrypt_at_time(sealed.encode(), seconds, int(now.timestamp()))
        except (InvalidToken, ValueError):
            return False
        return True

    def newest(self, sealed: str) -> bool:
        """Whether the first key sealed it."""
        try:
            self._keys[0].decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True


class One:
    """The token of the settings, for one team. Which team that is Slack is asked in the background: the
    answer is no condition for taking in what comes, as its signature proves enough."""

    def __init__(
        self, token: Secret, notebook: Notebook, clock: Callable[[], datetime], api: str
    ) -> None:
        self._token, self._notebook, self._clock, self._api = token, notebook, clock, api
        self._note = "home:" + hashlib.sha256(token.encode()).hexdigest()[:16]
        self._home: dict[str, str] | None = None
        self._asked_at: datetime | None = None
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key: str) -> Installation | None:
        if self._home is None:
            self._home = await self._notebook.get(self._note)
        if self._home is None:
            self.learn()
            return Installation(key, self._token)
        if key not in (self._home["team"], self._home["enterprise"]):
            return None
        return Installation(key, self._token, self._home["user"])

    async def token(self, key: str) -> str:
        if self._home and key not in (self._home["team"], self._home["enterprise"], ""):
            text = f"The token of the settings is not for the team {key}."
            raise DeliveryError(text, permanent=True)
        return self._token

    async def forget(self, key: str, *, before: float | None = None) -> None:
        log.error("Slack does not accept the bot_token any more: was the app removed from %s?", key)

    def learn(self) -> None:
        """Ask in the background, once in a while."""
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= ASK_AGAIN:
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            told = await make_client(self._api, self._token).auth_test()
            home = {
                "team": str(told.get("team_id") or ""),
                "enterprise": str(told.get("enterprise_id") or ""),
                "user": str(told.get("user_id") or ""),
            }
            await self._notebook.put(self._note, home)
            self._home = home
        except TROUBLES as error:
            log.warning("Slack was asked who we are: %s", error_of(error) or repr(error))
        except Exception as error:  # the notebook's; asked again in a while
            log.warning("what Slack said of us could not be kept: %s", error)

    async def close(self) -> None:
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])


class Many:
    """Those of the pages /install and /oauth_redirect: in the notebook, sealed."""

    def __init__(self, sealer: Sealer, notebook: Notebook, clock: Callable[[], datetime]) -> None:
        self._sealer, self._notebook, self._clock = sealer, notebook, clock
        self._known: dict[str, tuple[datetime, Installation]] = {}
        self._teams: frozenset[str] = frozenset()

    def serve_only(self, teams: Iterable[str]) -> None:
        """None: whoever installs."""
        self._teams = frozenset(teams)

    def serves(self, key: str) -> bool:
        return not self._teams or key in self._teams

    async def find(self, key: str) -> Installation | None:
        if not self.serves(key):
            return None
        read_at, known = self._known.get(key, (None, None))
        if read_at and abs(self._clock() - read_at) < REMEMBERED:
            return known
        found = await self._read(key)
        if found:
            self._remember(found)
        return found

    async def token(self, key: str) -> str:
        try:
            found = await self.find(key)
        except SealError as error:
            raise DeliveryError(f"Of the team {key}, {error}.", permanent=False) from error
        if found is None:
            raise DeliveryError(f"Skadi is not installed in the team {key}.", permanent=True)
        return found.token

    async def add(self, installation: Installation) -> None:
        await self._write(installation)
        self._remember(installation)
        log.info("installed in %s (%s)", installation.key, installation.name)

    async def forget(self, key: str, *, before: float | None = None) -> None:
        self._known.pop(key, None)
        found = await self._read(key)
        if found is None or (before is not None and found.installed_at > before + 1):
            return
        # A note that is over is swept.
        await self._notebook.put(note(key), None, FORGOTTEN)
        log.warning("no longer installed in %s (%s)", key, found.name)

    async def close(self) -> None:
        """Nothing is open."""

    async def _read(self, key: str) -> Installation | None:
        sealed = await self._notebook.get(note(key))
        if not sealed:
            return None
        kept = self._sealer.open(sealed)
        found = Installation(**{**kept, "token": Secret(kept["token"])})
        if not self._sealer.newest(sealed):
            await self._write(found)
        return found

    async def _write(self, installation: Installation) -> None:
        sealed = self._sealer.seal(asdict(installation), self._clock())
        await self._notebook.put(note(installation.key), sealed)

    def _remember(self, installation: Installation) -> None:
        """That somebody is not installed is never remembered: what is for them would be given up, and
        they may install us at any moment."""
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[installation.key] = (self._clock(), installation)


def note(key: str) -> str:
    return f"installation:{key}"
