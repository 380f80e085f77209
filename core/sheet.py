"""A job as a line of a spreadsheet: CSV as RFC 4180 has it, with nothing in it that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from core.events import job_json
from core.model import Job

COLUMNS = (
    "id",
    "user_id",
    "agent_id",
    "agent_name",
    "message",
    "source",
    "callback",
    "status",
    "created_at",
    "sent_at",
    "running_at",
    "succeeded_at",
    "failed_at",
    "expired_at",
    "canceled_at",
    "result",
)
"""Named as the fields of the same job in JSON."""

FORMULA = re.compile("[\t\r\n]|[\\s\ufeff\u200b-\u200f\u2060]*[=+@\uff1d\uff0b\uff0d\uff20-]")
"""A cell that begins so is taken for a formula (OWASP, "CSV Injection"), by some programs behind blanks
and in full width as well: what an agent prints would be run on the computer of whoever opens the file."""


def heading() -> str:
    return line(COLUMNS)


def job_line(job: Job) -> str:
    fields = job_json(job)
    return line(harmless(str(fields.get(name, ""))) for name in COLUMNS)


def harmless(cell: str) -> str:
    """With an apostrophe before it where a spreadsheet would not take it for text."""
    return f"'{cell}" if FORMULA.match(cell) else cell


def line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
