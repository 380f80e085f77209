"""Which mails were written by a machine (RFC 3834): none of them is answered, none is a command."""

from __future__ import annotations

import re

from adapters.smtp.headers import Headers, read_content
from adapters.smtp.letter import Letter

ROBOTS = re.compile(
    r"(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|listserv|majordomo)"
    r"(?:[+._-][^@]*)?@.*",
    re.IGNORECASE,
)
REPORTS = ("multipart/report", "message/delivery-status", "message/disposition-notification")


def why_machine(letter: Letter, mail_from: str, loop: str) -> str:
    """What gives the machine away; empty for a person. `loop` is the X-Loop of our own mails."""
    head = letter.head
    sender = letter.sender.address if letter.sender else ""
    signs = {
        "null return path": mail_from in ("", "<>"),
        "report": read_content(head).kind in REPORTS,
        "Auto-Submitted": head.word("auto-submitted") not in ("", "no"),
        "Precedence": head.word("precedence") in ("bulk", "junk", "list", "auto_reply"),
        "list": any(field.name.lower().startswith(b"list-") for field in head.fields),
        "X-Auto-Response-Suppress": suppresses(head),
        "X-Loop": any(loop.lower().encode() in raw.lower() for raw in head.raws("x-loop")),
        "robot": bool(ROBOTS.fullmatch(sender)),
    }
    return next((name for name, seen in signs.items() if seen), "")


def suppresses(head: Headers) -> bool:
    return head.word("x-auto-response-suppress") not in ("", "none")
