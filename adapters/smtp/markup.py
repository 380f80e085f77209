"""The small CommonMark subset of replies, as plain text and as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

FENCE = re.compile(r"^(`{3,})[^\n]*\n(.*?)^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*\n]+)\*\*|\\(?P<literal>[!-/:-@\[-`{-~])"
    r"|\[(?P<label>[^\[\]\n]+)\]\((?P<link>https?://[^\s()<>\"]+)\)"
)
ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
CONTROLS = re.compile(r"[^\t\n\x20-\x7e\x85\xa0-\U0010ffff]|[\ud800-\udfff\x85]")


def printable(text: str) -> str:
    """Without what colours or steers a terminal."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return CONTROLS.sub("", ESCAPE_SEQUENCE.sub("", lines))


def to_plain(text: str) -> str:
    return "".join(
        piece if fenced else INLINE.sub(plain_piece, piece) for fenced, piece in pieces(text)
    ).strip("\n")


def plain_piece(found: re.Match[str]) -> str:
    if found["link"]:
        return f"{found['label']} ({found['link']})"
    if found["code"]:
        return found[0]
    return str(found["bold"] or found["literal"])


def to_html(text: str) -> str:
    return "".join(
        f"<pre>{escape(piece)}</pre>" if fenced else paragraphs(piece)
        for fenced, piece in pieces(text)
    )


def paragraphs(text: str) -> str:
    blocks = (block for block in re.split(r"\n{2,}", text.strip("\n")) if block)
    return "".join(f"<p>{inline(block)}</p>" for block in blocks)


def inline(text: str) -> str:
    parts, at = [], 0
    for found in INLINE.finditer(text):
        parts += [escape(text[at : found.start()]), html_piece(found)]
        at = found.end()
    return "".join((*parts, escape(text[at:]))).replace("\n", "<br>\n")


def html_piece(found: re.Match[str]) -> str:
    if found["link"]:
        return f'<a href="{escape(found["link"])}">{escape(found["label"])}</a>'
    if found["code"]:
        return f"<code>{escape(found['code'])}</code>"
    if found["bold"]:
        return f"<strong>{escape(found['bold'])}</strong>"
    return escape(found["literal"])


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The text cut at its fenced blocks: whether a piece was fenced, and what it holds."""
    at = 0
    for found in FENCE.finditer(text):
        yield False, text[at : found.start()]
        yield True, found[2]
        at = found.end()
    yield False, text[at:]
