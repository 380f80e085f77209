"""Which letters belong together: ours, and those they answer."""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b32encode
from collections.abc import Sequence

from adapters.smtp.headers import Headers

LATEST = 10
"""How many ids of the letters before are kept, beside the first."""


def digest(*words: str) -> str:
    """26 characters that stand for these words: 130 bits."""
    hashed = hashlib.sha256("\n".join(words).encode("utf-8", "surrogateescape"))
    return b32encode(hashed.digest()).decode().lower()[:26]


def references(head: Headers) -> list[str]:
    """The ids of the letters before this one, the oldest first."""
    known = [*head.ids("references"), *head.ids("in-reply-to")[:1]]
    return shorten(list(dict.fromkeys(known)))


def shorten(ids: Sequence[str]) -> list[str]:
    return [*ids[:1], *ids[1:][-LATEST:]]


def find_thread(before: Sequence[str], own: str, domain: str) -> str:
    """The thread of a letter: as ours before it says, else by the letter that began it.

    Who invents an id of ours gets into nobody's thread: a thread has the person's address too."""
    for known in reversed(before):
        if ours := re.fullmatch(
            rf"<skadi\.([a-z2-7]{{26}})\.[0-9a-f]+@{re.escape(domain)}>", known
        ):
            return ours[1]
    return digest(before[0] if before else own)


def new_message_id(thread_id: str, domain: str) -> str:
    """It names the thread, since some programs give back only the id of what they answer."""
    return f"<skadi.{thread_id}.{secrets.token_hex(8)}@{domain}>"
