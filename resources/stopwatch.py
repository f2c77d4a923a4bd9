"""The real stopwatch: the kernel's clock since boot, which no time service sets."""

import secrets
import time
from functools import cache
from pathlib import Path

from qlrf_pipelines.domain.measurement import Instant
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.stopwatch import Stopwatch
from resources.clock import SystemClock

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class SystemStopwatch(Stopwatch):
    """CLOCK_BOOTTIME and the boot's id on Linux: the same in every process, also asleep.

    Elsewhere the process's own monotonic clock with an id of this process alone: after a restart of
    the process nothing can be compared, and a measurement across it is not proven.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def now(self) -> Instant:
        """This moment on both clocks."""
        boot = _boot()
        return Instant(at=self._clock.now(), ticks=_ticks(boot), boot=boot)

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
        time.sleep(max(0.0, seconds))


@cache
def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return f"process:{secrets.token_hex(8)}"


def _ticks(boot: str) -> int:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None or boot.startswith("process:"):
        return time.monotonic_ns()
    return time.clock_gettime_ns(clock)
