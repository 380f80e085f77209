"""What Slack refuses in a message, by the limits of its documentation and those it only has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.slack.fake.sight import every_text

MOST_BLOCKS = 50
LONGEST_SECTION = 3000
LONGEST_FIELD = 2000
LONGEST_HEADER = 150
LONGEST_LABEL = 75
LONGEST_ID = 255
LONGEST_VALUE = 2000
MOST_BUTTONS = 25
MOST_CONTEXT = 10
LONGEST_MARKDOWN = 12_000
LONGEST_SUM = 13_200
"""Over all blocks; written nowhere, but refused (slackapi/bolt-js, issue 2509)."""
LONGEST_TEXT = 40_000
LONGEST_EDITED_TEXT = 4000
"""Bytes of a text that replaces another."""

STYLES = ("primary", "danger")
LEAVES = {"text", "link", "emoji", "user", "usergroup", "channel", "broadcast", "date", "color"}
PREFORMATTED_LEAVES = {"text", "link"}
RICH = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}

Faults = Iterator[str]


class Refused(Exception):
    """`ok: false`."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


def check(text: str, blocks: Any, *, edit: bool = False) -> None:
    """Raises Refused."""
    if not text and not blocks:
        raise Refused("no_text")
    if len(text) > LONGEST_TEXT or (edit and len(text.encode()) > LONGEST_EDITED_TEXT):
        raise Refused("msg_too_long")
    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format")
    if faults := list(faults_of(blocks)):
        messages = [f"[ERROR] {fault}" for fault in faults]
        raise Refused("invalid_blocks", response_metadata={"messages": messages})
    if sum(map(len, every_text(blocks))) > LONGEST_SUM:
        raise Refused("msg_blocks_too_long")


def faults_of(blocks: list[Any]) -> Faults:
    if len(blocks) > MOST_BLOCKS:
        yield f"no more than {MOST_BLOCKS} items allowed"
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict)]
    given = [each for each in ids if each]
    if len(set(given)) < len(given):
        yield "block_id is used twice"
    markdown = sum(len(block.get("text", "")) for block in blocks if is_kind(block, "markdown"))
    if markdown > LONGEST_MARKDOWN:
        yield f"markdown must be less than {LONGEST_MARKDOWN + 1} characters in sum"
    for number, block in enumerate(blocks):
        for fault in faults_of_block(block):
            yield f"{fault} [json-pointer:/blocks/{number}]"


def is_kind(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def faults_of_block(block: Any) -> Faults:
    known = KINDS.get(block.get("type", "")) if isinstance(block, dict) else None
    if known is None:
        yield "unsupported type"
        return
    if len(block.get("block_id", "")) > LONGEST_ID:
        yield "block_id is too long"
    yield from known(block)


def section(block: Mapping[str, Any]) -> Faults:
    if "text" not in block and not block.get("fields"):
        yield "missing required field: text or fields"
    if "text" in block:
        yield from text_object(block["text"], LONGEST_SECTION)
    fields = block.get("fields", ())
    if len(fields) > 10:
        yield "no more than 10 items allowed"
    for each in fields:
        yield from text_object(each, LONGEST_FIELD)
    if "accessory" in block:
        yield from button(block["accessory"])


def header(block: Mapping[str, Any]) -> Faults:
    yield from text_object(block.get("text"), LONGEST_HEADER, kinds=("plain_text",))


def context(block: Mapping[str, Any]) -> Faults:
    elements = block.get("elements", ())
    if not 0 < len(elements) <= MOST_CONTEXT:
        yield f"between 1 and {MOST_CONTEXT} items allowed"
    for each in elements:
        yield from text_object(each, LONGEST_SECTION)


def markdown(block: Mapping[str, Any]) -> Faults:
    if not isinstance(block.get("text"), str) or not block["text"]:
        yield "must be more than 0 characters"


def divider(_block: Mapping[str, Any]) -> Faults:
    yield from ()


def actions(block: Mapping[str, Any]) -> Faults:
    elements = block.get("elements", ())
    if not 0 < len(elements) <= MOST_BUTTONS:
        yield f"between 1 and {MOST_BUTTONS} items allowed"
    ids = [each.get("action_id") for each in elements]
    if len(set(ids)) < len(ids):
        yield "action_id is used twice"
    for each in elements:
        yield from button(each)


def button(element: Mapping[str, Any]) -> Faults:
    if element.get("type") != "button":
        yield "unsupported type"
        return
    yield from text_object(element.get("text"), LONGEST_LABEL, kinds=("plain_text",))
    if not 0 < len(element.get("action_id", "")) <= LONGEST_ID:
        yield f"action_id must be between 1 and {LONGEST_ID} characters"
    if len(element.get("value", "")) > LONGEST_VALUE:
        yield f"value must be less than {LONGEST_VALUE + 1} characters"
    if "style" in element and element["style"] not in STYLES:
        yield f"style must be one of {STYLES}"


def rich_text(block: Mapping[str, Any]) -> Faults:
    elements = block.get("elements", ())
    if not elements:
        yield "must have elements"
    for element in elements:
        yield from rich_element(element)


def rich_element(element: Mapping[str, Any]) -> Faults:
    kind = element.get("type")
    if kind not in RICH:
        yield f"unsupported type {kind}"
        return
    if kind == "rich_text_list":
        for each in element.get("elements", ()):
            yield from rich_element(each)
        return
    allowed = PREFORMATTED_LEAVES if kind == "rich_text_preformatted" else LEAVES
    for leaf in element.get("elements", ()):
        if leaf.get("type") not in allowed:
            yield f"unsupported type {leaf.get('type')} in {kind}"
        elif leaf["type"] == "text" and not leaf.get("text"):
            yield "must be more than 0 characters"


def text_object(
    text: Any, longest: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")
) -> Faults:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        yield f"must be a text object of {kinds}"
        return
    said = text.get("text")
    if not isinstance(said, str) or not said:
        yield "must be more than 0 characters"
    elif len(said) > longest:
        yield f"must be less than {longest + 1} characters"


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Faults]] = {
    "section": section,
    "header": header,
    "context": context,
    "markdown": markdown,
    "divider": divider,
    "actions": actions,
    "rich_text": rich_text,
}
