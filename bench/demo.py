"""How long `make demo` takes after the first install, on an empty home and on a used one."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MUST_SECONDS = 60.0


def _seconds(home: str) -> float:
    begun = time.monotonic()
    subprocess.run(
        [str(Path(sys.executable).parent / "qlrf"), "demo", "--json"],
        env={**os.environ, "QLRF_HOME": home},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - begun


def measure() -> list[dict[str, object]]:
    """Two runs of the demonstration in one home: the first from nothing."""
    with tempfile.TemporaryDirectory() as home:
        return [
            {
                "what": f"`make demo`, {which}",
                "ours": round(seconds, 1),
                "floor": None,
                "ratio": None,
                "must": f"≤ {MUST_SECONDS:.0f} s",
                "unit": "s",
                "ok": seconds <= MUST_SECONDS,
                "detail": "wall clock of `qlrf demo`, two refreshes through Dagster",
            }
            for which in ("empty home", "second start")
            for seconds in [_seconds(home)]
        ]
