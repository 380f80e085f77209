"""A mail that came in, read: who says it wrote, what is the command, what was left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from adapters.smtp.addresses import Mailbox, read_mailbox
from adapters.smtp.charsets import decode, decode_transfer
from adapters.smtp.headers import Content, Headers, read_content, read_headers
from adapters.smtp.hypertext import read_html, strip_noise
from adapters.smtp.quotes import find_fresh, unflow

LONGEST_HEAD = 128 * 1024
LONGEST_PART_HEAD = 16 * 1024
DEEPEST = 8
MOST_PARTS = 50
MOST_MARKS = 500
TEXT_BYTES = 64 * 1024
HTML_BYTES = 1024 * 1024
PREFIX = re.compile(
    r"(?:re|aw|wg|fw|fwd|sv|antw|tr|rv|r|回复|回覆|答复|答覆|转发|轉寄)(?:\[\d+\])? ?[::] ?",
    re.IGNORECASE,
)


class Unreadable(Exception):
    """The mail cannot be understood; the message is the SMTP answer."""


@dataclass(frozen=True)
class Letter:
    head: Headers
    body: bytes
    """As received, for the proof; `text` is what a person reads."""

    @cached_property
    def sender(self) -> Mailbox | None:
        """The one sane address in the one From line, else nothing."""
        return read_mailbox(self.head.bare("from")) if self.head.count("from") == 1 else None

    @cached_property
    def message_id(self) -> str:
        return next(iter(self.head.ids("message-id")), "")

    @cached_property
    def parts(self) -> Sequence[Part]:
        parts = leaves(Part(read_content(self.head), self.body), 0)
        return [part for part, _ in zip(parts, range(MOST_PARTS), strict=False)]

    @cached_property
    def text(self) -> str:
        """What there is to read: plain text, or the HTML where that is missing or empty."""
        shown = (part.text for part in self.parts if part.plain)
        html = (part.text for part in self.parts if part.html)
        return next(filter(str.strip, shown), "") or next(filter(str.strip, html), "")

    @cached_property
    def fresh(self) -> Sequence[str]:
        """The new lines. The subject only where nothing was written, not even a quotation: an
        answer sent empty by mistake must not repeat what its subject says."""
        fresh = find_fresh(self.text)
        if fresh.lines or fresh.quoting:
            return fresh.lines
        return [subject] if (subject := plain_subject(self.head.text("subject"))) else []

    @property
    def command(self) -> str:
        return self.fresh[0] if self.fresh else ""

    @cached_property
    def attachments(self) -> int:
        return sum(part.attached for part in self.parts)


@dataclass(frozen=True)
class Part:
    content: Content
    body: bytes

    @property
    def plain(self) -> bool:
        return self.content.kind == "text/plain" and not self.content.attached

    @property
    def html(self) -> bool:
        return self.content.kind == "text/html" and not self.content.attached

    @property
    def attached(self) -> bool:
        """Something to look at beside the text; the pictures of a signature are not."""
        foreign = not self.content.kind.startswith("text/") and not self.content.related
        return self.content.attached or foreign

    @property
    def text(self) -> str:
        longest = HTML_BYTES if self.html else TEXT_BYTES
        data = decode_transfer(self.body[:longest], self.content.encoding)
        if self.html:
            return read_html(decode(strip_noise(data), self.content.charset))
        text = decode(data, self.content.charset)
        return unflow(text, self.content.delsp) if self.content.flowed else text


def read_letter(raw: bytes) -> Letter:
    """Raises Unreadable. Reads no more than the head; the rest is read when it is asked for."""
    if raw.startswith(b"\r\n"):
        return Letter(read_headers(b""), raw[2:])
    head, blank, body = raw.partition(b"\r\n\r\n")
    if len(head) > LONGEST_HEAD:
        raise Unreadable("552 5.3.4 The header is too long")
    if re.search(rb"\r(?!\n)|(?<!\r)\n", head):
        # Readers disagree where such a line ends, and so about who wrote the mail.
        raise Unreadable("550 5.6.0 Bare CR or LF in the header")
    return Letter(read_headers(head + b"\r\n"), body if blank else b"")


def plain_subject(subject: str) -> str:
    while found := PREFIX.match(subject):
        subject = subject[found.end() :]
    return subject.strip()


def leaves(part: Part, depth: int) -> Iterator[Part]:
    """The parts that hold something, in their order. What lies too deep is one part, unread."""
    if not part.content.multiple or depth >= DEEPEST:
        yield part if depth < DEEPEST else Part(Content("application/octet-stream"), b"")
        return
    pieces = split_parts(part.body, part.content.boundary)
    if not pieces:
        yield Part(Content(), part.body)
    for piece in pieces:
        yield from leaves(read_part(piece), depth + 1)


def read_part(piece: bytes) -> Part:
    end = re.search(rb"\A\r?\n|\r?\n\r?\n", piece[:LONGEST_PART_HEAD])
    if end is None:
        return Part(Content(), piece)
    headers = read_headers(piece[: end.start()] + b"\r\n")
    return Part(read_content(headers), piece[end.end() :])


def split_parts(body: bytes, boundary: bytes) -> list[bytes]:
    """Cut at the lines that are the boundary; a missing last one ends with the letter."""
    pieces: list[bytes] = []
    mark, at, start = b"--" + boundary, 0, -1
    for _ in range(MOST_MARKS):
        if (at := body.find(mark, at)) < 0:
            break
        after = at + len(mark)
        tail = body[after : after + 200].partition(b"\n")[0].strip()
        if tail in (b"", b"--") and body[max(0, at - 1) : at] in (b"", b"\n"):
            if start >= 0:
                pieces.append(without_line_end(body[start:at]))
            start = next_line(body, after)
            if tail == b"--" or len(pieces) > MOST_PARTS:
                return pieces
        at = after
    return [*pieces, body[start:]] if start >= 0 else pieces


def without_line_end(piece: bytes) -> bytes:
    """The line end before a boundary belongs to the boundary."""
    return piece.removesuffix(b"\n").removesuffix(b"\r")


def next_line(body: bytes, at: int) -> int:
    found = body.find(b"\n", at)
    return found + 1 if found >= 0 else len(body)
