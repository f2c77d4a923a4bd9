"""Fixtures every room may ask for. What they start is started at the first use."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.fakes.postgres import PostgresDatabase


# Where a property does not say how many examples it wants: what a usual run has time for.
settings.register_profile("usual", max_examples=40)
if not os.environ.get("QLRF_THOROUGH"):
    settings.load_profile("usual")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests mostly wait, for a daemon or for a server."""
    return (os.cpu_count() or 1) + 1


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
