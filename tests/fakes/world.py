"""A whole world of fakes; replace the parts a test is about."""

import importlib
from typing import Any

from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.ports.metrics import MetricSource
from qlrf_pipelines.ports.world import World
from tests.fakes.acceptances import FakeAcceptances
from tests.fakes.clock import FakeClock, FakeIds
from tests.fakes.drills import FakeDrills
from tests.fakes.engine import FakeEngine
from tests.fakes.lake import FakeLake
from tests.fakes.ledger import FakeLedger
from tests.fakes.locks import FakeLocks
from tests.fakes.outbox import FakeOutbox
from tests.fakes.plan_contract import FakePlanContract
from tests.fakes.policy import FakePolicies
from tests.fakes.progress import FakeProgress
from tests.fakes.rollouts import FakeRollouts
from tests.fakes.stopwatch import FakeStopwatch
from tests.fakes.tasks import FakeTasks


def fake_world(**overrides: Any) -> World:
    """Every port as a fake, with these parts replaced: fake_world(clouds={...}, lake=lake)."""
    parts: dict[str, Any] = {
        "clock": (clock := overrides.get("clock") or FakeClock()),
        "ids": FakeIds(),
        "engine": FakeEngine(),
        "clouds": {},
        "lake": FakeLake(),
        "ledger": (ledger := overrides.get("ledger") or FakeLedger()),
        "tasks": (tasks := overrides.get("tasks") or FakeTasks(ledger)),
        "rollouts": FakeRollouts(ledger, tasks if isinstance(tasks, FakeTasks) else None),
        "executors": {},
        "metrics": no_metrics,
        "locks": FakeLocks(),
        "outbox": FakeOutbox(ledger),
        "acceptances": FakeAcceptances(),
        "drills": FakeDrills(ledger),
        "recovery": {},
        "stopwatch": FakeStopwatch(clock if isinstance(clock, FakeClock) else FakeClock()),
        "policy": FakePolicies(),
        "plan_contract": FakePlanContract(),
        "progress": FakeProgress(),
    }
    for part, name in (
        ("estate", "FakeEstate"),
        ("controls", "FakeControls"),
        ("warehouse", "FakeWarehouse"),
        ("probes", "FakeProbes"),
        ("hooks", "FakeHooks"),
        ("notifier", "FakeNotifier"),
    ):
        if part not in overrides:
            parts[part] = _made(part, name)
    return World(**(parts | overrides))


def no_metrics(provider: Provider) -> MetricSource:
    """Nobody has a test's metrics unless it says who."""
    raise Rejected(f"This test has no metrics of {provider.kind}.")


def _made(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"tests.fakes.{module}"), name)()
