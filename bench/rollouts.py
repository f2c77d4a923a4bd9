"""A rollout of a thousand assets: what keeping every step costs beside the operations themselves.

On an embedded Postgres of its own with its usual durability. The executor is a double whose every
operation takes 10 ms and answers at once when asked about health; the floor is what twenty hands
need for a thousand such operations, one after the other.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.estate import Connector, Estate, Tenant, TenantId
from qlrf_pipelines.domain.operations import (
    Health,
    HealthReport,
    Operation,
    Progress,
    Status,
    Target,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import approvals, claims, rollouts
from qlrf_pipelines.services.rollout_drive import PARALLEL, drive
from qlrf_pipelines.settings import Settings
from tests.fakes.estate import FakeEstate

ASSETS, SECONDS, REPETITIONS = 1_000, 0.010, 5
IDEAL = ASSETS * SECONDS / PARALLEL
ACME = TenantId("acme")


class Double(Executor, Operator):
    """Hands that need 10 ms for everything, and nothing to look."""

    platform = Platform.AWS
    version = "bench/1"

    def operator(self, connector: Connector, account: str) -> Operator:  # noqa: ARG002
        return self

    def capture(self, target: Target) -> Mapping[str, Any]:
        return {"image": "ami-old", "volumes": ["vol-1"], "tags": {"name": target.id}}

    def advance(self, operation: Operation) -> Progress:  # noqa: ARG002
        time.sleep(SECONDS)
        return Progress(status=Status.SUCCEEDED, detail="done")

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:  # noqa: ARG002
        return HealthReport(health=Health.HEALTHY, why="running")

    def address(self, target: Target) -> str | None:  # noqa: ARG002
        return None


def document(number: int) -> dict[str, Any]:
    """One wave of all assets, each patched and then looked at."""
    keys = [f"aws:111:us-east-1:i-{n:05d}" for n in range(ASSETS)]
    wave = {
        "name": "wave-1",
        "kind": "wave",
        "assets": keys,
        "batches": [keys],
        "wait_seconds": 0,
        "health_checks": [{"type": "cloud-status"}],
        "rollback_triggers": [
            {"metric": "failure_share", "comparison": "greater-than", "threshold": 0.2}
        ],
        "actions": [{"asset": key, "operation": "patch_in_place"} for key in keys],
    }
    return {
        "id": f"p-{number}",
        "environment": "staging",
        "phases": [wave],
        "window": {"required": False},
        "strategy": {"type": "immediate"},
        "hooks": [],
    }


def begun(world: World, number: int) -> str:
    """A rollout that is approved, claimed and begun."""
    task = approvals.submit_task(
        world,
        ACME,
        kind="remediation",
        title=f"Patch a thousand machines, {number}",
        document=document(number),
        requested_by="rita",
    )
    approvals.decide(
        world,
        ACME,
        task.id,
        kind=DecisionKind.APPROVE,
        digest=task.digest,
        by="ann",
        role=Role.ENGINEER,
    )
    got = claims.claim(world, ACME, task.id, digest=task.digest, holder="bench")
    assert isinstance(got, claims.Granted)
    rollouts.begin(world, got.record, got.conditions, skipped={})
    return task.id


def measure() -> list[dict[str, object]]:
    """Drive a few rollouts to their end."""
    home = Connector(tenant=ACME, name="main", platform=Platform.AWS)
    estate = Estate(tenants=(Tenant(name=ACME, display_name="Acme", connectors=(home,)),))
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as folder:
        settings = Settings.from_env({"QLRF_HOME": folder})
        with wiring.database(settings):
            world = replace(
                wiring.live(settings),
                executors={Platform.AWS: Double()},
                estate=FakeEstate(estate),
            )
            took = [_driven(world, number) for number in range(REPETITIONS + 1)][1:]
    ours = statistics.median(wall for wall, _ in took)
    cpu = statistics.median(used for _, used in took)
    return [
        {
            "what": f"rollout of {ASSETS} assets, 10 ms operations, parallelism {PARALLEL}",
            "ours": round(ours, 3),
            "floor": IDEAL,
            "ratio": round(ours / IDEAL, 2),
            "must": "<= 2 x",
            "unit": "s",
            "ok": ours <= 2 * IDEAL,
            "detail": f"median of {REPETITIONS}, best {min(took)[0]:.2f} s, "
            f"worst {max(took)[0]:.2f} s; {cpu:.2f} s of it on the processor here",
        }
    ]


def _driven(world: World, number: int) -> tuple[float, float]:
    rollout = begun(world, number)
    started, used = time.perf_counter(), time.process_time()
    ended = drive(world, ACME, rollout, holder="bench")
    took = time.perf_counter() - started, time.process_time() - used
    assert ended.state == "completed"
    return took
