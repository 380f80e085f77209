"""What arrived together, decided in the order it came and written with few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import BindParameter, Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core import schema
from core.broker import News
from core.chat import Thread
from core.errors import Conflict, SkadiError
from core.events import job_news, message_news
from core.model import (
    EventJobStatus,
    EventMessage,
    Job,
    JobStatus,
    Times,
    new_id,
)
from core.store.database import Database
from core.store.known import Known
from core.store.moves import MoveJob, check, differences, moved, nowhere, owns, weight
from core.store.rows import (
    JOB_COLUMNS,
    JOB_FIELDS,
    STATUS,
    job_row,
    moment_text,
    thread_columns,
)


@dataclass(frozen=True, slots=True)
class AddJob:
    """A job to keep. `key`: a repeat with the same key finds the job that is there. `told`: the direct
    answer was the acceptance."""

    job: Job
    target: Thread | None = None
    key: str | None = None
    told: bool = False

    @property
    def size(self) -> int:
        return 1000 + weight(self.job.command)


@dataclass(frozen=True, slots=True)
class AddMessage:
    """An event that is not about a job, and whom to tell of it."""

    event: EventMessage
    target: Thread | None

    @property
    def size(self) -> int:
        return 500 + weight(self.event.message)


Fact = AddJob | MoveJob | AddMessage


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a fact. `changed` is False for a repeat and for a lease that was only renewed."""

    job: Job
    changed: bool = True


def repeated(fact: AddJob, job: Job) -> Job:
    """The job that is there already, for its own account only."""
    if job.account_id != fact.job.account_id:
        raise Conflict("That key is taken.", code="KeyTaken")
    return job


@dataclass(slots=True)
class State:
    before: Job
    job: Job
    delivery_id: str | None


