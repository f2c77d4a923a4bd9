"""From a plan to the task people decide about: whom it asks, until when, and under which name."""

from datetime import datetime

from qlrf_pipelines.domain.approval import DAY, NO_CONDITIONS, Conditions, Extent, Requirement
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import ENDED, Launch, Task
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import planning_terms
from qlrf_pipelines.services.approvals import let_go, submit_task
from qlrf_pipelines.services.planning import Planned

JOB = "remediation"
KIND = "remediation"
PLAN_TAG, POLICY_TAG, ENVIRONMENT_TAG = "qlrf/plan", "qlrf/policy", "qlrf/environment"


def submit_plan(world: World, planned: Planned) -> Task:
    """Ask people to approve exactly this plan; the same plan again is the same task.

    A plan no gate wants people for is approved at once, in the platform's name; so is the canary
    of one whose mode lets it go first.

    Raises:
        Refused: a gate denies it, or its window has closed.
        Rejected: it cannot be kept.
    """
    plan, tenant = planned.plan, TenantId(planned.plan.tenant)
    refuse_denied(planned)
    task = submit_task(
        world,
        tenant,
        kind=KIND,
        title=plan.summary,
        document=planned.document,
        requested_by=plan.requested_by,
        requirement=requirement_of(planned, now=world.clock.now()),
        context=planned.context,
        launch=Launch(job=JOB, tags=tags_of(planned)),
        key=open_key(world, tenant, plan_key(planned)),
    )
    alone = task.requirement.unattended is not None
    return let_go(world, tenant, task.id).task if alone else task


def refuse_denied(planned: Planned) -> None:
    """Make sure that no gate says no.

    Raises:
        Refused: one does; every reason is told.
    """
    if planned.denied:
        raise Refused(f"Plan {planned.document['id']} is denied: {'; '.join(planned.denials)}.")


def requirement_of(planned: Planned, *, now: datetime) -> Requirement:
    """Whom a plan asks and until when; it starts within its window, whatever approvers say.

    Raises:
        Refused: its window has closed.
    """
    plan, window = planned.plan, planned.plan.window
    if window is not None and window.closes_at <= now:
        raise Refused(f"The window of plan {planned.document['id']} has closed; plan it anew.")
    alone = alone_to(planned)
    begins = now
    if alone is Extent.CANARY and window is not None:
        # People are asked about the rest of something they can see: not before it can be out.
        begins = max(now, window.opens_at)
    expires = begins + planning_terms.approval_timeout(planned.policy)
    only_admins = bool(plan.roles) and set(plan.roles) == {Role.ADMIN.value}
    limits = (
        NO_CONDITIONS
        if window is None
        else Conditions(not_before=window.opens_at, not_after=window.closes_at)
    )
    return Requirement(
        expires_at=expires if window is None else min(expires, window.closes_at),
        valid_for=DAY if window is None else max(DAY, window.closes_at - now),
        quorum=max(1, plan.quorum),
        role=Role.ADMIN if only_admins else Role.ENGINEER,
        limits=limits,
        unattended=alone,
    )


def alone_to(planned: Planned) -> Extent | None:
    """How far a plan may go without people: all of it, its canary, or not at all.

    A canary is judged before the rest: with nothing behind it, or larger than the tenant lets go by
    itself, it waits for people like everything else.
    """
    plan, allowed = planned.plan, planned.permission
    if not plan.approval:
        return Extent.WHOLE
    if plan.mode is not Mode.CANARY_ONLY or not allowed.automatic or len(plan.phases) < 2:
        return None
    first = plan.phases[0]
    small = len(first.actions) <= allowed.canary_assets
    return Extent.CANARY if first.canary and small else None


def tags_of(planned: Planned) -> dict[str, str]:
    """What the runs of a plan are found by."""
    found = {
        PLAN_TAG: str(planned.document["id"]),
        ENVIRONMENT_TAG: planned.plan.environment.value,
    }
    return found | ({POLICY_TAG: planned.plan.policy} if planned.plan.policy else {})


def plan_key(planned: Planned) -> str:
    """The name of a request for exactly this plan."""
    return f"plan:{planned.digest}"


def open_key(world: World, tenant: TenantId, key: str) -> str:
    """The key under which something can be asked for: of the open request, else of a new one.

    What was decided, expired or carried out stays as it is; asking again is another request.
    """
    while True:
        found = next(iter(world.tasks.find(tenant, key=key)), None)
        if found is None or found.state not in ENDED:
            return key
        key = f"{key}:{found.id}" if len(key) < _LONGEST else f"after:{found.id}"


_LONGEST = 400
