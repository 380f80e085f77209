"""How Slack is asked: once, with a patience of our own, and by the proxy that is meant for it."""

from __future__ import annotations

import asyncio

import pytest
from slack_sdk.errors import SlackApiError

from adapters.slack.web import TROUBLES, error_of, make_client, proxy_for
from tests.clock import Clock
from tests.slack.desk import at_work

PROXY = "http://proxy.corp:3128"


@pytest.fixture(autouse=True)
def a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)


def test_slack_is_reached_by_the_proxy() -> None:
    assert proxy_for("https://slack.com/api/") == PROXY
    assert make_client("https://slack.com/api/").proxy == PROXY


def test_what_needs_no_proxy_is_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.corp")
    assert proxy_for("https://slack.corp/api/") is None
    assert make_client("http://127.0.0.1:8000/api/").proxy is None


def test_a_proxy_for_https_is_none_for_http() -> None:
    assert make_client("http://slack.example/api/").proxy is None


async def test_a_call_is_made_once_and_given_up_in_time(clock: Clock) -> None:
    async with at_work(clock) as desk:
        desk.fake.trouble = "hang"
        began = asyncio.get_running_loop().time()
        with pytest.raises(TROUBLES):
            await make_client(desk.server.api, "xoxb-1", timeout=1).auth_test()
        assert asyncio.get_running_loop().time() - began < 2
        desk.fake.trouble = ""
        desk.fake.troubles.append("lost")
        with pytest.raises(TROUBLES):
            await make_client(desk.server.api, "xoxb-1").auth_test()
        assert len(desk.fake.asked) == 1


@pytest.mark.parametrize("trouble", ["html", "cut", "half", "fatal", "busy"])
async def test_whatever_goes_wrong_is_one_of_the_known_troubles(clock: Clock, trouble: str) -> None:
    async with at_work(clock) as desk:
        desk.fake.troubles.append(trouble)  # type: ignore[arg-type]
        with pytest.raises(TROUBLES):
            await make_client(desk.server.api, "xoxb-1").auth_test()


async def test_the_word_for_what_is_wrong_is_slack_s(clock: Clock) -> None:
    async with at_work(clock) as desk:
        with pytest.raises(SlackApiError) as caught:
            await make_client(desk.server.api, "xoxb-other").auth_test()
    assert error_of(caught.value) == "invalid_auth"
    assert error_of(TimeoutError()) == ""
    assert error_of(SlackApiError("half an answer", "<html>")) == ""  # type: ignore[no-untyped-call]
