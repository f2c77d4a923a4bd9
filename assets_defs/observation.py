"""Checks on what could be seen at all: scopes, their age, and exemptions that ran out."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.checks import NAMED_ROWS, as_dicts, named_rows
from assets_defs.failures import RETRY, told_to_dagster
from assets_defs.partitions import tenants_of_run
from qlrf_pipelines.domain.datasets import SCOPES
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.world import World

Rows = list[dict[str, object]]


@dg.asset_check(asset="inventory", retry_policy=RETRY)
def scopes_complete(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """Every scope a tenant's connectors name was listed to its end, and nothing is held back."""
    with told_to_dagster():
        rows = open_scopes(world, tenants_of_run(context.run.tags, context.instance))
    return warning(rows, good="Every scope was listed to its end.", noun="scopes")


@dg.asset_check(asset="inventory", retry_policy=RETRY)
def observed_lately(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """Every instance scope was completely listed within the hours its tenant calls fresh."""
    with told_to_dagster():
        rows = stale_scopes(world, tenants_of_run(context.run.tags, context.instance))
    return warning(rows, good="Every scope was observed lately.", noun="scopes")


@dg.asset_check(asset="drift", retry_policy=RETRY)
def exemptions_live(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """No exemption has run out; one that has is not applied any more."""
    with told_to_dagster():
        rows = expired_exemptions(world, tenants_of_run(context.run.tags, context.instance))
    return warning(rows, good="No exemption has run out.", noun="exemptions")


def open_scopes(world: World, tenants: Sequence[TenantId]) -> Rows:
    """The scopes whose last attempt does not prove what is there, with the reason.

    A tenant of which nothing was ever listed is named too: no scope is not a complete scope.
    """
    every = _scopes(world, tenants, "true")
    seen = {row["tenant"] for row in every}
    never: Rows = [
        {"tenant": tenant, "scope_id": "-", "status": "-", "reason": "nothing was ever listed"}
        for tenant in tenants
        if tenant not in seen
    ]
    return never + [row for row in every if row["status"] != ListingStatus.COMPLETE]


def stale_scopes(world: World, tenants: Sequence[TenantId]) -> Rows:
    """The instance scopes no complete listing was made of for longer than the tenant allows."""
    hours = {t.name: t.drift.stale_after_hours for t in world.estate.load().tenants}
    now = world.clock.now()
    found: Rows = []
    for limit in sorted(set(hours.values())):
        group = [tenant for tenant in tenants if hours.get(tenant) == limit]
        moment = f"TIMESTAMPTZ '{now.isoformat()}' - INTERVAL ({limit} * 3600) SECOND"
        late = f"(last_complete_at IS NULL OR last_complete_at < {moment})"
        found += _scopes(world, group, f"kind = 'instance' AND {late}")
    return found


def expired_exemptions(world: World, tenants: Sequence[TenantId]) -> Rows:
    """The exemptions of these tenants that are past their end."""
    wanted, now = frozenset(tenants), world.clock.now()
    return [
        {
            "tenant": item.tenant,
            "exemption": item.name,
            "expired": iso(item.expires_at, digits=False),
            "approver": item.approver,
        }
        for item in world.estate.load().exemptions
        if item.tenant in wanted and item.expires_at <= now
    ]


def _scopes(world: World, tenants: Sequence[TenantId], condition: str) -> Rows:
    if not tenants:
        return []
    with world.engine.session() as session:
        world.lake.view(session.connection, SCOPES, tenants=tenants)
        answer = session.connection.execute(
            "SELECT tenant, scope_id, status, coalesce(error, status) AS reason, "  # noqa: S608
            f"last_complete_at FROM scopes WHERE {condition} ORDER BY tenant, scope_id"
        )
        return as_dicts(answer)


def warning(rows: Rows, *, good: str, noun: str) -> dg.AssetCheckResult:
    """Whether there are no such rows, with the first of them named."""
    tenants = sorted({str(row["tenant"]) for row in rows})
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=good if not rows else f"{len(rows)} {noun} of {', '.join(tenants[:20])}.",
        metadata={"count": len(rows)}
        | (
            {"tenants": ", ".join(tenants), "first_rows": named_rows(rows[:NAMED_ROWS])}
            if rows
            else {}
        ),
    )


OBSERVATION_CHECKS = [scopes_complete, observed_lately, exemptions_live]
