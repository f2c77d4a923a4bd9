"""Fixtures every room may ask for. What they start is started at the first use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fakes.postgres import PostgresDatabase


@pytest.fixture
def postgres() -> "Iterator[PostgresDatabase]":
    """A migrated, empty database of this test's own on the session's real PostgreSQL."""
    from tests.fakes.postgres import shared_server

    server = shared_server()
    database = server.database()
    yield database
    server.drop(database)
