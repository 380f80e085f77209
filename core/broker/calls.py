"""What is kept in Redis and the commands that read and change it, each for many callers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from core.broker import News, Presence, Sign, parted
from core.broker.line import Group
from core.broker.wire import Command, Word

BELL = "skadi:bell"
"""The channel on which every process hears which agents have work and which jobs moved: their ids,
blanks between."""
EPOCH = "skadi:epoch"
LISTENING = "skadi:listening"
SEEN = "skadi:seen"
WORK = "skadi:work"
"""The agents whose ready set is not empty."""

STREAM_LENGTH = 100_000
NOTHING: frozenset[str] = frozenset()
DAY = int(timedelta(days=1).total_seconds())
HOUR = int(timedelta(hours=1).total_seconds())

# Scripts are sent whole: Redis keeps them compiled, and one that was emptied needs no care.

ANNOUNCE = """
for i, stream in ipairs(KEYS) do
  local entry = {'event', ARGV[2 * i]}
  if ARGV[2 * i + 1] ~= '' then entry = {'event', ARGV[2 * i], 'delivery', ARGV[2 * i + 1]} end
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', unpack(entry))
end
"""

# A ready set is not renewed: what the database still calls queuing is said again anyway, so an
# hour later the ids of jobs that nobody fetched and that are over are gone.
PUSH = """
for i = 2, #KEYS do
  local agent, job = ARGV[2 * i - 2], ARGV[2 * i - 1]
  redis.call('ZADD', KEYS[i], 0, job)
  if redis.call('TTL', KEYS[i]) < 0 then redis.call('EXPIRE', KEYS[i], ARGV[1]) end
  redis.call('SADD', KEYS[1], agent)
end
"""

# A script, so that no push comes between the last pop and the agent's leaving the set.
POP = """
local jobs = {}
for i, agent in ipairs(ARGV) do
  jobs[i] = redis.call('ZPOPMIN', KEYS[i + 1])[1] or false
  if redis.call('EXISTS', KEYS[i + 1]) == 0 then redis.call('SREM', KEYS[1], agent) end
end
return jobs
"""

HOLD = """
for i, out in ipairs(KEYS) do
  if ARGV[2 * i] == '+' then
    redis.call('SADD', out, ARGV[2 * i + 1])
    redis.call('EXPIRE', out, ARGV[1])
  else
    redis.call('SREM', out, ARGV[2 * i + 1], '!' .. ARGV[2 * i + 1])
  end
end
"""

READ_OUT = """
local held = {}
for i, out in ipairs(KEYS) do held[i] = redis.call('SMEMBERS', out) end
return held
"""

# A clock that was far ahead for a while must not silence us until its time has come, hence abs.
# The key ends by itself when nobody listens any more.
LISTEN = """
local now, gap = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = redis.call('HGET', KEYS[1], 'at')
if not at or math.abs(now - at) > gap then redis.call('HSET', KEYS[1], 'since', ARGV[1]) end
redis.call('HSET', KEYS[1], 'at', ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil(gap * 1000))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3])
"""

# Compared as text, as a number in Lua has no more than 53 bits.
SET_EPOCH = """
local old = redis.call('GET', KEYS[1]) or ''
if #ARGV[1] > #old or (#ARGV[1] == #old and ARGV[1] > old) then
  redis.call('SET', KEYS[1], ARGV[1])
end
"""


def ready_key(agent_id: str) -> str:
    return f"skadi:ready:{agent_id}"


def out_key(agent_id: str) -> str:
    return f"skadi:out:{agent_id}"


class Orders(Group[None]):
    """Calls that ask for nothing but to be done."""

    def answers(self, replies: Sequence[Any]) -> Iterable[None]:
        return [None] * len(self._callers)


class Signs(Group[Sequence[Sign]]):
    """A caller brings one agent or many. `_out` and `_take` are places among all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._agent_ids: list[str] = []
        self._moments: list[float] = []
        self._sizes: list[int] = []
        self._out: list[int] = []
        self._take: list[int] = []

    def add(
        self,
        agent_ids: Sequence[str],
        now: datetime,
        *,
        out: Collection[str] = (),
        take: Collection[str] = (),
    ) -> asyncio.Future[Sequence[Sign]]:
        first = len(self._agent_ids)
        self._agent_ids += agent_ids
        self._moments += [now.timestamp()] * len(agent_ids)
        self._sizes.append(len(agent_ids))
        if out:
            self._out += [place for place, id in enumerate(agent_ids, first) if id in out]
        if take:
            self._take += [place for place, id in enumerate(agent_ids, first) if id in take]
        return self.join()

    def commands(self) -> Iterator[Command]:
        yield "GET", EPOCH
        yield "ZMSCORE", SEEN, *self._agent_ids
        yield "ZADD", SEEN, *_flat(zip(self._moments, self._agent_ids, strict=True))
        if self._take:
            yield _pop([self._agent_ids[place] for place in self._take])
        yield "SMISMEMBER", WORK, *self._agent_ids
        if self._out:
            keys = [out_key(self._agent_ids[place]) for place in self._out]
            yield "EVAL", READ_OUT, len(keys), *keys

    def answers(self, replies: Sequence[Any]) -> Iterator[Sequence[Sign]]:
        signs = self._signs(iter(replies))
        return (list(islice(signs, size)) for size in self._sizes)

    def _signs(self, replies: Iterator[Any]) -> Iterator[Sign]:
        epoch, scores = _epoch(next(replies)), next(replies)
        next(replies)
        jobs = dict(zip(self._take, map(_text, next(replies)), strict=True)) if self._take else {}
        waiting = next(replies)
        out = dict(zip(self._out, map(_texts, next(replies)), strict=True)) if self._out else {}
        for place, (score, ready) in enumerate(zip(scores, waiting, strict=True)):
            held, asked = parted(out.get(place, NOTHING))
            yield Sign(epoch, _moment(score), ready == 1, held, jobs.get(place), asked)


