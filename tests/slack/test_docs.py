"""docs/slack.md tells of every setting and scope, and the manifests ask for what the program needs."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from adapters import read_options
from adapters.slack import Options
from adapters.slack.oauth import SCOPES
from bots.words import LANGUAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "slack.md").read_text()
MANIFESTS = ("slack-manifest.yaml", "slack-manifest-socket.yaml")


def manifest(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docs" / name).read_text())
    return content


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", section("Settings"), re.MULTILINE))
    assert described == {field.name for field in fields(Options)} | {"enabled"}


def test_the_settings_that_wait_to_be_used_are_all_there_with_their_defaults() -> None:
    text = (ROOT / "settings.toml").read_text()
    _, _, waiting = text.partition("# [adapters.slack]\n")
    told = tomllib.loads(re.sub("^# ?", "", waiting, flags=re.MULTILINE))
    assert read_options(Options, "slack", told) == Options()
    assert set(told) == {field.name for field in fields(Options)}


def test_every_scope_is_explained() -> None:
    explained = re.findall(r"^\| `([\w:]+)` \|", section("What the scopes are for"), re.MULTILINE)
    assert sorted(explained) == sorted(SCOPES)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_asks_for_the_scopes_and_events_that_are_used(name: str) -> None:
    asked = manifest(name)
    assert asked["oauth_config"]["scopes"] == {"bot": sorted(SCOPES)}
    events = asked["settings"]["event_subscriptions"]["bot_events"]
    assert events == ["app_mention", "app_uninstalled", "message.im", "tokens_revoked"]
    assert asked["settings"]["token_rotation_enabled"] is False
    [command] = asked["features"]["slash_commands"]
    assert (command["command"], command["should_escape"]) == ("/skadi", True)
    assert asked["features"]["app_home"]["messages_tab_read_only_enabled"] is False


def test_over_http_all_that_slack_sends_comes_to_one_address() -> None:
    asked, url = manifest(MANIFESTS[0]), "https://SKADI_HOST/slack/events"
    settings = asked["settings"]
    assert settings["event_subscriptions"]["request_url"] == url
    assert settings["interactivity"]["request_url"] == url
    assert asked["features"]["slash_commands"][0]["url"] == url
    assert asked["oauth_config"]["redirect_urls"] == ["https://SKADI_HOST/slack/oauth_redirect"]


def test_with_a_socket_there_is_no_address() -> None:
    text = (ROOT / "docs" / MANIFESTS[1]).read_text()
    assert "http" not in text
    assert manifest(MANIFESTS[1])["settings"]["socket_mode_enabled"] is True


def test_it_is_ten_steps_to_the_first_job() -> None:
    steps = re.findall(r"^(\d+)\. ", section("From nothing to the first job"), re.MULTILINE)
    assert steps == [str(n) for n in range(1, 11)]


def test_what_is_quoted_is_what_the_program_says() -> None:
    """Sentences in italics, of our own log and words, up to where they are cut."""
    code = "".join(path.read_text() for path in (ROOT / "adapters" / "slack").glob("*.py"))
    said = code + "".join(LANGUAGES["en"].sentences.values())
    quoted = re.findall(r"log: \*(.+?)\*", PAGE) + re.findall(r"`check`: \*(.+?)\*", PAGE)
    quoted += re.findall(r"^\| \*(I .+?)\*", PAGE, re.MULTILINE)
    assert len(quoted) > 8
    for sentence in quoted:
        for piece in re.split(r" ?… ?|: |; | as forged| as stale", sentence):
            assert piece in said or piece in SLACKS_WORDS, piece


SLACKS_WORDS = ("no ticket", "Slack says invalid_auth", "Slack says missing_scope")
