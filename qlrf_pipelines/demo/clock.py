"""A clock that is late on purpose, so that one sitting can show two days."""

from datetime import datetime, timedelta

from qlrf_pipelines.ports.clock import Clock


class ShiftedClock(Clock):
    """Another clock, `by` earlier."""

    def __init__(self, clock: Clock, *, by: timedelta) -> None:
        self._clock = clock
        self._by = by

    def now(self) -> datetime:
        """The other clock's time, minus the shift."""
        return self._clock.now() - self._by