@dataclass(slots=True)
class Batch:
    """One transaction's worth of facts."""

    facts: Sequence[Fact]
    times: Times
    at: datetime
    known: Known
    moment: str = field(init=False)
    """`at`, as the databases take it."""
    id: str = field(default_factory=new_id)
    outcomes: list[Change | SkadiError] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    ready: list[tuple[str, str]] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    _states: dict[str, State] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _begun: dict[str, bool] = field(default_factory=dict)
    _jobs: list[Sequence[Any]] = field(default_factory=list)
    _events: list[Sequence[Any]] = field(default_factory=list)
    _sayings: list[dict[str, Any]] = field(default_factory=list)
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _deliveries: list[dict[str, Any]] = field(default_factory=list)
    _results: dict[str, str] = field(default_factory=dict)
    _nudges: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.moment = moment_text(self.at)

    async def write(
        self, connection: AsyncConnection, database: Database, spent: Sequence[str]
    ) -> None:
        """Read what the facts are about, decide, write. `spent`: batches announced meanwhile."""
        await self._load(connection)
        for fact in self.facts:
            self.outcomes.append(self._decide(fact))
        await self._store(connection, database)
        if spent:
            await connection.execute(FORGET, {"ids": list(spent)})

    async def _load(self, connection: AsyncConnection) -> None:
        ids = sorted({fact.job_id for fact in self.facts if isinstance(fact, MoveJob)})
        if ids:
            await self._lock(connection, ids)
        noted = sorted(
            {
                fact.job_id
                for fact in self.facts
                if isinstance(fact, MoveJob) and fact.leans_on_result
            }
        )
        if noted:
            for row in await connection.execute(READ_RESULTS, {"ids": noted}):
                self._know_result(row)
        keys = sorted({fact.key for fact in self.facts if isinstance(fact, AddJob) and fact.key})
        if keys:
            await self._load_repeats(connection, keys)

    async def _lock(self, connection: AsyncConnection, ids: Sequence[str]) -> None:
        """Lock the rows in the order of their ids; read whole what we do not know as it stands."""
        strange = []
        for job_id, seq, due_at in await connection.execute(LOCK_JOBS, {"ids": ids}):
            if known := self.known.get(job_id, seq):
                job, delivery_id = known
                job = job if job.due_at == due_at else replace(job, due_at=due_at)
                self._states[job_id] = State(job, job, delivery_id)
            else:
                strange.append(job_id)
        if strange:
            self._know(await connection.execute(READ_JOBS, {"ids": strange}))

    @property
    def witness(self) -> str:
        """An event's id that is in the database exactly if the batch was committed."""
        return self.event_ids[0] if self.event_ids else ""

    @property
    def decided(self) -> bool:
        """Whether all that was to be read has been."""
        return len(self.outcomes) == len(self.facts)

    def remember(self) -> None:
        for state in self._states.values():
            self.known.put(state.job, state.delivery_id)

    def _know(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            delivery_id, status, *values = tuple(row)
            job = Job(status=STATUS[status], **dict(zip(JOB_FIELDS, values, strict=True)))
            self._states[job.id] = State(job, job, delivery_id)

    def _know_result(self, row: Row[Any]) -> None:
        if state := self._states.get(row.job_id):
            state.before = state.job = replace(state.job, result=row.text)

    async def _load_repeats(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        found = list(await connection.execute(LOCK_KEYS, {"keys": keys}))
        self._keys = {row.message_key: row.job_id for row in found if row.job_id}
        self._begun = {row.message_key: row.finished for row in found if not row.job_id}
        if self._keys:
            known = sorted(set(self._keys.values()) - self._states.keys())
            self._know(await connection.execute(READ_JOBS, {"ids": known}))

    def _decide(self, fact: Fact) -> Change | SkadiError:
        try:
            match fact:
                case AddJob():
                    return self._add(fact)
                case MoveJob():
                    return self._move(fact)
                case AddMessage():
                    return self._say(fact)
        except SkadiError as refusal:
            return refusal

    def _add(self, fact: AddJob) -> Change:
        if fact.key and (known := self._keys.get(fact.key)):
            return Change(repeated(fact, self._states[known].job), changed=False)
        if fact.key and self._begun.get(fact.key):
            raise Conflict("That message was answered without a job.", code="Answered")
        delivery_id = self._deliver(fact, fact.target) if fact.target else None
        job = fact.job
        self._jobs.append(job_row(job, delivery_id))
        self._states[job.id] = State(job, job, delivery_id)
        if fact.key:
            self._keys[fact.key] = job.id
            self._messages.append(self._message_row(fact.key, job.id))
        self._record(job, delivery_id)
        return Change(job)

    def _message_row(self, key: str, job_id: str) -> dict[str, Any]:
        return {"message_key": key, "job_id": job_id, "finished": True, "created_at": self.at}

    def _deliver(self, fact: AddJob, target: Thread) -> str:
        row = delivery_row(fact.job.account_id, target, self.at)
        row |= {"job_id": fact.job.id, "shown_seq": int(fact.told)}
        self._deliveries.append(row)
        return str(row["id"])

    def _move(self, move: MoveJob) -> Change:
        state = self._states.get(move.job_id)
        if state is None or not owns(state.job, move):
            raise nowhere(move)
        job = state.job
        check(job, move, self.at)
        state.job = after = moved(job, move, self.at, self.times)
        if after.result != job.result:
            self._results[after.id] = after.result
        if after.seq == job.seq:
            return Change(after, changed=False)
        self._record(after, state.delivery_id)
        return Change(after)

    def _record(self, job: Job, delivery_id: str | None) -> None:
        event = EventJobStatus(new_id(), job.seq, job, self.at)
        self.event_ids.append(event.id)
        body = job.result[:EARLIER_RESULT]
        self._events.append((event.id, job.id, job.seq, job.status, body, self.moment))
        if delivery_id and job.seq > 1:
            self._nudges.add(delivery_id)
        if job.callback != "disable":
            self.news.append(job_news(event, delivery_id or ""))
        if job.status is JobStatus.QUEUING:
            self.ready.append((job.agent_id, job.id))

    def _say(self, fact: AddMessage) -> Change:
        event, delivery_id = fact.event, ""
        if fact.target:
            row = delivery_row(event.account_id, fact.target, self.at) | {"event_id": event.id}
            self._deliveries.append(row)
            delivery_id = str(row["id"])
        self.event_ids.append(event.id)
        self._sayings.append(message_row(event))
        self.news.append(message_news(event, delivery_id))
        return Change(NO_JOB)

    async def _store(self, connection: AsyncConnection, database: Database) -> None:
        if self._jobs:
            await connection.exec_driver_sql(database.bulk(schema.jobs, JOB_COLUMNS), self._jobs)
        if self._messages:
            await self._store_messages(connection)
        await self._store_moves(connection)
        if self._results:
            rows = [{"job_id": id, "text": text} for id, text in self._results.items()]
            await connection.execute(database.upsert(schema.results, "text"), rows)
        if self._deliveries:
            await connection.execute(insert(schema.deliveries), self._deliveries)
        if self._nudges:
            await connection.execute(NUDGE, {"ids": sorted(self._nudges), "at": self.at})
        if self._events:
            events = database.bulk(schema.events, EVENT_COLUMNS)
            await connection.exec_driver_sql(events, self._events)
        if self._sayings:
            await connection.execute(insert(schema.events), self._sayings)
        if self.event_ids:
            row = {"id": self.id, "event_ids": " ".join(self.event_ids), "created_at": self.at}
            await connection.execute(insert(schema.announcements), row)

    async def _store_messages(self, connection: AsyncConnection) -> None:
        """A key that nobody had when we looked is inserted plainly: if another transaction was first, the
        whole batch is decided again, and finds that one's job."""
        begun = [row for row in self._messages if row["message_key"] in self._begun]
        new = [row for row in self._messages if row["message_key"] not in self._begun]
        if begun:
            known = [{"key": row["message_key"], "job": row["job_id"]} for row in begun]
            await connection.execute(FINISH, known)
        if new:
            await connection.execute(insert(schema.messages), new)

    async def _store_moves(self, connection: AsyncConnection) -> None:
        """One statement for all jobs that changed in the same way."""
        alike: dict[tuple[tuple[str, Any], ...], list[str]] = defaultdict(list)
        for state in self._states.values():
            if changes := differences(state.before, state.job):
                alike[changes].append(state.job.id)
        for changes, ids in alike.items():
            values = dict(changes)
            steps = values.pop("seq", 0)
            wish = update(schema.jobs).where(schema.jobs.c.id.in_(bindparam("ids", expanding=True)))
            wish = wish.values({name: bindparam(f"new_{name}") for name in values})
            wish = wish.values(seq=schema.jobs.c.seq + bindparam("steps"))
            named = {f"new_{name}": value for name, value in values.items()}
            await connection.execute(wish, named | {"ids": ids, "steps": steps})


def delivery_row(account_id: str, target: Thread, at: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "account_id": account_id,
        "job_id": None,
        "event_id": None,
        "reply": None,
        **thread_columns(target),
        "handle": None,
        "shown_seq": 0,
        "attempts": 0,
        "state": "open",
        "failing_since": None,
        "last_error": "",
        "lease": "",
        "leased_until": None,
        "created_at": at,
        "due_at": at,
    }


def message_row(event: EventMessage) -> dict[str, Any]:
    body = {
        "type": event.type,
        "level": event.level,
        "message": event.message,
        "channel": event.channel,
        "code": event.code,
        "facts": dict(event.facts),
        "agent_name": event.agent_name,
    }
    return {
        "id": event.id,
        "agent_id": event.agent_id,
        "account_id": event.account_id,
        "body": orjson.dumps(body, default=str).decode(),
        "created_at": event.created_at,
    }


EARLIER_RESULT = 2000
"""Characters of a result that an event keeps for itself; the job keeps the whole of the newest."""

EVENT_COLUMNS = ("id", "job_id", "seq", "status", "body", "created_at")

NO_JOB = Job("", "", "", "", "", "", JobStatus.CANCELED, "", datetime.min.replace(tzinfo=UTC))

_ids: BindParameter[Any] = bindparam("ids", expanding=True)
_shown = [schema.jobs.c[name] for name in ("delivery_id", "status", *JOB_FIELDS)]
READ_JOBS = select(*_shown).where(schema.jobs.c.id.in_(_ids)).order_by(schema.jobs.c.id)
LOCK_JOBS = (
    select(schema.jobs.c.id, schema.jobs.c.seq, schema.jobs.c.due_at)
    .where(schema.jobs.c.id.in_(_ids))
    .order_by(schema.jobs.c.id)
    .with_for_update()
)
READ_RESULTS = select(schema.results).where(schema.results.c.job_id.in_(_ids))
LOCK_KEYS = (
    select(*(schema.messages.c[name] for name in ("message_key", "job_id", "finished")))
    .where(schema.messages.c.message_key.in_(bindparam("keys", expanding=True)))
    .order_by(schema.messages.c.message_key)
    .with_for_update()
)
NUDGE = (
    update(schema.deliveries)
    .where(schema.deliveries.c.id.in_(_ids), schema.deliveries.c.state != "dead")
    .values(due_at=bindparam("at"), state="open")
)
FINISH = (
    update(schema.messages)
    .where(schema.messages.c.message_key == bindparam("key"))
    .values(job_id=bindparam("job"), finished=True)
)
FORGET = delete(schema.announcements).where(schema.announcements.c.id.in_(_ids))
