"""`make bench [ONLY=scoring,cli]`: run every measurement, print a table, write JSON.

A measurement is a module with `measure() -> list[dict]`; a row says what, ours,
floor, ratio, must, unit, ok and detail. Ratios are of medians over interleaved repetitions in
the same run.
"""

import importlib
import json
import os
import platform
import sys
from pathlib import Path

MEASUREMENTS = (
    "cli",
    "discovery",
    "scoring",
    "refresh",
    "policy",
    "approvals",
    "parked",
    "rollouts",
    "demo",
    "canary",
    "drills",
)


def machine() -> dict[str, object]:
    """What this was measured on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def main() -> int:
    """Run, print, write; non-zero when a number misses what it must reach."""
    only = [name for name in os.environ.get("ONLY", "").split(",") if name] or MEASUREMENTS
    rows: list[dict[str, object]] = []
    for name in only:
        print(f"bench {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").measure()
    results = Path("bench/results")
    results.mkdir(parents=True, exist_ok=True)
    (results / "latest.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    print(table(rows))
    return 0 if all(row.get("ok") is not False for row in rows) else 1


def table(rows: list[dict[str, object]]) -> str:
    """The rows as a Markdown table."""
    head = ["what", "ours", "floor", "ratio", "must", "ok", "detail"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in head) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
