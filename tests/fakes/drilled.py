"""Plans, drills and moments with everything a test does not care about filled in."""

from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import Drill, DrillStep, MoveRow, Phase
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import Member, MoveKind
from qlrf_pipelines.domain.recovery_plans import (
    CanaryWrites,
    DrillType,
    ProbePace,
    ProbeRule,
    ProbeType,
    RecoveryPlan,
    plan_document,
)
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.drills import Drills
from tests.fakes.approvals import ACME
from tests.fakes.clock import NOON


def at(seconds: float, *, boot: str = "boot-1", wall: float | None = None) -> Instant:
    """So many seconds after noon and after the boot."""
    shown = seconds if wall is None else wall
    return Instant(at=NOON + timedelta(seconds=shown), ticks=round(seconds * 1e9), boot=boot)


def member(name: str = "database", *needs: str, adapter: str = "fake") -> Member:
    """Something that fails over."""
    return Member(name=name, adapter=adapter, settings={}, depends_on=needs)


def plan(**parts: Any) -> RecoveryPlan:
    """One database, one probe, canary writes, targets of minutes."""
    given: dict[str, Any] = {
        "tenant": "acme",
        "name": "orders-full",
        "application": "orders",
        "tier": 1,
        "environment": Environment.STAGING,
        "pair": "london-dublin",
        "primary": "london",
        "recovery": "dublin",
        "groups": ((member(),),),
        "probes": (ProbeRule(name="port", type=ProbeType.TCP, target="database"),),
        "type": DrillType.FULL,
        "pace": ProbePace(interval_seconds=1, timeout_seconds=1, within_seconds=60),
        "canary": CanaryWrites(members=("database",), interval_seconds=0.5, before_seconds=5),
        "rto_seconds": 300.0,
        "rpo_seconds": 30.0,
        "fresh_days": 90,
        "move_seconds": 600.0,
    }
    return RecoveryPlan(**(given | parts))


def first(own: str = "d-1", *, tenant: TenantId = ACME, **parts: Any) -> DrillStep:
    """A drill as it is first kept."""
    document = plan_document(parts.pop("plan", plan()))
    given: dict[str, Any] = {
        "tenant": tenant,
        "id": own,
        "plan": "orders-full",
        "application": "orders",
        "type": DrillType.FULL,
        "phase": Phase.VALIDATION,
        "document": document,
        "digest": digest(document),
        "requested_by": "rita",
        "requested_at": NOON,
        "changed_at": NOON,
    }
    return drill_steps.opened(Drill(**(given | parts)), at(0))


def move(kind: MoveKind, **parts: Any) -> MoveRow:
    """A move of the database."""
    given: dict[str, Any] = {
        "token": drill_steps.token_of("d-1", "database", kind),
        "member": "database",
        "kind": kind,
        "test": False,
    }
    return MoveRow(**(given | parts))


def drilled(drills: Drills, tenant: TenantId) -> None:
    """A tenant with a row in every table of drills."""
    if drills.list(tenant, limit=1):
        return
    drills.open(tenant, first(tenant=tenant))
    drills.amend(
        tenant, "d-1", lambda kept: drill_steps.move_begun(kept, [move(MoveKind.ISOLATE)], at(1))
    )
    drills.record(
        tenant,
        "d-1",
        attempt=0,
        answers=[Answer(probe="p", health=Health.HEALTHY, instant=at(1), phase="failover")],
        writes=[CanaryWrite(member="database", number=1, attempted=at(1))],
    )
