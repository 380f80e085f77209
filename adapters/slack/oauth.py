"""The pages by which a team installs us: /install leads to Slack, /oauth_redirect is where it leads back.

https://docs.slack.dev/authentication/installing-with-oauth/"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adapters.slack.installations import Installation, Many, Sealer
from adapters.slack.reading import field, identifier
from adapters.slack.web import TROUBLES, error_of, make_client
from core.settings import Secret

SCOPES = (
    *("app_mentions:read", "chat:write", "commands", "files:write"),
    *("im:history", "im:write", "users:read"),
)
"""What each is for stands in docs/slack.md."""
STATE_SECONDS = 600
"""From the one page to the other."""
CODE = re.compile(r"[\w.~-]{1,512}", re.ASCII)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

log = logging.getLogger(__name__)


class Declined(Exception):
    """No installation; `code` names the words for it."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status


@dataclass(frozen=True, slots=True)
class OAuth:
    """`teams`: who may install and is served; empty: everybody who finds the page."""

    name: str
    client_id: str
    client_secret: Secret
    teams: Sequence[str]
    api: str
    sealer: Sealer
    installations: Many
    clock: Callable[[], datetime]
    once: Callable[[str, float], Any]
    remark: Callable[[str, str], str]

    def __post_init__(self) -> None:
        self.installations.serve_only(self.teams)

    async def install(self, request: Request) -> Response:
        """The state is sealed and so known to be ours, and stands in a cookie as well: who comes back
        is the one who was sent."""
        state = self.sealer.seal(secrets.token_urlsafe(16), self.clock())
        asked = {"client_id": self.client_id, "scope": ",".join(SCOPES), "state": state}
        target = f"{self._authorize_url()}?{urlencode(asked)}"
        answer = RedirectResponse(target, status_code=302, headers=HEADERS)
        self._set_cookie(answer, state, STATE_SECONDS)
        return answer

    async def finish(self, request: Request) -> Response:
        try:
            installation = await self._finish(request)
        except Declined as refusal:
            answer = self._page(request, refusal.code, status=refusal.status)
        else:
            answer = self._page(request, "installed", installation.name)
        self._set_cookie(answer, "", 0)
        return answer

    async def _finish(self, request: Request) -> Installation:
        given = request.query_params
        await self._demand_state(request, given.get("state", ""))
        if given.get("error"):
            raise Declined("install_declined", 200)
        if not CODE.fullmatch(given.get("code", "")):
            raise Declined("install_failed", 400)
        told = await self._exchange(given["code"])
        installation = self._read(told)
        if not self.installations.serves(installation.key):
            await self._give_back(installation)
            raise Declined("install_refused", 403)
        await self.installations.add(installation)
        return installation

    async def _demand_state(self, request: Request, state: str) -> None:
        cookie = request.cookies.get(self._cookie, "")
        same = bool(state) and hmac.compare_digest(state.encode(), cookie.encode())
        fresh = same and self.sealer.fresh(state, self.clock(), STATE_SECONDS)
        if not (fresh and await self.once(f"state:{state[-64:]}", STATE_SECONDS)):
            raise Declined("install_stale", 400)

    async def _exchange(self, code: str) -> Mapping[str, Any]:
        given = {"client_id": self.client_id, "client_secret": self.client_secret, "code": code}
        try:
            answer = await make_client(self.api).api_call("oauth.v2.access", data=given)
        except TROUBLES as error:
            log.warning("no installation was made: %s", error_of(error) or repr(error))
            raise Declined("install_failed", 502) from error
        told: Any = answer.data
        return told if isinstance(told, Mapping) else {}

    def _read(self, told: Mapping[str, Any]) -> Installation:
        whole = told.get("is_enterprise_install") is True
        key = identifier(told, "enterprise" if whole else "team", "id")
        token, bot_user = field(told, "access_token"), identifier(told, "bot_user_id")
        if not (key and token and bot_user):
            raise Declined("install_failed", 502)
        return Installation(
            key,
            Secret(token),
            bot_user,
            field(told, "scope"),
            field(told, "enterprise" if whole else "team", "name"),
            self.clock().timestamp(),
        )

    async def _give_back(self, installation: Installation) -> None:
        """Of a team that is not on the list nothing is kept, and its token is of no use any more."""
        log.warning("the team %s is not one of `teams`", installation.key)
        try:
            await make_client(self.api, installation.token).auth_revoke()
        except TROUBLES as error:
            log.warning("its token could not be revoked: %s", error_of(error) or repr(error))

    # What is answered.

    @property
    def _cookie(self) -> str:
        return f"skadi-{self.name}-state"

    def _set_cookie(self, answer: Response, state: str, seconds: int) -> None:
        answer.set_cookie(
            self._cookie,
            state,
            max_age=seconds,
            path=f"/{self.name}/",
            secure=True,
            httponly=True,
            samesite="lax",
        )

    def _authorize_url(self) -> str:
        parts = urlsplit(self.api)
        return f"{parts.scheme}://{parts.netloc}/oauth/v2/authorize"

    def _page(self, request: Request, code: str, name: str = "", status: int = 200) -> Response:
        language = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0]
        said = self.remark(language.strip()[:20], code)
        title = f"<h1>{escape(name)}</h1>" if name else ""
        page = (
            '<!doctype html><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>Skadi</title>{title}<p>{escape(said)}</p>\n'
        )
        return HTMLResponse(page, status_code=status, headers=HEADERS)
