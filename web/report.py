"""The result in what an agent reports. A report is sent once, so that it counts whatever its output
is like; what no text may contain is replaced, not refused."""

from __future__ import annotations

import json
import re
from typing import Any

from core.errors import Invalid
from web.fields import NO_JSON, as_object, parse

REPLACEMENT = "\ufffd"
LONE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: what reads JSON has joined those that stand together."""
BLANKS = re.compile(r"[ \t\n\r]*")
PLAIN = re.compile(r"[-+.\w]+")
"""A number, true, false or null."""
LONGEST_ESCAPE = 6
MOST_FIELDS = 100
"""Of a long report: each costs time, and a report has two or three."""
JSON = json.JSONDecoder(strict=False)

NO_TEXT = "[The output was dropped: it is long, and no text.]"
CUT = "\n… (cut: other long outputs were on their way)"


class Nested(ValueError):
    """To read on would mean to build all that lies nested here."""


def parse_report(body: bytes) -> str:
    """Raises Invalid for what cannot be understood at all."""
    try:
        result = spell(parse(body).get("result"))
    except Invalid:
        result = spell(parse_broken(body).get("result"))
    return mend(result)


def parse_long(body: bytes) -> str:
    """The same, of a body so long that only a text in it is worth the time: others wait meanwhile."""
    try:
        return mend(find_result(decode(body)))
    except Nested:
        return NO_TEXT
    except (ValueError, IndexError) as error:
        raise Invalid(NO_JSON) from error


def parse_cut(body: bytes) -> str:
    """As much of the result as the beginning of a body holds."""
    text = decode(body)
    for lost in range(LONGEST_ESCAPE):  # the cut may have gone through an escape
        try:
            return mend(find_result(text[: len(text) - lost] + '"}')) + CUT
        except (ValueError, IndexError):
            continue
    return NO_TEXT


def find_result(text: str) -> str:
    """The field `result` of an object in JSON, without building anything else that is in it."""
    result, at = "", skip(text, 0, "{")
    for _ in range(MOST_FIELDS):
        name, at = read_value(text, blanks_end(text, at))
        value, at = read_value(text, blanks_end(text, skip(text, at, ":")))
        result = value if name == "result" else result
        at = blanks_end(text, at)
        if text[at] == "}" and not text[at + 1 :].strip():
            return result
        at = skip(text, at, ",")
    raise Nested


def read_value(text: str, at: int) -> tuple[str, int]:
    """A string, or a plain value as it is written; and where it ends. Raises Nested."""
    if text[at] == '"':
        value: tuple[str, int] = JSON.raw_decode(text, at)
        return value
    if text[at] in "[{":
        raise Nested
    plain = PLAIN.match(text, at)
    if plain is None:
        raise ValueError(at)
    return "" if plain[0] == "null" else plain[0], plain.end()


def skip(text: str, at: int, sign: str) -> int:
    """Where it goes on after a sign, with blanks before it."""
    at = blanks_end(text, at)
    if text[at] != sign:
        raise ValueError(at)
    return at + 1


def blanks_end(text: str, at: int) -> int:
    blanks = BLANKS.match(text, at)
    return blanks.end() if blanks else at


def spell(result: Any) -> str:
    """A result that is no text, as it stood in the JSON."""
    if isinstance(result, str):
        return result
    try:
        return "" if result is None else json.dumps(result, ensure_ascii=False)
    except RecursionError:
        return ""


def parse_broken(body: bytes) -> dict[str, Any]:
    """Read what is nearly JSON: broken UTF-8, raw control characters, halves of surrogate pairs."""
    try:
        return as_object(json.loads(decode(body), strict=False))
    except (ValueError, RecursionError) as error:
        raise Invalid(NO_JSON) from error


def decode(body: bytes) -> str:
    return body.decode("utf-8-sig", "replace")


def mend(text: str) -> str:
    return LONE.sub(REPLACEMENT, text.replace("\0", REPLACEMENT))
