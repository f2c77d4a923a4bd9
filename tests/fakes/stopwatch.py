"""A stopwatch under the test's control."""

import threading

from qlrf_pipelines.domain.measurement import Instant
from qlrf_pipelines.ports.stopwatch import Stopwatch
from tests.fakes.clock import FakeClock


class FakeStopwatch(Stopwatch):
    """Stands still until somebody sleeps; `clock` goes with it, and may be stepped alone."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.ticks = 1_000_000_000
        self.boot = "boot-1"
        self._door = threading.Lock()

    def now(self) -> Instant:
        with self._door:
            return Instant(at=self.clock.now(), ticks=self.ticks, boot=self.boot)

    def sleep(self, seconds: float) -> None:
        with self._door:
            self.ticks += round(seconds * 1_000_000_000)
            self.clock.advance(seconds=seconds)

    def reboot(self) -> None:
        """Another boot, whose ticks begin again."""
        with self._door:
            self.boot, self.ticks = "boot-2", 5
