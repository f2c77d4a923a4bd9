"""Compliance: what every control says of every live asset, and the evidence of it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.assessment import (
    Assessment,
    Json,
    Judged,
    JudgingRules,
    assessment_entries,
)
from qlrf_pipelines.domain.compliance import Control
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, DRIFT, INVENTORY, SCOPES
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.facts import EMPTY_DIGEST
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.domain.vocabulary import ControlVerdict, Severity
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.judging import (
    VERDICTS,
    facts_digests,
    gather,
    judge,
    judged_rows,
    register_rules,
    tally,
)

# One commit's worth of results: what fits the engine's memory beside its sorts. More only makes
# the sorts spill; fewer costs a commit more often.
_CHUNK_RESULTS = 600_000
_PREVIEW = 5
_LOOKED_AT = (INVENTORY, DRIFT, SCOPES)


def assess_compliance(world: World, tenants: Sequence[Tenant]) -> StepReport:
    """Judge every live asset of these tenants by every control; keep the results, then the proof.

    Results are written first: a crash in between leaves results without evidence, which
    `qlrf evidence verify` reports until the next assessment.

    Raises:
        Rejected: a control is incomplete.
        Refused: a control does not give exactly one sound verdict per live asset.
        Unavailable: the lake or the ledger does not answer.
    """
    started = time.monotonic()
    assessment = Assessment(
        id=world.ids.new(),
        as_of=world.clock.now(),
        controls=tuple(world.controls.load()),
        versions={dataset.name: world.lake.version(dataset) for dataset in _LOOKED_AT},
    )
    entries: dict[TenantId, list[NewEntry]] = {}
    found: dict[TenantId, Judged] = {}
    version = world.lake.version(CONTROL_RESULTS)
    with world.engine.session() as session:
        for chunk in _chunks(world, session.connection, tenants, assessment):
            judged, version = _assess(world, session.connection, chunk, assessment)
            written = {**assessment.versions, CONTROL_RESULTS.name: version}
            made = replace(assessment, versions=written)
            entries |= {name: assessment_entries(made, item) for name, item in judged.items()}
            found |= judged
    world.ledger.append(entries)
    return StepReport(
        dataset=CONTROL_RESULTS.name,
        version=version,
        seconds=time.monotonic() - started,
        facts={name: _facts(item) for name, item in found.items()},
        preview={name: _preview(item, assessment.controls) for name, item in found.items()},
    )


def look(
    world: World,
    connection: duckdb.DuckDBPyConnection,
    tenants: Sequence[TenantId],
    versions: Mapping[str, int | None],
) -> None:
    """Show the connection these tenants' inventory, drift and scopes, at the versions given."""
    for dataset in _LOOKED_AT:
        world.lake.view(connection, dataset, tenants=tenants, version=versions[dataset.name])


def _chunks(
    world: World,
    connection: duckdb.DuckDBPyConnection,
    tenants: Sequence[Tenant],
    assessment: Assessment,
) -> Iterator[list[Tenant]]:
    look(world, connection, [tenant.name for tenant in tenants], assessment.versions)
    counted = dict(
        connection.execute("SELECT tenant, count(*) FROM inventory GROUP BY tenant").fetchall()
    )
    chunk: list[Tenant] = []
    size = 0
    for tenant in tenants:
        rows = max(1, counted.get(tenant.name, 0)) * len(assessment.controls)
        if chunk and size + rows > _CHUNK_RESULTS:
            yield chunk
            chunk, size = [], 0
        chunk.append(tenant)
        size += rows
    if chunk:
        yield chunk


def _assess(
    world: World,
    connection: duckdb.DuckDBPyConnection,
    tenants: Sequence[Tenant],
    assessment: Assessment,
) -> tuple[dict[TenantId, Judged], int]:
    names = [tenant.name for tenant in tenants]
    rules = {tenant.name: JudgingRules.of(tenant) for tenant in tenants}
    look(world, connection, names, assessment.versions)
    register_rules(connection, rules, as_of=assessment.as_of)
    gather(connection)
    judge(connection, assessment.controls)
    tallies: dict[TenantId, list[Mapping[str, Any]]] = {name: [] for name in names}
    for row in tally(connection):
        tallies[row["tenant"]].append(row)
    facts = facts_digests(connection)
    certificates = _certificates(connection, names)
    version = world.lake.replace(CONTROL_RESULTS, judged_rows(connection), tenants=names)
    judged = {
        name: Judged(
            rules=rules[name],
            tallies=tallies[name],
            assets=facts.get(name, (0, EMPTY_DIGEST))[0],
            facts_digest=facts.get(name, (0, EMPTY_DIGEST))[1],
            certificates=certificates[name],
        )
        for name in names
    }
    return judged, version


def _certificates(
    connection: duckdb.DuckDBPyConnection, tenants: Sequence[TenantId]
) -> dict[TenantId, list[Json]]:
    found: dict[TenantId, list[Json]] = {name: [] for name in tenants}
    moments = [f.name for f in SCOPES.schema if pa.types.is_timestamp(f.type)]
    table: pa.Table = connection.sql(
        "SELECT * FROM scopes ORDER BY tenant, scope_id"
    ).to_arrow_table()
    for row in table.to_pylist():
        kept = {n: None if row[n] is None else iso(row[n]) for n in moments}
        found[row["tenant"]].append({k: v for k, v in row.items() if k != "tenant"} | kept)
    return found


def _facts(judged: Judged) -> dict[str, Fact]:
    counted = {v: sum(row[v] for row in judged.tallies) for v in VERDICTS}
    return {
        "assets": judged.assets,
        "controls": len(judged.tallies),
        "results": sum(row["results"] for row in judged.tallies),
        **counted,
        "gaps": sum(1 for c in judged.certificates if c["status"] != "complete"),
    }


def _preview(judged: Judged, controls: Sequence[Control]) -> list[Mapping[str, Fact]]:
    by_id = {control.id: control for control in controls}
    ranks = {severity: rank for rank, severity in enumerate(Severity)}

    def worst_first(row: Mapping[str, Any]) -> tuple[int, int, int, str]:
        rank = ranks[by_id[row["control_id"]].severity]
        return (-(row["fail"] > 0), rank, -row["fail"], row["control_id"])

    return [
        {
            "control": row["control_id"],
            "severity": str(by_id[row["control_id"]].severity),
            **{str(verdict): row[str(verdict)] for verdict in ControlVerdict},
        }
        for row in sorted(judged.tallies, key=worst_first)[:_PREVIEW]
    ]
