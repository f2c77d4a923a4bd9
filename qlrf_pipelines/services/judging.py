"""Controls over facts, as SQL: one statement per control, one row per live asset, or refused.

The same statements judge a thousand tenants in the lake and one tenant in an exported pack.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.assessment import JudgingRules
from qlrf_pipelines.domain.compliance import Control
from qlrf_pipelines.domain.datasets import TIME
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.facts import ASSETS, DRIFT_FACTS, INVENTORY_FACTS, PAGE, RESULT_FIELDS
from qlrf_pipelines.domain.vocabulary import ControlVerdict

_RULES = pa.schema(
    [
        ("tenant", pa.string()),
        ("environment_tag", pa.string()),
        ("stale_after_seconds", pa.float64()),
        ("as_of", TIME),
    ]
)
_CONNECTORS = pa.schema([("tenant", pa.string()), ("connector", pa.string())])
VERDICTS = tuple(str(verdict) for verdict in ControlVerdict)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def text_sql(fields: Sequence[str]) -> str:
    """The text of some fields, as domain/facts.py defines it."""
    lengths = ", ".join(f"strlen({field}), ','" for field in fields)
    return f"concat({lengths}, {', '.join(fields)})"


# Live assets with what drift found on them and what their tenant's rules make of them. A live
# asset drift has not judged keeps its row: those columns are then null, and never prove anything.
_ASSETS = f"""
CREATE OR REPLACE TEMP TABLE judged_assets AS
WITH live AS (
    SELECT {", ".join(f"i.{name}" for name in INVENTORY_FACTS)},
        {", ".join(f"d.{name}" for name in DRIFT_FACTS)},
        r.environment_tag,
        coalesce(i.last_seen < r.as_of - to_seconds(r.stale_after_seconds), true) AS stale,
        r.as_of
    FROM inventory i
    JOIN rules r USING (tenant)
    LEFT JOIN drift d USING (tenant, asset_key)
    WHERE i.tombstoned_at IS NULL
)
SELECT *, row_number() OVER (PARTITION BY tenant ORDER BY asset_key)::INTEGER - 1 AS ordinal
FROM live
"""  # noqa: S608  our own column names
_VIEW = f"CREATE OR REPLACE TEMP VIEW assets AS SELECT {', '.join(ASSETS.names)} FROM judged_assets"  # noqa: S608
# A fact that is older than the tenant allows proves nothing any more; what failed stays failed.
_JUDGE = """
CREATE OR REPLACE TEMP TABLE results AS
SELECT r.tenant, r.control_id, r.asset_key,
    CASE WHEN a.stale IS NOT false AND r.verdict IN ('pass', 'not_applicable') THEN 'never_proven'
        ELSE r.verdict END AS verdict,
    CASE WHEN a.stale IS NOT false AND r.verdict IN ('pass', 'not_applicable')
        THEN concat('not observed lately; then ', r.verdict, ': ', r.detail)
        ELSE r.detail END AS detail,
    a.ordinal
FROM ({said}) r LEFT JOIN judged_assets a ON a.tenant = r.tenant AND a.asset_key = r.asset_key
"""
_SAID = "SELECT tenant, '{name}' AS control_id, asset_key, verdict, detail FROM (\n{sql}\n)"
_NOTHING_SAID = (
    "SELECT '' AS tenant, '' AS control_id, '' AS asset_key, '' AS verdict, '' AS detail "
    "WHERE false"
)
_COUNTS = ", ".join(f"count(*) FILTER (verdict = '{verdict}') AS {verdict}" for verdict in VERDICTS)
_ROW = text_sql(RESULT_FIELDS)
# Every control must say exactly one thing of every live asset, in our words: whatever else it
# says, or leaves out, is counted here and refused.
_PAGES = f"""
SELECT tenant, control_id, ordinal // {PAGE} AS page,
    sha256(string_agg({_ROW}, '' ORDER BY ordinal)) AS digest,
    count(*) AS results,
    bit_count(bitstring_agg(ordinal % {PAGE}, 0, {PAGE - 1})) AS assets,
    {_COUNTS},
    count(*) FILTER (verdict IS NULL OR verdict NOT IN ({_quoted(VERDICTS)})) AS unworded,
    count(*) FILTER (detail IS NULL) AS unexplained
