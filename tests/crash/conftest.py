"""Servers of this folder's own, as they are stopped, killed and emptied."""

from collections.abc import Iterator

import pytest

from tests.servers import MariaDB, Redis


@pytest.fixture(scope="package")
def maria() -> Iterator[MariaDB]:
    with MariaDB(fast=True) as server:
        yield server


@pytest.fixture(scope="package")
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server
