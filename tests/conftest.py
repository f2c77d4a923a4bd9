"""Fixtures every room may ask for. What they start is started at the first use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes.postgres import PostgresDatabase


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: whoever gets the last file should not keep everybody waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def postgres() -> "Iterator[PostgresDatabase]":
    """A migrated, empty database of this test's own on the session's real PostgreSQL."""
    from tests.fakes.postgres import shared_server

    server = shared_server()
    database = server.database()
    yield database
    server.drop(database)
