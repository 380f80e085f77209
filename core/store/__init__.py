"""The truth: every SQL statement and transaction of Skadi."""

from __future__ import annotations

from datetime import datetime

from core.model import Clock, Times, utc_now
from core.store.accounts import AccountStore
from core.store.agents import AgentStore
from core.store.batch import AddJob, AddMessage, Batch, Change
from core.store.chunks import AddOutput
from core.store.database import Database
from core.store.deliveries import DeliveryStore
from core.store.depths import Depths, DepthStore
from core.store.enrolment import EnrolmentStore
from core.store.facts import FactStore
from core.store.hellos import HelloStore
from core.store.history import HistoryStore, Search
from core.store.jobs import JobStore, Postponed
from core.store.keeping import KeepingStore, Page
from core.store.ledger import Announce, Ledger
from core.store.messages import MessageStore
from core.store.migrate import migrate, revision
from core.store.moves import CancelJob, MoveJob
from core.store.notes import NoteStore
from core.store.outputs import OutputStore

__all__ = [
    "AddJob",
    "AddMessage",
    "AddOutput",
    "Announce",
    "Batch",
    "CancelJob",
    "Change",
    "Depths",
    "MoveJob",
    "Page",
    "Postponed",
    "Search",
    "Store",
    "migrate",
    "revision",
]


class Store:
    """One open database, a part a noun."""

    def __init__(self, database: Database, clock: Clock, times: Times) -> None:
        self._database = database
        self._ledger = Ledger(database, clock, times)
        self.accounts = AccountStore(database)
        self.agents = AgentStore(database)
        self.hellos = HelloStore(database)
        self.enrolment = EnrolmentStore(database)
        self.jobs = JobStore(database, self._ledger)
        self.outputs = OutputStore(database, self._ledger)
        self.deliveries = DeliveryStore(database)
        self.messages = MessageStore(database)
        self.notes = NoteStore(database)
        self.history = HistoryStore(database)
        self.keeping = KeepingStore(database)
        self.facts = FactStore(database)
        self.depths = DepthStore(database)

    @classmethod
    async def open(
        cls, url: str, *, clock: Clock = utc_now, times: Times | None = None, pool: int = 8
    ) -> Store:
        return cls(Database(url, pool), clock, times or Times())

    def on_commit(self, announce: Announce) -> None:
        """What a committed batch is said to, before its callers are answered."""
        self._ledger.announce = announce

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        await self.facts.epoch()

    async def now(self) -> datetime:
        """The database's own clock."""
        return await self._database.now()

    async def clock_offset(self) -> float:
        """Seconds by which the database's clock is ahead of ours."""
        before = utc_now()
        theirs = await self.now()
        return (theirs - (before + (utc_now() - before) / 2)).total_seconds()

    async def close(self) -> None:
        """Finish what is being written, then let go."""
        await self._ledger.close()
        await self._database.close()
