"""What somebody should know of recovery without asking: due drills, failed ones, lag."""

from collections.abc import Iterator
from dataclasses import dataclass

from qlrf_pipelines.domain.drills import Outcome, Phase
from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.recovery import Replication, ReplicationStatus
from qlrf_pipelines.domain.recovery_plans import RecoveryPlan
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drills import Due, due_drills


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing about one plan, in one sentence."""

    tenant: TenantId
    plan: str
    application: str
    kind: str
    text: str


def alarms(world: World) -> Iterator[Alarm]:
    """Every plan that is due, whose last drill failed or is held, or whose standby lags."""
    tenants = sorted({TenantId(plan.tenant) for plan in world.estate.load().recovery})
    for due in due_drills(world, tenants):
        yield from _of_drills(due)
        if not due.running:
            yield from _of_replication(world, due)


def _alarm(due: Due, kind: str, text: str) -> Alarm:
    plan = due.plan
    named = f"Recovery plan {plan.name} of tenant {due.tenant}"
    return Alarm(
        tenant=due.tenant,
        plan=plan.name,
        application=plan.application,
        kind=kind,
        text=f"{named}: {text}.",
    )


def _of_drills(due: Due) -> Iterator[Alarm]:
    if due.due:
        when = f"last proven {due.proven_at:%Y-%m-%d}" if due.proven_at else "it was never proven"
        yield _alarm(due, "due", f"a drill is due, {when}")
    last = due.last
    if last is not None and last.phase is Phase.HELD:
        yield _alarm(due, "held", f"drill {last.id} is held; something may be live where it is not")
    elif last is not None and last.outcome is Outcome.FAILED and last.phase is Phase.CLOSED:
        yield _alarm(due, "failed", f"its last drill {last.id} failed")


def _of_replication(world: World, due: Due) -> Iterator[Alarm]:
    for name, found in replication_of(world, due.plan).items():
        if found.status is not ReplicationStatus.IN_SYNC:
            yield _alarm(due, f"replication_{name}", f"{name} is {found.status} ({found.detail})")
        elif due.plan.rpo_seconds is not None and (found.lag_seconds or 0) > due.plan.rpo_seconds:
            said = (
                f"{name} lags {found.lag_seconds:.0f} s, the target is {due.plan.rpo_seconds:.0f}"
            )
            yield _alarm(due, f"replication_{name}", said)


def replication_of(world: World, plan: RecoveryPlan) -> dict[str, Replication]:
    """How every member of a plan is replicated now; what cannot be read is unknown."""
    found: dict[str, Replication] = {}
    for member in plan.members:
        adapter = world.recovery.get(member.adapter)
        try:
            if adapter is None:
                raise Rejected(f"there is no adapter {member.adapter}")
            found[member.name] = adapter.open(member).replication()
        except (Rejected, Unavailable) as error:
            found[member.name] = Replication(status=ReplicationStatus.UNKNOWN, detail=str(error))
    return found
