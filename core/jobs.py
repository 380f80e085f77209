"""Jobs: submitted, claimed, reported, canceled, asked after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, cast

from core import settings
from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker, Sign
from core.chat import Adapter, Caller, Thread
from core.errors import Conflict, Invalid, NotFound, SkadiError, Unavailable
from core.model import Agent, Clock, Job, JobStatus, Mover, Times, is_id, new_id, utc_now
from core.output import Output, fit
from core.store import AddJob, Batch, CancelJob, MoveJob, Postponed, Store
from core.text import clean, is_encodable

log = logging.getLogger(__name__)

DEFAULTS = settings.Jobs()
LONGEST_SOURCE = 100  # characters; so much of it is kept
LONGEST_CALLBACK = 1000  # characters
LONGEST_DELAY = timedelta(days=3660)
UNBEGUN = "canceled before it reached the agent"
SHORTEST_TAIL = 4
DECIDED_AT_ONCE = 64
"""Due jobs that are decided together: they share commits, and leave the database room for others."""
SECOND_TRY = timedelta(minutes=1)
"""After this a job is looked at again whose decision failed."""

Say = Callable[[str, str], Awaitable[None]]
Verb = Literal["running", "succeed", "fail", "canceled"]
STATUS_OF: Mapping[str, JobStatus] = {
    "running": JobStatus.RUNNING,
    "succeed": JobStatus.SUCCEEDED,
    "fail": JobStatus.FAILED,
    "canceled": JobStatus.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job as its agent gets it."""

    id: str
    message: str
    journal: str = ""


