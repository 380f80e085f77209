"""One thing that a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo`: what to do about it, where there is something."""

    level: Level
    about: str
    message: str
    todo: str = ""
