"""What a handler is given, and the text it may give back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


def silent(text: str) -> None:
    pass


def unseen(chunk: bytes) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """`stopping` is set when the job should end now: when somebody cancels it, for which `canceled`
    is set before, or when the agent is leaving and the job's time of grace is over."""

    id: str
    message: str
    stopping: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    tell: Callable[[str], None] = field(default=silent, repr=False, compare=False)
    canceled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    # Takes the bytes of the output as they come, for those who follow it.
    show: Callable[[bytes], None] = field(default=unseen, repr=False, compare=False)

    def cancel(self) -> None:
        self.canceled.set()
        self.stopping.set()

    def reason_to_stop(self) -> str:
        if not self.stopping.is_set():
            return ""
        return "canceled" if self.canceled.is_set() else "stopped with the agent"

    def running(self, text: str) -> None:
        """Report progress. It is sent in the background, the newest text only."""
        self.tell(text)


Handler = Callable[[Job], "str | None"]


def clean(text: str) -> str:
    """What JSON, databases and chats can all carry: no NUL, no half characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def bound(text: str, limit: int) -> str:
    """At most `limit` characters: head and tail, and between them a line on what is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return text[:half] + missing(len(text) - 2 * half, "characters") + text[len(text) - half :]


def missing(count: int, unit: str) -> str:
    return f"\n[... {count} {unit} left out ...]\n"