class Jobs:
    def __init__(
        self,
        store: Store,
        broker: Broker,
        agents: Agents,
        accounts: Accounts,
        *,
        clock: Clock = utc_now,
        times: Times | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        command_limit: int = DEFAULTS.command_limit,
        result_limit: int = DEFAULTS.result_limit,
        output_limit: int = DEFAULTS.output_limit,
    ) -> None:
        self._store = store
        self._broker = broker
        self._agents = agents
        self._accounts = accounts
        self._clock = clock
        self._times = times or Times()
        self._adapters = adapters if adapters is not None else {}
        self._command_limit = command_limit
        self._result_limit = result_limit
        self.output = Output(store, adapters=self._adapters, clock=clock, limit=output_limit)
        store.on_commit(self._announce)

    async def _announce(self, batch: Batch) -> bool:
        """Commit, then announce, then answer. While the broker is away the watcher says it later."""
        try:
            for agent_id, job_id in batch.called_off:
                await self._broker.call_off(agent_id, job_id)
            await self._broker.tell(batch.news, batch.ready, batch.stirred)
            return True
        except Unavailable:
            return False

    async def submit(
        self,
        account_id: str,
        agent: Agent,
        command: str,
        *,
        source: str,
        requested_by: str,
        thread: Thread | None = None,
        callback: str = "",
        delay: timedelta | None = None,
        key: str | None = None,
        told: bool = False,
    ) -> Job:
        """Keep a job for an agent; when this returns it is committed and announced.

        `key`: a repeat with the same key returns the job that exists. `told`: the direct answer is the
        acceptance. Invalid: InvalidMessage, InvalidAgent (offline, switched off), InvalidDuration."""
        self._check(account_id, agent, command, callback)
        if delay is not None and delay > LONGEST_DELAY:
            raise Invalid("A job may be delayed by ten years at most.", code="InvalidDuration")
        later = delay is not None and delay > timedelta()
        if key and (known := await self.known(account_id, key)):
            return known
        if not later:
            await self._check_presence(agent)
        now = self._clock()
        job = Job(
            id=new_id(),
            account_id=account_id,
            agent_id=agent.id,
            agent_name=agent.name,
            command=command,
            source=source[:LONGEST_SOURCE],
            callback=callback,
            status=JobStatus.DELAYED if later else JobStatus.QUEUING,
            requested_by=requested_by[:40],
            created_at=now,
            due_at=now + (delay if later and delay else self._times.offline_after),
            thread=thread,
        )
        target = await self._target(job)
        change = await self._store.jobs.add(AddJob(job, target, key, told))
        return change.job

    def _check(self, account_id: str, agent: Agent, command: str, callback: str) -> None:
        if agent.account_id != account_id:
            raise NotFound(
                "There is no such agent.", code="AgentNotFound", name=agent.name, near=[]
            )
        if not command.strip():
            raise Invalid("A command is missing.", code="InvalidMessage", reason="empty")
        if len(command) > self._command_limit:
            raise Invalid(
                f"A command has at most {self._command_limit} characters.",
                code="InvalidMessage",
                reason="long",
                limit=self._command_limit,
            )
        if "\0" in command or not is_encodable(command):
            raise Invalid("The command is not text.", code="InvalidMessage", reason="binary")
        self._callee(callback)
        if not agent.available:
            raise Invalid(
                f"{agent.name} is switched off.", code="InvalidAgent", name=agent.name, off=True
            )

    async def known(self, account_id: str, key: str) -> Job | None:
        """The job that was submitted under this key."""
        job = await self._store.jobs.by_key(key)
        return job if job and job.account_id == account_id else None

    async def _check_presence(self, agent: Agent) -> None:
        standing = (await self._agents.standing([agent]))[agent.id]
        if not standing.online:
            facts = {"name": agent.name, "last_seen": standing.last_seen}
            raise Invalid(f"{agent.name} is offline.", code="InvalidAgent", **facts)

    async def _target(self, job: Job) -> Thread | None:
        """Whom to tell: the address it names, or the thread it came from, else the account's home."""
        if job.callback:
            return self._callee(job.callback)
        thread = job.thread or await self._accounts.home(job.account_id)
        return thread if thread and thread.adapter in self._adapters else None

    def _callee(self, callback: str) -> Thread | None:
        """The address that a job's events are to go to, if it names one. Invalid: none that is called."""
        if callback in ("", "disable"):
            return None
        if len(callback) > LONGEST_CALLBACK:
            raise Invalid(f"A callback has at most {LONGEST_CALLBACK} characters.")
        callers = (each for each in self._adapters.values() if each.abilities.events)
        caller = next(callers, None)
        if caller is None:
            raise Invalid("A callback is empty or `disable`; addresses are not called from here.")
        try:
            return cast(Caller, caller).address(callback)
        except ValueError as error:
            raise Invalid(f"The callback {error}.") from error

    # Asked after

    async def get(self, account_id: str, job_id: str) -> Job:
        job = await self._store.jobs.get(job_id) if is_id(job_id) else None
        if job is None or job.account_id != account_id:
            raise NotFound("There is no such job.", code="JobNotFound", job=job_id)
        return job

    async def find(self, account_id: str, tail: str) -> Sequence[Job]:
        """By the last characters of the id (at least four), newest first, at most five."""
        tail = tail.lower()
        if len(tail) < SHORTEST_TAIL or len(tail) > 20 or not tail.isalnum():
            return []
        return await self._store.jobs.ending_in(account_id, tail, 5)

    async def in_thread(self, account_id: str, thread: Thread) -> Sequence[Job]:
        """Newest first: what was asked for there, and what is told by the post that it hangs on."""
        return await self._store.jobs.in_thread(account_id, thread, 20)

    async def recent(
        self, account_id: str, agent_id: str | None = None, limit: int = 10
    ) -> Sequence[Job]:
        """Unfinished ones first, then the newest."""
        current = await self._store.jobs.unfinished(account_id, agent_id, limit)
        newest = await self._store.jobs.recent(account_id, agent_id, limit)
        ids = {job.id for job in current}
        return [*current, *(job for job in newest if job.id not in ids)][:limit]

    async def page(
        self,
        account_id: str,
        *,
        agent_id: str | None = None,
        status: JobStatus | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> Sequence[Job]:
        """Newest first, those older than the job `before`; with the beginnings of their results."""
        return await self._store.jobs.page(account_id, agent_id, status, before, limit)

    # Ended by people and programs

    async def cancel(self, account_id: str, job_id: str) -> Job:
        """Delayed and queuing ones at once; the agent that has one is asked to stop it, and its end is
        told when it comes (the job is unfinished then).

        Conflict JobRunning: its agent cannot hear of it. Invalid JobFinished."""
        await self.get(account_id, job_id)
        return (await self._store.jobs.cancel(CancelJob(job_id, account_id))).job

    async def expire(self, account_id: str | None, job_id: str) -> Job:
        """Upstream gives up on a job. Invalid JobFinished when it has ended."""
        if not is_id(job_id):
            raise NotFound("There is no such job.", code="JobNotFound", job=job_id)
        return await self._move(job_id, JobStatus.EXPIRED, "system", account_id)

    async def again(
        self,
        account_id: str,
        job_id: str,
        *,
        requested_by: str,
        thread: Thread | None,
        key: str | None = None,
        told: bool = False,
    ) -> Job:
        """The same command for the same agent, as a new job."""
        job = await self.get(account_id, job_id)
        agent = await self._agents.get(account_id, job.agent_id)
        return await self.submit(
            account_id,
            agent,
            job.command,
            source=job.source,
            requested_by=requested_by,
            thread=thread,
            key=key,
            told=told,
        )

    async def _move(self, job_id: str, to: JobStatus, mover: Mover, owner: str | None) -> Job:
        change = await self._store.jobs.move(MoveJob(job_id, to, mover, owner))
        return change.job

    # Agents

    async def claim(
        self,
        agent: Agent,
        *,
        journal: str = "",
        holding: frozenset[str] | None = None,
        sign: Sign | None = None,
    ) -> Claimed | None:
        """One look for the next job, without waiting.

        `holding`: the unfinished jobs of the agent's journal (None: it keeps none). `sign`: what the
        broker said to this poll, so that nothing is asked twice, and the job it gave with it; None: look
        anyway. No SQL while nothing is ready."""
        if journal or sign is None or sign.ready or sign.job:
            await self._agents.meet(agent, journal)
        if sign and sign.job and (given := await self._take(agent, sign.job, journal)):
            return given
        if (
            holding is not None
            and journal
            and (lost := await self._lost(agent, journal, holding, sign))
        ):
            return lost
        if sign is not None and not sign.ready:
            return None
        while job_id := await self._broker.pop(agent.id):
            if claimed := await self._take(agent, job_id, journal):
                return claimed
        return None

    async def _take(
        self, agent: Agent, job_id: str, journal: str, *, again: bool = False
    ) -> Claimed | None:
        """The job, if it still waits; a hint may be old. `again`: also if it was lost on the wire."""
        move = MoveJob(job_id, JobStatus.SENT, "agent", agent.id, journal=journal, again=again)
        try:
            change = await self._store.jobs.move(move)
        except (Conflict, NotFound):
            return None
        if journal:
            await self._hint(self._broker.hand_out, agent.id, job_id)
        return Claimed(job_id, change.job.command, journal)

    async def _lost(
        self, agent: Agent, journal: str, holding: frozenset[str], sign: Sign | None
    ) -> Claimed | None:
        """A job that was handed to this very journal and is not in it never arrived."""
        if sign is None:
            sign = await self._broker.sign(agent.id, self._clock(), out=True)
        for job_id in sorted(sign.out - holding):
            if claimed := await self._take(agent, job_id, journal, again=True):
                return claimed
            await self._hint(self._broker.take_back, agent.id, job_id)
        return None

    async def call_off_lost(self, agent: Agent, journal: str, job_ids: Iterable[str]) -> None:
        """What somebody wants stopped, and the journal that it was handed to has just said that it does
        not hold, never arrived: it ends here."""
        for job_id in sorted(job_ids):
            move = MoveJob(
                job_id, JobStatus.CANCELED, "agent", agent.id, UNBEGUN, journal, again=True
            )
            try:
                await self._store.jobs.move(move)
            except Conflict:
                continue  # it has begun, or is another journal's; that one will say how it ended
            except (Invalid, NotFound):
                pass  # it is over
            await self._hint(self._broker.take_back, agent.id, job_id)

    async def give_back(self, agent: Agent, claimed: Claimed) -> None:
        """Its caller was gone before the answer left the house: it waits again, unless somebody has
        wanted it stopped meanwhile."""
        move = MoveJob(claimed.id, JobStatus.QUEUING, "server", agent.id, journal=claimed.journal)
        try:
            await self._store.jobs.move(move)
        except Conflict:
            await self.call_off_lost(agent, claimed.journal, [claimed.id])
        except SkadiError as error:
            log.warning("Job %s could not be given back: %s", claimed.id, error)

    async def expect(self, agent: Agent, job_id: str, verb: Verb) -> None:
        """Raises where `report` would, before much is read for it."""
        await self._store.jobs.foresee(
            MoveJob(job_id, STATUS_OF[verb], "agent", agent.id), self._clock()
        )

    async def report(self, agent: Agent, job_id: str, verb: Verb, result: str) -> None:
        """What became of a job. Never refused for its output, which is cut to the limit.

        NotFound: not this agent's, or never handed out. Invalid JobFinished, JobNotFound (not active)."""
        if not is_id(job_id):
            raise NotFound("There is no such job.", job=job_id)
        text = self._fit(result)
        change = await self._store.jobs.move(
            MoveJob(job_id, STATUS_OF[verb], "agent", agent.id, result=text)
        )
        if change.job.journal:
            await self._hint(self._broker.take_back, agent.id, job_id)

    def _fit(self, result: str) -> str:
        return fit(clean(result), self._result_limit)

    async def _hint(self, say: Say, agent_id: str, job_id: str) -> None:
        try:
            await say(agent_id, job_id)
        except Unavailable:
            log.debug("A hint about job %s was lost; the watcher says it again.", job_id)

    async def add_by_agent(self, agent: Agent, message: str) -> Job:
        """`<agent> <command>`, from one agent of the account to another."""
        # The original's agents may put any white space between the two.
        name, command = (*message.split(None, 1), "", "")[:2]
        if not command:
            raise Invalid("Write `<agent> <command>`.", code="InvalidMessage", reason="empty")
        target = await self._agents.find(agent.account_id, name)
        return await self.submit(
            agent.account_id,
            target,
            command.strip(),
            source=f"agent:{agent.id}",
            requested_by=f"agent:{agent.id}",
        )

    async def delay_by_agent(
        self, agent: Agent, message: str, duration: timedelta, callback: str = ""
    ) -> Job:
        """A job for itself, later; nought or less means now."""
        return await self.submit(
            agent.account_id,
            agent,
            message,
            source=f"agent:{agent.id}",
            requested_by=f"agent:{agent.id}",
            callback=callback,
            delay=duration,
        )

    # What is due

    async def sweep(self, limit: int = 500) -> int:
        """Decide about the jobs whose moment has come; how many there were.

        Unavailable when a part of ours is away; what could be decided before has been."""
        due = await self._store.jobs.due(self._clock(), limit)
        turns = asyncio.Semaphore(DECIDED_AT_ONCE)
        verdicts = await asyncio.gather(
            *(self._decide(job, turns) for job in due), return_exceptions=True
        )
        away = next((each for each in verdicts if isinstance(each, BaseException)), None)
        moments = [each for each in verdicts if each and not isinstance(each, BaseException)]
        if moments:
            await self._store.jobs.postpone(moments)
        if away:
            raise away
        return len(due)

    async def _decide(self, job: Job, turns: asyncio.Semaphore) -> Postponed | None:
        """Move it, or say when to look at it again. One that fails holds up no other."""
        try:
            async with turns:
                again = await self._judge(job)
        except Unavailable:
            raise
        except Exception as error:
            # Refused by our own rules it has moved on, and postponing it finds nothing to change.
            if isinstance(error, SkadiError) and error.__cause__ is None:
                log.debug("Job %s was not due any more.", job.id)
            else:
                log.exception("Job %s could not be decided and is looked at again later.", job.id)
            again = self._clock() + SECOND_TRY
        return Postponed(job, again) if again else None

    async def _judge(self, job: Job) -> datetime | None:
        if job.status is JobStatus.QUEUING:
            return await self._judge_waiting(job)
        woken = job.status is JobStatus.DELAYED
        await self._move(job.id, JobStatus.QUEUING if woken else JobStatus.EXPIRED, "watcher", None)
        return None

    async def _judge_waiting(self, job: Job) -> datetime | None:
        """A job waits as long as its agent is not known to be away."""
        try:
            agent = await self._agents.get(job.account_id, job.agent_id)
            again = await self._agents.silent_until(agent)
        except NotFound:  # removed while the job was on its way in
            await self._move(job.id, JobStatus.CANCELED, "watcher", None)
            return None
        if again is None:
            await self._move(job.id, JobStatus.EXPIRED, "watcher", None)
        return again
