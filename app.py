"""Skadi put together: settings → parts → roles; and the command line.

python app.py                  everything in one process
python app.py web worker       these roles only
python app.py agent add …      a command of the operator's
uvicorn app:app                the role web, served by another's hand
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from adapters import Surroundings
from adapters import load as load_adapter
from bots.bot import Bot
from bots.commands import RESERVED
from bots.notices import Notices
from cli.banner import Places, http_address
from cli.process import Role, play, raise_limits, settle, start_log
from core.accounts import Accounts
from core.agents import Agents
from core.broker import Broker, open_broker
from core.chat import Abilities, Adapter, Listener
from core.errors import SettingsError, SkadiError, Unavailable
from core.jobs import Jobs
from core.memory import Memory
from core.messages import Messages
from core.model import Times, utc_now
from core.notebook import Notes
from core.notifier import Letters, Notifier, Patience
from core.settings import COMMANDS, ROLES, Settings, load
from core.store import Store, migrate
from core.watcher import Timetable, Watcher
from web.door import Door, make_app
from web.settings import WebSettings

FOLDER = Path(__file__).resolve().parent
HEARTBEATS_MISSED = 3
"""So many in a row, and agents could not have been heard: their silence begins anew."""

log = logging.getLogger("skadi")


# Settings → parts.


@dataclass(frozen=True, slots=True)
class Parts:
    """What every process is made of, whatever its roles are."""

    settings: Settings
    store: Store
    broker: Broker
    accounts: Accounts
    agents: Agents
    jobs: Jobs
    letters: Letters
    adapters: dict[str, Adapter]

    async def ready(self) -> Mapping[str, str]:
        """Whether the parts that may be away are there."""
        return {
            "database": await state(self.store.ping()),
            "broker": await state(self.broker.presence(())),
        }


async def state(question: Awaitable[object]) -> str:
    try:
        await question
    except SkadiError as error:
        return error.message
    return "ok"


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    await prepare_database(settings)
    times = Times(settings.jobs.offline_after, settings.jobs.lease)
    store = await Store.open(settings.store_url, times=times, pool=settings.database.pool)
    broker = open_broker(settings.redis.url)
    try:
        await broker.open()
        yield make_parts(settings, store, broker, times)
    finally:
        await broker.close()
        await store.close()


async def prepare_database(settings: Settings) -> None:
    if not settings.database.url:
        settings.data.mkdir(parents=True, exist_ok=True)
    if settings.database.migrate:
        await migrate(settings.store_url)


def make_parts(settings: Settings, store: Store, broker: Broker, times: Times) -> Parts:
    memory, adapters = Memory(), dict[str, Adapter]()
    accounts = Accounts(store, memory=memory)
    agents = Agents(store, broker, accounts, times=times, reserved=RESERVED, memory=memory)
    jobs = Jobs(
        store,
        broker,
        agents,
        accounts,
        times=times,
        adapters=adapters,
        command_limit=settings.jobs.command_limit,
        result_limit=settings.jobs.result_limit,
    )
    return Parts(settings, store, broker, accounts, agents, jobs, Letters(store), adapters)
