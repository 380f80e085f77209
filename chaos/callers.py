"""Programs that wait for an end, and some that change their minds when a job has begun."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from typing import Any

from core.model import JobStatus
from tests.crash.town import Town
from tests.crash.traffic import GIVES_UP_AFTER, Traffic, Wish, wish
from tests.servers import LOOPBACK

WAIT = 3
"""Seconds, shorter than a caller's patience."""
BEGUN_AFTER = 0.5
"""Seconds after which a job has usually begun."""
TOO_LONG = "rest {} 20"
"""Longer than any disaster, so that whoever is asked to stop it hears of that in time."""


class Manner(StrEnum):
    """What a caller does beside submitting."""

    PLAIN = "plain"
    WAITS = "waits"
    CANCELS = "cancels"


@dataclass
class Wanted(Wish):
    """`heard`: the states that callers were answered. `canceled`: somebody wanted it stopped.
    `stopping`: and was told that it would be."""

    manner: Manner = Manner.PLAIN
    job_id: str = ""
    heard: set[JobStatus] = field(default_factory=set)
    canceled: bool = False
    stopping: bool = False


def want(
    agent: str,
    words: str = "run {}",
    manner: Manner = Manner.PLAIN,
    *,
    by_mail: bool = False,
    delay: str = "",
) -> Wanted:
    made = wish(agent, words, by_mail=by_mail, delay=delay)
    return Wanted(made.number, agent, by_mail, made.words, delay, manner=manner)


class Callers(Traffic):
    def _ask(self, wish: Wish, doors: Iterator[int]) -> bool:
        if not isinstance(wish, Wanted) or wish.manner is Manner.PLAIN:
            return super()._ask(wish, doors)
        if not submit(self.town, wish, next(doors)):
            return False
        if wish.manner is Manner.CANCELS:
            self._change_mind(wish, doors)
        return True

    def _change_mind(self, wish: Wanted, doors: Iterator[int]) -> None:
        """Say so until there is an answer."""
        time.sleep(BEGUN_AFTER)
        wish.canceled = True
        while self.goes_on and not cancel(self.town, wish, next(doors)):
            time.sleep(0.2)


def submit(town: Town, wish: Wanted, door: int) -> bool:
    """Whether it was accepted; the answer may tell the end."""
    waits = wish.manner is Manner.WAITS
    path = f"/api/jobs?wait={WAIT}" if waits else "/api/jobs"
    status, said = call(town, door, path, {"agent": wish.agent, "message": wish.words}, wish.key)
    if status not in ((200, 202, 424) if waits else (201,)):
        return note_refusal(wish, status, said)
    wish.job_id = said["id"]
    wish.heard.add(JobStatus(said["status"]))
    if (status == 200) != (said["status"] == JobStatus.SUCCEEDED) and waits:
        wish.refusals.append(f"{status} for a job that is {said['status']}")
    return True


def cancel(town: Town, wish: Wanted, door: int) -> bool:
    """Whether there was an answer."""
    status, said = call(town, door, f"/api/jobs/{wish.job_id}/cancel")
    if status in (200, 202):
        wish.heard.add(JobStatus(said["status"]))
        wish.stopping = True
    elif said.get("error") == "JobFinished":
        return True
    else:
        note_refusal(wish, status, said)
    return status not in (0, 503)


def note_refusal(wish: Wish, status: int, said: object) -> bool:
    """What fails in passing is no refusal."""
    if status not in (0, 503):
        wish.refusals.append(f"{status} {said}")
    return False


def call(
    town: Town, door: int, path: str, fields: dict[str, str] | None = None, key: str = ""
) -> tuple[int, dict[str, Any]]:
    """The status and the fields of an answer; 0 where none came."""
    head = {"Authorization": f"Bearer {town.keys.program}"} | (
        {"Idempotency-Key": key} if key else {}
    )
    body = json.dumps(fields) if fields else None
    try:
        with closing(HTTPConnection(LOOPBACK, door, timeout=GIVES_UP_AFTER)) as line:
            line.request("POST", path, body, head)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
    except (OSError, HTTPException, ValueError):
        return 0, {}
