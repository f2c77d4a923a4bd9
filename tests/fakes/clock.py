"""Time and names under the test's control."""

import itertools
from datetime import UTC, datetime, timedelta

from qlrf_pipelines.ports.clock import Clock, Ids

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class FakeClock(Clock):
    """Stands still until told to move."""

    def __init__(self, start: datetime = NOON) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> None:
        """Move by a timedelta given in its parts: advance(hours=1)."""
        self.moment += timedelta(**parts)


class FakeIds(Ids):
    """r-0001, r-0002, ..."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self) -> str:
        return f"r-{next(self._numbers):04d}"
