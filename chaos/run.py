"""One run from the first job to the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from chaos.callers import TOO_LONG, Callers, Manner, Wanted, want
from chaos.director import Director
from chaos.plan import NEW, draw
from chaos.town import AGENTS, LEASE, WiredTown
from chaos.verdict import Verdict, judge
from chaos.wire import Exchange
from tests.crash.books import END, Books, read
from tests.crash.traffic import Traffic
from tests.servers import MariaDB, Redis

BY_MAIL = 0.1
CANCELED = 0.02
"""The share of what callers want stopped once it has begun."""
RATE = 200.0
"""Jobs a second that are submitted while the agents keep up."""
AHEAD = 20, 150
"""Jobs that may be on their way, at least and at most; more are not submitted meanwhile."""
STUCK = 60.0
"""Seconds without anything accepted, begun or told after which nothing more is waited for."""
PATIENCE = 24 * 3600.0
"""Seconds that somebody goes on asking for one job."""
TICK = 0.25
LATEST = 30.0
"""Seconds for what is still wrong to come right when all seems done."""
NEWS = 5.0
"""Seconds between two lines of news."""

Say = Callable[[str], None]


@dataclass
class Progress:
    """How far things are, seen from outside; `told` are the numbers of the jobs whose end was."""

    jobs: int
    accepted: int = 0
    begun: int = 0
    told: set[int] = field(default_factory=set)
    letters: int = 0

    @property
    def share(self) -> float:
        return (self.accepted + len(self.told)) / (2 * self.jobs)

    @property
    def on_their_way(self) -> int:
        return self.accepted - len(self.told)

    @property
    def marks(self) -> tuple[int, ...]:
        return self.accepted, self.begun, self.letters


@dataclass(frozen=True)
class Outcome:
    verdict: Verdict
    books: Books
    struck: Mapping[str, int]
    cuts: int
    ended: Mapping[str, int]
    """Processes that ended by themselves and were started again."""
    seconds: float
    """Until the last end was told."""


def run(folder: Path, maria: MariaDB, redis: Redis, jobs: int, seed: int, say: Say) -> Outcome:
    """In this folder, and with servers that nobody else relies on."""
    with Exchange() as exchange:
        town = WiredTown(folder, maria, redis, exchange)
        try:
            town.settle_down()
            say("Everybody is there; it begins.")
            return Run(town, jobs, seed, say).perform()
        finally:
            town.close()


def wishes(jobs: int) -> list[Wanted]:
    """For all agents in turn; every eighth works for half a second, some mails ask for a delay, some
    programs wait for the end. What is to be canceled is spread among the rest."""
    letters, stopped = int(jobs * BY_MAIL), int(jobs * CANCELED)
    names, words = cycle(AGENTS), cycle(["run {}"] * 7 + ["rest {} 0.5"])
    delays, manners = cycle(["", "", "1s"]), cycle([Manner.PLAIN] * 6 + [Manner.WAITS])
    fickle = cycle(NEW)
    made = [
        want(next(names), next(words), by_mail=True, delay=next(delays)) for _ in range(letters)
    ]
    for turn in range(jobs - letters):
        if turn * stopped // (jobs - letters) < (turn + 1) * stopped // (jobs - letters):
            made.append(want(next(fickle), TOO_LONG, Manner.CANCELS))
        else:
            made.append(want(next(names), next(words), next(manners)))
    return made


class Run:
    def __init__(self, town: WiredTown, jobs: int, seed: int, say: Say) -> None:
        self._town = town
        self._say = say
        self._wanted = wishes(jobs)
        self._ahead = min(max(AHEAD[0], jobs // 5), AHEAD[1])
        self._progress = Progress(jobs)
        self._director = Director(town, draw(seed, jobs))
        self._goes_on = True
        self._start = time.monotonic()

    def perform(self) -> Outcome:
        traffic = Callers(
            *(self._town, self._wanted, RATE),
            persistence=PATIENCE,
            before_each=self._hold_back,
        )
        for _ in self._watch(traffic):
            self._director.look(self._progress.share)
            if self._progress.share == 1 and self._director.idle:
                break
        self._director.finish()
        self._goes_on = False
        traffic.stop()
        told_after = self.seconds
        books, verdict = self._close_books()
        return Outcome(
            *(verdict, books, self._director.struck),
            cuts=sum(wire.cuts for wire in self._town.wires.values()),
            ended=self._town.ended,
            seconds=told_after,
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def _hold_back(self) -> None:
        while self._goes_on and self._progress.on_their_way > self._ahead:
            time.sleep(TICK)

    def _watch(self, traffic: Traffic) -> Iterator[None]:
        """Again and again, until nothing moves any more."""
        moved, news, marks = time.monotonic(), 0.0, self._progress.marks
        while time.monotonic() < moved + STUCK:
            self._look_around(traffic)
            if marks != (marks := self._progress.marks):
                moved = time.monotonic()
            if self.seconds >= news:
                news = self.seconds + NEWS
                self._say(self._news())
            yield
            time.sleep(TICK)
        self._say(f"Nothing has moved for {STUCK:g} s; what is not there by now does not come.")

    def _look_around(self, traffic: Traffic) -> None:
        self._town.keep()
        letters = self._town.letters()
        for letter in letters[self._progress.letters :]:
            if found := END.search(letter):
                self._progress.told.add(int(found[2]))
        self._progress.letters = len(letters)
        self._progress.accepted = traffic.accepted
        self._progress.begun = len(self._town.runs_seen())

    def _news(self) -> str:
        now, struck = self._progress, self._director.struck.total()
        return (
            f"{self.seconds:5.0f} s  {now.accepted:,} accepted, {now.begun:,} begun,"
            f" {len(now.told):,} told; disasters: {struck}, the last: {self._director.last}"
        )

    def _close_books(self) -> tuple[Books, Verdict]:
        """When the last lease is over, so that nothing can begin again unseen."""
        time.sleep(LEASE + 1)
        deadline = time.monotonic() + LATEST
        while True:
            books = read(self._town)
            verdict = judge(books, self._wanted, self._town.ended, self._director.struck)
            if verdict.good or time.monotonic() > deadline:
                return books, verdict
            time.sleep(1)
