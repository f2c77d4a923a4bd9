"""Drills' use cases: asking for one, stopping it, signing its steps, and what is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.approval import Requirement
from qlrf_pipelines.domain.drills import (
    PHASES,
    Drill,
    DrillEvent,
    DrillRecord,
    Outcome,
    Phase,
)
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.recovery_plans import (
    DrillType,
    RecoveryPlan,
    plan_document,
    plan_of,
)
from qlrf_pipelines.domain.roles import Permission, Role, may, person
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drilling import run_phase
from qlrf_pipelines.services.gate import Proposal

KIND = "dr_drill"
INTERRUPTING = (DrillType.FULL, DrillType.PARTIAL)
WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One plan, when it was last proven, and whether that is too long ago."""

    tenant: TenantId
    plan: RecoveryPlan
    last: Drill | None
    proven_at: datetime | None
    due_at: datetime | None
    due: bool
    running: str


def interrupts_production(plan: RecoveryPlan, type_: DrillType) -> bool:
    """Whether a drill of this type takes production away from its users."""
    return type_ in INTERRUPTING and plan.environment is Environment.PRODUCTION


def plan_named(world: World, tenant: TenantId, name: str) -> RecoveryPlan:
    """A tenant's recovery plan.

    Raises:
        NotFound: there is none of that name.
    """
    plans = world.estate.load().recovery_of(tenant)
    found = next((plan for plan in plans if plan.name == name), None)
    if found is None:
        listed = ", ".join(plan.name for plan in plans) or "none"
        raise NotFound(f"Tenant {tenant} has no recovery plan {name}; there is {listed}.")
    return found


def start_drill(
    world: World,
    tenant: TenantId,
    name: str,
    *,
    by: str,
    role: Role,
    type_: DrillType | None = None,
    only: Sequence[str] = (),
) -> Drill:
    """Ask for a drill of a plan; a run takes it further, and people decide before it touches.

    Raises:
        Refused: this person may not, or the application has a drill already.
        Rejected: the members are not the plan's, or the type does not fit them.
        NotFound: there is no such plan.
    """
    plan = plan_named(world, tenant, name)
    chosen = plan.type if type_ is None else type_
    _may_start(plan, chosen, by=by, role=role)
    _scoped(plan, chosen, only)
    document = plan_document(replace(plan, type=chosen))
    now = world.stopwatch.now()
    drill = Drill(
        tenant=tenant,
        id=world.ids.new(),
        plan=plan.name,
        application=plan.application,
        type=chosen,
        phase=Phase.VALIDATION,
        document=document,
        digest=digest(document),
        requested_by=by.strip(),
        requested_at=now.at,
        changed_at=now.at,
        only=tuple(only),
    )
    return world.drills.open(tenant, drill_steps.opened(drill, now, role=role.value)).drill


def _may_start(plan: RecoveryPlan, type_: DrillType, *, by: str, role: Role) -> None:
    if not person(by):
        raise Rejected("A drill needs to say who asks for it: nobody approves their own.")
    if interrupts_production(plan, type_):
        if not may(role, Permission.TRIGGER_FAILOVER):
            raise Refused(
                f"{by} is {role}: a {type_} drill of {plan.application} takes production away, "
                "which only an admin may ask for. A test_failover needs an operator."
            )
    elif not may(role, Permission.TRIGGER_DRILL):
        raise Refused(f"{by} is {role}: a drill is asked for by an operator or higher.")


def _scoped(plan: RecoveryPlan, type_: DrillType, only: Sequence[str]) -> None:
    known = [member.name for member in plan.members]
    strangers = sorted(set(only) - set(known))
    if strangers:
        raise Rejected(f"{strangers[0]} is no member of {plan.name}; use {', '.join(known)}.")
    if type_ is DrillType.PARTIAL and not only:
        raise Rejected(f"A partial drill moves some members; name them ({', '.join(known)}).")
    if type_ is not DrillType.PARTIAL and only:
        raise Rejected(f"Members are chosen for a partial drill, not for a {type_} one.")


def proposal_of(world: World, tenant: TenantId, drill: str) -> Proposal:
    """What people decide about before anything is touched: the plan, its scope, its adapters.

    A process that goes on for one that died takes the next stage of the same approval.
    """
    found = world.drills.get(tenant, drill).drill
    plan = plan_of(found.document)
    adapters = {m.adapter: _version(world, m.adapter) for m in plan.members}
    return Proposal(
        tenant=tenant,
        kind=KIND,
        title=f"{found.type} drill of {found.application} by {found.plan}",
        document={"drill": found.id, "plan": dict(found.document), "only": list(found.only)},
        context={"plan": found.digest, "adapters": digest(adapters)},
        requested_by=found.requested_by,
        requirement=requirement_of(plan, found.type, now=world.clock.now()),
        key=f"drill:{found.id}",
        stage="execute" if found.attempt <= 1 else f"execute-{found.attempt}",
    )


def _version(world: World, adapter: str) -> str:
    known = world.recovery.get(adapter)
    return "none" if known is None else known.version


def requirement_of(plan: RecoveryPlan, type_: DrillType, *, now: datetime) -> Requirement:
    """What the plan asks for; taking production away takes two admins, and no glass is broken."""
    strict = interrupts_production(plan, type_)
    return Requirement(
        expires_at=now + WITHIN,
        quorum=max(plan.approval.quorum, 2) if strict else plan.approval.quorum,
        role=Role.ADMIN if strict else plan.approval.role,
        break_glass=False,
    )


