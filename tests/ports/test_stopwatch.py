"""What every stopwatch promises."""

import subprocess
import sys

import pytest

from qlrf_pipelines.domain.measurement import elapsed
from qlrf_pipelines.ports.stopwatch import Stopwatch
from resources.stopwatch import SystemStopwatch
from tests.fakes.clock import FakeClock
from tests.fakes.stopwatch import FakeStopwatch

BOTH = pytest.mark.parametrize(
    "stopwatch", [FakeStopwatch(), SystemStopwatch()], ids=["fake", "system"]
)


@BOTH
def test_ticks_of_one_boot_only_grow(stopwatch: Stopwatch) -> None:
    before = stopwatch.now()
    stopwatch.sleep(0.01)
    after = stopwatch.now()

    passed = elapsed(before, after)
    assert passed is not None
    assert passed >= 0.01


def test_a_wall_clock_that_steps_moves_no_tick() -> None:
    clock = FakeClock()
    stopwatch = SystemStopwatch(clock)
    before = stopwatch.now()
    clock.advance(hours=-1)
    after = stopwatch.now()

    assert (after.at - before.at).total_seconds() == -3600
    assert (elapsed(before, after) or 0.0) >= 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="the boot's clock is Linux's")
def test_two_processes_of_a_boot_read_the_same_clock() -> None:
    code = (
        "from resources.stopwatch import SystemStopwatch; "
        "now = SystemStopwatch().now(); print(now.ticks, now.boot)"
    )
    before = SystemStopwatch().now()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = SystemStopwatch().now()

    ticks, boot = said.stdout.split()
    assert boot == before.boot == after.boot
    assert before.ticks < int(ticks) < after.ticks
