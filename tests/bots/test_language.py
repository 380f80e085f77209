"""The grammar: what is taken apart, what is understood, and what is left as it was typed."""

import time
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.commands import RESERVED, WORDS, find_command
from bots.language import Invocation, fold, nearest, parse, readings, tail, tails, take_duration
from bots.words import LANGUAGES


@pytest.mark.parametrize(
    ("text", "word", "rest"),
    [
        ("web-1 uptime", "web-1", "uptime"),
        ("  web-1\t\tuptime \n", "web-1", "uptime"),
        ("web-1 deploy  --to='prod  eu' “now”", "web-1", "deploy  --to='prod  eu' “now”"),
        ("web-1 git commit —amend", "web-1", "git commit —amend"),
        ("web-1\ncd /srv\n  make\n", "web-1", "cd /srv\n  make"),
        ("web-1\u3000uptime", "web-1", "uptime"),
        ("web-1\xa0\xa0uptime", "web-1", "uptime"),
        ("\u200b\ufeff status", "status", ""),
        ("web-1", "web-1", ""),
        ("", "", ""),
        (" \n\u3000", "", ""),
    ],
)
def test_a_first_word_and_the_rest_as_typed(text: str, word: str, rest: str) -> None:
    assert parse(text) == Invocation(word, rest)


ENDLESS = [
    "a" + "\u0301\u0316" * 100_000,
    "a" * 500_000,
    "1h" * 200_000,
    "1h " * 200_000,
    "\u200b" * 500_000 + "web-1",
]


@pytest.mark.parametrize("text", ENDLESS, ids=range(len(ENDLESS)))
def test_what_has_no_end_takes_no_time(text: str) -> None:
    begun = time.perf_counter()
    said = parse(text)
    find_command(said.verb)
    readings(said.word)
    tail(text)
    assert nearest(said.word, ["web-1", "db-1"]) == [] or len(said.word) < 200
    with suppress(ValueError):
        take_duration(text)
    assert time.perf_counter() - begun < 0.5


@given(st.text())
def test_parsing_never_fails(text: str) -> None:
    invocation = parse(text)
    assert find_command(invocation.verb)
    assert readings(invocation.word) or not invocation.word
    tail(invocation.rest)


@given(st.text(), st.sampled_from([" ", "\n", "\u3000", " \t "]))
def test_a_command_is_what_was_typed_after_the_agent(command: str, blank: str) -> None:
    assert parse(f"web-1{blank}{command}").rest == command.strip()


@given(st.text())
def test_a_delayed_command_is_what_was_typed_too(command: str) -> None:
    wait, rest = take_duration(f"20m web-1 {command}")
    assert wait == timedelta(minutes=20)
    assert parse(rest) == Invocation("web-1", command.strip())


@pytest.mark.parametrize(
    ("typed", "verb"),
    [
        ("status", "status"),
        ("STATUS", "status"),
        ("Status.", "status"),
        ("ｓｔａｔｕｓ", "status"),
        ("“status”", "status"),
        ("`status`", "status"),
        ("sta\u200btus", "status"),
        ("help!", "help"),
        ("?", "help"),
        ("？", "help"),
        ("", "help"),
        ("帮助。", "help"),
        ("状态", "status"),
        ("延迟", "delay"),
        ("取消", "cancel"),
        ("再来", "again"),
        ("日志", "log"),
        ("绑定", "link"),
        ("解绑", "unlink"),
        ("我是谁", "whoami"),
        ("主页", "home"),
        ("web-1", ""),
        ("statuses", ""),
    ],
)
def test_a_verb_is_known_however_it_is_typed(typed: str, verb: str) -> None:
    assert find_command(fold(typed)).verb == verb


def test_every_word_of_ours_is_reserved() -> None:
    promised = (
        "help agent status delay cancel again log link unlink whoami home login plan group poster"
        " follow unfollow sub unsub approve deny why halt resume run"
    )
    assert set(promised.split()) <= RESERVED
    assert {"状态", "帮助", "绑定"} <= RESERVED


