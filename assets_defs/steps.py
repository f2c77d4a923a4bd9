"""What the tenant-partitioned assets have in common: how they are declared and described."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster._utils.warnings import BetaWarning

from assets_defs.failures import RETRY
from assets_defs.partitions import TENANTS
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.ports.world import World

OWNERS = ["team:platform"]
# The schedule is hourly by default: three missed refreshes warn, a day without one fails.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=24), warn_window=timedelta(hours=3)
)
_PREVIEW_ROWS = 10

Body = Callable[..., None]


def tenant_asset(
    *,
    group: str,
    deps: Sequence[str] = (),
    kinds: frozenset[str] = frozenset({"duckdb", "deltalake"}),
    code_version: str,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Declare an asset with one partition per tenant, many of which one run brings up to date.

    Rows go through the lake, so assets depend on each other by key and return nothing.
    """

    def declare(body: Body) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # Backfill policies are "beta" for years; a warning per asset and process helps nobody.
            warnings.simplefilter("ignore", BetaWarning)
            asset: dg.AssetsDefinition = dg.asset(
                partitions_def=TENANTS,
                backfill_policy=dg.BackfillPolicy.single_run(),
                retry_policy=RETRY,
                group_name=group,
                deps=[dg.AssetKey(key) for key in deps],
                kinds=set(kinds),
                owners=OWNERS,
                code_version=code_version,
                freshness_policy=FRESHNESS,
            )(body)
        return asset

    return declare


def tenants_of(context: dg.AssetExecutionContext, world: World) -> list[Tenant]:
    """The tenants whose partitions this step brings up to date, as their contracts declare them.

    A partition whose contract is gone is left as it is: its rows are kept until the tenant is
    removed, and its materialization says so.

    Raises:
        Rejected: the estate breaks its contracts.
        Refused: no contract names any of the partitions.
    """
    declared = {tenant.name: tenant for tenant in world.estate.load().tenants}
    keys = [TenantId(key) for key in context.partition_keys]
    gone = [key for key in keys if key not in declared]
    if gone:
        context.log.warning(f"No contract names {', '.join(gone[:20])} any more.")
    if len(gone) == len(keys):
        raise Refused(
            f"No contract names {', '.join(gone[:20])}; declare the tenant, or remove it with "
            "`qlrf tenants remove`."
        )
    return [declared[key] for key in keys if key in declared]


def describe(context: dg.AssetExecutionContext, report: StepReport) -> None:
    """Put every tenant's numbers and a few of its rows beside its materialization."""
    step = context.get_step_execution_context()
    # context.add_asset_metadata() reads every partition key from the database on each call:
    # a thousand tenants would cost a million rows. This is the line it ends in.
    metadata = step._metadata_accumulator
    for tenant in context.partition_keys:
        metadata = metadata.with_additional_asset_metadata(
            asset_key=context.asset_key,
            partition_key=tenant,
            metadata=tenant_metadata(report, TenantId(tenant)),
        )
    step._metadata_accumulator = metadata
    context.log.info(
        f"{report.dataset}: {len(report.facts)} tenants in {report.seconds:.2f} s, "
        f"version {report.version}."
    )


def tenant_metadata(report: StepReport, tenant: TenantId) -> dict[str, Any]:
    """One tenant's part of a report as Dagster metadata."""
    if tenant not in report.facts:
        return {"note": "No contract names this tenant any more, so nothing was done for it."}
    entries: dict[str, Any] = {
        name: dg.MetadataValue.null() if fact is None else fact
        for name, fact in report.facts[tenant].items()
    }
    entries["batch_seconds"] = round(report.seconds, 3)
    if report.version is not None:
        entries["lake_version"] = report.version
    rows = report.preview.get(tenant, ())
    if rows:
        entries["preview"] = dg.MetadataValue.md(as_markdown(rows[:_PREVIEW_ROWS]))
    return entries


def as_markdown(rows: Sequence[Mapping[str, Fact]]) -> str:
    """Rows as a Markdown table; the columns are those of the first row."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Fact) -> str:
    if value is None:
        return "-"
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
