"""The drill: seven phases, with people asked between the first and the second.

`validate_drill -> await_approval -> isolate -> fail over -> validate service -> workload -> fail
back -> report`. Every op takes the drill through its own phase and no other, so that a run that is
started again goes on where the last one was. The way back is also a job of its own, behind no gate:
nothing may stand between a drill and its return. See docs/guide/drills.md.
"""

from collections.abc import Iterator

import dagster as dg

from qlrf_pipelines.domain.drills import TOUCHING, Drill, Outcome, Phase
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.jobs.approval import TENANT_TAG, Approval, await_approval
from qlrf_pipelines.jobs.failures import RETRY, told_to_dagster
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import finish, require_claim
from qlrf_pipelines.services.drilling import run_phase
from qlrf_pipelines.services.drills import proposal_of
from qlrf_pipelines.services.gate import Proposal

DR_DRILL, DR_RETURN = "dr_drill", "dr_return"
DRILL_TAG = "qlrf/drill"


class Drilling(dg.Config):
    """Which drill, if the run's tags do not say; `qlrf drills start` asks for one."""

    tenant: str = ""
    drill: str = ""


@dg.op(
    out={"proposal": dg.Out(Proposal, is_required=False)},
    retry_policy=RETRY,
    description="Looks at everything and touches nothing; what is well is put before people.",
)
def validate_drill(
    context: dg.OpExecutionContext, config: Drilling, world: dg.ResourceParam[World]
) -> Iterator[dg.Output[Proposal]]:
    """Phase one; a drill that does not begin is reported on and closed."""
    with told_to_dagster():
        tenant, own = _named(context, config)
        drill = run_phase(world, tenant, own, Phase.VALIDATION, holder=context.run_id)
        if drill.phase is Phase.REPORTING:
            drill = _closed(context, world, tenant, own)
        proposal = proposal_of(world, tenant, own) if drill.phase in TOUCHING else None
    context.instance.add_run_tags(context.run_id, {DRILL_TAG: own, TENANT_TAG: tenant})
    if proposal is not None:
        yield dg.Output(proposal, "proposal")
    else:
        context.log.info(explain(drill))
        _told(drill)


def _named(context: dg.OpExecutionContext, config: Drilling) -> tuple[TenantId, str]:
    tags = context.run.tags
    tenant = config.tenant or tags.get(TENANT_TAG, "")
    own = config.drill or tags.get(DRILL_TAG, "")
    if not tenant or not own:
        raise Rejected("Which drill? Ask for one with `qlrf drills start`, or name it here.")
    return TenantId(tenant), own


def _phase_op(name: str, phase: Phase, description: str) -> dg.OpDefinition:
    @dg.op(
        name=name,
        out={"approval": dg.Out(Approval, is_required=False)},
        retry_policy=RETRY,
        description=description,
    )
    def through(
        context: dg.OpExecutionContext, approval: Approval, world: dg.ResourceParam[World]
    ) -> Iterator[dg.Output[Approval]]:
        with told_to_dagster():
            own = str(approval.document["drill"])
            if world.drills.get(approval.tenant, own).drill.phase is phase:
                require_claim(
                    world,
                    approval.tenant,
                    approval.task,
                    digest=approval.digest,
                    holder=context.run_id,
                    stage=approval.stage,
                )
            drill = run_phase(world, approval.tenant, own, phase, holder=context.run_id)
        context.log.info(explain(drill))
        _told(drill)
        if not drill.waiting:
            yield dg.Output(approval, "approval")

    return through


isolate_primary = _phase_op(
    "isolate_primary", Phase.ISOLATION, "Writes numbers, declares the incident, fences the primary."
)
fail_over = _phase_op(
    "fail_over", Phase.FAILOVER, "Brings the recovery side up and leads clients to it."
)
validate_service = _phase_op(
    "validate_service", Phase.SERVICE_VALIDATION, "Asks until every probe held; reads what arrived."
)
exercise_workload = _phase_op(
    "exercise_workload", Phase.WORKLOAD, "Works on the recovery side as clients do."
)


