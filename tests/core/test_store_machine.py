"""Anything that can happen to jobs, in any order: the store and a plain model beside it must agree."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select

from core import schema
from core.errors import SkadiError
from core.model import MOVES, Job, JobStatus, Mover
from core.store import AddJob, AddOutput, Batch, CancelJob, Change, MoveJob, Postponed, Store
from tests.clock import Clock
from tests.core.parts import (
    CANCELED,
    CHAT,
    DELAYED,
    EXPIRED,
    FAILED,
    QUEUING,
    RUNNING,
    SENT,
    SUCCEEDED,
    a_job,
)
from tests.core.plain_model import Deed, Event, Fact, Notice, Plain, PlainJob, agree, heard, merges

T = TypeVar("T")

# Without `derandomize`: Hypothesis's own profile for CI sets it, elsewhere each run looks further.
LIFE = settings(
    max_examples=50,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
LATE_ENDS = {(EXPIRED, SUCCEEDED), (EXPIRED, FAILED), (EXPIRED, CANCELED)}
TABLES = ("jobs", "results", "outputs", "events", "deliveries", "messages", "announcements")


@dataclass(frozen=True)
class Wish:
    """A submit, before it has an id."""

    account: str
    delayed: bool
    key: str | None
    heard: bool

    def fact(self, now: datetime) -> AddJob:
        status, wait = (DELAYED, 5) if self.delayed else (QUEUING, 3)
        due_at = now + timedelta(minutes=wait)
        job = a_job(status, now, account_id=self.account, due_at=due_at)
        return AddJob(job, CHAT if self.heard else None, self.key)


# Most of what is drawn is right: what is wrong is refused at once, and leads nowhere.
jobs = Bundle("jobs")
accounts = st.sampled_from(["ada", "ada", "ada", "mallory"])
agents = st.sampled_from(["agent-1", "agent-1", "agent-1", "agent-1", "agent-2", "Agent-1"])
journals = st.sampled_from(["", "one", "one", "two"])
keys = st.sampled_from([None, None, "k" * 64, "l" * 64, "K" * 64])
texts = st.sampled_from(["", "half", "half ", "Half", "é🦌" * 1500, "\\'\"%s %(x)s :x ?;--\r\n\t"])
ends = st.sampled_from([SUCCEEDED, FAILED, CANCELED])
sayings = st.sampled_from(["", "half", "é🦌", "half é🦌", "x" * 3000, "é🦌" * 1500])
offsets = st.sampled_from([0, 0, 0, 2, 4, 5, 6, 3000])
limits = st.sampled_from([5, 4500, 1 << 20, 1 << 20])


def moves(
    to: st.SearchStrategy[JobStatus], mover: Mover, owner: st.SearchStrategy[Any], **more: Any
) -> st.SearchStrategy[MoveJob]:
    return st.builds(MoveJob, job_id=jobs, to=to, mover=st.just(mover), owner=owner, **more)


wishes = st.builds(Wish, accounts, st.booleans(), keys, st.booleans())
claims = moves(st.just(SENT), "agent", agents, journal=journals, again=st.booleans())
progress = moves(st.just(RUNNING), "agent", agents, result=texts)
reports = moves(ends, "agent", agents, result=texts)
stops = moves(st.just(CANCELED), "account", accounts) | moves(
    st.sampled_from([EXPIRED, CANCELED]), "system", st.none() | accounts
)
returns = moves(st.just(QUEUING), "server", agents, journal=journals)
watching = moves(st.sampled_from([QUEUING, EXPIRED, CANCELED]), "watcher", st.none())
cancels = st.builds(CancelJob, jobs, accounts)
pieces = st.builds(AddOutput, jobs, agents, offsets, sayings, limits, st.booleans())
deeds = claims | claims | progress | reports | stops | returns | watching | cancels | pieces
anything = st.lists(wishes | deeds, max_size=3)


STEPS: dict[str, Callable[[str, str], Deed | None]] = {
    "claim": lambda job, journal: MoveJob(job, SENT, "agent", "agent-1", journal=journal),
    "again": lambda job, journal: MoveJob(
        job, SENT, "agent", "agent-1", journal=journal, again=True
    ),
    "again elsewhere": lambda job, _: MoveJob(
        job, SENT, "agent", "agent-1", journal="other", again=True
    ),
    "renew": lambda job, _: MoveJob(job, RUNNING, "agent", "agent-1", ""),
    "progress": lambda job, _: MoveJob(job, RUNNING, "agent", "agent-1", "half"),
    "succeed": lambda job, _: MoveJob(job, SUCCEEDED, "agent", "agent-1", "all"),
    "fail": lambda job, _: MoveJob(job, FAILED, "agent", "agent-1", ""),
    "stopped": lambda job, _: MoveJob(job, CANCELED, "agent", "agent-1", "stopped"),
    "lost": lambda job, journal: MoveJob(
        job, CANCELED, "agent", "agent-1", "unbegun", journal, again=True
    ),
    "cancel": lambda job, _: CancelJob(job, "ada"),
    "cancel at once": lambda job, _: MoveJob(job, CANCELED, "account", "ada"),
    "say": lambda job, _: AddOutput(job, "agent-1", 0, "half é🦌", 1 << 20, seen=True),
    "say more": lambda job, _: AddOutput(job, "agent-1", 5, "é🦌" * 900, 4500),
    "say much": lambda job, _: AddOutput(job, "agent-1", 0, "x" * 5000, 1 << 20, seen=True),
    "give up": lambda job, _: MoveJob(job, EXPIRED, "system", None),
    "expire": lambda job, _: MoveJob(job, EXPIRED, "watcher", None),
    "give back": lambda job, journal: MoveJob(job, QUEUING, "server", "agent-1", journal=journal),
    "wait": lambda job, _: None,
}
steps = st.tuples(st.sampled_from(sorted(STEPS)), st.booleans())


class Life(RuleBasedStateMachine):
    """Two processes on one database, and time that passes when it is told to."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.plain = Clock(), Plain()
        self.runner = asyncio.Runner()
        self.announced: list[str] = []
        self.hands: dict[str, list[str]] = defaultdict(list)
        """The journals that were given a job, since it last waited."""
        self.stores = [self.run(self.open()) for _ in range(2)]
        self.run(self.empty())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> Store:
        store = await Store.open(self.url, clock=self.clock, pool=2)
        store.on_commit(self.hear)
        return store

    async def hear(self, batch: Batch) -> bool:
        self.announced += batch.event_ids
        return True

    async def empty(self) -> None:
        async def deed(connection: Any) -> None:
            for name in TABLES:
                await connection.execute(delete(schema.metadata.tables[name]))

        await self.stores[0]._database.write(deed)

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self.runner.close()

    # What can happen

    @rule(target=jobs, wish=wishes)
    def submit(self, wish: Wish) -> Any:
        return self.do([wish])

    @rule(target=jobs, wish=wishes, times=st.integers(2, 3))
    def submit_repeatedly(self, wish: Wish, times: int) -> Any:
        return self.do([wish] * times)

    @rule(
        deed=claims | progress | reports | stops | watching | cancels | pieces,
        second=st.booleans(),
    )
    def do_one_thing(self, deed: Deed, second: bool) -> None:
        self.step(deed, second)

    @rule(
        target=jobs,
        wish=wishes,
        journal=journals,
        steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=5),
        elsewhere=st.sampled_from(["cancel", "say", "progress", "renew", "wait"]),
    )
    def do_all_in_one_batch(
        self, wish: Wish, journal: str, steps: list[str], elsewhere: str
    ) -> Any:
        """What an agent says, its end, and the wish to have it stopped arrive together."""
        made = self.do([wish])
        for job in made.values:
            self.do([MoveJob(job, SENT, "agent", "agent-1", journal=journal)])
            first, other = [
                [deed for name in names if (deed := STEPS[name](job, journal))]
                for names in (steps, [elsewhere])
            ]
            self.do(first, other)
        return made

    @rule(
        target=jobs,
        journal=journals,
        told=st.booleans(),
        sayings=st.lists(
            st.tuples(sayings, st.booleans(), st.sampled_from([0, 30, 60])), max_size=4
        ),
    )
    def say_much_while_it_runs(
        self, journal: str, told: bool, sayings: list[tuple[str, bool, int]]
    ) -> Any:
        """Its owner, who may be up to date, sees what is said; the lease is kept young."""
        made = self.do([Wish("ada", delayed=False, key=None, heard=True)])
        for job in made.values:
            self.do([MoveJob(job, SENT, "agent", "agent-1", journal=journal)])
            if told:
                self.tell(job, [])
            for text, seen, seconds in sayings:
                self.clock.move(seconds=seconds)
                have = len(self.plain.jobs[job].output)
                self.do([AddOutput(job, "agent-1", have, text, 1 << 20, seen)])
        return made

    @rule(
        target=jobs,
        wish=wishes,
        names=st.permutations(["say", "say more", "cancel", "claim", "lost"]),
    )
    def call_off(self, wish: Wish, names: list[str]) -> Any:
        """Before it is handed out, before its agent has it, while it runs, when it was lost."""
        made = self.do([wish])
        for job in made.values:
            for name in (*names, "again", "give back", "progress", "cancel", "stopped"):
                self.step(STEPS[name](job, "one"), second=False)
        return made

    @rule(target=jobs, wish=wishes, journal=journals, steps=st.lists(steps, min_size=2, max_size=6))
    def live(self, wish: Wish, journal: str, steps: list[tuple[str, bool]]) -> Any:
        """One job of an agent that does what it does with the right name."""
        made = self.do([wish])
        for job in made.values:
            self.do([MoveJob(job, SENT, "agent", "agent-1", journal=journal)])
            for name, second in steps:
                self.step(STEPS[name](job, journal), second)
        return made

    @rule(
        target=jobs, wish=wishes, names=st.permutations(["succeed", "fail", "stopped", "give up"])
    )
    def end_in_every_way(self, wish: Wish, names: list[str]) -> Any:
        made = self.do([wish])
        for job in made.values:
            for name in ("claim", *names):
                self.step(STEPS[name](job, ""), second=False)
        return made

    @rule(target=jobs, wish=wishes, first=journals, second=journals)
    def poll_from_two_daemons(self, wish: Wish, first: str, second: str) -> Any:
        """Whoever has it not in its journal asks again; only the one that was given it gets it."""
        made = self.do([wish])
        for job in made.values:
            for journal in (first, second, first):
                claim = MoveJob(job, SENT, "agent", "agent-1", journal=journal, again=True)
                self.step(claim, second=journal == "two")
        return made

    def step(self, deed: Deed | None, second: bool) -> None:
        if deed is None:
            self.clock.move(minutes=6)
        else:
            self.do(*([], [deed]) if second else ([deed], []))

    @rule(wish=wishes, minutes=st.sampled_from([4, 9]), target=jobs)
    def renew_elsewhere_and_look(self, wish: Wish, minutes: int) -> Any:
        """What one process remembers of a job is old as soon as another renews its lease."""
        made = self.do([wish])
        for job in made.values:
            self.do([MoveJob(job, SENT, "agent", "agent-1")])
            self.do([MoveJob(job, RUNNING, "agent", "agent-1", "begun")])
            self.clock.move(minutes=minutes)
            self.do([], [MoveJob(job, RUNNING, "agent", "agent-1", "")])
            self.clock.move(minutes=minutes)
            self.do([MoveJob(job, EXPIRED, "watcher", None)])
        return made

    @rule(claim=claims)
    def lose_the_answer_to_a_claim(self, claim: MoveJob) -> None:
        back = MoveJob(claim.job_id, QUEUING, "server", claim.owner, journal=claim.journal)
        self.do([claim, back])

    @rule(target=jobs, left=anything, right=anything)
    def much_at_once(self, left: list[Wish | Deed], right: list[Wish | Deed]) -> Any:
        return self.do(left, right)

    @rule(minutes=st.sampled_from([1, 3, 5, 10, 11]))
    def wait(self, minutes: int) -> None:
        self.clock.move(minutes=minutes)

    @rule(minutes=st.sampled_from([0, 3, 5, 10]), patient=st.booleans(), twice=st.booleans())
    def sweep(self, minutes: int, patient: bool, twice: bool) -> None:
        """What is due is decided; `patient`: the agents of what waits are still there."""
        self.clock.move(minutes=minutes)
        now = self.clock()
        due = self.run(self.stores[0].jobs.due(now, 500))
        assert {job.id for job in due} == self.plain.due(now)
        waiting = [job for job in due if patient and job.status is QUEUING]
        self.postpone(waiting, now + timedelta(minutes=3))
        steps = [
            MoveJob(job.id, QUEUING if job.status is DELAYED else EXPIRED, "watcher", None)
            for job in due
            if job not in waiting
        ]
        for start in range(0, len(steps), 3):
            page = steps[start : start + 3]
            self.do(page, page if twice else [])
        assert not self.plain.due(now)

    def postpone(self, waiting: Sequence[Job], due_at: datetime) -> None:
        """Another watcher that saw them before, or longer ago, changes nothing."""
        if not waiting:
            return
        older = [replace(job, seq=job.seq - 1, due_at=due_at) for job in waiting]
        later = due_at + timedelta(hours=1)
        for seen, at in ((waiting, due_at), (older, later), (waiting, later)):
            moments = [Postponed(job, at) for job in seen]
            self.run(self.stores[1].jobs.postpone(moments))
        for job in waiting:
            self.plain.jobs[job.id] = replace(self.plain.jobs[job.id], due_at=due_at)

    @rule(key=keys.filter(bool))
    def answer_without_a_job(self, key: str) -> None:
        ours = self.run(self.stores[0].messages.begin(key, self.clock(), timedelta(seconds=30)))
        assert ours == (key not in self.plain.keys)
        if ours:
            done = self.stores[1].messages.finish(key, None, self.clock(), deliver_for=None)
            self.run(done)
            self.plain.keys[key] = ""

    @rule(job=jobs, meanwhile=anything, target=jobs)
    def tell(self, job: str, meanwhile: list[Wish | Deed]) -> Any:
        """Somebody is told how things stand, and perhaps they change under the teller's hands."""
        notice, store = self.plain.jobs[job].notice, self.stores[0].deliveries
        if notice is None:
            return multiple()
        [id] = self.run(self.find_deliveries(job))
        held = self.run(store.claim(id, self.clock(), timedelta(minutes=1)))
        assert (held is not None) == (notice.due_at is not None and notice.state == "open")
        if held is None:
            return multiple()
        before = self.plain.jobs[job]
        self.plain.jobs[job] = replace(before, notice=replace(notice, held=True))
        made = self.do(meanwhile)
        final = before.status.final
        told = store.told(
            held, shown=before.seq, seen=before.seq, handle="post", final=final, again_at=None
        )
        unchanged = self.run(told)
        known = self.plain.jobs[job]
        assert unchanged == (known.seq == before.seq)
        assert known.notice
        after = replace(known.notice, held=False)
        if unchanged and (final or after.due_at == notice.due_at):
            after = Notice(None, "told" if final else "open")
        self.plain.jobs[job] = replace(known, notice=after)
        return made

    async def find_deliveries(self, job_id: str) -> list[str]:
        table = schema.deliveries
        query = select(table.c.id).where(table.c.job_id == job_id)
        async with self.stores[0]._database.reading() as connection:
            return [row.id for row in await connection.execute(query)]

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        """A process begins anew, and knows nothing."""
        self.run(self.stores[which].close())
        self.stores[which] = self.run(self.open())

    @rule(target=jobs, wishes=anything)
    def leave_before_the_answer(self, wishes: list[Wish | Deed]) -> Any:
        """Who asked is gone; what was asked for is done all the same."""
        facts = self.facts(wishes)
        self.run(self.ask_and_leave(facts))
        for fact in facts:
            self.note(fact, self.plain.enter(fact, self.clock()))
        return self.known(facts)

    async def ask_and_leave(self, facts: Sequence[Fact]) -> None:
        tasks = [asyncio.create_task(self.ask(self.stores[0], fact)) for fact in facts]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.stores[0].close()
        self.stores[0] = await self.open()

    # How it is done, and what the model says to it

    def do(self, left: Iterable[Wish | Deed], right: Iterable[Wish | Deed] = ()) -> Any:
        """Each side is one process's facts, all at once; some order of them must explain it all."""
        ours, theirs = self.facts(left), self.facts(right)
        seen = self.run(self.ask_all(ours, theirs))
        facts = [*ours, *theirs]
        truth = self.run(self.read()) if ours and theirs else None
        for order in merges(ours, theirs):
            plain, expected = self.plain.copy(), dict[int, str]()
            for number, fact in order:
                expected[number] = plain.enter(fact, self.clock())
            if agree([expected[number] for number in range(len(facts))], seen) and (
                truth is None or plain.jobs == truth
            ):
                self.plain = plain
                for number, fact in order:
                    self.note(fact, seen[number])
                return self.known(facts)
        raise AssertionError(f"no order explains {list(zip(facts, seen, strict=True))}: {expected}")

    def facts(self, wishes: Iterable[Wish | Deed]) -> list[Fact]:
        now = self.clock()
        return [wish.fact(now) if isinstance(wish, Wish) else wish for wish in wishes]

    def known(self, facts: Sequence[Fact]) -> Any:
        """The jobs that came of it."""
        made = [fact.job.id for fact in facts if isinstance(fact, AddJob)]
        return multiple(*(id for id in made if id in self.plain.jobs))

    def note(self, fact: Fact, outcome: str) -> None:
        if isinstance(fact, MoveJob) and not outcome[:1].isupper():
            if fact.to is SENT:
                self.hands[fact.job_id].append(fact.journal)
            elif fact.to is QUEUING:
                self.hands[fact.job_id].clear()

    async def ask_all(self, ours: Sequence[Fact], theirs: Sequence[Fact]) -> list[str]:
        first, second = self.stores
        asked = [self.ask(first, fact) for fact in ours] + [self.ask(second, f) for f in theirs]
        return await asyncio.gather(*asked)

    async def ask(self, store: Store, fact: Fact) -> str:
        """What came of a fact, in the words of the model."""
        try:
            change = await self.enter(store, fact)
        except SkadiError as refusal:
            return refusal.code
        if isinstance(fact, AddOutput):
            return heard(change.changed, change.have, change.full)
        if change.changed:
            return f"made {change.job.seq}"
        return f"repeat {change.job.id}" if isinstance(fact, AddJob) else "renewed"

    async def enter(self, store: Store, fact: Fact) -> Change:
        match fact:
            case AddJob():
                return await store.jobs.add(fact)
            case CancelJob():
                return await store.jobs.cancel(fact)
            case AddOutput():
                return await store.outputs.add(fact)
        return await store.jobs.move(fact)

    async def read(self) -> dict[str, PlainJob]:
        """All that stands in the database about jobs, in the words of the model."""
        async with self.stores[0]._database.reading() as connection:

            async def rows(table: Any) -> list[Any]:
                return list(await connection.execute(select(table)))

            texts = {row.job_id: row.text for row in await rows(schema.results)}
            notices = {
                row.job_id: Notice(row.due_at, row.state, row.lease != "")
                for row in await rows(schema.deliveries)
            }
            output: dict[str, bytes] = defaultdict(bytes)
            for row in sorted(await rows(schema.outputs), key=lambda row: row.start):
                said = row.text.encode()
                assert (row.start, row.size) == (len(output[row.job_id]), len(said))
                output[row.job_id] += said
            events: dict[str, list[Any]] = defaultdict(list)
            for event in sorted(await rows(schema.events), key=lambda row: row.seq):
                events[event.job_id].append(event)
            return {
                row.id: replace(
                    to_plain(row, events[row.id], texts.get(row.id)),
                    notice=notices.get(row.id),
                    output=output[row.id],
                )
                for row in await rows(schema.jobs)
            }

    # What must be true at all times

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        assert self.run(self.read()) == self.plain.jobs

    @invariant()
    def a_status_changes_by_the_table_and_seq_has_no_gap(self) -> None:
        async def read() -> Sequence[Any]:
            async with self.stores[1]._database.reading() as connection:
                return list(await connection.execute(select(schema.events)))

        steps: dict[str, dict[int, JobStatus]] = defaultdict(dict)
        rows = self.run(read())
        for row in rows:
            steps[row.job_id][row.seq] = JobStatus(row.status)
        for numbered in steps.values():
            assert sorted(numbered) == list(range(1, len(numbered) + 1))
            path = [numbered[seq] for seq in sorted(numbered)]
            assert path[0] in (DELAYED, QUEUING)
            assert all(step in MOVES for step in pairwise(path))
            left = [step for step in pairwise(path) if step[0].final]
            assert len(left) <= 1
            assert set(left) <= LATE_ENDS
        assert Counter(self.announced) == Counter(row.id for row in rows)

    @invariant()
    def a_job_is_in_the_hands_of_one_journal(self) -> None:
        for given in self.hands.values():
            assert len(set(given)) <= 1
            assert len(given) <= 1 or given[0], "handed out twice without a journal"

    @invariant()
    def a_key_has_one_job(self) -> None:
        async def read() -> dict[str, str]:
            async with self.stores[0]._database.reading() as connection:
                rows = await connection.execute(select(schema.messages))
                return {row.message_key: row.job_id or "" for row in rows}

        assert self.run(read()) == self.plain.keys


def to_plain(row: Any, events: Sequence[Any], text: str | None) -> PlainJob:
    assert row.seq == len(events)
    assert row.status == events[-1].status
    return PlainJob(
        row.account_id,
        row.agent_id,
        tuple(Event(JobStatus(one.status), one.created_at, one.body) for one in events),
        row.due_at,
        row.journal,
        row.sent_at is not None,
        text or "",
        asked=row.cancel_asked_at,
    )


def test_whatever_happens_the_store_and_the_model_agree(database_url: str) -> None:
    class LifeHere(Life):
        url = database_url

    run_state_machine_as_test(LifeHere, settings=LIFE)
