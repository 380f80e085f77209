"""An office on SQLite, and the three people everywhere: owner, teammate, stranger."""

from collections.abc import AsyncIterator

import pytest

from tests.bots.office import Machine, Office, Person, open_office
from tests.clock import Clock


@pytest.fixture
async def office(sqlite_url: str, clock: Clock) -> AsyncIterator[Office]:
    async with open_office(sqlite_url, clock) as office:
        yield office


@pytest.fixture
async def ada(office: Office) -> Person:
    """The owner, in a thread of the team's channel."""
    at = office.person("Ada").elsewhere("C1", "1.1", private=False)
    return await office.link(at)


@pytest.fixture
async def ben(office: Office) -> Person:
    """A teammate, on WeChat."""
    return await office.link(office.person("Ben", "wechat"))


@pytest.fixture
def mallory(office: Office) -> Person:
    """A stranger, in the team's channel too."""
    return office.person("Mallory").elsewhere("C1", "1.1", private=False)


@pytest.fixture
async def web(office: Office) -> Machine:
    return await office.enrol()
