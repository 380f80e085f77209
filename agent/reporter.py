"""Tells the server how jobs end and that they still run, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .client import UNKNOWN_PATH, Client
from .errors import BadToken, JournalError, Refused, Unreachable
from .journal import Entry, Journal
from .pace import Pace
from .patience import Patience

log = logging.getLogger("skadi.agent")


@dataclass
class Beat:
    """The next `running` of one job."""

    due: float
    text: str = ""
    sent: float = float("-inf")


@dataclass
class Retry:
    """A report that was not taken yet."""

    patience: Patience
    due: float = 0.0


class Reporter:
    """One thread. Ends are reported in their order; each has a patience of its own, so that one
    which the server chokes on does not hold up the others."""

    def __init__(
        self, client: Client, journal: Journal, pace: Pace, give_up: Callable[[Exception], None]
    ) -> None:
        self._client = client
        self._journal = journal
        self._pace = pace
        self._give_up = give_up
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._beats: dict[str, Beat] = {}
        self._retries: dict[str, Retry] = {}
        self._leave_at = float("inf")
        self._thread = threading.Thread(target=self._work, name="skadi-reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def follow(self, job: str, text: str = "") -> None:
        """From now on say each minute that this job runs."""
        with self._lock:
            self._beats[job] = Beat(time.monotonic() + self._pace.beat, text)
        self._bell.set()

    def unfollow(self, job: str) -> None:
        with self._lock:
            self._beats.pop(job, None)

    def progress(self, job: str, text: str) -> None:
        """Say it soon; a newer text takes the place of one not yet sent."""
        with self._lock:
            beat = self._beats.get(job)
            if beat:
                beat.text, beat.due = text, beat.sent + self._pace.progress_gap
        self._bell.set()

    def ring(self) -> None:
        self._bell.set()

    def finish(self, seconds: float) -> None:
        """Give what is unreported one more chance, then end."""
        with self._lock:
            self._retries.clear()
            self._beats.clear()
            self._leave_at = time.monotonic() + seconds
        self._bell.set()
        self._thread.join(seconds + self._pace.timeout)

    def _work(self) -> None:
        try:
            while not self._done():
                self._bell.wait(self._until_due())
                self._bell.clear()
                self._round()
        except BadToken as error:
            self._give_up(error)
        except Exception as error:
            log.exception("the reporter ends by a fault of its own")
            self._give_up(error)
        finally:
            self._client.close()

    def _done(self) -> bool:
        if self._leave_at == float("inf"):
            return False
        return not self._journal.unreported() or time.monotonic() >= self._leave_at

    def _until_due(self) -> float | None:
        with self._lock:
            dues = [beat.due for beat in self._beats.values()]
            dues += [self._retries[e.id].due if e.id in self._retries else 0 for e in self._ends()]
        dues.append(self._leave_at)
        earliest = min(dues)
        return None if earliest == float("inf") else max(0.0, earliest - time.monotonic())

    def _ends(self) -> list[Entry]:
        return self._journal.unreported()

    def _round(self) -> None:
        for entry in self._ends():
            retry = self._retries.get(entry.id)
            if retry is None or retry.due <= time.monotonic():
                self._report(entry)
        for job, text in self._due_beats():
            self._beat(job, text)

    def _report(self, entry: Entry) -> None:
        try:
            self._tell(entry)
        except Unreachable as error:
            self._later(entry.id, error)
        except BadToken:
            raise
        except Refused as error:
            explain_refusal(entry, error)
            self._settle(entry.id)
        else:
            self._settle(entry.id)

    def _tell(self, entry: Entry) -> None:
        try:
            self._client.report(entry.id, entry.verb, entry.result)
        except (Refused, Unreachable) as error:
            if entry.verb != "canceled" or error.status not in UNKNOWN_PATH:
                raise
            # An older server: it knows of no other bad end.
            self._client.report(entry.id, "fail", entry.result)

    def _later(self, job: str, error: Unreachable) -> None:
        retry = self._retries.get(job)
        if retry is None:
            first, longest = self._pace.first_retry, self._pace.longest_retry
            retry = self._retries[job] = Retry(Patience(f"report of job {job}", first, longest))
        retry.due = time.monotonic() + retry.patience.failed(error)

    def _settle(self, job: str) -> None:
        retry = self._retries.pop(job, None)
        if retry:
            retry.patience.succeeded()
        try:
            self._journal.settle(job)
        except JournalError as error:
            log.error("%s", error)

    def _due_beats(self) -> list[tuple[str, str]]:
        now = time.monotonic()
        with self._lock:
            due = [(job, beat) for job, beat in self._beats.items() if beat.due <= now]
            for _, beat in due:
                beat.sent, beat.due = now, now + self._pace.beat
            return [(job, beat.text) for job, beat in due]

    def _beat(self, job: str, text: str) -> None:
        try:
            self._client.report(job, "running", text)
        except Unreachable as error:
            log.debug("job %s: cannot say that it runs: %s", job, error)
        except BadToken:
            raise
        except Refused as error:
            log.warning("job %s: the server does not count it as running any more: %s", job, error)
            self.unfollow(job)


def explain_refusal(entry: Entry, error: Refused) -> None:
    if error.key == "JobFinished":
        log.info("job %s: the server knows its end already", entry.id)
    else:
        log.warning("job %s: the server refuses its end (%s): %s", entry.id, entry.verb, error)
