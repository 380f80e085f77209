"""What `python app.py check` says of Slack: whether it knows us, what we may do there, what is off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.client import WebClient
from slack_sdk.web.slack_response import SlackResponse

from adapters.slack.installations import Sealer
from adapters.slack.oauth import SCOPES
from adapters.slack.options import Options, refuse_faults
from adapters.slack.web import PATIENCE, error_of, log, proxy_for
from core.settings.finding import Finding

MOST_OFF = timedelta(minutes=1)
"""Slack's requests are stale when our clock is off by five minutes; to say so early is kind."""
SIGNING_SECRET = re.compile("[0-9a-f]{32}")
CLIENT_ID = re.compile(r"\d+\.\d+")
NO_CODE = "0" * 12
"""Asked for with it, Slack says whether it knows client_id and client_secret, and gives nothing."""
ADVICE = {
    "invalid_auth": "Copy it again from the app's page; was it of another app, or revoked?",
    "not_authed": "Copy it again from the app's page.",
    "token_revoked": "Install the app again and copy the new token.",
    "account_inactive": "The app was removed from the workspace: install it again.",
    "missing_scope": "Give the token the scope connections:write.",
    "not_allowed_token_type": "The two tokens have been mixed up.",
    "bad_client_secret": "Copy client_secret again from the page Basic Information.",
    "invalid_client_id": "Copy client_id again from the page Basic Information.",
}
REACH = "Can this machine reach Slack? HTTPS_PROXY and NO_PROXY are obeyed."


def check(name: str, options: Options, data: Path) -> Iterator[Finding]:
    """Raises SettingsError for what stops the start."""
    refuse_faults(name, options)
    if options.by_install:
        Sealer(name, options.key)
        yield from check_install(name, options)
    else:
        yield from check_token(name, options)
    yield from check_ways_in(name, options)


def ask(name: str, what: str, call: Callable[[], SlackResponse]) -> SlackResponse | Finding:
    """What Slack answers, or what is the matter."""
    try:
        return call()
    except SlackApiError as error:
        said = error_of(error) or "an answer that makes no sense"
        todo = ADVICE.get(said, f"See https://docs.slack.dev/ about {said}.")
        return Finding("fail", name, f"{what}: Slack says {said}.", todo)
    except Exception as error:  # whatever a connection raises
        return Finding("fail", name, f"{what}: Slack did not answer ({error}).", REACH)


def client(options: Options, token: str = "") -> WebClient:
    made = WebClient(
        token or None, base_url=options.api, timeout=PATIENCE, retry_handlers=[], logger=log
    )
    made.proxy = proxy_for(options.api)
    return made


# The token, and what it may do.


def check_token(name: str, options: Options) -> Iterator[Finding]:
    answer = ask(name, "bot_token", client(options, options.bot_token).auth_test)
    if isinstance(answer, Finding):
        yield answer
        return
    who, team = answer.get("user"), answer.get("team")
    yield Finding("ok", name, f"bot_token is {who}'s in {team} ({answer.get('team_id')}).")
    yield from check_clock(name, answer.headers)
    yield from check_scopes(name, answer.headers)
    yield from check_same_app(name, options, answer)


def header(headers: Mapping[str, Any], wanted: str) -> str:
    """Both ways that the library gives them: as texts, and as lists of texts."""
    found = next((value for key, value in headers.items() if key.lower() == wanted), "")
    return str(found[0] if isinstance(found, list) and found else found or "")


def check_scopes(name: str, headers: Mapping[str, Any]) -> Iterator[Finding]:
    said = header(headers, "x-oauth-scopes")
    granted = {scope.strip() for scope in said.split(",")} - {""}
    missing = [scope for scope in SCOPES if scope not in granted]
    if granted and missing:
        todo = (
            "Add them on the page OAuth & Permissions (or paste the manifest), then install the app "
            "again."
        )
        yield Finding("fail", name, f"Scopes are missing: {', '.join(missing)}.", todo)
    elif granted:
        yield Finding("ok", name, "The token has all the scopes that are needed.")


def check_clock(name: str, headers: Mapping[str, Any]) -> Iterator[Finding]:
    """By the time that Slack's answer bears."""
    try:
        theirs = parsedate_to_datetime(header(headers, "date"))
        off = datetime.now(UTC) - theirs
    except (ValueError, TypeError):
        return
    if abs(off) > MOST_OFF:
        seconds = round(abs(off.total_seconds()))
        direction = "fast" if off > timedelta() else "slow"
        text = f"The clock of this machine is {seconds} s {direction}, by Slack's."
        todo = "Let NTP set it: what Slack signs is refused when it seems five minutes old."
        yield Finding("fail", name, text, todo)


def check_same_app(name: str, options: Options, answer: SlackResponse) -> Iterator[Finding]:
    """An app token names its app: xapp-1-A0123-…; the bot's is known by asking who it is."""
    found = re.match(r"xapp-\d+-(A[A-Z0-9]+)-", options.app_token)
    if not found or not answer.get("bot_id"):
        return
    asked = partial(client(options, options.bot_token).bots_info, bot=str(answer["bot_id"]))
    told = ask(name, "bots.info", asked)
    bot = told.get("bot") if not isinstance(told, Finding) else None
    app = bot.get("app_id") if isinstance(bot, dict) else None
    if app and app != found[1]:
        text = f"app_token is of the app {found[1]} and bot_token of {app}."
        yield Finding("fail", name, text, "Copy both from the page of the same app.")


# Teams that install by themselves.


def check_install(name: str, options: Options) -> Iterator[Finding]:
    if not CLIENT_ID.fullmatch(options.client_id):
        todo = "Copy Client ID from the page Basic Information: two numbers with a dot between."
        yield Finding("fail", name, "client_id is none.", todo)
        return
    asked = partial(
        client(options).oauth_v2_access,
        client_id=options.client_id,
        client_secret=options.client_secret,
        code=NO_CODE,
    )
    answer = ask(name, "client_id and client_secret", asked)
    if isinstance(answer, Finding) and "invalid_code" not in answer.message:
        yield answer
        return
    yield Finding("ok", name, "Slack knows client_id and client_secret.")
    if options.teams:
        yield Finding("ok", name, f"At /{name}/install may install: {', '.join(options.teams)}.")
    else:
        todo = "Set teams to the ids of those that may: a stranger's team is of no use to you."
        yield Finding("warn", name, f"At /{name}/install any team may install.", todo)


# How Slack reaches us.


def check_ways_in(name: str, options: Options) -> Iterator[Finding]:
    if options.signing_secret:
        yield check_signing_secret(name, options)
    if options.app_token:
        asked = partial(client(options).apps_connections_open, app_token=options.app_token)
        answer = ask(name, "app_token", asked)
        good = Finding("ok", name, "Slack opens a socket for app_token.")
        yield answer if isinstance(answer, Finding) else good


def check_signing_secret(name: str, options: Options) -> Finding:
    """Only Slack's own requests prove it; what is wrong at sight is said before one comes."""
    if SIGNING_SECRET.fullmatch(options.signing_secret):
        text = f"Requests are taken at /{name}/events; the log says when a signature is wrong."
        return Finding("ok", name, text)
    todo = "Copy Signing Secret, not Verification Token or Client Secret, from Basic Information."
    return Finding("fail", name, "signing_secret is not 32 digits from 0 to f.", todo)
