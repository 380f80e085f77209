"""Mail addresses: what a sane one is, and which of them are ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from adapters.smtp.charsets import decode_words

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*")
ADDRESS = re.compile(rf"({ATOM}(?:\.{ATOM})*)@({DOMAIN.pattern})")
QUOTED = r'"(?:[^"\\]|\\.)*"'
NAMED = re.compile(rf'\s*((?:{QUOTED}|[^"()<>@,:;\\\[\]])*)<([^<>\s]+)>\s*')
COMMENTED = re.compile(r"\s*([^()<>\s]+)\s*(?:\(([^()]*)\)\s*)?")
SECRET = re.compile(r"\+[a-z0-9.]{1,80}")
LONGEST = 254
"""RFC 5321 section 4.5.3.1.3, the angle brackets taken off."""
LONGEST_LIST = 20_000


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody in a From line. The domain is in lower case; the part before it is as written, since
    only its own host may say that `Ada` and `ada` are one."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def read_address(text: str) -> str | None:
    """None for one that holds an encoded word, too: some readers would make several of it."""
    sane = len(text) <= LONGEST and "=?" not in text
    found = ADDRESS.fullmatch(text) if sane else None
    return f"{found[1]}@{found[2].lower()}" if found else None


def read_mailbox(value: str) -> Mailbox | None:
    """The one mailbox of a From line, its encoded words still in place.

    Stricter than RFC 5322: a name that itself looks like an address is refused unless quoted, since
    readers do not agree who wrote `boss@corp.example <eve@evil.example>`."""
    if len(value) > 1000:
        return None
    if found := NAMED.fullmatch(value):
        address, name = read_address(found[2]), found[1]
    elif found := COMMENTED.fullmatch(value):
        address, name = read_address(found[1]), found[2] or ""
    else:
        return None
    return Mailbox(address, plain_name(name)) if address else None


def plain_name(name: str) -> str:
    bare = re.sub(r"\\(.)", r"\1", name.strip().removeprefix('"').removesuffix('"'))
    shown = decode_words(bare.encode("latin-1", "replace"))
    return "".join(char for char in shown if char.isprintable()).strip()[:100]


def read_addresses(value: str) -> list[str]:
    """The addresses of a To or Cc line. What stands in a name is no address."""
    bare = re.sub(QUOTED, "", value[:LONGEST_LIST])
    found = (read_address(angled(segment)) for segment in bare.split(","))
    return [address for address in found if address]


def angled(segment: str) -> str:
    inner = re.search(r"<([^<>]*)>\s*\Z", segment)
    return inner[1] if inner else segment.strip()


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address of ours that somebody writes to.

    `plain` proves nothing; a `token` address carries a secret, a `return` address was given with an
    answer, and to the `bounce` address only reports of failed deliveries are sent."""

    kind: Literal["plain", "token", "return", "bounce"]
    address: str
    secret: str = ""


class Addresses:
    """Ours: `agent@domain`, `agent+…@domain`, other names for it, and the sender's."""

    def __init__(self, local: str, domain: str, aliases: tuple[str, ...], sender: str) -> None:
        self.local, self.domain = local.lower(), domain.lower()
        self.command = f"{self.local}@{self.domain}"
        self.sender = sender
        self._plain = {self.command, *(alias.lower() for alias in aliases)}

    def find(self, address: str) -> Recipient | None:
        """Read without regard to case: senders change it, and our secrets have none."""
        whole = address.lower()
        if whole in self._plain:
            return Recipient("plain", self.command)
        if whole == self.sender.lower():
            return Recipient("bounce", whole)
        local, _, domain = whole.rpartition("@")
        base, plus, secret = local.partition("+")
        if base != self.local or domain != self.domain or not SECRET.fullmatch(plus + secret):
            return None
        return Recipient("return" if secret.startswith("r.") else "token", whole, secret)

    def extend(self, extension: str) -> str:
        return f"{self.local}+{extension}@{self.domain}"
