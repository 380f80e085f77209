"""Both languages say the same things."""

import ast
import re
from itertools import chain
from pathlib import Path
from string import Formatter

import pytest

from bots.commands import COMING, COMMANDS
from bots.language import fold
from bots.words import LANGUAGES, choose
from core import errors
from core.agents import PLAIN_WORDS
from core.errors import SkadiError
from core.model import JobStatus

ROOT = Path(__file__).parents[2]

INWARD = {
    # Between the parts of the program: a person never meets them.
    "NotDue",
    "Taken",
    # For those who run the command line or call the API, which word them themselves.
    "AccountNotFound",
    "Ambiguous",
    "IdentityNotFound",
    "InvalidLanguage",
    "InvalidScope",
    "LetterNotFound",
    "TokenNotFound",
}


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_sentence_is_there_in_every_language_with_the_same_facts(language: str) -> None:
    english = {key: fields(text) for key, text in LANGUAGES["en"].sentences.items()}
    assert {key: fields(text) for key, text in LANGUAGES[language].sentences.items()} == english


def test_every_refusal_is_there_in_every_language(language: str) -> None:
    assert LANGUAGES[language].refusals.keys() == LANGUAGES["en"].refusals.keys()
    assert LANGUAGES[language].verbs.keys() == LANGUAGES["en"].verbs.keys()


def raised_in(*parts: str) -> set[str]:
    """Every code that an error of these parts is given."""
    files = chain.from_iterable((ROOT / part).rglob("*.py") for part in parts)
    calls = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    return {
        keyword.value.value
        for call in calls
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "code"
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }


def test_every_error_of_the_core_has_words(language: str) -> None:
    codes = raised_in("core")
    assert {"InvalidAgent", "JobRunning", "BadCode"} <= codes
    assert codes - INWARD - LANGUAGES[language].refusals.keys() == set()


def test_every_kind_of_error_has_words(language: str) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, SkadiError)}
    assert len(codes) == 9
    assert codes - LANGUAGES[language].refusals.keys() == set()


def test_every_refusal_of_the_bot_has_words(language: str) -> None:
    raised = {
        node.args[0].value
        for path in (ROOT / "bots").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Refusal"
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"NotLinked", "Usage", "WhichJob"} <= raised
    assert raised - LANGUAGES[language].refusals.keys() == set()


def test_the_last_wording_of_a_refusal_of_the_core_needs_no_facts(language: str) -> None:
    refusals = LANGUAGES[language].refusals
    plain = {code for code in refusals if not fields(refusals[code][-1])}
    assert raised_in("core") & refusals.keys() - plain == set()


def test_every_status_verb_and_event_has_words(language: str) -> None:
    words = LANGUAGES[language]
    for status in JobStatus:
        assert words.sentences[f"status.{status}"]
    for code in PLAIN_WORDS:
        assert words.sentences[f"event.{code}"]
    assert words.verbs.keys() == {command.verb for command in COMMANDS}


def test_every_sentence_of_the_bot_is_used_somewhere() -> None:
    """A key that nothing asks for is a sentence nobody reads."""
    source = "".join(path.read_text() for path in (ROOT / "bots").glob("*.py"))
    made = (
        "job.",
        "state.",
        "status.",
        "event.",
        "whoami.",
        "agent.added",
        "agent.rotated",
        "agent.line",
        "remark.",
        "typed.",
    )
    keys = [key for key in LANGUAGES["en"].sentences if not key.startswith(made)]
    assert [key for key in keys if f'"{key}"' not in source] == []


def test_a_chinese_reader_finds_no_english_sentence() -> None:
    """Latin are the names of things and what is typed, and nothing else."""
    latin = re.compile(r"\{\w+\}|`[^`]*`|Agent", re.ASCII)
    texts = [*LANGUAGES["zh"].sentences.values(), *chain(*LANGUAGES["zh"].refusals.values())]
    rests = [latin.sub("", text) for text in texts]
    assert [rest for rest in rests if re.search("[A-Za-z]", rest)] == []


def test_every_word_of_a_verb_is_its_own() -> None:
    words = [word for each in (*COMMANDS[1:], *COMING) for word in (each.verb, *each.aliases)]
    assert len(words) == len(set(map(fold, words)))


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (("zh",), "zh"),
        (("zh-CN",), "zh"),
        (("zh_TW", "en"), "zh"),
        (("", "zh-CN"), "zh"),
        (("en", "zh"), "en"),
        (("en-US",), "en"),
        (("fr-FR",), "en"),
        (("fr", "zh"), "zh"),
        ((), "en"),
    ],
)
def test_the_first_language_we_speak_is_chosen(wishes: tuple[str, ...], language: str) -> None:
    assert choose(*wishes) == language
