"""What a person wrote anew in a mail, without what it quotes and how it is signed.

A miss is harmless: only the first new line is a command. Patterns look at two lines at most."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARK = "-=-=-=-=- ^ -=-=-=-=-"
"""Stands first in our own mails, in no language: what is below it is ours."""

MOST_LINES = 200
LONGEST = 16 * 1024

WROTE = re.compile(
    r"(?:On|At) .{5,200} wrote ?:|Am .{5,200} schrieb\b.{0,100}:|Le .{5,200} a écrit ?:"
    r"|El .{5,200} escribió ?:|.{0,200}(?:写道|寫道) ?[::]"
)
BROKEN = re.compile(r"(?:On|At|Am|Le|El) .{5,}|.{0,200}[于於] ?\d{4}年.*")
"""The first half of such a line, which Gmail breaks where it would become too long."""
DIVIDER = re.compile(
    r"[-_]{2,} ?(?:Original Message|Original|Forwarded message|Ursprüngliche Nachricht"
    r"|Weitergeleitete Nachricht|Message d.origine|Mensaje original|原始邮件|原始郵件|原邮件"
    r"|回复的原邮件|转发邮件信息|转发的原邮件|转发邮件) ?[-_]{2,}|_{20,}",
    re.IGNORECASE,
)
SENDER = re.compile(r"\*?(?:From|Von|De|发件人|寄件者|寄件人) ?[::].{1,300}", re.IGNORECASE)
FIELD = re.compile(
    r"\*?(?:From|Von|De|Sent|Gesendet|Envoyé|Enviado(?: el)?|Date|Datum|Fecha|To|An|À|Para|Cc"
    r"|Subject|Betreff|Objet|Asunto|发件人|寄件者|寄件人|发送时间|发送日期|時間|时间|日期|收件人|收件者|抄送|主题|主旨"
    r") ?[::].{0,300}",
    re.IGNORECASE,
)
SIGNED = re.compile(
    r"--|—|Sent from my .{1,60}|Get Outlook for .{1,60}|Von meinem .{1,40} gesendet"
    r"|Envoyé (?:de mon|depuis mon) .{1,60}|Enviado desde mi .{1,60}"
    r"|发自我的.{1,40}|來自我的.{1,40}|发自.{1,20}(?:邮箱|手机|客户端).{0,20}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """`lines`: what is new, blank lines left out. `quoting`: there was something older below."""

    lines: Sequence[str]
    quoting: bool


def find_fresh(text: str) -> Fresh:
    lines = [tidy(line) for line in re.split(r"\r\n|\r|\n", text[:LONGEST])[:MOST_LINES]]
    end, quoting = find_end(lines)
    fresh = [line for line in lines[:end] if line and not line.startswith(">")]
    if fresh or not quoting:
        return Fresh(fresh, quoting or len(fresh) < sum(map(bool, lines[:end])))
    return Fresh(below(lines[end:]), True)


def tidy(line: str) -> str:
    return line.replace("\xa0", " ").strip("\ufeff\u200b\u200e \t\f\v\u3000")


def find_end(lines: Sequence[str]) -> tuple[int, bool]:
    """Where the new text ends, and whether that is because something older begins."""
    for at in range(len(lines)):
        if opens_quote(lines, at):
            return at, True
        if SIGNED.fullmatch(lines[at]):
            return at, any(opens_quote(lines, later) for later in range(at, len(lines)))
    return len(lines), False


def opens_quote(lines: Sequence[str], at: int) -> bool:
    line = lines[at][:500]
    return bool(
        line.startswith(MARK)
        or WROTE.fullmatch(line)
        or (BROKEN.fullmatch(line) and WROTE.fullmatch(" ".join(lines[at : at + 2])[:500]))
        or DIVIDER.fullmatch(line)
        or (SENDER.fullmatch(line) and is_head(lines[at : at + 4]))
    )


def is_head(lines: Sequence[str]) -> bool:
    return sum(bool(FIELD.fullmatch(line[:400])) for line in lines) >= 3


def below(lines: Sequence[str]) -> list[str]:
    """For those who answer below a quotation marked with `>`."""
    after = iter(lines)
    for line in after:
        if line.startswith(">"):
            return list(unquoted(after))
    return []


def unquoted(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if SIGNED.fullmatch(line):
            return
        if line and not line.startswith(">"):
            yield line


def unflow(text: str, joined: bool) -> str:
    """Put flowed lines (RFC 3676) together again; `joined`: without a blank where they were cut."""
    whole: list[str] = []
    open_line = False
    for line in re.split(r"\r\n|\r|\n", text[: 2 * LONGEST]):
        bare = line.removeprefix(" ")
        soft = bare.endswith(" ") and bare != "-- " and not bare.startswith(">")
        piece = bare[:-1] if soft and joined else bare
        if open_line and bare != "-- " and not bare.startswith(">"):
            whole[-1] += piece
        else:
            whole.append(piece)
        open_line = soft
    return "\n".join(whole)
