"""What every test of a job begins with."""

from collections.abc import Iterator

import dagster as dg
import pytest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance of Dagster of the test's own."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found
