"""A reply as Slack shows it: rich text, in which nothing has to be escaped, and buttons.

In a rich text block every piece says what it is (words, code, a link), so that no mention, link,
emoji or backtick in somebody's words becomes one. Only the `text` beside the blocks, which
notifications show, is read for markup; there `&`, `<` and `>` are written as entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.chat import Action, Reply

LONGEST_OUTPUT = 2900
"""Characters of output that a message shows; of longer output the beginning and the end."""
HEAD = 1000
TAIL = 1800
LOOKED_AT = 20_000
"""Characters at each end of an output, so that a long one costs no more than others."""
LONGEST_TEXT = 8400
"""With the output and the buttons it stays below 12,000: a little more than 13,000 in all blocks
together is refused as `msg_blocks_too_long` (slackapi/bolt-js, issue 2509)."""
LONGEST_BLOCK = 2900
LONGEST_NOTE = 3500
"""Bytes of the text beside the blocks; an edit takes 4,000."""
LONGEST_LABEL = 75
LONGEST_VALUE = 2000
MOST_BUTTONS = 5
FILE = "output.txt"

STAYS, SPENT = "skadi_stay", "skadi_once"
ACTION_ID = re.compile(rf"({STAYS}|{SPENT})_\d+")
"""Of every button of ours; they differ within a message, as Slack wants it."""

FENCE = re.compile(r"^(`{3,})[^\n]*\n(.*?)^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`|\*\*(?P<bold>[^*\n]+)\*\*|\\(?P<literal>[!-/:-@\[-`{-~])"
    r"|\[(?P<label>[^\[\]\n]+)\]\((?P<link>https?://[^\s()<>\"]+)\)"
)
BULLET = "- "
ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Element = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a message is made of. `file`: the whole output, where the message shows only a part."""

    text: str
    blocks: Sequence[Element]
    file: str = ""


def compose(reply: Reply, *, files: bool = True) -> Draft:
    """`files`: whether the whole of a long output can go along."""
    text, output = printable(reply.text), ends(reply.output)
    whole = size(output) <= LONGEST_OUTPUT
    missing = max(len(reply.output) - 2 * LOOKED_AT, 0)
    elements = [*words(clip(text, LONGEST_TEXT)), *shown(output, missing, FILE if files else "")]
    blocks = [rich_text(part) for part in parted(elements)]
    if buttons := [*buttons_of(reply.actions)]:
        blocks.append({"type": "actions", "elements": buttons})
    return Draft(note(text), blocks, "" if whole or not files else reply.output)


def bare(reply: Reply) -> Draft:
    """The same without any block, should Slack take offence at one; the output is a file then."""
    return Draft(note(printable(reply.text)), (), reply.output)


def is_spent(action_id: str) -> bool:
    """Whether a click on this button answers the only question of its message."""
    return action_id.startswith(SPENT)


# Characters, as Slack counts them: by UTF-16, so that an emoji is two.


def printable(text: str) -> str:
    """Without what colours or steers a terminal, and without halves of characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return UNPRINTABLE.sub("", ESCAPE_SEQUENCE.sub("", lines))


def size(text: str) -> int:
    return len(text.encode("utf-16-le", "ignore")) // 2


def beginning(text: str, longest: int) -> str:
    cut = text[:longest].encode("utf-16-le", "ignore")[: 2 * longest]
    return cut.decode("utf-16-le", "ignore")


def end(text: str, longest: int) -> str:
    cut = text[-longest:].encode("utf-16-le", "ignore")[-2 * longest :]
    return cut.decode("utf-16-le", "ignore")


def clip(text: str, longest: int) -> str:
    """Its beginning, to the end of a line where there is one."""
    if size(text) <= longest:
        return text
    head = beginning(text, longest - 2)
    return f"{whole_lines(head)}\n…"


def whole_lines(head: str) -> str:
    half = len(head) // 2
    return head[: head.rindex("\n", half)] if "\n" in head[half:] else head


# Words: the small CommonMark subset of replies.


def words(text: str) -> Iterator[Element]:
    for fenced, piece in pieces(text):
        if fenced:
            yield from preformatted(piece)
        else:
            yield from prose(piece.strip("\n"))


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The text cut at its fenced blocks: whether a piece was fenced, and what it holds."""
    at = 0
    for found in FENCE.finditer(text):
        yield False, text[at : found.start()]
        yield True, found[2]
        at = found.end()
    yield False, text[at:]


