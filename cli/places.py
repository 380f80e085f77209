"""Where the parts of a start are reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.chat import Mailbox
from core.settings import Web
from core.settings.hosts import reachable


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of this start are. `code` is the folder of app.py."""

    http: str
    mailbox: Mailbox | None
    data: Path
    code: Path


def http_address(web: Web) -> str:
    return f"http://{reachable(web.host)}:{web.port}"
