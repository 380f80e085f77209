"""Each broker, and for Redis a second one, which stands for another process."""

from collections.abc import AsyncIterator

import pytest

from core.broker import Broker
from tests.broker.brokers import opened
from tests.servers import HAS_REDIS_62

REDIS = ["redis_url", *(["redis_62_url"] if HAS_REDIS_62 else [])]


@pytest.fixture(params=["embedded", *REDIS])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """Each kind of broker in turn."""
    url = "" if request.param == "embedded" else request.getfixturevalue(request.param)
    async with opened(url) as one:
        yield one


@pytest.fixture
async def here(every_redis_url: str) -> AsyncIterator[Broker]:
    async with opened(every_redis_url) as one:
        yield one


@pytest.fixture
async def there(every_redis_url: str) -> AsyncIterator[Broker]:
    """The broker of another process on the same Redis."""
    async with opened(every_redis_url) as other:
        yield other
