"""A reply as a mail: the bytes that are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from html import escape
from typing import Any

from adapters.smtp.addresses import read_address
from adapters.smtp.conversation import digest, new_message_id, shorten
from adapters.smtp.headers import MESSAGE_ID
from adapters.smtp.markup import printable, to_html, to_plain
from adapters.smtp.quotes import MARK
from core.chat import Reply

LONGEST = 20_000
"""Characters of output that a mail shows; longer output is attached."""
HEAD = LONGEST * 2 // 3
LONGEST_SUBJECT = 200
FILE = "output.txt"
STYLE = "white-space: pre-wrap; font-family: monospace"


class Wire(EmailPolicy):
    """Folds lists of ids at their blanks. The standard library would encode an id longer than a
    line, and the letters would fall out of their thread."""

    def fold(self, name: str, value: Any) -> str:
        if name.lower() in ("in-reply-to", "references"):
            return f"{name}: " + f"{self.linesep} ".join(str(value).split()) + self.linesep
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() in ("in-reply-to", "references"):
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


WIRE = Wire(linesep="\r\n", cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Answer:
    """`recipient`: the one address it goes to."""

    message_id: str
    recipient: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """What is answered, from a thread's `ref`; nothing in it is believed to be well formed."""

    message_id: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""


def read_question(ref: Mapping[str, Any]) -> Question:
    known = [str(known) for known in ref.get("references") or () if is_id(str(known))]
    own = str(ref.get("message_id") or "")
    return Question(own if is_id(own) else "", tuple(known), one_line(str(ref.get("subject", ""))))


def is_id(text: str) -> bool:
    return bool(MESSAGE_ID.fullmatch(text))


def one_line(text: str) -> str:
    """Nothing in it is an encoded word (RFC 2047): the standard library decodes them as it sets a
    header, and writes a line end that was hidden in one as it is."""
    bare = " ".join(printable(text).split())
    return bare.replace("=?", "= ?")[:LONGEST_SUBJECT]


def compose(reply: Reply, *, sender: str, domain: str, reply_to: str, now: datetime) -> Answer:
    """Raises ValueError if the thread's channel is no address."""
    recipient = read_address(reply.thread.channel_id)
    if recipient is None:
        raise ValueError("the thread has no mail address")
    question = read_question(reply.thread.ref)
    thread_id = reply.thread.thread_id or digest(recipient, now.isoformat())
    message = EmailMessage(policy=WIRE)
    message["From"] = f"Skadi <{sender}>"
    message["To"] = recipient
    message["Reply-To"] = reply_to
    message["Subject"] = subject(reply, question)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = new_message_id(thread_id, domain)
    add_references(message, question)
    message["Auto-Submitted"] = "auto-replied" if question.message_id else "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["X-Loop"] = sender
    add_content(message, reply)
    return Answer(str(message["Message-ID"]), recipient, message.as_bytes())


def subject(reply: Reply, question: Question) -> str:
    """The question's own, since some programs keep a thread together by it."""
    asked = re.sub(r"^(?:re: ?)+", "", question.subject, flags=re.IGNORECASE)
    if question.message_id:
        return f"Re: {asked or one_line(reply.subject)}".strip()
    return one_line(reply.subject) or "Skadi"


def add_references(message: EmailMessage, question: Question) -> None:
    if question.message_id:
        message["In-Reply-To"] = question.message_id
        message["References"] = " ".join(shorten([*question.references, question.message_id]))


def add_content(message: EmailMessage, reply: Reply) -> None:
    shown = cut(printable(reply.output).strip("\n"))
    text = printable(reply.text)
    message.set_content("\n\n".join(filter(None, (MARK, to_plain(text), shown))) + "\n")
    output = f'<pre style="{STYLE}">{escape(shown)}</pre>' if shown else ""
    page = (
        f"<!DOCTYPE html>\n<html><body><div>{MARK}</div>\n{to_html(text)}\n{output}</body></html>"
    )
    message.add_alternative(page, subtype="html")
    if len(reply.output) > LONGEST:
        whole = reply.output.encode("utf-8", "replace")
        message.add_attachment(
            whole, maintype="text", subtype="plain", filename=FILE, params={"charset": "utf-8"}
        )


def cut(output: str) -> str:
    """Its beginning and its end, at ends of lines where there are some."""
    if len(output) <= LONGEST:
        return output
    head, tail = output[:HEAD], output[HEAD - LONGEST :]
    head = head[: head.rfind("\n", HEAD // 2)] if "\n" in head[HEAD // 2 :] else head
    tail = tail.partition("\n")[2] if "\n" in tail[: len(tail) // 2] else tail
    left_out = len(output) - len(head) - len(tail)
    return f"{head}\n\n[… {left_out:,} → {FILE} …]\n\n{tail}"
