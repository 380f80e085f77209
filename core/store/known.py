"""The jobs this process handled last: a row whose seq is still the same need not be read whole."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from core.model import Job

MOST = 20_000


class Known:
    """Job and delivery by id, the oldest forgotten first. Never believed without the row's own seq."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, tuple[Job, str | None]] = OrderedDict()

    def get(self, job_id: str, seq: int) -> tuple[Job, str | None] | None:
        known = self._jobs.get(job_id)
        return known if known and known[0].seq == seq else None

    def put(self, job: Job, delivery_id: str | None) -> None:
        if job.status.final:
            self._jobs.pop(job.id, None)
            return
        # Without its output, which may be large and is read afresh where it matters.
        self._jobs[job.id] = (replace(job, result="") if job.result else job, delivery_id)
        self._jobs.move_to_end(job.id)
        while len(self._jobs) > MOST:
            self._jobs.popitem(last=False)
