"""Remediation: a plan, the approval of exactly that plan, and its execution.

`plan_remediation -> await_approval -> execute_plan`. Right before the approval is used, what it
relied upon is computed again: assets that are gone are left out, anything else that changed is
asked for anew. See docs/guide/planning.md.
"""

import dagster as dg

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.roles import person
from qlrf_pipelines.domain.tasks import Record
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.jobs.approval import TASK_TAG, TENANT_TAG, Approval, approval_gate, executing
from qlrf_pipelines.jobs.failures import RETRY, told_to_dagster
from qlrf_pipelines.jobs.rollout import Driving, explain
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.gate import Looked, Proposal
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.remediation import (
    carried_out_by_people,
    kept,
    propose,
    propose_due,
    recheck_at_claim,
)
from qlrf_pipelines.services.rollout_drive import drive
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.rollouts import begin_claimed
from qlrf_pipelines.services.submission import JOB as REMEDIATION


class Request(dg.Config):
    """What to plan, for a run that has no task yet.

    With `due`, the assets the policy's own schedule calls for, in one environment; else those that
    are selected here, asked for in the name of `requested_by`.
    """

    tenant: str = ""
    policy: str = ""
    environment: str = ""
    due: bool = False
    requested_by: str = ""
    assets: list[str] = []  # noqa: RUF012  a pydantic field, copied per instance
    families: list[str] = []  # noqa: RUF012
    verdicts: list[str] = []  # noqa: RUF012


@dg.op(
    retry_policy=RETRY,
    description="The plan as its task holds it; without a task, a plan of what is configured.",
)
def plan_remediation(
    context: dg.OpExecutionContext, config: Request, world: dg.ResourceParam[World]
) -> Proposal:
    """What the run is about; whether it still holds is asked at the gate, when it is taken."""
    task, tenant = context.run.tags.get(TASK_TAG), context.run.tags.get(TENANT_TAG, "")
    with told_to_dagster():
        if task is not None:
            return kept(world.tasks.get(TenantId(tenant), task))
        return _planned(world, config)


def _planned(world: World, config: Request) -> Proposal:
    if config.due:
        if not (config.tenant and config.policy and config.environment):
            raise Rejected("What is due needs tenant, policy and environment.")
        return propose_due(
            world,
            TenantId(config.tenant),
            config.policy,
            _environment(config.environment),
            hands=hands_of(world),
        )
    if not (config.tenant and person(config.requested_by)):
        raise Rejected(
            "A plan needs tenant and requested_by: use `qlrf plan --submit`, or fill in the "
            "configuration of plan_remediation."
        )
    return propose(world, _request(config), hands=hands_of(world))


def _request(config: Request) -> PlanRequest:
    try:
        verdicts = tuple(DriftVerdict(one) for one in config.verdicts)
    except ValueError as error:
        raise Rejected(f"{error}; verdicts are {', '.join(DriftVerdict)}.") from error
    return PlanRequest(
        tenant=TenantId(config.tenant),
        requested_by=config.requested_by,
        policy=config.policy or None,
        environments=(_environment(config.environment),) if config.environment else (),
        assets=tuple(config.assets),
        families=tuple(config.families),
        verdicts=verdicts,
    )


def _environment(name: str) -> Environment:
    try:
        return Environment(name)
    except ValueError as error:
        known = ", ".join(Environment)
        raise Rejected(f"{name!r} is no environment; use one of {known}.") from error


def _rechecked(world: World, record: Record) -> Looked:
    return recheck_at_claim(world, record, hands=hands_of(world))


@dg.op(description="Carries out what was approved, less what is gone, as far as it goes by itself.")
def execute_plan(
    context: dg.OpExecutionContext,
    config: Driving,
    approval: Approval,
    world: dg.ResourceParam[World],
) -> None:
    """Begin the rollout in the run that took the approval, and drive it on.

    Where only the canary may go by itself, the rollout goes no further before people approve it.
    In mode plan_only the platform carries nothing out: what was approved is recorded for people.
    """
    if carried_out_by_people(approval.document):
        with executing(context, world, approval), told_to_dagster():
            record_for_people(world, approval)
        return
    for asset, why in approval.left_out.items():
        context.log.warning(f"{asset} is left out: {why}.")
    with told_to_dagster():
        begin_claimed(
            world,
            approval.tenant,
            approval.task,
            digest=approval.digest,
            holder=context.run_id,
            conditions=approval.conditions,
            skipped=approval.left_out,
        )
        found = drive(
            world,
            approval.tenant,
            approval.task,
            holder=context.run_id,
            hold_seconds=config.hold_seconds,
            parallel=config.parallel,
        )
    context.log.info(explain(found))


def record_for_people(world: World, approval: Approval) -> None:
    """Write the approved plan into the tenant's evidence; people carry it out."""
    entry = NewEntry(
        kind=REMEDIATION,
        subject=approval.task,
        recorded_at=world.clock.now(),
        content={
            "approved_by": list(approval.approved_by),
            "digest": approval.digest,
            "document": dict(approval.document),
            "left_out": dict(approval.left_out),
        },
    )
    world.ledger.append({approval.tenant: [entry]})


await_plan_approval = approval_gate("await_plan_approval", recheck=_rechecked)


@dg.job(
    name=REMEDIATION,
    description="Plans a change, waits for its approval, checks it once more, runs it once.",
)
def remediation() -> None:
    """Plan, gate, execute."""
    execute_plan(await_plan_approval.alias("await_approval")(plan_remediation()))
