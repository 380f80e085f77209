"""The settings of a Slack adapter, and what makes them wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import SettingsError
from core.settings import Secret
from core.settings.values import NOTHING, Names


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand in the section. Either `bot_token`, for one workspace, or `client_id`,
    `client_secret` and `key`, for all that install us; and `signing_secret` or `app_token` or both, for
    how Slack reaches us."""

    bot_token: Secret = NOTHING
    """xoxb-…, of the page OAuth & Permissions."""
    signing_secret: Secret = NOTHING
    """Of the page Basic Information; with it requests are taken by HTTP."""
    app_token: Secret = NOTHING
    """xapp-…, with connections:write; with it a socket is held (Socket Mode)."""
    client_id: str = ""
    client_secret: Secret = NOTHING
    key: Secret = NOTHING
    """What seals the tokens of installations; two with a comma between, the new one first."""
    teams: Names = ()
    """Ids of the teams that may install and are served; none: every team."""
    guests: bool = False
    """Whether guests of the workspace are answered."""
    api: str = "https://slack.com/api/"

    @property
    def by_install(self) -> bool:
        """Whether teams install us by themselves."""
        return bool(self.client_id or self.client_secret)


def refuse_faults(name: str, options: Options) -> None:
    """Raises SettingsError, which names the key and what is allowed."""
    for key, wanted in faults(options):
        raise SettingsError(f"[adapters.{name}] {key} is {wanted}.")


def faults(options: Options) -> Iterator[tuple[str, str]]:
    if options.bot_token and options.by_install:
        yield "bot_token", "for one workspace; with client_id and client_secret it stays empty"
    if not (options.bot_token or options.by_install):
        yield "bot_token", "missing: the Bot User OAuth Token, which begins with xoxb-"
    if options.bot_token and not options.bot_token.startswith("xoxb-"):
        yield "bot_token", "a token that begins with xoxb-"
    if not (options.signing_secret or options.app_token):
        yield "signing_secret", "missing (or app_token, for Socket Mode)"
    if options.app_token and not options.app_token.startswith("xapp-"):
        yield "app_token", "a token that begins with xapp-"
    yield from faults_of_install(options)
    if not all(re.fullmatch("[TE][A-Z0-9]+", team) for team in options.teams):
        yield "teams", 'a list of ids like ["T024BE7LD"]'
    if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?/", options.api):
        yield "api", "an address that ends with a slash, like https://slack.com/api/"


def faults_of_install(options: Options) -> Iterator[tuple[str, str]]:
    if not options.by_install:
        if options.key or options.teams:
            yield "client_id", "missing: key and teams are for teams that install by themselves"
        return
    for key in ("client_id", "client_secret", "key"):
        if not getattr(options, key):
            yield key, "missing: client_id, client_secret and key belong together"
