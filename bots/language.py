"""What a person typed, taken apart: a first word, and the rest exactly as it came."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches

from core.durations import parse_duration

DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－⸺⸻"), "-")
QUOTES = "\"'`´“”‘’„‟‚‛«»‹›「」『』〝〞＂＇｀"
TRAILING = ".,:;!?。．，：；！？、"
"""What a phone's keyboard adds to a word by itself, or a person by habit."""


LONGEST_WORD = 200
"""Beyond this a word is nobody's name and no word of ours, and not worth the time of reading it."""
MOST_AMOUNTS = 10
"""Of which one duration is made up."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """`word` and `rest` as typed, without the blanks around them; either may be empty."""

    word: str
    rest: str

    @property
    def verb(self) -> str:
        return fold(self.word)


def parse(text: str) -> Invocation:
    """Never raises: what makes no sense is for the verbs to say."""
    return Invocation(*split_word(text.lstrip(INVISIBLE)))


def split_word(text: str) -> tuple[str, str]:
    """The first word and what follows it; only the blanks between them are lost."""
    word, rest = (*text.split(maxsplit=1), "", "")[:2]
    return word, rest.strip()


INVISIBLE = "".join(
    chr(code)
    for code in range(0x10000)
    if chr(code).isspace() or unicodedata.category(chr(code)) == "Cf"
)


def plain(word: str) -> str:
    """A word of the grammar as a plain keyboard would have typed it.

    Narrow letters, short dashes, no quotes around it, nothing invisible."""
    if len(word) > LONGEST_WORD:
        return word
    seen = "".join(char for char in word if char not in INVISIBLE)
    return unicodedata.normalize("NFKC", seen.translate(DASHES).strip(QUOTES))


def fold(word: str) -> str:
    """A verb in the one spelling it is looked up by."""
    spelled = plain(word).casefold()
    return spelled.rstrip(TRAILING).rstrip(QUOTES) or spelled


def readings(word: str) -> tuple[str, ...]:
    """What an agent's name may have been before a keyboard changed it, the likeliest first."""
    doubled = plain(word.replace("—", "--"))
    candidates = (word, plain(word), doubled, plain(word).rstrip(TRAILING))
    return tuple(dict.fromkeys(filter(None, candidates)))


def tail(word: str) -> str:
    """The end of an id, as it is stored."""
    return fold(word).lstrip("#")


def tails(ids: Iterable[str]) -> dict[str, str]:
    """For each id its shortest end, of four characters at least, that no other of these has."""
    known = set(ids)
    return {id: _tail_among(id, known) for id in known}


def _tail_among(id: str, known: set[str]) -> str:
    ends = (id[-size:] for size in range(4, len(id) + 1))
    return next(end for end in ends if sum(other.endswith(end) for other in known) == 1)


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Up to three names that the word may have been meant as; first what differs by case alone."""
    wanted = fold(word)
    if len(wanted) > LONGEST_WORD:
        return []
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(name.casefold(), []).append(name)
    close = get_close_matches(wanted, sorted(spelled), n=3, cutoff=0.6)
    return [name for folded in close for name in sorted(spelled[folded])][:3]


# Durations as people write them.

UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds", "秒", "秒钟"),
    "m": ("m", "min", "mins", "minute", "minutes", "分", "分钟"),
    "h": ("h", "hr", "hrs", "hour", "hours", "时", "小时", "钟头"),
    "d": ("d", "day", "days", "天", "日"),
    "w": ("w", "week", "weeks", "周", "星期"),
}
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
SECONDS_OF = {name: SECONDS[unit] for unit, names in UNITS.items() for name in names}
NUMBERS = {
    "半": 0.5,
    "两": 2.0,
    **{char: float(n) for n, char in enumerate("一二三四五六七八九十", 1)},
}

NUMBER = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?|[{''.join(NUMBERS)}])个?")
PART = re.compile(
    rf"{NUMBER.pattern}({'|'.join(sorted(SECONDS_OF, key=len, reverse=True))})", re.IGNORECASE
)
SPAN = re.compile(rf"(?:{PART.pattern})+", re.IGNORECASE)
LATER = re.compile("(?:以后|之后|后)$")


def take_duration(text: str) -> tuple[timedelta, str]:
    """A duration at the start of a text, and what follows it. Raises ValueError.

    It may be written `20m`, `1h30m`, `90 s`, `2 days`, `1小时30分钟` or `半小时`."""
    total, rest = _take_part(text)
    for _ in range(1, MOST_AMOUNTS):
        try:
            part, after = _take_part(rest)
        except ValueError:
            break
        total, rest = total + part, after
    return total, rest


def _take_part(text: str) -> tuple[timedelta, str]:
    """One amount, which may be two words: a number and its unit."""
    word, rest = split_word(text)
    spelled = fold(word)
    if NUMBER.fullmatch(spelled):
        unit, rest = split_word(rest)
        spelled += fold(unit)
    return read_duration(spelled), rest


def read_duration(spelled: str) -> timedelta:
    """A duration without blanks in it, in Go's syntax or a person's. Raises ValueError."""
    if len(spelled) > LONGEST_WORD:
        raise ValueError("too long a word for a duration")
    amount = LATER.sub("", spelled)
    if not SPAN.fullmatch(amount):
        return forward(parse_duration(amount))
    seconds = sum(
        (NUMBERS.get(number) or float(number)) * SECONDS_OF[unit.lower()]
        for number, unit in PART.findall(amount)
    )
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"too long a duration: {spelled[:40]!r}") from None


def forward(duration: timedelta) -> timedelta:
    """People speak of what is to come."""
    if duration < timedelta():
        raise ValueError("a duration of less than nothing")
    return duration
