"""What every test of mail may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.mail.office import Office, at_work


@pytest.fixture
async def office(clock: Clock, tmp_path: Path) -> AsyncIterator[Office]:
    async with at_work(clock, tmp_path) as office:
        yield office
