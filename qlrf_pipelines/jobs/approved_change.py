"""A change that people approve and the ledger remembers, whatever the change is.

`qlrf tasks submit --document FILE` asks for it; once approved, the document, its digest and who
approved it are one entry of the tenant's evidence: a signed change record for an auditor.
"""

from typing import Any

import dagster as dg

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.jobs.approval import (
    TASK_TAG,
    TENANT_TAG,
    Approval,
    await_approval,
    executing,
)
from qlrf_pipelines.jobs.failures import RETRY, told_to_dagster
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.gate import Proposal

APPROVED_CHANGE = "approved_change"


class Change(dg.Config):
    """A change asked for from Dagster's launchpad; `qlrf tasks submit` needs none of this."""

    tenant: str = ""
    title: str = ""
    requested_by: str = ""
    document: dict[str, Any] = {}  # noqa: RUF012  a pydantic field, copied per instance


@dg.op(retry_policy=RETRY)
def plan_change(
    context: dg.OpExecutionContext, config: Change, world: dg.ResourceParam[World]
) -> Proposal:
    """The change as its task holds it now, or as the launchpad was given it."""
    task = context.run.tags.get(TASK_TAG)
    with told_to_dagster():
        if task is None:
            return _asked(config)
        record = world.tasks.get(TenantId(context.run.tags.get(TENANT_TAG, "")), task)
    return Proposal(
        tenant=record.task.tenant,
        kind=record.task.kind,
        title=record.task.title,
        document=record.document.content,
        context={k: v for k, v in record.document.context.items() if k != "job"},
        requested_by=record.task.requested_by,
        stage=record.task.stage,
    )


def _asked(config: Change) -> Proposal:
    if not (config.tenant and config.title and config.requested_by and config.document):
        raise Rejected(
            "A change needs tenant, title, requested_by and document: submit it with "
            "`qlrf tasks submit`, or fill in the configuration of plan_change."
        )
    return Proposal(
        tenant=TenantId(config.tenant),
        kind=APPROVED_CHANGE,
        title=config.title,
        document=config.document,
        requested_by=config.requested_by,
    )


@dg.op
def record_change(
    context: dg.OpExecutionContext, approval: Approval, world: dg.ResourceParam[World]
) -> None:
    """Write the approved document into the tenant's evidence, once."""
    with executing(context, world, approval) as record, told_to_dagster():
        entry = NewEntry(
            kind=APPROVED_CHANGE,
            subject=approval.task,
            recorded_at=world.clock.now(),
            content={
                "title": record.task.title,
                "requested_by": record.task.requested_by,
                "approved_by": list(approval.approved_by),
                "digest": approval.digest,
                "document": dict(approval.document),
            },
        )
        world.ledger.append({approval.tenant: [entry]})


@dg.job(name=APPROVED_CHANGE, description="A change that people approve and the ledger remembers.")
def approved_change() -> None:
    """Plan, gate, execute."""
    record_change(await_approval(plan_change()))
