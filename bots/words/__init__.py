"""Every sentence that a person reads, in each language Skadi speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from bots.words import en, zh
from bots.words.help import Help

__all__ = [
    "LANGUAGES",
    "Help",
    "Language",
    "choose",
    "remark",
    "say",
    "verb_word",
    "word_refusal",
]


@dataclass(frozen=True, slots=True)
class Language:
    """`sentences` by key, `verbs` for help, and `refusals` by an error's code: several wordings, of
    which the first one counts whose facts are known."""

    sentences: Mapping[str, str]
    refusals: Mapping[str, tuple[str, ...]]
    verbs: Mapping[str, Help]


LANGUAGES: Mapping[str, Language] = {
    "en": Language(en.SENTENCES, en.REFUSALS, en.VERBS),
    "zh": Language(zh.SENTENCES, zh.REFUSALS, zh.VERBS),
}


def choose(*wishes: str) -> str:
    """The language of the first wish (`zh`, `zh-CN`, `en_US`) that is one of ours."""
    spoken = (wish.replace("_", "-").partition("-")[0].lower() for wish in wishes)
    return next((language for language in spoken if language in LANGUAGES), "en")


def say(language: str, key: str, **facts: object) -> str:
    return LANGUAGES[language].sentences[key].format_map(facts)


def remark(language: str, code: str) -> str:
    """What an adapter has to tell beside an answer, for `adapters.Surroundings`."""
    return say(choose(language), f"remark.{code}")


def verb_word(language: str, verb: str) -> str:
    """How readers of this language write a verb."""
    return LANGUAGES[language].verbs[verb].usage.split()[0]


def word_refusal(language: str, codes: tuple[str, ...], facts: Mapping[str, str]) -> str:
    """The first wording for the first code that has one; `facts` are ready to be read."""
    refusals = LANGUAGES[language].refusals
    wordings = next(refusals[code] for code in codes if code in refusals)
    return next(w for w in wordings if fields(w) <= facts.keys()).format_map(facts)


def fields(wording: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(wording) if name}
