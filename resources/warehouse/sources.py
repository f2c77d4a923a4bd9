"""What the marts are made of: one batch's rows of the lake and the contracts, as flat columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.compliance import Control, Framework
from qlrf_pipelines.domain.datasets import DATASETS
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.patch_sla import promises_of
from qlrf_pipelines.ports.controls import ControlStore
from qlrf_pipelines.ports.estate import EstateStore
from qlrf_pipelines.ports.lake import Lake

_PORTS = """
    CASE WHEN open_ports IS NOT NULL THEN array_to_string(list_transform(open_ports, lambda p: CASE
        WHEN p.protocol IN ('-1', 'all') THEN 'all'
        WHEN p.from_port IS NULL THEN p.protocol
        WHEN p.from_port = p.to_port THEN p.protocol || '/' || p.from_port
        ELSE p.protocol || '/' || p.from_port || '-' || coalesce(p.to_port::VARCHAR, '?')
    END), ', ') END"""

# Nested columns become text, once and here, so that every model reads the same on every target.
_FLAT: dict[str, str] = {
    "inventory": "* REPLACE (CASE WHEN tags IS NOT NULL THEN to_json(tags)::VARCHAR END AS tags, "
    f"{_PORTS} AS open_ports)",
    "golden_images": "* REPLACE (array_to_string(environments, ', ') AS environments, "
    "CASE WHEN coordinates IS NOT NULL THEN to_json(coordinates)::VARCHAR END AS coordinates)",
    "risk": "* REPLACE (array_to_string(not_assessed, ', ') AS not_assessed)",
    "patch_sla": "*",
    "scopes": "*",
    "drift": "*",
    "drift_daily": "*",
    "control_results": "*",
    "drills": "*",
    "drill_phases": "*",
    "resilience": "*",
}

_TENANTS = pa.schema(
    [
        ("tenant", pa.string()),
        ("display_name", pa.string()),
        ("registered", pa.bool_()),
        ("connectors", pa.int32()),
        ("platforms", pa.string()),
        ("stale_after_hours", pa.float64()),
        ("default_grace_days", pa.float64()),
        ("vanish_share", pa.float64()),
        ("vanish_min", pa.int32()),
    ]
)
_PROMISES = pa.schema(
    [
        ("tenant", pa.string()),
        ("policy", pa.string()),
        ("severity", pa.string()),
        ("measured_by", pa.string()),
        ("within_seconds", pa.int64()),
    ]
)
_CONTROLS = pa.schema(
    [
        ("control_id", pa.string()),
        ("title", pa.string()),
        ("severity", pa.string()),
        ("description", pa.string()),
        ("remediation", pa.string()),
        ("is_manual", pa.bool_()),
    ]
)
_FRAMEWORKS = pa.schema(
    [("control_id", pa.string()), ("framework", pa.string()), ("requirement", pa.string())]
)
_REQUIREMENTS = pa.schema(
    [
        ("framework", pa.string()),
        ("framework_name", pa.string()),
        ("framework_version", pa.string()),
        ("requirement", pa.string()),
        ("title", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a build reads from."""

    lake: Lake
    estate: EstateStore
    controls: ControlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One relation of dbt's source `lake`: the SELECT that gives its rows.

    `durable` means the SELECT names local files alone, so another connection can run it too.
    """

    name: str
    sql: str
    durable: bool


def open_sources(
    connection: duckdb.DuckDBPyConnection, sources: Sources, *, tenants: Sequence[TenantId]
) -> Iterator[Source]:
    """Make every source of these tenants readable in the connection, and say how to read it."""
    controls, estate = sources.controls.load(), sources.estate.load()
    for name, rows in (
        ("tenants", _tenant_rows(estate, tenants)),
        ("patch_promises", _promise_rows(estate, tenants)),
        ("controls", _control_rows(controls)),
        ("control_frameworks", _framework_rows(controls)),
        ("requirements", _requirement_rows(sources.controls.frameworks())),
    ):
        connection.register(f"given_{name}", rows)
        yield Source(name=name, sql=f"SELECT * FROM given_{name}", durable=False)  # noqa: S608  our own names
    for name, columns in _FLAT.items():
        view = f"given_{name}"
        sources.lake.view(connection, DATASETS[name], tenants=tenants, name=view)
        yield _source(connection, name=name, view=view, columns=columns)


def _source(connection: duckdb.DuckDBPyConnection, *, name: str, view: str, columns: str) -> Source:
    found = connection.execute(
        "SELECT sql FROM duckdb_views() WHERE view_name = ? AND sql IS NOT NULL", [view]
    ).fetchall()
    prefix, _, body = str(found[0][0] if found else "").partition(" AS ")
    durable = prefix.startswith("CREATE") and " FROM read_parquet(" in body
    origin = f"({body.strip().rstrip(';')})" if durable else view
    return Source(name=name, sql=f"SELECT {columns} FROM {origin}", durable=durable)  # noqa: S608  our own names


def _tenant_rows(estate: Estate, tenants: Sequence[TenantId]) -> pa.Table:
    known = {tenant.name: tenant for tenant in estate.tenants}
    rows: list[dict[str, object]] = []
    for name in sorted(set(tenants)):
        tenant = known.get(name)
        row: dict[str, object] = {
            "tenant": name,
            "display_name": name,
            "registered": False,
            "connectors": 0,
            "platforms": "",
        }
        if tenant is not None:
            row |= {
                "display_name": tenant.display_name,
                "registered": True,
                "connectors": len(tenant.connectors),
                "platforms": ", ".join(sorted({str(c.platform) for c in tenant.connectors})),
                "stale_after_hours": tenant.drift.stale_after_hours,
                "default_grace_days": tenant.drift.default_grace_days,
                "vanish_share": tenant.safety.vanish_share,
                "vanish_min": tenant.safety.vanish_min,
            }
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_TENANTS)


def _promise_rows(estate: Estate, tenants: Sequence[TenantId]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "tenant": name,
                "policy": policy.name,
                "severity": str(promise.severity),
                "measured_by": str(promise.measure),
                "within_seconds": int(promise.within.total_seconds()),
            }
            for name in sorted(set(tenants))
            for policy in estate.patches_of(name)
            for promise in promises_of(policy)
        ],
        schema=_PROMISES,
    )


def _control_rows(controls: Sequence[Control]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "control_id": control.id,
                "title": control.title,
                "severity": str(control.severity),
                "description": control.description,
                "remediation": control.remediation,
                "is_manual": control.sql is None,
            }
            for control in controls
        ],
        schema=_CONTROLS,
    )


def _framework_rows(controls: Sequence[Control]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"control_id": control.id, "framework": framework, "requirement": requirement}
            for control in controls
            for framework, requirements in sorted(control.frameworks.items())
            for requirement in sorted(set(requirements))
        ],
        schema=_FRAMEWORKS,
    )


def _requirement_rows(frameworks: Sequence[Framework]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "framework": framework.id,
                "framework_name": framework.name,
                "framework_version": framework.version,
                "requirement": requirement.id,
                "title": requirement.title,
            }
            for framework in frameworks
            for requirement in framework.requirements
        ],
        schema=_REQUIREMENTS,
    )
