"""The head of a letter or of one of its parts, as it was sent and as it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message

from adapters.smtp.charsets import decode_words

FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*)", re.DOTALL)
LONGEST_PARAMETERS = 2048
MESSAGE_ID = re.compile(r"<(?:(?!=\?)[!-;=?-~]){1,250}>")
"""None that holds an encoded word, which would be decoded in an answer."""
LONGEST_IDS = 20_000


@dataclass(frozen=True, slots=True)
class Field:
    """`raw` is all after the colon, its folding and its last line end included."""

    name: bytes
    raw: bytes

    def named(self, name: str) -> bool:
        return self.name.lower() == name.encode()


class Headers:
    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)

    def raws(self, name: str) -> list[bytes]:
        return [field.raw for field in self.fields if field.named(name)]

    def count(self, name: str) -> int:
        return len(self.raws(name))

    def bare(self, name: str) -> str:
        """The first of that name in one line, encoded words untouched; one character a byte."""
        found = next((field.raw for field in self.fields if field.named(name)), b"")
        return re.sub(r"[\r\n]+", "", found.decode("latin-1")).strip(" \t")

    def text(self, name: str) -> str:
        """The first of that name as a person reads it: decoded, in one line."""
        shown = decode_words(self.bare(name).encode("latin-1"))
        return " ".join("".join(c if c.isprintable() else " " for c in shown).split())

    def word(self, name: str) -> str:
        """The first word of the field, in lower case: `auto-replied; owner=x` is `auto-replied`."""
        return re.split(r"[;\s(]", self.bare(name).lower(), maxsplit=1)[0]

    def ids(self, name: str) -> list[str]:
        return MESSAGE_ID.findall(self.bare(name)[:LONGEST_IDS])


def read_headers(head: bytes) -> Headers:
    """Read lines that end in CR LF or LF. A line that is no field is left out."""
    found: list[tuple[bytes, list[bytes]]] = []
    for line in head.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t"):
            if found:
                found[-1][1].append(line)
        elif match := FIELD.fullmatch(line):
            found.append((match[1], [match[2]]))
    return Headers(Field(name, b"".join(lines)) for name, lines in found)


@dataclass(frozen=True, slots=True)
class Content:
    """What a Content-Type and its neighbours say."""

    kind: str = "text/plain"
    boundary: bytes = b""
    charset: str = ""
    flowed: bool = False
    delsp: bool = False
    attached: bool = False
    encoding: str = ""
    related: bool = False

    @property
    def multiple(self) -> bool:
        return self.kind.startswith("multipart/") and bool(self.boundary)


def read_content(headers: Headers) -> Content:
    message = Message()
    message["Content-Type"] = headers.bare("content-type")[:LONGEST_PARAMETERS] or "text/plain"
    message["Content-Disposition"] = headers.bare("content-disposition")[:LONGEST_PARAMETERS]
    kind, boundary = ask(message.get_content_type), ask(message.get_boundary)
    named, related = bool(ask(message.get_filename)), headers.count("content-id") > 0
    return Content(
        kind="text/plain" if kind.startswith("multipart/") and not boundary else kind,
        boundary=boundary.encode("latin-1", "replace"),
        charset=ask(message.get_content_charset),
        flowed=parameter(message, "format") == "flowed",
        delsp=parameter(message, "delsp") == "yes",
        attached=headers.word("content-disposition") == "attachment" or (named and not related),
        encoding=headers.word("content-transfer-encoding"),
        related=related,
    )


def parameter(message: Message, name: str) -> str:
    return ask(lambda: message.get_param(name)).lower()


def ask(question: Callable[[], object]) -> str:
    """The standard library's answer, or nothing: on hostile parameters it raises what it likes."""
    try:
        answer = question()
    except Exception:
        return ""
    return answer if isinstance(answer, str) else ""
