"""HTML to lines of text, quotations marked as in plain mail.

Reads tags and nothing finer: in time that grows with the length alone, whatever it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

LONGEST_SOURCE = 512 * 1024
LONGEST = 64 * 1024
BLOCK = re.compile(
    r"address|article|blockquote|br|center|d[dlt]|div|foot(er)?|form|h[1-6]|head(er)?|hr|li|ol|p|pre"
    r"|section|table|tr|ul"
)
HIDDEN = frozenset(("script", "style", "title", "template"))
TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
OPENS_TAG = re.compile(r"<[A-Za-z/!?]")
HUGE_NUMBER = re.compile(r"&#\w{10,};?")
QUOTING = re.compile(
    r"gmail_quote|yahoo_quoted|divrplyfwdmsg|appendonsend|isreplycontent|isforwardcontent|original-content"
)
"""Classes and ids by which mail programs mark where the message that is answered begins."""
NOISE = ((b"<!--", b"-->"), (b"<style", b"</style>"), (b"<script", b"</script>"))


def strip_noise(source: bytes) -> bytes:
    """Without comments, styles and scripts, which often are the longest part of a letter."""
    rest = source[:LONGEST_SOURCE]
    for start, end in NOISE:
        rest = without(rest, start, end)
    return rest[:LONGEST]


def without(source: bytes, start: bytes, end: bytes) -> bytes:
    kept, at, lower = [], 0, source.lower()
    while (begin := lower.find(start, at)) >= 0 and (stop := lower.find(end, begin)) >= 0:
        kept.append(source[at:begin])
        at = stop + len(end)
    return b"".join((*kept, source[at:]))


def read_html(html: str) -> str:
    page = Page()
    for piece in pieces(html):
        if piece.startswith("<") and len(piece) > 1:
            page.mark(piece)
        else:
            page.write(unescape(HUGE_NUMBER.sub("", piece)))
    return page.text()


def pieces(html: str) -> Iterator[str]:
    """Tags and what is between them. A `<` that opens nothing is text."""
    at = 0
    while (found := OPENS_TAG.search(html, at)) and (end := html.find(">", found.start())) >= 0:
        yield html[at : found.start()].replace("<", "&lt;")
        yield html[found.start() : end + 1]
        at = end + 1
    yield html[at:].replace("<", "&lt;")


class Page:
    """Gathers lines; what a `blockquote` holds begins with `> `."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._depths = {"hidden": 0, "blockquote": 0, "pre": 0}
        self._ended = False

    def text(self) -> str:
        self._break()
        return "\n".join(self._lines)

    def mark(self, tag: str) -> None:
        found = TAG.match(tag)
        name = found[2].lower() if found else ""
        if BLOCK.fullmatch(name):
            self._break()
        if QUOTING.search(tag.lower()):
            self._ended = True
        depth = "hidden" if name in HIDDEN else name
        if found and depth in self._depths:
            self._depths[depth] = max(0, self._depths[depth] + (-1 if found[1] else 1))

    def write(self, text: str) -> None:
        if self._ended or self._depths["hidden"]:
            return
        first, *others = text.split("\n") if self._depths["pre"] else [text]
        self._line.append(first)
        for line in others:
            self._break()
            self._line.append(line)

    def _break(self) -> None:
        text = "".join(self._line)
        shown = text if self._depths["pre"] else " ".join(text.split())
        if shown.strip():
            self._lines.append("> " * bool(self._depths["blockquote"]) + shown)
        self._line = []
