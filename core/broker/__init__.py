"""Hints, never truth: which jobs are ready, who was seen lately, what is new, who must wake up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from core.errors import SettingsError

JOB_STREAM = "skadi:event:job:status"
MESSAGE_STREAM = "skadi:event:message"
ANSWER_STREAM = "skadi:answer"
"""Among ourselves: answers that are to be delivered. They are no events, and nobody else's business."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What the broker says to an agent's sign of life.

    `epoch` names the state of all cached facts (tokens, agents, homes); None when the broker
    forgot it.
    `last_seen` is the sign before this one, None if there is none. `job` was taken from its ready set
    (only when asked for). `ready`: a job waits for it, or another one. `out`: ids of jobs handed
    to its journal and not yet reported; `asked`: those of them that somebody wants stopped (both only
    filled when asked for)."""

    epoch: int | None
    last_seen: datetime | None
    ready: bool
    out: frozenset[str] = frozenset()
    job: str | None = None
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Presence:
    """When agents were last seen; `since` is the moment from which we have listened without a gap
    (None: nobody listens, so nobody's silence counts)."""

    epoch: int | None
    since: datetime | None
    seen: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class News:
    """One entry for a stream: the event as JSON, and whose delivery it concerns (ours alone)."""

    stream: str
    body: bytes
    delivery_id: str = ""


STOP = "!"
"""Among the jobs of a journal, before the id of one that is to be stopped."""


def parted(held: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The jobs of a journal, and those of them that are to be stopped."""
    asked = frozenset(word.removeprefix(STOP) for word in held if word.startswith(STOP))
    return frozenset(word for word in held if not word.startswith(STOP)), asked


class Bell(Protocol):
    """Rings in the process that waits when an agent has work, or when something became of a job (or
    when hints may have been lost)."""

    async def wait(self, seconds: float) -> bool:
        """True when it rang since it was hung (or since the last wait), False after so many
        seconds. One task waits at a time."""

    def ring(self) -> None:
        """Wake the one who waits, by whoever knows a reason (its caller has left)."""

    def job(self) -> str | None:
        """The job that came with the ring, given once. It is in no ready set any more: who cannot
        take it tells the broker again."""


class Broker(Protocol):
    """Every method that needs the network raises core.errors.Unavailable when the broker is away.

    What one process says arrives in the order in which it called."""

    async def open(self) -> None:
        """Begin to hear the bells; succeeds even while the broker is away."""

    async def close(self) -> None: ...

    async def sign(
        self, agent_id: str, now: datetime, *, out: bool = False, take: bool = False
    ) -> Sign:
        """Mark an agent as seen; calls that arrive together share one round trip.

        `take`: pop its oldest ready job as well, which costs no round trip of its own."""

    async def sign_all(
        self, agent_ids: Sequence[str], now: datetime, *, out: Collection[str] = ()
    ) -> Sequence[Sign]:
        """Mark many as seen; a sign for each, in their order. `out`: for whom to fill it."""

    async def presence(self, agent_ids: Sequence[str]) -> Presence: ...

    async def listen(self, now: datetime, gap: float) -> None:
        """A web process says that it listens. When nobody said so within `gap` seconds of `now`,
        the time that counts starts anew. Signs more than a day old are forgotten."""

    async def set_epoch(self, epoch: int) -> None:
        """Say which state of the facts holds; never goes back."""

    async def tell(
        self,
        news: Sequence[News],
        ready: Sequence[tuple[str, str]] = (),
        stirred: Collection[str] = (),
    ) -> None:
        """Append to the streams and add (agent_id, job_id) to the ready sets, ringing the bells of
        these agents and of what else is `stirred` (jobs, by their ids); adding again is harmless. A
        job for which a bell of this process waits goes there instead, at once. An agent's ready set
        is forgotten an hour after it was begun: what the store still calls queuing must be told again
        before."""

    async def pop(self, agent_id: str) -> str | None:
        """Take the oldest ready job id of an agent."""

    async def hand_out(self, agent_id: str, job_id: str) -> None:
        """Remember, until a day after the agent's last one, that a job went to its journal and is
        not reported yet."""

    async def call_off(self, agent_id: str, job_id: str) -> None:
        """Remember as long that somebody wants a job stopped that went to its journal, ringing the
        agent's bells."""

    async def take_back(self, agent_id: str, job_id: str) -> None:
        """Forget what hand_out and call_off remembered; harmless when there is nothing."""

    async def take_news(self, consumer: str, seconds: float) -> Sequence[str]:
        """Wait up to so many seconds for events; return the distinct ids of deliveries that have
        something new, each event given to one consumer of our group. Empty after the time, or
        sooner when what came concerns no delivery. At most once: the store knows the rest."""

    def bell(self, id: str, *, takes: bool = False) -> AbstractContextManager[Bell]:
        """A bell for an agent's work or for a job's fate, while it is held. `takes`: the agent may be
        given a job."""

    def ring_all(self) -> None:
        """Wake everybody who waits in this process (shutdown, reconnect)."""


def open_broker(url: str) -> Broker:
    """The broker at an address, not opened yet: in this process when it is empty, else Redis."""
    # Each brings what only it needs, and both need what stands above.
    if not url:
        from core.broker.embedded import EmbeddedBroker

        return EmbeddedBroker()
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError("redis.url must be empty or begin with redis://, rediss:// or unix://")
    from core.broker.redis import RedisBroker

    return RedisBroker(url)
