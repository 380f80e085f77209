"""People and programs that want things run, and do not stop asking until they hear a yes."""

from __future__ import annotations

import json
import smtplib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count, cycle

from core.memory import FRESH
from tests.app.program import wait_for
from tests.crash.town import Town
from tests.servers import LOOPBACK

PROGRAMS, WRITERS = 6, 3
"""Who submit at the same time, over HTTP and by mail."""
GIVES_UP_AFTER = 5.0
"""Seconds, for one answer; then the same is said again, whatever became of it."""
PERSISTENCE = 60.0
"""Seconds after which somebody who still heard no yes makes the test fail."""

numbers = count(1)


@dataclass
class Wish:
    """A job somebody wants. `agent` by name; `words` are what the agent is to be told."""

    number: int
    agent: str
    by_mail: bool
    words: str
    delay: str = ""
    accepted: bool = False
    tries: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"wish-{self.number}@town.example"


def wish(agent: str, words: str = "run {}", *, by_mail: bool = False, delay: str = "") -> Wish:
    number = next(numbers)
    return Wish(number, agent, by_mail, words.format(number), delay)


def wishes(agents: Sequence[str], http: int, mail: int) -> list[Wish]:
    """For all agents in turn; every third mail asks for a job in a second's time."""
    names = cycle(agents)
    made = [wish(next(names)) for _ in range(http)]
    delays = cycle(["", "", "1s"])
    return made + [wish(next(names), by_mail=True, delay=next(delays)) for _ in range(mail)]


class Traffic:
    """Says the wishes, about so many a second, from now on, none before `before_each` returns."""

    def __init__(
        self,
        town: Town,
        wanted: Sequence[Wish],
        rate: float = 60,
        *,
        persistence: float = PERSISTENCE,
        before_each: Callable[[], None] = lambda: None,
    ) -> None:
        self.town = town
        self.wanted = list(wanted)
        self._give_up = time.monotonic() + persistence
        self._before_each = before_each
        self._pause = (PROGRAMS + WRITERS) / rate
        by_http = deque(wish for wish in wanted if not wish.by_mail)
        by_mail = deque(wish for wish in wanted if wish.by_mail)
        self._threads = [
            threading.Thread(target=self._work, args=(line, turn), daemon=True)
            for line, most in ((by_http, PROGRAMS), (by_mail, WRITERS))
            for turn in range(most)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def accepted(self) -> int:
        return sum(wish.accepted for wish in self.wanted)

    def until(self, share: float) -> None:
        """Wait until so much of it was accepted."""
        wait_for(lambda: self.accepted >= share * len(self.wanted) or None, f"{share:.0%} of it")

    def finish(self) -> list[Wish]:
        """When everything was accepted."""
        deadline = time.monotonic() + PERSISTENCE
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        unheard = [wish for wish in self.wanted if not wish.accepted]
        assert not unheard, f"{len(unheard)} heard no yes within {PERSISTENCE} s: {unheard[:3]}"
        return self.wanted

    def stop(self) -> None:
        """Ask for nothing more, nor again."""
        self._give_up = 0.0

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._give_up

    def _work(self, line: deque[Wish], turn: int) -> None:
        doors = cycle(self.town.doors[turn % 2 :] + self.town.doors[: turn % 2])
        while line and self.goes_on:
            self._before_each()
            try:
                wish = line.popleft()
            except IndexError:
                return
            self._insist(wish, doors)
            time.sleep(self._pause)

    def _insist(self, wish: Wish, doors: Iterator[int]) -> None:
        while not wish.accepted and self.goes_on:
            wish.tries += 1
            wish.accepted = self._ask(wish, doors)
            if not wish.accepted:
                time.sleep(0.2)

    def _ask(self, wish: Wish, doors: Iterator[int]) -> bool:
        return write(self.town, wish) if wish.by_mail else submit(self.town, wish, next(doors))


def submit(town: Town, wish: Wish, door: int) -> bool:
    """Over HTTP; whether the answer was a yes. What fails in passing is no answer."""
    body = json.dumps({"agent": wish.agent, "message": wish.words})
    head = {"Authorization": f"Bearer {town.keys.program}", "Idempotency-Key": wish.key}
    try:
        with closing(HTTPConnection(LOOPBACK, door, timeout=GIVES_UP_AFTER)) as line:
            line.request("POST", "/api/jobs", body, head)
            answer = line.getresponse()
            said = answer.read().decode()
    except (OSError, HTTPException):
        return False
    if answer.status != 201 and answer.status != 503:
        wish.refusals.append(f"{answer.status} {said}")
    return answer.status == 201


def write(town: Town, wish: Wish) -> bool:
    """By mail; whether it was taken."""
    words = f"{wish.agent} {wish.words}"
    text = f"delay {wish.delay} {words}" if wish.delay else words
    try:
        send_mail(town, text, wish.key)
    except smtplib.SMTPRecipientsRefused as error:
        [(status, said)] = error.recipients.values()
        return note_refusal(wish, status, said)
    except smtplib.SMTPResponseException as error:
        return note_refusal(wish, error.smtp_code, error.smtp_error)
    except (OSError, smtplib.SMTPException):
        return False
    return True


def note_refusal(wish: Wish, status: int, said: bytes | str) -> bool:
    if status >= 500:
        wish.refusals.append(f"{status} {said!r}")
    return False


def make_home(town: Town) -> None:
    """Ada is told here what has no thread of its own; every process knows it when this returns."""
    send_mail(town, "home", "home@town.example")
    wait_for(lambda: town.letters() or None, "the answer to the first letter")
    time.sleep(5 * FRESH)


def send_mail(town: Town, text: str, key: str) -> None:
    letter = f"From: ada@example.org\r\nMessage-ID: <{key}>\r\nSubject: -\r\n\r\n{text}\r\n"
    with smtplib.SMTP(LOOPBACK, town.inbox, timeout=GIVES_UP_AFTER) as line:
        line.sendmail("ada@example.org", [f"agent+{town.keys.mail}@localhost"], letter)
