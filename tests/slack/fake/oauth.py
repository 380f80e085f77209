"""How a workspace installs our app: its owner agrees, and a code is changed for a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.slack.fake.rules import Refused
from tests.slack.fake.world import Person, Team

if TYPE_CHECKING:
    from tests.slack.fake.slack import Slack

CODE_LIVES = timedelta(minutes=10)


@dataclass
class Code:
    team: Team
    person: Person
    redirect: str
    until: datetime
    used: bool = False


class OAuth:
    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._codes: dict[str, Code] = {}

    def approve(self, team: Team, person: Person, url: str) -> str:
        """Agree on the page that `url` leads to. Returns where the browser is sent then."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        app = self._slack.app
        assert asked["client_id"] == app.client_id, "no such app"
        redirect = asked.get("redirect_uri") or app.redirect
        assert redirect.startswith(app.redirect), "bad_redirect_uri"
        team.scopes = asked["scope"]
        name = self._slack.secret("code.")
        self._codes[name] = Code(team, person, redirect, self._slack.clock() + CODE_LIVES)
        return f"{redirect}?{urlencode({'code': name, 'state': asked.get('state', '')})}"

    def exchange(self, args: dict[str, Any], basic: tuple[str, str] | None) -> dict[str, Any]:
        """Raises Refused."""
        app = self._slack.app
        client, secret = basic or (args.get("client_id"), args.get("client_secret"))
        if client != app.client_id:
            raise Refused("invalid_client_id")
        if secret != app.client_secret:
            raise Refused("bad_client_secret")
        code = self._codes.get(str(args.get("code")))
        if code is None or self._slack.clock() >= code.until:
            raise Refused("invalid_code")
        if code.used:
            raise Refused("code_already_used")
        if args.get("redirect_uri") not in (None, "", code.redirect):
            raise Refused("bad_redirect_uri")
        code.used = True
        return self._install(code)

    def _install(self, code: Code) -> dict[str, Any]:
        team = code.team
        team.installed = True
        team.token = self._slack.secret(f"xoxb-{team.id}-")
        enterprise = {"id": team.enterprise, "name": team.name} if team.enterprise else None
        return {
            "access_token": team.token,
            "token_type": "bot",
            "scope": team.scopes,
            "bot_user_id": team.bot.id,
            "app_id": self._slack.app.id,
            "team": {"id": team.id, "name": team.name},
            "enterprise": enterprise,
            "is_enterprise_install": False,
            "authed_user": {"id": code.person.id},
        }