def find_drill(world: World, tenant: TenantId, named: str) -> DrillRecord:
    """A drill by its id or the beginning of it.

    Raises:
        NotFound: none begins so, or several do.
    """
    found = world.drills.list(tenant, prefix=named, limit=5) if named else ()
    if len(found) != 1:
        several = ", ".join(one.drill.id for one in found)
        said = f" begins several: {several}" if found else " is none"
        raise NotFound(f"Tenant {tenant}: {named or 'an empty id'}{said} of its drills.")
    return world.drills.get(tenant, found[0].drill.id)


def abort_drill(
    world: World, tenant: TenantId, drill: str, *, by: str, role: Role, reason: str
) -> Drill:
    """Stop a drill: nothing more fails over, and what moved is brought back.

    Raises:
        Refused: it is over, or this person may not.
        Rejected: the reason is missing.
    """
    now = world.stopwatch.now()

    def step(record: DrillRecord) -> Any:  # noqa: ANN401
        if record.drill.phase is Phase.HELD:
            return drill_steps.answered(
                record, DrillEvent.ABORTED, now, by=by, role=role, reason=reason
            )
        return drill_steps.abort_asked(record, now, by=by, role=role, reason=reason)

    return world.drills.amend(tenant, drill, step).drill


def answer_held(
    world: World,
    tenant: TenantId,
    drill: str,
    event: DrillEvent,
    *,
    by: str,
    role: Role,
    reason: str,
) -> Drill:
    """Send a held drill back once more, or release it because people brought everything back.

    Raises:
        Refused: it is not held, or this person may not.
        Rejected: the reason is missing.
    """
    now = world.stopwatch.now()
    return world.drills.amend(
        tenant,
        drill,
        lambda kept: drill_steps.answered(kept, event, now, by=by, role=role, reason=reason),
    ).drill


def sign_step(
    world: World, tenant: TenantId, drill: str, *, step: str, by: str, role: Role, note: str = ""
) -> Drill:
    """Sign a manual step of the runbook.

    Raises:
        NotFound: the plan has no such step.
        Refused: the drill is over, or this person may not.
    """
    record = world.drills.get(tenant, drill)
    steps = {one.name: one for one in plan_of(record.drill.document).runbook}
    if step not in steps:
        listed = ", ".join(steps) or "none"
        raise NotFound(f"Drill {drill} has no manual step {step}; there is {listed}.")
    now = world.stopwatch.now()
    need = steps[step].role
    return world.drills.amend(
        tenant,
        drill,
        lambda kept: drill_steps.signed(
            kept, now, step=step, by=by, role=role, need=need, note=note
        ),
    ).drill


def drive(world: World, tenant: TenantId, drill: str, *, holder: str) -> Drill:
    """Take a drill as far as it goes: closed, held, or waiting for somebody.

    Nothing here asks anybody: whoever calls it has the approval.
    """
    while True:
        before = world.drills.get(tenant, drill).drill
        if before.phase not in PHASES:
            return before
        after = run_phase(world, tenant, drill, before.phase, holder=holder)
        if after.phase is before.phase:
            return after


def withdraw(world: World, tenant: TenantId, drill: str, *, why: str, holder: str) -> Drill:
    """Close a drill that nobody approved; nothing was touched, so nothing is brought back.

    Raises:
        Refused: something was touched already.
    """
    now = world.stopwatch.now()

    def step(record: DrillRecord) -> Any:  # noqa: ANN401
        if record.moves or record.declared is not None:
            raise Refused(f"Drill {drill} has touched something: abort it instead.")
        if record.drill.phase not in (Phase.VALIDATION, Phase.ISOLATION):
            return None
        return drill_steps.ended(record, DrillEvent.ABORTED, now, why=why)

    world.drills.amend(tenant, drill, step)
    return drive(world, tenant, drill, holder=holder)


def due_drills(world: World, tenants: Sequence[TenantId]) -> list[Due]:
    """Every plan with when it must be drilled next; only a drill that passed counts as proof."""
    estate, now = world.estate.load(), world.clock.now()
    found: list[Due] = []
    for tenant in tenants:
        drills = [record.drill for record in world.drills.list(tenant, limit=1000)]
        found += [_due(plan, tenant, drills, now) for plan in estate.recovery_of(tenant)]
    return found


def _due(plan: RecoveryPlan, tenant: TenantId, drills: Sequence[Drill], now: datetime) -> Due:
    mine = [drill for drill in drills if drill.plan == plan.name]
    proven = next((drill for drill in mine if _proves(drill, plan)), None)
    running = next((drill.id for drill in mine if drill.phase is not Phase.CLOSED), "")
    due_at = None
    if plan.fresh_days is not None:
        due_at = now if proven is None else proven.changed_at + timedelta(days=plan.fresh_days)
    return Due(
        tenant=tenant,
        plan=plan,
        last=mine[0] if mine else None,
        proven_at=None if proven is None else proven.changed_at,
        due_at=due_at,
        due=due_at is not None and due_at <= now and not running,
        running=running,
    )


def _proves(drill: Drill, plan: RecoveryPlan) -> bool:
    if drill.outcome is not Outcome.PASSED or drill.phase is not Phase.CLOSED:
        return False
    if drill.type is DrillType.TABLETOP and plan.type is not DrillType.TABLETOP:
        return False
    return not drill.only or len(drill.only) == len(plan.members)


def targets_of(drill: Drill) -> Mapping[str, str]:
    """The verdicts of a closed drill by target; not_proven while it has no result."""
    result = drill.result or {}
    return {name: str(result.get(name, {}).get("verdict", "not_proven")) for name in ("rto", "rpo")}