def test_a_reserved_word_is_spelled_as_it_is_looked_up() -> None:
    assert {word for word in WORDS if fold(word) != word} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_verb_is_explained_by_an_example_that_works(language: str) -> None:
    verbs = LANGUAGES[language].verbs
    for verb, described in verbs.items():
        if verb:
            assert find_command(parse(described.usage).verb).verb == verb
        assert find_command(parse(described.example).verb).verb == verb


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("web–1", "web-1"),
        ("web—1", "web-1"),
        ("web−1", "web-1"),
        ("web—1", "web--1"),
        ("ｗｅｂ－１", "web-1"),
        ("「web-1」", "web-1"),
        ("web-1:", "web-1"),
        ("web-1，", "web-1"),
        ("机器一", "机器一"),
        ("web-1:", "web-1:"),
    ],
)
def test_an_agents_name_is_understood_through_the_keyboard(typed: str, name: str) -> None:
    assert name in readings(typed)


def test_a_name_counts_as_typed_before_anything_else() -> None:
    assert readings("Ｗeb—1")[0] == "Ｗeb—1"


def test_letters_keep_their_case_in_a_name() -> None:
    assert readings("Web-1") == ("Web-1",)


@pytest.mark.parametrize("typed", ["k3f9", "K3F9", "`k3f9`", "#k3f9", "ｋ３ｆ９", "k3f9."])
def test_the_end_of_an_id_is_understood(typed: str) -> None:
    assert tail(typed) == "k3f9"


def test_ids_that_end_alike_are_told_apart_by_as_little_as_it_takes() -> None:
    assert tails(["aaaaxk3f9", "aaaayk3f9", "aaaaaaaab"]) == {
        "aaaaxk3f9": "xk3f9",
        "aaaayk3f9": "yk3f9",
        "aaaaaaaab": "aaab",
    }


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("wbe-1", ["web-1"]),
        ("WEB-1", ["web-1"]),
        ("ｗｅｂ-1", ["web-1"]),
        ("satus", ["status"]),
        ("Db", ["DB", "db"]),
        ("xyzzy", []),
    ],
)
def test_the_nearest_names_are_offered(typed: str, near: list[str]) -> None:
    assert nearest(typed, ["web-1", "db", "DB", "status"]) == near


@pytest.mark.parametrize(
    ("text", "minutes", "rest"),
    [
        ("20m web-1 x", 20, "web-1 x"),
        ("1h30m web-1 x", 90, "web-1 x"),
        ("1h 30m web-1 x", 90, "web-1 x"),
        ("90 s web-1 x", 1.5, "web-1 x"),
        ("90 Seconds, web-1 x", 1.5, "web-1 x"),
        ("2d web-1 x", 2880, "web-1 x"),
        ("1 week web-1 x", 10080, "web-1 x"),
        ("1.5h web-1 x", 90, "web-1 x"),
        ("２０ｍ　web-1 x", 20, "web-1 x"),
        ("“20m” web-1 x", 20, "web-1 x"),
        ("20分钟 web-1 x", 20, "web-1 x"),
        ("1小时30分钟后 web-1 x", 90, "web-1 x"),
        ("半小时 web-1 x", 30, "web-1 x"),
        ("两个小时 web-1 x", 120, "web-1 x"),
        ("10 分钟以后 web-1 x", 10, "web-1 x"),
        ("300ms web-1 x", 0.005, "web-1 x"),
        ("0s web-1 x", 0, "web-1 x"),
        ("20m 20 x", 20, "20 x"),
        ("20m", 20, ""),
    ],
)
def test_a_delay_is_understood_as_people_write_it(text: str, minutes: float, rest: str) -> None:
    assert take_duration(text) == (timedelta(minutes=minutes), rest)


@pytest.mark.parametrize(
    "text", ["", "web-1 x", "20 web-1 x", "soon web-1 x", "999999999w web-1 x"]
)
def test_what_is_no_delay_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        take_duration(text)


@given(st.text("0123456789.hdmsw个半小时分 -", max_size=30) | st.text())
def test_any_text_begins_with_a_delay_or_does_not(text: str) -> None:
    try:
        wait, _ = take_duration(text)
    except ValueError:
        return
    assert isinstance(wait, timedelta)
