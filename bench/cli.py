"""How long `qlrf --help` and `qlrf query` take beside the bare interpreter importing DuckDB."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

REPETITIONS = 9
MUST = 2.0


def measure() -> list[dict[str, object]]:
    """Whole processes, interleaved; medians."""
    program = str(Path(sys.executable).with_name("qlrf"))
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as home:
        _marts(Path(home) / "marts.duckdb")
        question = "SELECT scope_value, coverage, status FROM agg_drift_scope ORDER BY 1"
        commands = {
            "floor": [sys.executable, "-c", "import duckdb"],
            "qlrf --help": [program, "--help"],
            "qlrf query": [program, "query", question],
            "qlrf query --tenant": [program, "query", question, "--tenant", "t-7"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for repetition in range(REPETITIONS + 1):
            for name, command in commands.items():
                took = _seconds(command, home)
                if repetition:  # the first one warms the disk cache
                    seconds[name].append(took)
    floor = statistics.median(seconds.pop("floor"))
    return [_row(name, statistics.median(took), floor) for name, took in seconds.items()]


def _row(name: str, ours: float, floor: float) -> dict[str, object]:
    ratio = ours / floor
    return {
        "what": name,
        "ours": round(ours, 3),
        "floor": round(floor, 3),
        "ratio": round(ratio, 2),
        "must": f"<= {MUST:g} x floor",
        "unit": "s",
        "ok": ratio <= MUST,
        "detail": f"floor: python -c 'import duckdb'; median of {REPETITIONS}",
    }


def _seconds(command: list[str], home: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        command,
        env={**os.environ, "QLRF_HOME": home},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def _marts(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE dim_tenant AS SELECT 't-' || n AS tenant FROM range(100) AS t(n)"
        )
        connection.execute(
            "CREATE TABLE agg_drift_scope AS SELECT tenant, tenant AS scope_value, "
            "0.5::DOUBLE AS coverage, 'critical' AS status FROM dim_tenant"
        )
