"""The whole way of a mail: the real listener, bot, core and outbox, with two accounts behind them."""

from __future__ import annotations

import asyncio
import email
import re
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message as Mail
from pathlib import Path
from typing import Any

from adapters import Surroundings
from adapters.smtp import Options, Smtp
from bots.bot import Bot
from bots.notices import Notices
from bots.words import remark
from core.chat import Adapter
from core.model import Account
from core.notebook import Notes
from core.notifier import Notifier
from tests.clock import Clock
from tests.house import House, open_house
from tests.mail.office import OWNER, STRANGER, Client, letter

NAME = "mail"


@dataclass(frozen=True)
class Tenant:
    """Somebody with an account, one agent and a secret address."""

    person: str
    account: Account
    token_id: str
    secret: str

    @property
    def address(self) -> str:
        return f"agent+{self.secret}@skadi.example"


@dataclass
class PostOffice:
    """Ada's house, and Eve's beside it on the same server."""

    house: House
    smtp: Smtp
    notifier: Notifier
    clock: Clock
    outbox: Path
    ada: Tenant
    eve: Tenant
    upstream: str
    """The secret of a token of an upstream system, which speaks for every account."""
    clients: list[Client] = field(default_factory=list)

    async def call(self, login: str = "") -> Line:
        """A connection, greeted, and logged in where a token is given."""
        self.clients.append(client := await Client.connect(*self.smtp.bound))
        line = Line(client)
        await line.greet(login)
        return line

    async def tell(self) -> Sequence[Mail]:
        """Tell everybody what is due, and read the whole outbox."""
        self.clock.move(seconds=20)
        await self.notifier.tell_due()
        files = sorted((self.outbox / "new").glob("*"), key=lambda file: file.stat().st_mtime_ns)
        return [email.message_from_bytes(file.read_bytes()) for file in files]

    async def commands(self) -> list[str]:
        """What the agents of both accounts were asked to run, each with its name."""
        return [
            f"{job.agent_name} {job.command}"
            for tenant in (self.ada, self.eve)
            for job in await self.house.store.jobs.recent(tenant.account.id, None, 100)
        ]

    def letter(self, text: str, sender: str = OWNER, **headers: str) -> bytes:
        return letter(text, sender, date=self.clock(), **headers)


class Line:
    """One connection, over which mail after mail is handed in."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def greet(self, login: str) -> None:
        await self.client.hear()
        assert (await self.client.say("EHLO client.example")).startswith("250-")
        if login:
            said = await self.client.say("AUTH LOGIN", encode("ada"), encode(login))
            assert said.startswith("235 "), said

    async def hand_in(self, raw: bytes, to: Sequence[str], mail_from: str, more: str = "") -> str:
        """The first refusal, or the verdict. `raw` goes over the wire as it is."""
        steps = [f"MAIL FROM:<{mail_from}>{more}", *(f"RCPT TO:<{one}>" for one in to), "DATA"]
        for step in steps:
            said = await self.client.say(step)
            if not re.match("[23]", said):
                await self.client.say("RSET")
                return said
        self.client.throw(raw + b".\r\n")
        return await self.client.hear()


def encode(text: str) -> str:
    return b64encode(text.encode()).decode()


@asynccontextmanager
async def open_post_office(
    made: Path, folder: Path, clock: Clock, **options: Any
) -> AsyncIterator[PostOffice]:
    """`made`: a database whose tables are there already."""
    shutil.copy(made, folder / "skadi.db")
    adapters: dict[str, Adapter] = {}
    url = f"sqlite+aiosqlite:///{folder / 'skadi.db'}"
    async with open_house(url, clock, adapters=adapters) as house:
        smtp = adapters[NAME] = make_adapter(house, folder, options)
        office = PostOffice(
            house,
            smtp,
            Notifier(house.store, house.broker, adapters, Notices(), house.accounts, clock=clock),
            clock,
            folder / "outbox",
            await settle(house, "Ada", OWNER),
            await settle(house, "Eve", STRANGER),
            (await house.accounts.add_token("system", None, "upstream"))[1],
        )
        async with listening(smtp):
            try:
                yield office
            finally:
                for client in office.clients:
                    client.hang_up()
        await smtp.close()


async def settle(house: House, name: str, person: str) -> Tenant:
    account = await house.accounts.add(name, "en")
    await house.enrol(account)
    await house.accounts.add_identity(account.id, "smtp", f"-/{person}", name)
    token, secret = await house.accounts.add_token("mail", account.id, "her mail program")
    return Tenant(person, account, token.id, secret)


def make_adapter(house: House, folder: Path, options: dict[str, Any]) -> Smtp:
    clock, name = house.clock, NAME
    bot = Bot(
        accounts=house.accounts,
        agents=house.agents,
        jobs=house.jobs,
        messages=house.messages,
        platforms={name: Smtp.platform},
        abilities={name: Smtp.abilities},
        clock=clock,
    )
    around = Surroundings(
        inbox=bot.handle,
        notebook=Notes(house.store, name, clock=clock),
        keyring=house.accounts,
        clock=clock,
        data=folder,
        remark=remark,
    )
    return Smtp(name, Options(**{"port": 0, "domain": "skadi.example", **options}), around)


@asynccontextmanager
async def listening(smtp: Smtp) -> AsyncIterator[None]:
    task = asyncio.create_task(smtp.listen())
    await asyncio.wait_for(smtp.ready.wait(), 5)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)


Forge = Callable[["Scene"], "Attempt"]


@dataclass(frozen=True)
class Scene:
    """What a forger may know: the office, the address of an answer to Ada, a mail of hers."""

    office: PostOffice
    return_address: str
    answer: bytes
    genuine: bytes


@dataclass(frozen=True)
class Attempt:
    """What is handed in, to whom. `genuine`: how many commands of Ada's own it brings."""

    raw: bytes
    to: Sequence[str] = ("agent@skadi.example",)
    mail_from: str = STRANGER
    login: str = ""
    more: str = ""
    """Parameters of MAIL."""
    genuine: int = 0
