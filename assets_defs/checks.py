"""Asset checks: one evaluation per check and run, naming the tenants and rows that fail."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import duckdb
import pandas as pd

from assets_defs import expectations
from assets_defs.failures import RETRY, told_to_dagster
from assets_defs.partitions import tenants_of_run
from assets_defs.quality import (
    GROUPS,
    QUALITIES,
    Quality,
    offenders_sql,
    profile_sql,
    words_sql,
)
from assets_defs.steps import as_markdown
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.engine import EngineSession
from qlrf_pipelines.ports.world import World

NAMED_ROWS = 20
_SKEW = timedelta(minutes=5)
_RECENT = timedelta(days=2)
# Tenants measured at once: bounds the memory of counting distinct keys.
_CHUNK = 100


def quality_checks() -> list[dg.AssetChecksDefinition]:
    """The data-quality checks of every dataset, one step per asset."""
    return [_checks_of(quality) for quality in QUALITIES]


def _checks_of(quality: Quality) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(group, asset=quality.asset, description=GROUPS[group])
        for group in quality.groups
    ]

    @dg.multi_asset_check(
        name=f"{quality.asset}_quality",
        specs=specs,
        retry_policy=RETRY,
        can_subset=True,
        compute_kind="great_expectations",
    )
    def checks(
        context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
    ) -> Iterator[dg.AssetCheckResult]:
        with told_to_dagster():
            tenants = tenants_of_run(context.run.tags, context.instance)
            results = judge(world, quality, tenants)
        selected = {key.name for key in context.selected_asset_check_keys}
        yield from (result for result in results if result.check_name in selected)

    return checks


def judge(world: World, quality: Quality, tenants: Sequence[TenantId]) -> list[dg.AssetCheckResult]:
    """Every check of one dataset over these tenants' rows."""
    now = world.clock.now()
    latest = now + _SKEW
    profiles, words = [], []
    offenders: dict[str, list[dict[str, object]]] = {}
    with world.engine.session() as session:
        chunks = [tenants[i : i + _CHUNK] for i in range(0, len(tenants), _CHUNK)]
        for chunk in chunks:
            _open(world, session, quality, chunk)
            profiles.append(session.connection.execute(profile_sql(quality)).df())
            if quality.words:
                words.append(session.connection.execute(words_sql(quality)).df())
        failed = expectations.failed_groups(
            quality, profile=_stacked(profiles), words=_stacked(words), latest=latest
        )
        for group in failed:
            offenders[group] = []
            for chunk in chunks:
                _open(world, session, quality, chunk)
                sql = offenders_sql(quality, group, limit=NAMED_ROWS)
                parameters = {"latest": latest} if "$latest" in sql else None
                answer = session.connection.execute(sql, parameters)
                offenders[group] += as_dicts(answer)
                if len(offenders[group]) >= NAMED_ROWS:
                    break
    rows = sum(int(profile["row_count"].sum()) for profile in profiles)
    return [
        _result(
            quality, group, expected=failed.get(group), found=offenders.get(group, []), rows=rows
        )
        for group in quality.groups
    ]


def _open(
    world: World, session: EngineSession, quality: Quality, tenants: Sequence[TenantId]
) -> None:
    name = quality.dataset.name
    session.connection.execute(f"DROP VIEW IF EXISTS {name}")
    if quality.recent is None:
        world.lake.view(session.connection, quality.dataset, tenants=tenants)
        return
    session.connection.execute("DROP VIEW IF EXISTS whole_history")
    world.lake.view(session.connection, quality.dataset, tenants=tenants, name="whole_history")
    since = (world.clock.now() - _RECENT).isoformat()
    session.connection.execute(
        f"CREATE VIEW {name} AS SELECT * FROM whole_history "  # noqa: S608
        f"WHERE {quality.recent} IS NULL OR {quality.recent} >= TIMESTAMPTZ '{since}'"
    )


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _result(
    quality: Quality,
    group: str,
    *,
    expected: list[str] | None,
    found: list[dict[str, object]],
    rows: int,
) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"rows": rows}
    if expected is None:
        description = f"{GROUPS[group]} Holds for {rows} rows."
    else:
        tenants = sorted({str(row["tenant"]) for row in found})
        named = found[:NAMED_ROWS]
        metadata |= {
            "expectations": "\n".join(expected),
            "tenants": ", ".join(tenants),
            "first_rows": named_rows(named),
        }
        description = f"{GROUPS[group]} Broken for {', '.join(tenants) or 'some tenant'}."
    return dg.AssetCheckResult(
        passed=expected is None,
        asset_key=quality.asset,
        check_name=group,
        description=description,
        metadata=metadata,
    )


def as_dicts(answer: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    """The rows of an executed statement."""
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def named_rows(rows: Sequence[dict[str, object]]) -> dg.MetadataValue[str]:
    """A few rows as a table in the UI."""
    if not rows:
        return dg.MetadataValue.md("No row can be named.")
    return dg.MetadataValue.md(
        as_markdown([{name: _fact(value) for name, value in row.items()} for row in rows])
    )


def _fact(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