FROM {{source}} GROUP BY ALL
"""  # noqa: S608
_OFFENCES = f"""
WITH asked AS (
    SELECT tenant, control_id, live
    FROM (SELECT tenant, count(*) AS live FROM judged_assets GROUP BY tenant), controls
    WHERE automated
), said AS (
    SELECT tenant, control_id, sum(results) FILTER (page IS NOT NULL) AS results,
        sum(assets) AS assets, coalesce(sum(results) FILTER (page IS NULL), 0) AS strangers,
        sum(unworded) AS unworded, sum(unexplained) AS unexplained
    FROM pages GROUP BY ALL
)
SELECT control_id, coalesce(tenant, '?'),
    CASE WHEN strangers > 0 THEN concat('judges ', strangers, ' things that are no live asset')
        WHEN live IS NULL THEN 'judges a tenant without live assets'
        WHEN coalesce(assets, 0) < live
            THEN concat('says nothing of ', live - coalesce(assets, 0), ' of ', live, ' assets')
        WHEN results > assets THEN concat('judges ', results - assets, ' times too often')
        WHEN unworded > 0 THEN concat(
            'gives ', unworded, ' verdicts that are none of {", ".join(VERDICTS)}')
        WHEN unexplained > 0 THEN concat('gives ', unexplained, ' verdicts without a detail')
    END AS offence
FROM asked FULL JOIN said USING (tenant, control_id)
WHERE offence IS NOT NULL
ORDER BY 1, 2 LIMIT 20
"""  # noqa: S608
_TALLY = f"""
SELECT tenant, control_id, sha256(string_agg(digest, '' ORDER BY page)) AS digest,
    sum(results)::BIGINT AS results, {", ".join(f"sum({v})::BIGINT AS {v}" for v in VERDICTS)}
FROM pages GROUP BY ALL ORDER BY tenant, control_id
"""  # noqa: S608
# A tenant without live assets: proven empty only where each of its connectors was listed to the
# end, lately; a connector nobody listed at all, or none to list, proves nothing.
_EMPTY = """
WITH listed AS (
    SELECT tenant, connector,
        bool_and(coalesce(s.status = 'complete' AND s.last_complete_at
            >= r.as_of - to_seconds(r.stale_after_seconds), false)) AS proven,
        count(*) FILTER (kind = 'instance') AS listings
    FROM scopes s JOIN rules r USING (tenant)
    WHERE kind IN ('account', 'region', 'instance')
    GROUP BY ALL
), known AS (
    SELECT tenant,
        bool_and(coalesce(proven AND (listings > 0 OR c.connector IS NULL), false)) AS empty
    FROM connectors c FULL JOIN listed USING (tenant, connector)
    GROUP BY tenant
)
INSERT INTO tenant_results
SELECT r.tenant, a.control_id, '',
    CASE WHEN k.empty THEN 'not_applicable' ELSE 'never_proven' END,
    CASE WHEN k.empty THEN 'no live asset, and every scope was listed to its end'
        ELSE 'no live asset is known, and not every scope was listed to its end' END,
    0
FROM rules r LEFT JOIN known k USING (tenant), controls a
WHERE a.automated AND r.tenant NOT IN (SELECT tenant FROM judged_assets)
"""
_MANUAL = """
INSERT INTO tenant_results
SELECT r.tenant, a.control_id, '', 'manual', 'a person must judge this', 0
FROM rules r, controls a
WHERE NOT a.automated
"""


def register_rules(
    connection: duckdb.DuckDBPyConnection,
    rules: Mapping[TenantId, JudgingRules],
    *,
    as_of: datetime,
) -> None:
    """Make the relations `rules` and `connectors` of what tenants set for themselves."""
    rows = [
        {
            "tenant": tenant,
            "environment_tag": rule.environment_tag,
            "stale_after_seconds": rule.stale_after_seconds,
            "as_of": as_of,
        }
        for tenant, rule in rules.items()
    ]
    pairs = [
        {"tenant": tenant, "connector": name}
        for tenant, rule in rules.items()
        for name in rule.connectors
    ]
    connection.register("rules", pa.Table.from_pylist(rows, schema=_RULES))
    connection.register("connectors", pa.Table.from_pylist(pairs, schema=_CONNECTORS))


def gather(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `judged_assets` and the view `assets` of the relations inventory, drift and rules.

    Raises:
        Refused: an asset is there twice, so that nothing could be said of it once.
    """
    connection.execute(_ASSETS)
    connection.execute(_VIEW)
    _refuse_twins(connection)


def gather_rows(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    """Make the same of rows of `assets` that were kept.

    Raises:
        Refused: an asset is there twice.
    """
    connection.register("kept_assets", rows)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE judged_assets AS SELECT *, "
        "row_number() OVER (PARTITION BY tenant ORDER BY asset_key)::INTEGER - 1 AS ordinal "
        "FROM kept_assets"
    )
    connection.unregister("kept_assets")
    connection.execute(_VIEW)
    _refuse_twins(connection)


def judge(connection: duckdb.DuckDBPyConnection, controls: Sequence[Control]) -> None:
    """Fill `results` with what every control says of live assets, and of tenants as a whole.

    Raises:
        Refused: a control cannot be run, or does not give one sound row per live asset.
    """
    names = pa.table(
        {
            "control_id": pa.array([control.id for control in controls], pa.string()),
            "automated": pa.array([control.sql is not None for control in controls], pa.bool_()),
        }
    )
    connection.register("controls", names)
    _run(connection, [control for control in controls if control.sql is not None])
    connection.execute(f"CREATE OR REPLACE TEMP TABLE pages AS {_PAGES.format(source='results')}")
    _refuse_offences(connection)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE tenant_results AS SELECT * FROM results WHERE false"
    )
    connection.execute(_EMPTY)
    connection.execute(_MANUAL)
    connection.execute(f"INSERT INTO pages {_PAGES.format(source='tenant_results')}")
    connection.execute("INSERT INTO results FROM tenant_results")


