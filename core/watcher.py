"""The timetable: every so often, each noun looks at what is due. Two watchers do no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from core import settings
from core.agents import Agents
from core.broker import Broker
from core.errors import Unavailable
from core.jobs import Jobs
from core.keeping import Keeping
from core.model import Clock, utc_now
from core.store import Store

log = logging.getLogger(__name__)

DEFAULTS = settings.Watcher()
PAGE = 500
FRESH = timedelta(seconds=5)
"""What is younger is still being said by who committed it."""
TOGETHER = 20
"""Jobs whose output is forgotten in one transaction."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """Seconds between two runs of each sweep."""

    due: float = DEFAULTS.due.total_seconds()
    absent: float = DEFAULTS.absent.total_seconds()
    remind: float = DEFAULTS.remind.total_seconds()
    facts: float = DEFAULTS.facts.total_seconds()
    tidy: float = DEFAULTS.tidy.total_seconds()


@dataclass(frozen=True, slots=True)
class Sweep:
    name: str
    every: float
    run: Callable[[], Awaitable[object]]


class Watcher:
    def __init__(
        self,
        store: Store,
        broker: Broker,
        agents: Agents,
        jobs: Jobs,
        *,
        clock: Clock = utc_now,
        timetable: Timetable | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._agents = agents
        self._jobs = jobs
        self._clock = clock
        self._keeping = keeping or Keeping(store, clock=clock)
        self._told: frozenset[str] = frozenset()
        times = timetable or Timetable()
        self.sweeps = (
            Sweep("facts", times.facts, self.remind_facts),
            Sweep("due", times.due, self.sweep_due),
            Sweep("ready", times.remind, self.remind_ready),
            Sweep("events", times.remind, self.remind_events),
            Sweep("absent", times.absent, agents.sweep_absent),
            Sweep("tidy", times.tidy, self.tidy),
        )

    async def run(self) -> None:
        """Until cancelled. At the start everything is said once."""
        async with asyncio.TaskGroup() as group:
            for sweep in self.sweeps:
                group.create_task(self._repeat(sweep))

    async def _repeat(self, sweep: Sweep) -> None:
        while True:
            await self.run_once(sweep)
            await asyncio.sleep(sweep.every)

    async def run_once(self, sweep: Sweep) -> None:
        """A failing sweep is logged and comes again; the others go on."""
        try:
            await sweep.run()
        except Unavailable as error:
            log.warning("Sweep %s waits: %s", sweep.name, error)
        except Exception:
            log.exception("Sweep %s failed.", sweep.name)

    async def sweep_due(self) -> None:
        while await self._jobs.sweep(PAGE) >= PAGE:
            pass

    async def remind_facts(self) -> None:
        """Which epoch of facts holds; another program (the command line) may have changed them."""
        await self._broker.set_epoch(await self._store.facts.epoch())

    async def remind_ready(self) -> None:
        """What the database calls queuing, what journals were handed, and what of it is to be stopped, is
        said to the broker again."""
        after = ("", "")
        before = self._clock() - FRESH
        while page := await self._store.jobs.queuing(before, after, PAGE):
            await self._broker.tell([], page)
            after = page[-1]
        after = ("", "")
        while page := await self._store.jobs.handed_out(after, PAGE):
            for agent_id, job_id in page:
                await self._broker.hand_out(agent_id, job_id)
            after = page[-1]
        after = ("", "")
        while page := await self._store.jobs.called_off(after, PAGE):
            for agent_id, job_id in page:
                await self._broker.call_off(agent_id, job_id)
            after = page[-1]

    async def remind_events(self) -> None:
        """Events of commits that nobody is known to have announced."""
        before = self._clock() - FRESH
        while page := await self._store.jobs.unannounced(before, PAGE):
            for batch_id, news in page:
                await self._broker.tell(news)
                await self._store.jobs.strike_off(batch_id)

    async def tidy(self) -> None:
        """Forget what nobody can ask for any more."""
        now = self._clock()
        await self._store.notes.forget(now)
        await self._forget_output()
        await self._keeping.sweep()

    async def _forget_output(self) -> None:
        """The pieces that came while a job ran, once its report has brought the whole. A run of this
        takes all that the run before has left to those who were reading."""
        after, told = "", list[str]()
        while page := await self._store.outputs.replaced(after, PAGE):
            told += page
            after = page[-1]
        spent = [job_id for job_id in told if job_id in self._told]
        self._told = frozenset(told)
        for start in range(0, len(spent), TOGETHER):
            await self._store.outputs.forget(spent[start : start + TOGETHER])
