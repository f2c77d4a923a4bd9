"""How long the policy gate takes: one plan, and all packages together, in this process."""

import statistics
import time
from typing import Any

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.policy import PACKAGES
from qlrf_pipelines.ports.policy import PolicyEngine
from qlrf_pipelines.settings import Settings

REPETITIONS = 60
MUST_MS = 20.0
MANY = 1000


def measure() -> list[dict[str, object]]:
    """Medians of single evaluations, interleaved; the floor is a question that denies at once."""
    packages = {package.id: package for package in wiring.policies().load()}
    started = time.perf_counter()
    engine = wiring.policy(Settings.from_env({}))
    load = (time.perf_counter() - started) * 1000
    inputs = {name: dict(packages[name].samples[0].input) for name in PACKAGES}
    sizes = {"10 assets": _sized(inputs["plan_safety"], 10), f"{MANY} assets": None}
    sizes[f"{MANY} assets"] = _sized(inputs["plan_safety"], MANY)
    times: dict[str, list[float]] = {name: [] for name in ("floor", "all", *sizes)}
    for _ in range(REPETITIONS):
        times["floor"].append(_took(engine, {"sop_safety": {}}))
        times["all"].append(_took(engine, inputs | {"plan_safety": sizes["10 assets"]}))
        for size, value in sizes.items():
            times[size].append(_took(engine, {"plan_safety": value}))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    rows = [_row("policies: one plan of 10 assets, all packages", medians["all"], medians, MUST_MS)]
    rows += [_row(f"policies: plan_safety, {s}", medians[s], medians, None) for s in sizes]
    rows.append(_row("policies: load and judge every sample once", load, medians, None))
    return rows


def _took(engine: PolicyEngine, inputs: dict[str, Any]) -> float:
    started = time.perf_counter()
    for name, value in inputs.items():
        engine.decide(name, value)
    return (time.perf_counter() - started) * 1000


def _sized(sample: dict[str, Any], assets: int) -> dict[str, Any]:
    """The sample's plan over so many assets, in phases of a tenth."""
    plan = dict(sample["plan"])
    names = [f"aws:111122223333:eu-central-1:i-{number:017x}" for number in range(assets)]
    first = plan["phases"][0]
    size = assets // 10
    plan["phases"] = [
        first
        | {
            "name": f"phase-{at}",
            "kind": "wave" if at else "canary",
            "assets": names[at * size : (at + 1) * size],
            "batches": [names[at * size : (at + 1) * size]],
            "actions": [first["actions"][0] | {"asset": n} for n in names[at * size :][:size]],
        }
        for at in range(10)
    ]
    plan["total_assets"] = assets
    plan["blast_radius"] = plan["blast_radius"] | {"assets": assets, "max_at_once": size}
    return sample | {"plan": plan}


def _row(
    what: str, ours: float, medians: dict[str, float], must: float | None
) -> dict[str, object]:
    return {
        "what": what,
        "ours": round(ours, 2),
        "floor": round(medians["floor"], 2),
        "ratio": round(ours / medians["floor"], 1),
        "must": f"<= {must:g} ms" if must else None,
        "unit": "ms",
        "ok": ours <= must if must else None,
        "detail": f"floor: an empty input; median of {REPETITIONS}",
    }