def prose(text: str) -> Iterator[Element]:
    """Lists, and what stands between them, none longer than a block may be."""
    kind, lines, length = False, list[str](), 0
    for line in text.split("\n") if text else ():
        line = clip(line, LONGEST_BLOCK)
        more = size(line) + 1
        if lines and (line.startswith(BULLET) is not kind or length + more > LONGEST_BLOCK):
            yield group(kind, lines)
            lines, length = [], 0
        kind = line.startswith(BULLET)
        lines.append(line)
        length += more
    if lines:
        yield group(kind, lines)


def group(listed: bool, lines: Sequence[str]) -> Element:
    if not listed:
        return section("\n".join(lines))
    items = [section(line.removeprefix(BULLET)) for line in lines]
    return {"type": "rich_text_list", "style": "bullet", "elements": items}


def section(text: str) -> Element:
    return {"type": "rich_text_section", "elements": [*leaves(text)] or [leaf(" ")]}


def leaves(text: str) -> Iterator[Element]:
    at = 0
    for found in INLINE.finditer(text):
        if found.start() > at:
            yield leaf(text[at : found.start()])
        yield marked(found)
        at = found.end()
    if at < len(text):
        yield leaf(text[at:])


def marked(found: re.Match[str]) -> Element:
    if found["link"]:
        return {"type": "link", "url": found["link"], "text": found["label"]}
    if found["code"]:
        return leaf(found["code"]) | {"style": {"code": True}}
    if found["bold"]:
        return leaf(found["bold"]) | {"style": {"bold": True}}
    return leaf(found["literal"])


def leaf(text: str) -> Element:
    return {"type": "text", "text": text}


def note(text: str) -> str:
    """What notifications say: plain words, in which nothing is markup."""
    lines = (piece if fenced else INLINE.sub(plainly, piece) for fenced, piece in pieces(text))
    plain = "".join(lines).strip("\n") or "…"
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped.encode()) <= LONGEST_NOTE:
        return escaped
    short = escaped.encode()[: LONGEST_NOTE - 3].decode("utf-8", "ignore")
    return re.sub(r"&[a-z]{0,3}$", "", short) + "…"


def plainly(found: re.Match[str]) -> str:
    return str(found["code"] or found["bold"] or found["label"] or found["literal"])


# Output.


def ends(output: str) -> str:
    """So much of its two ends as may be needed to show them, however long it is."""
    if len(output) > 2 * LOOKED_AT:
        output = f"{output[:LOOKED_AT]}{output[-LOOKED_AT:]}"
    return printable(output).strip("\n")


def shown(output: str, missing: int, file: str) -> Iterator[Element]:
    """All of it, or its beginning and its end, and how much is missing between them."""
    if size(output) <= LONGEST_OUTPUT:
        yield from preformatted(output)
        return
    head, tail = whole_lines(beginning(output, HEAD)), end(output, TAIL)
    if "\n" in tail[: len(tail) // 2]:
        tail = tail.partition("\n")[2]
    left_out = f"… {missing + len(output) - len(head) - len(tail):,} …"
    yield from preformatted(head)
    yield section(f"{left_out} → {file}" if file else left_out)
    yield from preformatted(tail)


def preformatted(text: str) -> Iterator[Element]:
    if inside := text.strip("\n"):
        yield {"type": "rich_text_preformatted", "elements": [leaf(inside)]}


# Blocks.


def parted(elements: Iterable[Element]) -> Iterator[Sequence[Element]]:
    """As many together as a block may hold."""
    together, length = list[Element](), 0
    for element in elements:
        more = weigh(element)
        if together and length + more > LONGEST_BLOCK:
            yield together
            together, length = [], 0
        together.append(element)
        length += more
    if together:
        yield together


def weigh(element: Mapping[str, Any]) -> int:
    return size(str(element.get("text", ""))) + sum(map(weigh, element.get("elements", ())))


def rich_text(elements: Sequence[Element]) -> Element:
    return {"type": "rich_text", "elements": list(elements)}


def buttons_of(actions: Sequence[Action]) -> Iterator[Element]:
    """A command that is too long for a button is left to be typed."""
    fitting = [action for action in actions if len(action.command) <= LONGEST_VALUE]
    for number, action in enumerate(fitting[:MOST_BUTTONS]):
        label = beginning(printable(action.label), LONGEST_LABEL)
        button = {
            "type": "button",
            "text": {"type": "plain_text", "text": label or "…", "emoji": False},
            "action_id": f"{SPENT if action.once else STAYS}_{number}",
            "value": action.command,
        }
        yield button if action.style == "default" else button | {"style": action.style}
