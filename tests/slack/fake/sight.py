"""What a person sees of a message: words, code, buttons; and whom it would have pinged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any

FENCE = "```"
ENTITY = re.compile(r"<([^<>\n]+)>")
STYLE = re.compile(r"(?<![\w*_~])([*_~])(?=\S)([^\n]+?)(?<=\S)\1(?![\w*_~])")
STRONG = re.compile(r"\*\*([^\n]+?)\*\*")


@dataclass(frozen=True)
class Button:
    label: str
    action_id: str
    block_id: str
    value: str
    style: str = ""


@dataclass(frozen=True)
class Sight:
    """`code`: the lines that stand in a block of code. `pings`: whom this wakes."""

    words: str = ""
    code: tuple[str, ...] = ()
    buttons: tuple[Button, ...] = ()
    pings: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join([self.words, *self.code]).strip("\n")

    @property
    def shown(self) -> str:
        """The words, with the buttons behind them."""
        return " ".join([self.words, *(f"[{button.label}]" for button in self.buttons)])


@dataclass
class Reader:
    """Goes through a message as a chat program does. `names` of people and rooms by their ids."""

    names: Mapping[str, str]
    words: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def sight(self) -> Sight:
        return Sight(
            "\n".join(word for word in self.words if word),
            tuple(self.code),
            tuple(self.buttons),
            tuple(self.pings),
            tuple(self.links),
        )

    # Text with Slack's own markup.

    def mrkdwn(self, text: str) -> str:
        """Every second piece between fences is code; what a fence too few lets out is not."""
        pieces = text.split(FENCE)
        if len(pieces) % 2 == 0:
            pieces[-2:] = [FENCE.join(pieces[-2:])]
        for piece in pieces[1::2]:
            self.code += unescape(self._entities(piece)).strip("\n").split("\n")
        return "\n".join(filter(None, (self._marked(piece).strip("\n") for piece in pieces[::2])))

    def _marked(self, text: str) -> str:
        """Bold and the like go; spans of code keep their backticks and what is in them."""
        parts = re.split(r"(`[^`\n]+`)", text)
        shown = [part if part.startswith("`") else STYLE.sub(r"\2", part) for part in parts]
        return unescape(self._entities("".join(shown)))

    def _entities(self, text: str) -> str:
        return ENTITY.sub(lambda found: self._entity(found[1]), text)

    def _entity(self, inside: str) -> str:
        target, _, label = inside.partition("|")
        if target.startswith("!date"):
            return label
        if target.startswith(("!", "@")):
            return self.ping(target)
        if target.startswith("#"):
            return f"#{self.names.get(target[1:], label or target[1:])}"
        self.links.append(unescape(target))
        return label or target

    def ping(self, target: str) -> str:
        name = target.lstrip("!@").partition("^")[0]
        shown = f"@{self.names.get(name, name)}"
        self.pings.append(shown)
        return shown

    def markdown(self, text: str) -> str:
        """The block that takes CommonMark; it knows mentions as well."""
        return STRONG.sub(r"\1", self.mrkdwn(text))

    # Blocks.

    def block(self, block: Mapping[str, Any]) -> str:
        match block["type"]:
            case "section" | "header":
                texts = [block.get("text"), *block.get("fields", ())]
                self._accessory(block)
                return "\n".join(self.text(text) for text in texts if text)
            case "context":
                return " ".join(self.text(each) for each in block["elements"] if "text" in each)
            case "markdown":
                return self.markdown(block["text"])
            case "rich_text":
                return "".join(map(self.rich, block["elements"])).strip("\n")
            case "actions":
                for element in block["elements"]:
                    self._button(element, block)
        return ""

    def text(self, text: Mapping[str, Any]) -> str:
        said = str(text["text"])
        return self.mrkdwn(said) if text["type"] == "mrkdwn" else said

    def rich(self, element: Mapping[str, Any]) -> str:
        if element["type"] == "rich_text_list":
            return "".join(f"- {self.rich(each)}" for each in element["elements"])
        inside = "".join(map(self.leaf, element["elements"]))
        if element["type"] == "rich_text_preformatted":
            self.code += inside.strip("\n").split("\n")
            return ""
        return f"{inside}\n"

    def leaf(self, leaf: Mapping[str, Any]) -> str:
        match leaf["type"]:
            case "text":
                return f"`{leaf['text']}`" if leaf.get("style", {}).get("code") else leaf["text"]
            case "user":
                return self.ping(f"@{leaf['user_id']}")
            case "usergroup":
                return self.ping(f"!{leaf['usergroup_id']}")
            case "broadcast":
                return self.ping(f"!{leaf['range']}")
            case "channel":
                return f"#{self.names.get(leaf['channel_id'], leaf['channel_id'])}"
            case "link":
                self.links.append(leaf["url"])
                return str(leaf.get("text") or leaf["url"])
            case "emoji":
                return f":{leaf['name']}:"
        return ""

    def _accessory(self, block: Mapping[str, Any]) -> None:
        if accessory := block.get("accessory"):
            self._button(accessory, block)

    def _button(self, element: Mapping[str, Any], block: Mapping[str, Any]) -> None:
        if element["type"] == "button":
            self.buttons.append(
                Button(
                    element["text"]["text"],
                    element.get("action_id", ""),
                    block.get("block_id", ""),
                    element.get("value", ""),
                    element.get("style", ""),
                )
            )


def look(text: str, blocks: list[Any], names: Mapping[str, str]) -> Sight:
    """Where there are blocks, the text is for notifications only."""
    reader = Reader(names)
    if not blocks:
        reader.words.append(reader.mrkdwn(text))
    for block in blocks:
        reader.words.append(reader.block(block))
    return reader.sight()


def every_text(blocks: Any) -> Iterator[str]:
    """All that counts towards the sum of a message's characters."""
    if isinstance(blocks, list):
        for each in blocks:
            yield from every_text(each)
    elif isinstance(blocks, dict):
        for key, value in blocks.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from every_text(value)
