"""The loop: polls for jobs, starts each in a thread of its own, sees to an orderly end."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from .client import Abandoned, Answer, Client, Order
from .errors import BadToken, Failed, JournalError, Refused, ServerError, Unreachable
from .greeting import Greeting
from .job import Handler, Job, bound, clean
from .journal import Journal
from .live import Live
from .pace import Pace
from .patience import Patience
from .reporter import Reporter

log = logging.getLogger("skadi.agent")

WAITING = "waiting for another job to end"
LATE = "not run: the server had given up on it before it could start"
AGAIN = "not run a second time: this job has been run here and its end was reported"
MOST_HELD = 1000  # ids that a poll may name; what it leaves out may come again, and is known
OWN_WORDS = 1000  # characters, beyond the output, for what is said about it
UNBEGUN = "canceled before it began"
ENDS = {"succeed": "succeeded", "fail": "failed", "canceled": "canceled"}
REPEATED = 1.0  # seconds before asking again a server that says once more what is being done
LEFT = "stopped with the agent; it had not ended and its outcome is unknown"


class Worker:
    """Works until `stop` or until the server rejects the token; then `error` says so."""

    def __init__(
        self,
        connect: Callable[[], Client],
        journal: Journal,
        handler: Handler,
        pace: Pace,
        slots: int,
        output_limit: int,
        hello: Mapping[str, object],
    ) -> None:
        self.error: Exception | None = None
        self._client = connect()
        self._journal = journal
        self._handler = handler
        self._pace = pace
        self._slots = slots
        self._output_limit = output_limit
        self._patience = Patience("poll", pace.first_retry, pace.longest_retry)
        self._greeting = Greeting(self._client, journal, hello)
        self._reporter = Reporter(connect(), journal, pace, self.give_up)
        self._live = Live(connect(), pace, self._cancel)
        self._changed = threading.Condition()
        self._active: dict[str, Job] = {}
        self._ending: set[str] = set()
        self._waiting: deque[Order] = deque()
        self._stopping = False
        self._grace = pace.grace
        self._asking: int | None = None
        # Whether the server holds polls open; unknown until it has done so, or twice has not.
        self._holds: bool | None = None
        self._quick_answers = 0

    def stop(self, grace: float | None = None) -> None:
        with self._changed:
            self._stopping = True
            self._grace = self._grace if grace is None else grace
            self._changed.notify_all()
        self._client.abandon()

    def give_up(self, error: Exception) -> None:
        if self.error is None:
            log.error("%s", error)
            self.error = error
        self.stop()

    def work(self) -> None:
        try:
            self._waiting.extend(
                Order(entry.id, entry.message) for entry in self._journal.waiting()
            )
            self._reporter.start()
            self._live.start()
            self._reporter.ring()
            while not self._stopping:
                self._turn()
        except BadToken as error:
            self.give_up(error)
        except Exception as error:
            log.exception("the agent ends by a fault of its own")
            self.error = error
        finally:
            self._leave()

    # A turn: what may start starts, then the server is asked for more.

    def _turn(self) -> None:
        self._resume()
        self._start_waiting()
        slots = self._arm()
        if slots is None:
            self._rest(self._pace.interval, lambda: self._free() > 0)
        else:
            self._ask(slots)

    def _ask(self, slots: int) -> None:
        began = time.monotonic()
        greeting = self._greeting.due
        # A first poll is not to be held: what is here is to be known at once.
        wait = 0 if greeting else self._pace.wait
        try:
            answer = self._poll(slots, wait)
        except Abandoned:
            return
        except BadToken:
            raise
        except ServerError as error:
            self._greeting.missed()
            self._rest(self._patience.failed(error))
        else:
            self._patience.succeeded()
            self._heed(answer, time.monotonic() - began if wait else 0.0, slots, greeting)

    def _resume(self) -> None:
        with self._changed:
            if not self._stopping:
                self._client.resume()

    def _arm(self) -> int | None:
        """How many jobs to ask for; None: better not to ask now."""
        with self._changed:
            slots = max(self._free(), 0)
            if slots == 0 and self._holds is False and not self._greeting.understood:
                return None
            self._asking = slots
            return slots

    def _free(self) -> int:
        return self._slots - len(self._active) - len(self._waiting)

    def _poll(self, slots: int, wait: int) -> Answer:
        try:
            holding = self._journal.holding()[-MOST_HELD:]
            return self._client.poll(wait, slots, self._journal.id, holding)
        finally:
            with self._changed:
                self._asking = None

    def _rest(self, seconds: float, until: Callable[[], bool] = bool) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or until(), seconds)

    def _heed(self, answer: Answer, seconds: float, slots: int, greeting: bool) -> None:
        held = seconds >= min(1.0, self._pace.wait / 2) > 0
        if held:
            self._holds, self._quick_answers = True, 0
        begun = answer.order and self._accept(answer.order, answer.cancel)
        greeted = greeting and self._greeting.say()
        if begun:
            self._quick_answers = 0
        elif not held and not greeted and not answer.cancel:
            self._slow_down(slots)
        if answer.cancel and not self._cancel_all(answer.cancel):
            pause = min(REPEATED, self._pace.interval)
            self._rest(pause, lambda: self._free() > slots)

    def _slow_down(self, slots: int) -> None:
        """Once may be a server that restarts; twice is one that does not know how to wait."""
        self._quick_answers += 1
        pause = self._pace.interval
        if self._quick_answers == 1:
            pause = min(1.0, pause)
        else:
            self._holds = False
        self._rest(pause, lambda: self._free() > slots)

    # A job: accepted, begun, finished.

    def _accept(self, order: Order, canceled: Iterable[str] = ()) -> bool:
        """Whether it is new to us."""
        if self._journal.knows(order.id):
            self._answer_again(order)
            return False
        if order.id in canceled:
            self._record_end(order.id, "canceled", UNBEGUN)
        elif self._free() > 0:
            self._begin(order)
        else:
            self._put_by(order)
        return True

    def _answer_again(self, order: Order) -> None:
        verb = self._journal.verb_reported(order.id)
        log.warning("job %s: handed out a second time; it is not run again", order.id)
        if verb:
            self._record_end(order.id, verb, AGAIN)

    def _put_by(self, order: Order) -> None:
        """Only a server that does not know of slots sends more than was asked for."""
        self._holds = False
        try:
            self._journal.receive(order.id, order.message)
        except JournalError as error:
            self._record_end(order.id, "fail", f"not run: {error}")
        else:
            self._waiting.append(order)
            self._reporter.follow(order.id, WAITING)

    def _start_waiting(self) -> None:
        """What has waited may have been given up on meanwhile: the server is asked first."""
        while self._waiting and len(self._active) < self._slots and not self._stopping:
            try:
                self._client.report(self._waiting[0].id, "running", "")
            except BadToken:
                raise
            except Refused:
                self._drop(self._waiting.popleft())
            except (Unreachable, Abandoned):
                return
            else:
                self._begin(self._waiting.popleft())

    def _drop(self, order: Order) -> None:
        self._reporter.unfollow(order.id)
        self._record_end(order.id, "fail", LATE)

    def _begin(self, order: Order) -> None:
        try:
            self._journal.start(order.id, order.message)
        except JournalError as error:
            self._record_end(order.id, "fail", f"not run: {error}")
        else:
            self._launch(order)

    def _launch(self, order: Order) -> None:
        job = Job(
            order.id,
            order.message,
            tell=partial(self._reporter.progress, order.id),
            show=self._live.open(order.id),
        )
        with self._changed:
            self._active[job.id] = job
        self._reporter.follow(job.id)
        log.info("job %s: started", job.id)
        threading.Thread(
            target=self._run, args=(job,), name=f"skadi-job-{job.id}", daemon=True
        ).start()

    def _run(self, job: Job) -> None:
        try:
            result = self._handler(job)
            self._finish(job, "succeed", "" if result is None else str(result))
        except Failed as error:
            self._finish(job, failure(job), str(error))
        except BaseException as error:
            log.exception("job %s: its handler failed", job.id)
            self._finish(job, failure(job), str(error) or type(error).__name__)

    def _finish(self, job: Job, verb: str, text: str) -> None:
        """Only the first end of a job counts: its handler's, or ours when it is left behind."""
        with self._changed:
            if self._active.get(job.id) is not job or job.id in self._ending:
                return
            self._ending.add(job.id)
        self._live.close(job.id)
        self._reporter.unfollow(job.id)
        self._record_end(job.id, verb, text)
        with self._changed:
            del self._active[job.id]
            self._ending.discard(job.id)
            self._changed.notify_all()
            if self._asking == 0:
                self._client.abandon()

    def _record_end(self, job: str, verb: str, text: str) -> None:
        log.info("job %s: %s", job, ENDS[verb])
        try:
            self._journal.end(job, verb, bound(clean(text), self._output_limit + OWN_WORDS))
        except JournalError as error:
            log.error("%s", error)
        self._reporter.ring()

    # Cancel: what runs is told to stop, what has not begun never will.

    def _cancel_all(self, jobs: Iterable[str]) -> int:
        """How many of them had not been told yet."""
        return sum(self._cancel_waiting(job) or self._cancel(job) for job in jobs)

    def _cancel(self, id: str) -> bool:
        with self._changed:
            job = self._active.get(id)
            if job is None or job.canceled.is_set():
                return False
            job.cancel()
        log.info("job %s: it is to be canceled", id)
        return True

    def _cancel_waiting(self, id: str) -> bool:
        """Only the thread that polls may touch these."""
        order = next((order for order in self._waiting if order.id == id), None)
        if order is None:
            return False
        self._waiting.remove(order)
        self._reporter.unfollow(id)
        self._record_end(id, "canceled", UNBEGUN)
        return True

    # The end: jobs are waited for, then stopped, then left; what is known is reported.

    def _leave(self) -> None:
        self._wait_until_idle(lambda: self._grace)
        for job in self._jobs():
            job.stopping.set()
        self._wait_until_idle(lambda: self._pace.kill_grace)
        for job in self._jobs():
            self._finish(job, "fail", LEFT)
        self._live.finish()
        self._reporter.finish(0 if isinstance(self.error, BadToken) else self._pace.farewell)
        self._client.close()
        self._journal.close()

    def _jobs(self) -> list[Job]:
        with self._changed:
            return list(self._active.values())

    def _wait_until_idle(self, seconds: Callable[[], float]) -> None:
        began = time.monotonic()
        with self._changed:
            while self._active and began + seconds() > time.monotonic():
                self._changed.wait(began + seconds() - time.monotonic())


def failure(job: Job) -> str:
    """A handler that was told to stop and raises has stopped as asked."""
    return "canceled" if job.canceled.is_set() else "fail"
