"""A team installs us: from our page to Slack, and back with a code that is good once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from adapters.slack.installations import Many
from adapters.slack.oauth import SCOPES
from tests.clock import Clock
from tests.slack.desk import APP, Desk, at_work
from tests.slack.test_installations import BY_INSTALL


@pytest.fixture
async def desk(clock: Clock) -> AsyncIterator[Desk]:
    async with at_work(clock, **BY_INSTALL) as desk:
        desk.fake.app.redirect = "https://skadi.example/slack/oauth_redirect"
        yield desk


def kept(desk: Desk) -> Many:
    ours = desk.adapter._installations
    assert isinstance(ours, Many)
    return ours


async def begin(desk: Desk) -> str:
    """Where the browser is sent; it keeps the cookie."""
    answer = await desk.web.get("/slack/install")
    assert answer.status_code == 302
    return answer.headers["location"]


async def agree(desk: Desk, url: str) -> str:
    return desk.server.oauth.approve(desk.fake.teams["T1"], desk.ada, url)


async def test_from_the_page_to_the_first_message(desk: Desk) -> None:
    answer = await desk.web.get(await agree(desk, await begin(desk)))
    assert answer.status_code == 200
    assert "<h1>corp</h1>" in answer.text
    assert "I am installed" in answer.text
    found = await kept(desk).find("T1")
    assert found is not None
    assert (found.token, found.bot_user) == (desk.fake.teams["T1"].token, "U0BOTT1")
    assert found.scopes == ",".join(SCOPES)
    assert (await desk.mention()).status_code == 200
    assert desk.inbox.only.text == "web-1 uptime"


async def test_slack_is_asked_for_the_scopes_of_the_manifest(desk: Desk) -> None:
    asked = parse_qs(urlsplit(await begin(desk)).query)
    assert asked["client_id"] == [APP.client_id]
    assert asked["scope"] == [",".join(SCOPES)]


async def test_the_cookie_is_for_these_pages_over_https_alone(desk: Desk) -> None:
    answer = await desk.web.get("/slack/install")
    [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (cookie["path"], cookie["samesite"]) == ("/slack/", "lax")
    assert cookie["secure"]
    assert cookie["httponly"]
    assert answer.headers["cache-control"] == "no-store"


async def refused(desk: Desk, target: str, status: int = 400) -> str:
    answer = await desk.web.get(target)
    assert answer.status_code == status
    assert await kept(desk).find("T1") is None
    return answer.text


async def test_a_state_is_good_in_the_browser_that_was_sent(desk: Desk) -> None:
    target = await agree(desk, await begin(desk))
    desk.web.cookies.clear()
    assert "begin again" in await refused(desk, target)
    victims = await begin(desk)
    assert victims
    await refused(desk, target)


async def test_a_state_of_somebody_else_s_making_is_refused(desk: Desk) -> None:
    await begin(desk)
    for state in ("", "bogus", "é", "gAAAAA"):
        desk.web.cookies.set("skadi-slack-state", "bogus", domain="skadi.example", path="/slack/")
        await refused(desk, str(httpx.URL("/slack/oauth_redirect", params={"state": state})))


async def test_a_state_is_good_once(desk: Desk) -> None:
    target = await agree(desk, await begin(desk))
    cookies = dict(desk.web.cookies)
    assert (await desk.web.get(target)).status_code == 200
    await kept(desk).forget("T1")
    desk.web.cookies.update(cookies)
    await refused(desk, target)


async def test_a_state_is_good_for_ten_minutes(desk: Desk) -> None:
    target = await agree(desk, await begin(desk))
    desk.clock.move(minutes=11)
    await refused(desk, target)


async def test_who_says_no_at_slack_is_told_that_nothing_happened(desk: Desk) -> None:
    state = parse_qs(urlsplit(await begin(desk)).query)["state"][0]
    denied = httpx.URL("/slack/oauth_redirect", params={"state": state, "error": "access_denied"})
    assert "as you wished" in await refused(desk, str(denied), 200)


@pytest.mark.parametrize("code", ["", "unknown", "a b", "x" * 1000, "<script>"])
async def test_a_code_that_slack_did_not_give_installs_nothing(desk: Desk, code: str) -> None:
    state = parse_qs(urlsplit(await begin(desk)).query)["state"][0]
    target = httpx.URL("/slack/oauth_redirect", params={"state": state, "code": code})
    answer = await desk.web.get(target)
    assert answer.status_code in (400, 502)
    assert "<script>" not in answer.text
    assert await kept(desk).find("T1") is None


async def test_while_slack_is_away_nothing_is_installed_and_it_is_said(desk: Desk) -> None:
    target = await agree(desk, await begin(desk))
    for trouble in ("html", "cut", "half", "fatal", "busy"):
        desk.fake.troubles.append(trouble)
        assert "did not work" in await refused(desk, target, 502)
        target = await agree(desk, await begin(desk))
    assert (await desk.web.get(target)).status_code == 200


async def test_a_team_that_is_not_on_the_list_is_sent_away(clock: Clock) -> None:
    async with at_work(clock, **BY_INSTALL, teams=("T7",)) as desk:
        desk.fake.app.redirect = "https://skadi.example/slack/oauth_redirect"
        target = await agree(desk, await begin(desk))
        assert "may not install" in await refused(desk, target, 403)
        assert desk.fake.asked[-1].method == "auth.revoke"


async def test_the_page_speaks_the_language_of_the_browser(desk: Desk) -> None:
    target = await agree(desk, await begin(desk))
    answer = await desk.web.get(target, headers={"accept-language": "zh-CN,zh;q=0.9"})
    assert "安装完成" in answer.text


async def test_a_name_of_a_team_is_no_markup(desk: Desk) -> None:
    desk.fake.teams["T1"].name = "<script>alert(1)</script>"
    answer = await desk.web.get(await agree(desk, await begin(desk)))
    assert "<script>" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_without_a_client_id_there_are_no_pages(clock: Clock) -> None:
    async with at_work(clock) as desk:
        for path in ("/slack/install", "/slack/oauth_redirect"):
            assert (await desk.web.get(path)).status_code == 404
