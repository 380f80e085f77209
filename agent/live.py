"""Sends what jobs write while they run, beside them: no command and no report ever waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from .client import UNKNOWN_PATH, Abandoned, Client, Kept
from .errors import ServerError, Unreachable
from .pace import Pace
from .patience import Patience
from .stream import Stream

log = logging.getLogger("skadi.agent")

TOO_LARGE = 413


class Show:
    """One job's stream, and when it may next be sent from."""

    def __init__(self, job: str, due: float, pace: Pace) -> None:
        self.job = job
        self.stream = Stream()
        self.due = due
        self.patience = Patience(f"output of job {job}", pace.first_retry, pace.longest_retry)


class Live:
    """One thread and one connection for all jobs. What is left when a job ends is not sent: the
    report of its end has it."""

    def __init__(self, client: Client, pace: Pace, cancel: Callable[[str], object]) -> None:
        self._client = client
        self._pace = pace
        self._cancel = cancel
        self._changed = threading.Condition()
        self._shows: dict[str, Show] = {}
        self._leaving = False
        self._thread = threading.Thread(target=self._work, name="skadi-live", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open(self, job: str) -> Callable[[bytes], None]:
        """Where to put the output of this job. A job that ends at once sends nothing."""
        show = Show(job, time.monotonic() + self._pace.output_gap, self._pace)
        with self._changed:
            self._shows[job] = show
        return partial(self._add, show)

    def close(self, job: str) -> None:
        with self._changed:
            self._shows.pop(job, None)

    def finish(self) -> None:
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        self._client.abandon()
        self._thread.join(self._pace.timeout)

    def _add(self, show: Show, chunk: bytes) -> None:
        with self._changed:
            if self._shows.get(show.job) is not show:
                return
            waited = show.stream.waiting
            show.stream.add(chunk)
            if show.stream.waiting and not waited:
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            while True:
                show = self._next()
                if show is None:
                    return
                self._send(show)
        except Abandoned:
            return
        except Exception:
            log.exception("live output ends by a fault of its own; jobs and reports go on")
        finally:
            self._client.close()

    def _next(self) -> Show | None:
        """Waits for what is due; None: it is time to leave."""
        with self._changed:
            while not self._leaving:
                waiting = [show for show in self._shows.values() if show.stream.waiting]
                first = min(waiting, key=lambda show: show.due, default=None)
                pause = None if first is None else first.due - time.monotonic()
                if pause is not None and pause <= 0:
                    return first
                self._changed.wait(pause)
        return None

    def _send(self, show: Show) -> None:
        with self._changed:
            show.due = time.monotonic() + self._pace.output_gap
            offset, text = show.stream.chunk()
        try:
            kept = self._client.output(show.job, offset, text)
        except ServerError as error:
            self._failed(show, error)
        else:
            show.patience.succeeded()
            self._heed(show, kept)

    def _failed(self, show: Show, error: ServerError) -> None:
        """A final no, or a server that has no such path: this job is not shown any more."""
        final = (*UNKNOWN_PATH, TOO_LARGE)
        if isinstance(error, Unreachable) and error.status not in final:
            show.due = max(show.due, time.monotonic() + show.patience.failed(error))
        else:
            log.debug("job %s: its output is not taken: %s", show.job, error)
            self.close(show.job)

    def _heed(self, show: Show, kept: Kept) -> None:
        with self._changed:
            more = not kept.full and show.stream.settle(kept.have)
        if not more:
            self.close(show.job)
        if kept.cancel:
            self._cancel(show.job)
