"""The small part of YAML that skadi.yml is written in, read line by line and strictly.

Top-level scalars, and lists of flat mappings; comments, blank lines; plain, single- and
double-quoted values, each on its own line. Whatever else YAML knows is an error that names file and
line, because a value misread here decides what a server runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn

from .errors import ConfigError


@dataclass(frozen=True)
class Value:
    text: str
    line: int


@dataclass(frozen=True)
class Item:
    """One mapping of a list."""

    line: int
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Fields:
    """The keys an item must have and those it may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        return self.required + self.optional


@dataclass(frozen=True)
class Grammar:
    scalars: tuple[str, ...]
    lists: Mapping[str, Fields]


KEY = re.compile(r"(?P<indent> *)(?P<dash>- +)?(?P<key>[A-Za-z_][A-Za-z0-9_-]*):(?P<rest>.*)")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b"}
ESCAPES.update({char: char for char in '"\\/ '})
FOREIGN = {
    "&": "an anchor",
    "*": "an alias",
    "!": "a tag",
    "|": "a block of several lines",
    ">": "a block of several lines",
    "[": "a list in brackets",
    "{": "a mapping in braces",
}


class Reader:
    """Reads one file; afterwards `scalars` and `lists` hold what it says."""

    def __init__(self, name: str, grammar: Grammar) -> None:
        self.name = name
        self.scalars: dict[str, Value] = {}
        self.lists: dict[str, list[Item]] = {}
        self._grammar = grammar
        self._opened: dict[str, int] = {}
        self._list = ""
        self._dash_column = -1
        self._key_column = -1

    def read(self, text: str) -> Reader:
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            content = line.rstrip("\r ")
            if content.strip() and not content.lstrip(" ").startswith("#"):
                self._read_line(number, content)
        for name, items in self.lists.items():
            for item in items:
                self._require(item, self._grammar.lists[name].required)
        return self

    def wrong(self, line: int, what: str) -> NoReturn:
        raise ConfigError(f"{self.name}:{line}: {what}")

    def _require(self, item: Item, required: Iterable[str]) -> None:
        for key in required:
            if key not in item.values:
                self.wrong(item.line, f"this entry has no {key!r}")
            if not item.values[key].text:
                self.wrong(item.values[key].line, f"{key!r} must not be empty")

    def _read_line(self, number: int, line: str) -> None:
        if CONTROL.search(line):
            self.wrong(number, "a tab or control character: use blanks, or \\t in double quotes")
        match = KEY.fullmatch(line)
        if match is None:
            self.wrong(number, explain(line))
        key, rest = match["key"], match["rest"]
        if rest and not rest.startswith(" "):
            self.wrong(number, f"a blank is missing behind '{key}:'")
        try:
            value = Value(scalar(rest.strip(" ")), number)
        except ValueError as error:
            self.wrong(number, f"{key}: {error}")
        column = len(match["indent"])
        if match["dash"]:
            self._open_item(number, column, column + len(match["dash"]))
            self._put_field(key, value)
        elif column == 0:
            self._put_top(key, value)
        else:
            self._continue_item(column, key, value)

    def _put_top(self, key: str, value: Value) -> None:
        self._list = ""
        if key in self._opened:
            self.wrong(value.line, f"{key!r} stands already in line {self._opened[key]}")
        self._opened[key] = value.line
        if key in self._grammar.scalars:
            self.scalars[key] = value
        elif key in self._grammar.lists:
            self._open_list(key, value)
        else:
            self._unknown(key, value.line, (*self._grammar.scalars, *self._grammar.lists))

    def _open_list(self, key: str, value: Value) -> None:
        if value.text:
            self.wrong(value.line, f"{key!r} is a list: its entries follow, each behind a dash")
        self.lists[key] = []
        self._list, self._dash_column, self._key_column = key, -1, -1

    def _open_item(self, number: int, dash: int, key: int) -> None:
        if not self._list:
            self.wrong(number, f"an entry outside of a list ({', '.join(self._grammar.lists)})")
        if self._dash_column not in (-1, dash):
            self.wrong(
                number, f"this dash must stand under the others, {self._dash_column} blanks in"
            )
        self._dash_column, self._key_column = dash, key
        self.lists[self._list].append(Item(number))

    def _continue_item(self, column: int, key: str, value: Value) -> None:
        if not self._list or self._key_column < 0:
            self.wrong(value.line, f"{key!r} is indented, but belongs to no entry of a list")
        if column != self._key_column:
            self.wrong(value.line, f"{key!r} must be indented by {self._key_column} blanks")
        self._put_field(key, value)

    def _put_field(self, key: str, value: Value) -> None:
        known = self._grammar.lists[self._list].known
        values = self.lists[self._list][-1].values
        if key not in known:
            self._unknown(key, value.line, known)
        if key in values:
            self.wrong(value.line, f"{key!r} stands already in line {values[key].line}")
        values[key] = value

    def _unknown(self, key: str, line: int, known: Iterable[str]) -> NoReturn:
        near = get_close_matches(key, list(known), 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        self.wrong(line, f"unknown key {key!r}; {hint}known here: {', '.join(known)}")


def explain(line: str) -> str:
    """Why a line is not `key: value`."""
    text = line.strip()
    if text in ("---", "...") or text.startswith("%"):
        return "one plain document: no ---, ... or % lines"
    if text == "-":
        return "write the first key of an entry on the line of its dash"
    if text.startswith(("'", '"')):
        return "a key is written without quotes"
    return "expected 'key: value' (a value ends on its own line)"


def scalar(text: str) -> str:
    """The value behind a colon. Raises ValueError, saying what is expected."""
    if text.startswith('"'):
        return double_quoted(text)
    if text.startswith("'"):
        return single_quoted(text)
    return plain(text)


def double_quoted(text: str) -> str:
    match = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    if match is None:
        raise ValueError("the closing double quote is missing on this line")
    only_comment(text[match.end() :])
    return ESCAPE.sub(unescape, match[1])


def unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code:
        return character(int(code, 16))
    if match[4] not in ESCAPES:
        raise ValueError(
            f"unknown escape \\{match[4]} in double quotes; write \\\\ for a backslash"
        )
    return ESCAPES[match[4]]


def character(code: int) -> str:
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError("this escape stands for no character that a command may hold")
    return chr(code)


def single_quoted(text: str) -> str:
    match = re.match(r"'((?:[^']|'')*)'(?!')", text)
    if match is None:
        raise ValueError("the closing single quote is missing on this line")
    only_comment(text[match.end() :])
    return match[1].replace("''", "'")


def only_comment(rest: str) -> None:
    if rest.strip(" ") and not re.match(r" +#", rest):
        raise ValueError("something follows the closing quote; inside of quotes write '' or \\\"")


def plain(text: str) -> str:
    value = "" if text.startswith("#") else re.split(r" +#", text, maxsplit=1)[0].rstrip(" ")
    if value[:1] in FOREIGN:
        raise ValueError(
            f"{FOREIGN[value[0]]} is not read here; quote the value if it is meant as text"
        )
    if value[:1] in tuple(",]}@`%") or value in ("-", "?") or value[:2] in ("- ", "? "):
        raise ValueError(f"a value that begins with {value[0]!r} must be quoted")
    if ": " in value or value.endswith(":"):
        raise ValueError("a value with a colon before a blank must be quoted")
    if value.lower() in ("null", "~"):
        raise ValueError(f"leave it empty, or quote it if the text {value!r} is meant")
    return value