class Looks(Group[Presence]):
    def __init__(self) -> None:
        super().__init__()
        self._asked: list[Sequence[str]] = []

    def add(self, agent_ids: Sequence[str]) -> asyncio.Future[Presence]:
        self._asked.append(agent_ids)
        return self.join()

    def commands(self) -> Iterator[Command]:
        yield "GET", EPOCH
        yield "HGET", LISTENING, "since"
        # ZMSCORE wants at least one member; nobody's name is empty.
        yield "ZMSCORE", SEEN, "", *chain.from_iterable(self._asked)

    def answers(self, replies: Sequence[Any]) -> Iterator[Presence]:
        epoch, since = _epoch(replies[0]), _moment(replies[1])
        moments = iter([_moment(score) for score in replies[2][1:]])
        for agent_ids in self._asked:
            found = {agent_id: next(moments) for agent_id in agent_ids}
            yield Presence(epoch, since, {id: seen for id, seen in found.items() if seen})


class Listens(Orders):
    def __init__(self) -> None:
        super().__init__()
        self._said: list[tuple[float, float]] = []

    def add(self, now: datetime, gap: float) -> asyncio.Future[None]:
        self._said.append((now.timestamp(), gap))
        return self.join()

    def commands(self) -> Iterator[Command]:
        for now, gap in self._said:
            yield "EVAL", LISTEN, 2, LISTENING, SEEN, now, gap, now - DAY


class Epochs(Orders):
    def __init__(self) -> None:
        super().__init__()
        self._said: list[int] = []

    def add(self, epoch: int) -> asyncio.Future[None]:
        self._said.append(epoch)
        return self.join()

    def commands(self) -> Iterator[Command]:
        yield "EVAL", SET_EPOCH, 1, EPOCH, max(self._said)


class Tellings(Orders):
    def __init__(self) -> None:
        super().__init__()
        self._news: list[News] = []
        self._ready: list[tuple[str, str]] = []
        self._rung: dict[str, None] = {}

    def add(
        self, news: Sequence[News], ready: Sequence[tuple[str, str]], stirred: Sequence[str]
    ) -> asyncio.Future[None]:
        self._news.extend(news)
        self._ready.extend(ready)
        self._rung |= dict.fromkeys(stirred) | {agent_id: None for agent_id, _ in ready}
        return self.join()

    def commands(self) -> Iterator[Command]:
        if self._news:
            streams = [news.stream for news in self._news]
            entries = [(news.body, news.delivery_id) for news in self._news]
            yield "EVAL", ANNOUNCE, len(streams), *streams, STREAM_LENGTH, *_flat(entries)
        if self._ready:
            keys = [WORK, *(ready_key(agent_id) for agent_id, _ in self._ready)]
            yield "EVAL", PUSH, len(keys), *keys, HOUR, *_flat(self._ready)
        if self._rung:
            yield "PUBLISH", BELL, " ".join(self._rung)


class Pops(Group[str | None]):
    def __init__(self) -> None:
        super().__init__()
        self._agent_ids: list[str] = []

    def add(self, agent_id: str) -> asyncio.Future[str | None]:
        self._agent_ids.append(agent_id)
        return self.join()

    def commands(self) -> Iterator[Command]:
        yield _pop(self._agent_ids)

    def answers(self, replies: Sequence[Any]) -> Iterator[str | None]:
        return map(_text, replies[0])


class Holds(Orders):
    """Jobs that were handed out or taken back, in the order in which it was said."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[str] = []
        self._changes: list[str] = []

    def add(self, agent_id: str, change: str, job_id: str) -> asyncio.Future[None]:
        self._keys.append(out_key(agent_id))
        self._changes += (change, job_id)
        return self.join()

    def commands(self) -> Iterator[Command]:
        yield "EVAL", HOLD, len(self._keys), *self._keys, DAY, *self._changes


def _pop(agent_ids: Sequence[str]) -> Command:
    return "EVAL", POP, len(agent_ids) + 1, WORK, *map(ready_key, agent_ids), *agent_ids


def _flat(rows: Iterable[Command]) -> Iterator[Word]:
    return chain.from_iterable(rows)


def _epoch(reply: bytes | None) -> int | None:
    return None if reply is None else int(reply)


def _moment(score: bytes | None) -> datetime | None:
    return None if score is None else datetime.fromtimestamp(float(score), UTC)


def _text(reply: bytes | None) -> str | None:
    return None if reply is None else reply.decode()


def _texts(members: Iterable[bytes]) -> frozenset[str]:
    return frozenset(member.decode() for member in members)
