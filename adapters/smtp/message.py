"""From a proven letter to the message the bot is given."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from adapters.smtp.conversation import digest, find_thread, references
from adapters.smtp.letter import Letter
from adapters.smtp.proof import Proven
from adapters.smtp.signature import read_date
from core.chat import Message, Thread

HAN = re.compile("[㐀-鿿]")
LONGEST_SUBJECT = 300


def compose_message(
    letter: Letter, raw: bytes, proven: Proven, *, adapter: str, domain: str, now: datetime
) -> Message:
    sender = letter.sender
    assert sender is not None  # noqa: S101 — nothing is proven of a letter without one
    own = letter.message_id or f"<{hashlib.sha256(raw).hexdigest()}>"
    before = references(letter.head)
    thread_id = proven.thread_id or find_thread(before, own, domain)
    return Message(
        key=digest(proven.scope, proven.seal or own),
        thread=Thread(adapter, sender.address, thread_id, reference(letter, before, proven)),
        sender_id=f"-/{sender.address}",
        sender_name=sender.name,
        text=letter.command,
        sent_at=sent_at(letter, now),
        private=True,
        locale=find_locale(letter),
        proof=proven.proof,
        account_id=proven.account_id,
        requested_by=proven.requested_by,
        remarks=remarks(letter),
    )


def reference(letter: Letter, before: list[str], proven: Proven) -> dict[str, Any]:
    """What an answer needs. No secret: the address written to may hold one and is not kept."""
    return {
        "message_id": letter.message_id,
        "references": before,
        "subject": letter.head.text("subject")[:LONGEST_SUBJECT],
        "account": proven.account_id,
        "requested_by": proven.requested_by,
        "proved_at": proven.proved_at.isoformat(),
    }


def sent_at(letter: Letter, now: datetime) -> datetime:
    sent = read_date(letter.head)
    return min(sent, now) if sent else now


def find_locale(letter: Letter) -> str:
    for name in ("content-language", "accept-language"):
        if found := re.match(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*", letter.head.bare(name)):
            return found[0]
    return "zh" if HAN.search(letter.head.text("subject") + letter.text[:2000]) else ""


def remarks(letter: Letter) -> tuple[str, ...]:
    left_out = {"attachments": letter.attachments > 0, "rest": len(letter.fresh) > 1}
    return tuple(code for code, present in left_out.items() if present)
