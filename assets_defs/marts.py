"""The marts as assets and their dbt tests as checks; building them is one service call."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from assets_defs.failures import RETRY, told_to_dagster
from assets_defs.partitions import tenants_of_run
from assets_defs.steps import FRESHNESS, OWNERS
from qlrf_pipelines.ports.warehouse import BuildReport, NodeResult
from qlrf_pipelines.ports.world import World

_UNIQUE_ID = "dagster_dbt/unique_id"
# dbt reads datasets of the lake; several of them are written by one asset.
ASSET_OF_SOURCE: Mapping[str, str] = {
    "scopes": "inventory",
    "drift_daily": "drift",
    "control_results": "compliance",
    "vulnerabilities": "risk",
    "drill_phases": "drills",
}


class MartsTranslator(DagsterDbtTranslator):
    """Leads dbt's sources back to the assets that write them, so that lineage is one graph."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """A source is the asset that writes its dataset; a model is named as itself."""
        name = str(dbt_resource_props["name"])
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(ASSET_OF_SOURCE.get(name, name))
        return dg.AssetKey(name)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Every model is shown with the marts."""
        return None if dbt_resource_props["resource_type"] == "source" else "marts"

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """The same owners as the other assets."""
        del dbt_resource_props
        return OWNERS


def marts_assets(manifest: Path) -> dg.AssetsDefinition:
    """Every model of the dbt project as an asset, built together for the run's tenants."""
    translator = MartsTranslator(
        # Several sources are written by one asset, and that is meant.
        DagsterDbtTranslatorSettings(
            enable_duplicate_source_asset_keys=True, enable_source_metadata=False
        )
    )

    @dbt_assets(
        manifest=manifest,
        dagster_dbt_translator=translator,
        name="marts",
        retry_policy=RETRY,
    )
    def marts(
        context: dg.AssetExecutionContext, world: dg.ResourceParam[World]
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        with told_to_dagster():
            tenants = tenants_of_run(context.run.tags, context.instance)
            report = world.warehouse.build(tenants=tenants)
        yield from told(context, report, tenants=len(tenants))

    return marts.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=FRESHNESS))


def told(
    context: dg.AssetExecutionContext, report: BuildReport, *, tenants: int
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """A build as materializations and check results.

    A broken build published nothing, so no mart is reported as materialized; the tests are
    still told, because they say why.

    Raises:
        Failure: a model could not be built or a test failed.
    """
    built = {node.unique_id: node for node in report.nodes}
    for check in context.assets_def.check_specs:
        if check.key in context.selected_asset_check_keys:
            yield _check_result(check, built.get(str((check.metadata or {}).get(_UNIQUE_ID))))
    if report.broken:
        raise dg.Failure(
            "The marts were not published, readers still see the ones before; broken: "
            + "; ".join(f"{node.unique_id}: {node.message}" for node in report.broken),
            allow_retries=False,
        )
    models = {
        str(spec.metadata[_UNIQUE_ID]): spec.key
        for spec in context.assets_def.specs
        if spec.key in context.selected_asset_keys
    }
    ordered = [node.unique_id for node in report.nodes if node.unique_id in models]
    for unique_id in ordered + [missing for missing in models if missing not in built]:
        metadata = _model_metadata(built.get(unique_id)) | {"tenants": tenants}
        yield dg.MaterializeResult(asset_key=models[unique_id], metadata=metadata)


def _model_metadata(node: NodeResult | None) -> dict[str, Any]:
    if node is None:
        return {"note": "dbt built this together with the models that read it."}
    return {"seconds": round(node.seconds, 3), "status": node.status}


def _check_result(check: dg.AssetCheckSpec, node: NodeResult | None) -> dg.AssetCheckResult:
    if node is None or node.status == "skipped":
        return dg.AssetCheckResult(
            passed=False,
            asset_key=check.asset_key,
            check_name=check.name,
            severity=dg.AssetCheckSeverity.WARN,
            description="The test did not run, so nothing is proven.",
        )
    return dg.AssetCheckResult(
        passed=node.status in ("pass", "success"),
        asset_key=check.asset_key,
        check_name=check.name,
        severity=dg.AssetCheckSeverity.WARN
        if node.status == "warn"
        else dg.AssetCheckSeverity.ERROR,
        description=node.message or None,
        metadata={"rows_that_fail": node.failures, "seconds": round(node.seconds, 3)},
    )