def judged_rows(connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """Everything in `results`, in the columns of the dataset control_results."""
    return connection.sql(
        "SELECT tenant, control_id, asset_key, verdict, detail, r.as_of "
        "FROM results JOIN rules r USING (tenant)"
    ).to_arrow_reader(65_536)


def tally(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Per tenant and control judged: digest, number of results, and of each verdict."""
    found: pa.Table = connection.sql(_TALLY).to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def tally_kept(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The same of the relation control_results, as it was kept."""
    kept = (
        "(SELECT *, row_number() OVER (PARTITION BY tenant, control_id ORDER BY asset_key)"
        "::INTEGER - 1 AS ordinal FROM control_results)"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE pages AS {_PAGES.format(source=kept)}")
    return tally(connection)


def facts_digests(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, str]]:
    """Per tenant, how many live assets were judged and the digest of their facts."""
    row = text_sql([_field_sql(field) for field in ASSETS])
    pages = (
        f"SELECT tenant, ordinal // {PAGE} AS page, count(*) AS assets, "  # noqa: S608
        f"sha256(string_agg({row}, '' ORDER BY ordinal)) AS digest "
        "FROM judged_assets GROUP BY ALL"
    )
    found = connection.execute(
        "SELECT tenant, sum(assets)::BIGINT, sha256(string_agg(digest, '' ORDER BY page)) "  # noqa: S608
        f"FROM ({pages}) GROUP BY tenant"
    ).fetchall()
    return {tenant: (assets, digest) for tenant, assets, digest in found}


def _run(connection: duckdb.DuckDBPyConnection, controls: Sequence[Control]) -> None:
    said = {control.id: _SAID.format(name=control.id, sql=control.sql) for control in controls}
    try:
        for control in controls:
            _refuse_unless_select(connection, control)
        # One statement for all: one join to say which rows are live assets, not one per control.
        together = "\nUNION ALL\n".join(said.values()) or _NOTHING_SAID
        connection.execute(_JUDGE.format(said=together))
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        raise Refused(
            f"{_culprit(connection, said)} cannot be run: {error}; mend its check.sql."
        ) from error


def _refuse_unless_select(connection: duckdb.DuckDBPyConnection, control: Control) -> None:
    """SQL that is more than one SELECT could close our parenthesis and do anything."""
    statements = connection.extract_statements(control.sql or "")
    if [item.type for item in statements] != [duckdb.StatementType.SELECT]:
        raise Refused(f"Control {control.id} is not one SELECT statement; mend its check.sql.")


def _culprit(connection: duckdb.DuckDBPyConnection, said: Mapping[str, str]) -> str:
    for name, sql in said.items():
        try:
            connection.execute(_JUDGE.format(said=sql))
        except (duckdb.ProgrammingError, duckdb.DataError):
            return f"Control {name}"
    return "The controls, together,"


def _refuse_offences(connection: duckdb.DuckDBPyConnection) -> None:
    offences = connection.execute(_OFFENCES).fetchall()
    if offences:
        listed = "\n".join(f"  {name}: {what} (tenant {who})" for name, who, what in offences)
        raise Refused(
            "Controls must give every live asset exactly one verdict; nothing was written. "
            f"Mend the check.sql of:\n{listed}"
        )


def _refuse_twins(connection: duckdb.DuckDBPyConnection) -> None:
    twins = connection.execute(
        "SELECT tenant, asset_key FROM judged_assets GROUP BY ALL HAVING count(*) > 1 LIMIT 5"
    ).fetchall()
    if twins:
        listed = ", ".join(f"{key} (tenant {tenant})" for tenant, key in twins)
        raise Refused(f"Assets are there more than once: {listed}; refresh their tenants again.")


def _field_sql(field: pa.Field) -> str:
    name, kind = f'"{field.name}"', field.type
    if pa.types.is_timestamp(kind):
        return f"epoch_us({name})::VARCHAR"
    if pa.types.is_map(kind):
        pairs = f"list_sort(map_entries({name}))"
        texts = f"list_transform({pairs}, lambda e: {text_sql(['e.key', 'e.value'])})"
        return f"array_to_string({texts}, '')"
    if pa.types.is_list(kind):
        parts = text_sql([f'p."{part.name}"::VARCHAR' for part in kind.value_type])
        return f"array_to_string(list_transform({name}, lambda p: {parts}), '')"
    if pa.types.is_float64(kind):
        return f"printf('%.17g', {name})"
    return name if pa.types.is_string(kind) else f"{name}::VARCHAR"
