"""An adapter that calls addresses, and a house whose jobs name some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters import Surroundings
from adapters.callback import Callback, Options
from adapters.callback.signature import Secrets
from bots.words import remark
from core.chat import Message, Published, Reply
from core.model import Account, Agent, Clock, Job, utc_now
from core.notebook import Notes
from core.notifier import Letters, Notifier, Patience
from tests.callback.receiver import Receiver
from tests.core.parts import Words
from tests.house import House, open_house
from tests.mail.office import Keys
from tests.mail.office import Notes as ShortNotes

BODY = '{"event_id":"e1","status":"sent"}'


async def nobody(_message: Message) -> Reply | None:
    raise AssertionError("nobody writes from there")


def around(notebook: Any, clock: Clock = utc_now) -> Surroundings:
    return Surroundings(
        inbox=nobody,
        notebook=notebook,
        keyring=Keys(),
        clock=clock,
        data=Path("nowhere"),
        remark=remark,
    )


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Callback]:
    """An adapter alone, whose notebook lives as long as the test."""
    adapter = Callback("callback", Options(**options), around(ShortNotes(utc_now)))  # type: ignore[arg-type]
    try:
        yield adapter
    finally:
        await adapter.close()


async def call(adapter: Callback, url: str, event_id: str = "e1", account_id: str = "ada") -> None:
    """One event to an address."""
    event = Published(event_id, account_id, BODY)
    await adapter.send(Reply(adapter.address(url), "", event=event))


@dataclass
class Work:
    house: House
    notifier: Notifier
    letters: Letters
    secrets: Secrets
    account: Account
    agent: Agent

    async def submit(self, callback: str, **changes: Any) -> Job:
        fields = {"source": "ci", "requested_by": "token:1", "callback": callback} | changes
        return await self.house.jobs.submit(self.account.id, self.agent, "deploy", **fields)

    async def finish(self, job: Job, *outputs: str, result: str = "done") -> None:
        """Claimed, a report for each output, and succeeded."""
        claimed = await self.house.jobs.claim(self.agent)
        assert claimed and claimed.id == job.id
        for output in outputs:
            await self.house.jobs.report(self.agent, job.id, "running", output)
        await self.house.jobs.report(self.agent, job.id, "succeed", result)

    async def tell(self) -> None:
        await self.notifier.tell_due()

    async def expect(self, receiver: Receiver) -> None:
        """From now on the receiver takes what this account's secret signed, and nothing else."""
        receiver.secret = (await self.secrets.signing(self.account.id))[0]


@asynccontextmanager
async def at_work(url: str, clock: Any, **options: Any) -> AsyncIterator[Work]:
    """Calls carry the true time, as receivers look at it; all else goes by the test's clock."""
    async with open_house(url, clock) as house:
        notebook = Notes(house.store, "callback")
        given: dict[str, Any] = {"allow_hosts": ("127.0.0.1",), "http": True} | options
        adapter = house.adapters["callback"] = Callback(
            "callback", Options(**given), around(notebook)
        )
        notifier = Notifier(
            house.store,
            house.broker,
            house.adapters,
            Words(),
            house.accounts,
            clock=clock,
            patience=Patience(look=0.02),
        )
        account, _ = await house.people()
        agent, _ = await house.enrol(account)
        letters, secrets = Letters(house.store, clock=clock), Secrets(notebook, utc_now)
        try:
            yield Work(house, notifier, letters, secrets, account, agent)
        finally:
            await adapter.close()
