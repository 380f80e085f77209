"""What help says about a verb, in one language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Help:
    """`usage` and `example` as they are typed, `does` in a few words, `more` for who asks."""

    usage: str
    does: str
    example: str
    more: str = ""