@dg.op(retry_policy=RETRY, description="Brings everything back, whatever happened before.")
def fail_back(
    context: dg.OpExecutionContext, approval: Approval, world: dg.ResourceParam[World]
) -> Approval:
    """Phase six; what cannot be brought back is held, loudly."""
    own = str(approval.document["drill"])
    _returned(context, world, approval.tenant, own)
    return approval


@dg.op(retry_policy=RETRY, description="Writes down what was proven, and ends the task.")
def report_drill(
    context: dg.OpExecutionContext, approval: Approval, world: dg.ResourceParam[World]
) -> None:
    """Phase seven."""
    _reported(context, world, approval.tenant, str(approval.document["drill"]))


@dg.op(retry_policy=RETRY, description="The way back of a drill that nobody drives any more.")
def return_drill(
    context: dg.OpExecutionContext, config: Drilling, world: dg.ResourceParam[World]
) -> None:
    """Phases six and seven, asked of nobody."""
    with told_to_dagster():
        tenant, own = _named(context, config)
    _returned(context, world, tenant, own)
    _reported(context, world, tenant, own)


def _returned(context: dg.OpExecutionContext, world: World, tenant: TenantId, own: str) -> None:
    with told_to_dagster():
        drill = run_phase(world, tenant, own, Phase.FAILBACK, holder=context.run_id)
    context.log.info(explain(drill))
    _told(drill)


def _reported(context: dg.OpExecutionContext, world: World, tenant: TenantId, own: str) -> None:
    with told_to_dagster():
        drill = _closed(context, world, tenant, own)
    context.log.info(explain(drill))
    if drill.phase is Phase.CLOSED and drill.outcome is not Outcome.PASSED:
        raise dg.Failure(explain(drill), allow_retries=False)


def _closed(context: dg.OpExecutionContext, world: World, tenant: TenantId, own: str) -> Drill:
    drill = run_phase(world, tenant, own, Phase.REPORTING, holder=context.run_id)
    if drill.phase is Phase.CLOSED:
        _end_task(world, drill, by=context.run_id)
    return drill


def _end_task(world: World, drill: Drill, *, by: str) -> None:
    """The task of a drill ends as the drill did."""
    passed = drill.outcome is Outcome.PASSED
    for task in world.tasks.find(drill.tenant, key=f"drill:{drill.id}"):
        if task.state in (TaskState.EXECUTING, TaskState.PAUSED):
            outcome = TaskState.COMPLETED if passed else TaskState.FAILED
            finish(world, drill.tenant, task.id, outcome=outcome, by=by)


def _told(drill: Drill) -> None:
    """A drill that is held fails its run: somebody has to look."""
    if drill.phase is Phase.HELD:
        raise dg.Failure(explain(drill), allow_retries=False)


def explain(drill: Drill) -> str:
    """How a drill stands, and what a human can do about it."""
    named = f"Drill {drill.id} of {drill.application} (tenant {drill.tenant})"
    look = f"qlrf drills show {drill.id} --tenant {drill.tenant}"
    if drill.phase is Phase.HELD:
        return f"{named} is HELD: it could not be brought back. See what is live where: {look}"
    if drill.waiting:
        return f"{named} waits in {drill.phase}: {drill.waiting}"
    if drill.phase is Phase.CLOSED:
        return f"{named} {drill.outcome}. Read it: {look}"
    return f"{named} is in {drill.phase}."


@dg.job(name=DR_DRILL, description="A drill of one application, measured, from check to report.")
def dr_drill() -> None:
    """Seven phases and a gate."""
    approval = await_approval(validate_drill())
    served = validate_service(fail_over(isolate_primary(approval)))
    report_drill(fail_back(exercise_workload(served)))


@dg.job(name=DR_RETURN, description="Brings a drill back whose process is gone, and reports.")
def dr_return() -> None:
    """The way back."""
    return_drill()
