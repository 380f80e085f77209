"""How a line of the log is written: for people, or as JSON for programs that gather logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
OURS = ("skadi", "demo", "app", "cli", "bots", "web", "adapters", "core")
"""Who says more when asked to. Libraries do not: theirs names paths, statements, whole bodies."""
ID = re.compile(r"\b[0-9a-v]{20}\b")


class JsonLines(logging.Formatter):
    """A line a fact. `trace`: the ids that the line speaks of, by which it is found again."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said,
        }
        if ids := list(dict.fromkeys(ID.findall(said))):
            line["trace"] = ids
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def start_log(level: str, written: str = "text") -> None:
    """`written`: one of FORMATS."""
    wanted = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATS[written])
    logging.basicConfig(level=max(wanted, logging.WARNING), handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)


FORMATS: Mapping[str, logging.Formatter] = {
    "text": logging.Formatter(TEXT, datefmt="%Y-%m-%d %H:%M:%S"),
    "json": JsonLines(),
}
