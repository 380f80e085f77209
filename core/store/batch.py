"""What arrived together, decided in the order it came and written with few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from core.broker import News
from core.chat import Thread
from core.errors import Conflict, NotFound, SkadiError
from core.events import LONGEST_IN_NEWS, job_news, message_news
from core.model import (
    EventJobStatus,
    EventMessage,
    Job,
    JobStatus,
    Times,
    new_id,
)
from core.store.chunks import AddOutput, Chunk, new_part, readable, renewed
from core.store.known import Known
from core.store.line import Line
from core.store.moves import (
    CancelJob,
    MoveJob,
    asked,
    check,
    differences,
    hears,
    moved,
    nowhere,
    owns,
    weight,
)
from core.store.rows import job_row, known_job, moment_text, thread_columns, to_moment
from core.store.statements import (
    Order,
    Row,
    Statement,
    add_events,
    add_jobs,
    add_keys,
    add_rows,
    finish_key,
    forget,
    keep_output,
    keep_results,
    lock_jobs,
    lock_keys,
    look,
    move_jobs,
    nudge,
    read_ends,
    read_jobs,
    read_results,
)

E = TypeVar("E", EventJobStatus, EventMessage)


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


Fact = AddJob | MoveJob | CancelJob | AddOutput | AddMessage


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a fact. `changed` is False for a repeat and for a lease that was only renewed.

    Of a piece of output: how many bytes there `have` been by now, and whether no more are taken."""

    job: Job
    changed: bool = True
    have: int = 0
    full: bool = False


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
    stirred: dict[str, None] = field(default_factory=dict)
    """What somebody may wait for the fate of, in the order it was decided: ids of jobs."""
    called_off: list[tuple[str, str]] = field(default_factory=list)
    """(agent_id, job_id) of what somebody wants stopped since this batch."""
    event_ids: list[str] = field(default_factory=list)
    recorded: list[Job] = field(default_factory=list)
    """Each job as an event of this batch tells of it."""
    _states: dict[str, State] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _begun: dict[str, bool] = field(default_factory=dict)
    _jobs: list[Sequence[Any]] = field(default_factory=list)
    _events: list[Sequence[Any]] = field(default_factory=list)
    _sayings: list[dict[str, Any]] = field(default_factory=list)
    _answered: list[tuple[str, str]] = field(default_factory=list)
    _deliveries: list[dict[str, Any]] = field(default_factory=list)
    _results: dict[str, str] = field(default_factory=dict)
    _nudges: set[str] = field(default_factory=set)
    _ends: dict[str, Chunk] = field(default_factory=dict)
    _chunks: dict[tuple[str, int], Chunk] = field(default_factory=dict)
    _looks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.moment = moment_text(self.at)

    async def write(self, line: Line, spent: Sequence[str]) -> None:
        """Read what the facts are about, decide, write. `spent`: batches announced meanwhile."""
        await self._load(line)
        for fact in self.facts:
            self.outcomes.append(self._decide(fact))
        await line.commit([*self._orders(), *([forget(spent)] if spent else [])])

    async def _load(self, line: Line) -> None:
        said = sorted({fact.job_id for fact in self.facts if isinstance(fact, AddOutput)})
        moves = [fact for fact in self.facts if isinstance(fact, MoveJob | CancelJob)]
        ids = sorted({move.job_id for move in moves}.union(said))
        noted = sorted({move.job_id for move in moves if leans_on_result(move)})
        keys = sorted({fact.key for fact in self.facts if isinstance(fact, AddJob) and fact.key})
        locked, results, met, ends = await _ask(
            line,
            (lock_jobs, ids),
            (read_results, noted),
            (lock_keys, keys),
            (read_ends, said),
        )
        self._ends = {job_id: Chunk(*row) for job_id, *row in ends}
        strange = [*self._recognise(locked), *self._recall(met)]
        [jobs] = await _ask(line, (read_jobs, sorted(set(strange))))
        for row in jobs:
            self._know(row)
        for job_id, text in results:
            self._know_result(job_id, text)

    def _recognise(self, locked: Iterable[Row]) -> Iterator[str]:
        """Take what we know of jobs as they stand; the others have to be read whole."""
        for job_id, seq, told in locked:
            if known := self.known.get(job_id, seq):
                job, delivery_id = known
                due_at = to_moment(told)
                job = job if job.due_at == due_at else replace(job, due_at=due_at)
                self._states[job_id] = State(job, job, delivery_id)
            else:
                yield job_id

    def _recall(self, met: Iterable[Row]) -> Iterator[str]:
        """Which jobs the keys have led to so far."""
        for key, job_id, finished in met:
            if not job_id:
                self._begun[key] = bool(finished)
                continue
            self._keys[key] = job_id
            if job_id not in self._states:
                yield job_id

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

    def _know(self, row: Row) -> None:
        delivery_id, status, *values = row
        job = known_job(status, values)
        self._states[job.id] = State(job, job, delivery_id)

    def _know_result(self, job_id: str, text: str) -> None:
        if state := self._states.get(job_id):
            state.before = state.job = replace(state.job, result=text)

    def _decide(self, fact: Fact) -> Change | SkadiError:
        try:
            match fact:
                case AddJob():
                    return self._add(fact)
                case MoveJob():
                    return self._move(fact)
                case CancelJob():
                    return self._cancel(fact)
                case AddOutput():
                    return self._listen(fact)
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
            self._answered.append((fact.key, job.id))
        self._record(job, delivery_id)
        return Change(job)

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

    def _cancel(self, wish: CancelJob) -> Change:
        state = self._states.get(wish.job_id)
        if state is None or not owns(state.job, wish.move) or not hears(state.job):
            return self._move(wish.move)
        before, state.job = state.job, asked(state.job, self.at)
        if state.job is before:
            return Change(before, changed=False)
        self.called_off.append((before.agent_id, before.id))
        self._record(state.job, state.delivery_id)
        return Change(state.job)

    def _listen(self, piece: AddOutput) -> Change:
        state = self._states.get(piece.job_id)
        if state is None or state.job.agent_id != piece.agent_id or not state.job.status.active:
            raise NotFound("This agent has no such job.", job=piece.job_id)
        end = self._ends.get(piece.job_id, Chunk())
        part, full = new_part(piece, end.end)
        if part:
            end = self._ends[piece.job_id] = end.followed_by(readable(part), len(part))
            self._chunks[piece.job_id, end.start] = end
            self.stirred[piece.job_id] = None
            if piece.seen and state.delivery_id:
                self._looks.add(state.delivery_id)
        state.job = renewed(state.job, self.at, self.times)
        return Change(state.job, changed=bool(part), have=end.end, full=full)

    def _record(self, job: Job, delivery_id: str | None) -> None:
        event = EventJobStatus(new_id(), job.seq, job, self.at)
        self.event_ids.append(event.id)
        self.recorded.append(job)
        body = job.result[:EARLIER_RESULT]
        self._events.append((event.id, job.id, job.seq, job.status, body, self.moment))
        if job.seq > 1:
            self.stirred[job.id] = None
        if delivery_id and job.seq > 1:
            self._nudges.add(delivery_id)
        if job.callback != "disable":
            self.news.append(_in_json(job_news, event, delivery_id or ""))
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
        self.news.append(_in_json(message_news, event, delivery_id))
        return Change(NO_JOB)

    def _orders(self) -> Iterator[Order]:
        """What writes all that was decided, in few statements."""
        if self._jobs:
            yield add_jobs(self._jobs)
        yield from self._key_orders()
        yield from self._move_orders()
        if self._results:
            yield keep_results([*self._results.items()])
        if self._chunks:
            rows = [(id, *astuple(chunk)) for (id, _), chunk in sorted(self._chunks.items())]
            yield keep_output(rows)
        if self._deliveries:
            yield add_rows("deliveries", self._deliveries)
        if self._nudges:
            yield nudge(sorted(self._nudges), self.moment)
        if looks := self._looks - self._nudges:
            yield look(sorted(looks), self.moment)
        if self._events:
            yield add_events(self._events)
        if self._sayings:
            yield add_rows("events", self._sayings)
        if self.event_ids:
            row = {"id": self.id, "event_ids": " ".join(self.event_ids), "created_at": self.at}
            yield add_rows("announcements", [row])

    def _key_orders(self) -> Iterator[Order]:
        """A key that nobody had when we looked is inserted plainly: if another transaction was first, the
        whole batch is decided again, and finds that one's job."""
        new = [(*both, self.moment) for both in self._answered if both[0] not in self._begun]
        yield from (finish_key(*both) for both in self._answered if both[0] in self._begun)
        if new:
            yield add_keys(new)

    def _move_orders(self) -> Iterator[Order]:
        """One statement for all jobs that changed in the same way."""
        alike: dict[tuple[tuple[str, Any], ...], list[str]] = defaultdict(list)
        for state in self._states.values():
            if changes := differences(state.before, state.job):
                alike[changes].append(state.job.id)
        yield from (move_jobs(changes, ids) for changes, ids in alike.items())


def leans_on_result(fact: MoveJob | CancelJob) -> bool:
    """Whether what is known of the output so far is needed, as an event of a wish tells it too."""
    return isinstance(fact, CancelJob) or fact.leans_on_result


async def _ask(
    line: Line, *questions: tuple[Callable[[Sequence[str]], Statement], Sequence[str]]
) -> list[Sequence[Row]]:
    """The answer to each; where there is nothing to ask about, nothing is asked."""
    asked = [ask(ids) for ask, ids in questions if ids]
    answers = iter(await line.ask(asked) if asked else ())
    return [next(answers) if ids else [] for _, ids in questions]


def _in_json(say: Callable[[E, str], News], event: E, delivery_id: str) -> News:
    try:
        return say(event, delivery_id)
    except orjson.JSONEncodeError as error:
        raise UnicodeError("Half of a surrogate pair is not text.") from error


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


EARLIER_RESULT = LONGEST_IN_NEWS + 1
"""Characters of a result that an event keeps for itself, one more than it is published with, so that
what was cut is known to be; the job keeps the whole of the newest."""

NO_JOB = Job("", "", "", "", "", "", JobStatus.CANCELED, "", datetime.min.replace(tzinfo=UTC))
