"""A human's approval between two steps of any job: `plan -> await_approval -> execute`.

An undecided gate emits nothing: the steps behind it are skipped, the run ends well and holds
nothing. When people have approved, the decision sensor starts one run that comes back to the gate
and goes on. See docs/guide/approvals.md.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg

from qlrf_pipelines.domain.approval import Approved, Conditions, Extent, Pending
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Record, TaskState
from qlrf_pipelines.jobs.failures import RETRY, told_to_dagster
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import EXECUTE
from qlrf_pipelines.services.approvers import approvers
from qlrf_pipelines.services.claims import Granted, Withheld, finish, require_claim
from qlrf_pipelines.services.gate import Attempt, Looked, Proposal, pass_gate

TASK_TAG, TENANT_TAG, DIGEST_TAG, STAGE_TAG = (
    "qlrf/task",
    "qlrf/tenant",
    "qlrf/digest",
    "qlrf/stage",
)
_NOT_HANDED_ON = ("dagster/", ".dagster/", "qlrf/process", "qlrf/task", "qlrf/digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What the gate hands to the steps behind it: exactly what people approved, for this run.

    `left_out` names parts of the document that must not be carried out, each with its reason. With
    the extent canary only the plan's canary may go; `executing` refuses it to jobs of no rollout.
    """

    tenant: TenantId
    task: str
    digest: str
    stage: str
    document: Mapping[str, Any]
    conditions: Conditions
    approved_by: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    extent: Extent = Extent.WHOLE


class Hold(dg.Config):
    """How long a run stays at the gate for somebody at the screen to decide."""

    hold_seconds: float = 0.0


WorldRecheck = Callable[[World, Record], Looked]


def approval_gate(
    name: str = "await_approval", *, recheck: WorldRecheck | None = None
) -> dg.OpDefinition:
    """A gate of its own name; a job with two gates gives their proposals different stages.

    Two gates stand side by side: each is gone through in a run of its own, so that nothing behind
    the second may depend on what the first let go.

    `recheck` is asked for the proposal again right before it is taken, also after a wait.
    """

    @dg.op(
        name=name,
        out={"approval": dg.Out(Approval, is_required=False)},
        retry_policy=RETRY,
        description="Asks for approval; goes on once, with exactly what was approved, or not.",
    )
    def gate(
        context: dg.OpExecutionContext,
        config: Hold,
        proposal: Proposal,
        world: dg.ResourceParam[World],
    ) -> Iterator[dg.Output[Approval]]:
        attempt = _attempt(context)
        with told_to_dagster():
            came = pass_gate(
                world,
                proposal,
                attempt,
                hold_seconds=config.hold_seconds,
                recheck=None if recheck is None else partial(recheck, world),
            )
        if attempt.task in ("", came.record.task.id):  # of two gates, the one it was started for
            _mark(context, came.record, proposal.stage)
        if isinstance(came, Granted):
            what = "The canary of task" if came.claim.extent is Extent.CANARY else "Task"
            context.log.info(f"{what} {came.record.task.id} is approved; this run carries it out.")
            yield dg.Output(_approval(came), "approval")
        else:
            context.log.info(explain(came))

    return gate


await_approval = approval_gate()


@contextmanager
def executing(context: dg.OpExecutionContext, world: World, approval: Approval) -> Iterator[Record]:
    """Carry out an approval: only in the run that claimed it, and its task ends as the block does.

    A step that is run again by hand in another run, past the gate, is refused here.

    Raises:
        Failure: this run does not hold the claim.
    """
    with told_to_dagster():
        record = require_claim(
            world,
            approval.tenant,
            approval.task,
            digest=approval.digest,
            holder=context.run_id,
            stage=approval.stage,
        )
    done = False
    try:
        yield record
        done = True
    finally:
        with told_to_dagster():
            finish(
                world,
                approval.tenant,
                approval.task,
                outcome=TaskState.COMPLETED if done else TaskState.FAILED,
                by=context.run_id,
            )


def explain(came: Withheld) -> str:
    """Why nothing goes on, and what a human can do about it."""
    task = came.record.task
    if came.taken_by:
        return f"Task {task.id} is carried out by run {came.taken_by}; this run does nothing."
    if isinstance(came.standing, Pending):
        return (
            f"Task {task.id} has {came.standing.have} of {came.standing.need} approvals, until "
            f"{came.standing.until:%Y-%m-%d %H:%M} UTC. Decide: qlrf tasks show {task.id} "
            f"--tenant {task.tenant}"
        )
    if isinstance(came.standing, Approved) and task.state is TaskState.APPROVED:
        opens = came.standing.conditions.not_before
        when = f" at {opens:%Y-%m-%d %H:%M} UTC" if opens else ""
        return f"Task {task.id} is approved; its window opens{when}."
    return f"Task {task.id} is {task.state}, so nothing is carried out."


def _attempt(context: dg.OpExecutionContext) -> Attempt:
    run = context.run
    return Attempt(
        run=run.run_id,
        root_run=run.get_root_run_id() or run.run_id,
        job=run.job_name,
        config=run.run_config,
        tags={k: v for k, v in run.tags.items() if not k.startswith(_NOT_HANDED_ON)},
        task=run.tags.get(TASK_TAG, ""),
    )


def _mark(context: dg.OpExecutionContext, record: Record, stage: str) -> None:
    """Let the UI find all runs of a task."""
    task = record.task
    tags = {TENANT_TAG: task.tenant, TASK_TAG: task.id, DIGEST_TAG: task.digest, STAGE_TAG: stage}
    context.instance.add_run_tags(context.run_id, tags)


def _approval(came: Granted) -> Approval:
    task = came.record.task
    return Approval(
        tenant=task.tenant,
        task=task.id,
        digest=came.claim.digest,
        stage=came.claim.stage or EXECUTE,
        document=came.record.document.content,
        conditions=came.conditions,
        approved_by=tuple(approvers(came.record, came.claim.extent)),
        left_out=dict(came.left_out),
        extent=came.claim.extent,
    )
