"""Reconciling: what was listed against what was known, set-based, for a whole batch at once."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import INVENTORY, TIME
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Certificate, Kind
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.acceptances import Acceptance
from qlrf_pipelines.services.inventory_known import Known
from qlrf_pipelines.services.inventory_listing import Listed, placed_schema
from qlrf_pipelines.services.inventory_plan import Place
from qlrf_pipelines.services.inventory_sql import INVENTORY_NOW, JUDGED, part_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One refresh of a batch: who, when, under which name, and what was accepted before."""

    refresh_id: str
    now: datetime
    tenants: Sequence[Tenant]
    sequences: Mapping[TenantId, int]
    acceptances: Mapping[tuple[TenantId, str], Acceptance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How many live assets a complete listing of a place did not show, and out of how many."""

    live: int
    vanished: int | None
    held: bool


_PLACE = pa.schema(
    [
        ("tenant", pa.string()),
        ("connector", pa.string()),
        ("platform", pa.string()),
        ("account", pa.string()),
        ("region", pa.string()),
        ("region_no", pa.int32()),
        ("status", pa.string()),
        ("started_at", TIME),
        ("accepted_at", TIME),
        ("vanish_share", pa.float64()),
        ("vanish_min", pa.int64()),
        ("image_complete", pa.bool_()),
        ("image_carried", pa.bool_()),
        ("volume_complete", pa.bool_()),
        ("group_complete", pa.bool_()),
        ("patch_complete", pa.bool_()),
    ]
)
_RULE = pa.schema(
    [
        ("tenant", pa.string()),
        ("new_seq", pa.int64()),
        ("now", TIME),
        ("refresh_id", pa.string()),
        ("environment_tag", pa.string()),
        ("environment_default", pa.string()),
    ]
)
_VALUE = pa.schema([("tenant", pa.string()), ("value", pa.string()), ("environment", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a refresh knows: every place's number, certificates, files, and what was before.

    A place without an instance certificate is abandoned.
    """

    places: Mapping[Place, int]
    certificates: Mapping[tuple[Place, Kind], Certificate]
    listed: Sequence[Listed]
    known: Known


# Rows made at once: enough to be set-based, few enough to keep memory flat as estates grow.
ROWS_AT_ONCE = 10_000
_BATCH = 2_048


def reconcile(
    connection: duckdb.DuckDBPyConnection,
    attempt: Attempt,
    evidence: Evidence,
    *,
    losses: dict[Place, Loss],
    rows_at_once: int,
) -> pa.RecordBatchReader:
    """Every row of the inventory after the attempt, streamed; `losses` fills while it is read.

    The view `inventory_before` holds the inventory before.
    """
    return pa.RecordBatchReader.from_batches(
        INVENTORY.schema, _batches(connection, attempt, evidence, losses, rows_at_once)
    )


def _batches(
    connection: duckdb.DuckDBPyConnection,
    attempt: Attempt,
    evidence: Evidence,
    losses: dict[Place, Loss],
    rows_at_once: int,
) -> Iterator[pa.RecordBatch]:
    for places, parts in _chunks(evidence, rows_at_once):
        tenants = {place.tenant for place in places}
        _rules(connection, attempt, tenants)
        _places(connection, attempt, evidence, places)
        _before(connection, tenants)
        numbers = {evidence.places[place] for place in places}
        for kind, schema in PAGE_SCHEMAS.items():
            files = [
                one.file
                for one in evidence.listed
                if one.number in numbers and one.certificate.scope.kind is kind and one.file
            ]
            _rows(connection, f"raw_{kind}", files, placed_schema(schema))
        connection.execute(JUDGED)
        losses.update(_losses(connection, evidence.places))
        for part in range(parts):
            connection.execute(part_facts(part, parts=parts))
            # The lake takes rows tenant by tenant.
            rows = INVENTORY_NOW + (" ORDER BY tenant" if len(tenants) > 1 else "")
            for batch in connection.sql(rows).to_arrow_reader(_BATCH):
                yield batch.cast(INVENTORY.schema)


def _chunks(evidence: Evidence, most: int) -> Iterator[tuple[list[Place], int]]:
    """Places in groups of about `most` rows, and how many parts to make their rows in.

    One region's connectors are never apart; a region that is larger is a group of several parts.
    """
    sizes = dict(evidence.known.rows)
    for place in evidence.places:
        certificate = evidence.certificates.get((place, Kind.INSTANCE))
        sizes[place] = sizes.get(place, 0) + (certificate.listed if certificate else 0)
    ordered = sorted(evidence.places, key=lambda place: (*_region(place), place.connector))
    chunk: list[Place] = []
    size = 0
    for _, group in groupby(ordered, key=_region):
        together = list(group)
        more = sum(sizes[place] for place in together)
        if chunk and size + more > most:
            yield chunk, math.ceil(size / most) or 1
            chunk, size = [], 0
        chunk.extend(together)
        size += more
    if chunk:
        yield chunk, math.ceil(size / most) or 1


def _region(place: Place) -> tuple[str, str, str, str]:
    return place.tenant, place.platform, place.account, place.region


def _before(connection: duckdb.DuckDBPyConnection, tenants: Collection[TenantId]) -> None:
    """The inventory before, of the places of this chunk; the names prune whole partitions."""
    names = ", ".join(f"'{tenant}'" for tenant in sorted(tenants))
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW prev AS SELECT * FROM inventory_before b
        WHERE tenant IN ({names}) AND EXISTS (
            FROM place l WHERE l.tenant = b.tenant AND l.platform = b.platform
                AND l.account = b.account AND l.region = b.region
        )
        """  # noqa: S608  tenant names are checked by their contract
    )


def _rules(
    connection: duckdb.DuckDBPyConnection, attempt: Attempt, tenants: Collection[TenantId]
) -> None:
    rules: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    for tenant in attempt.tenants:
        if tenant.name not in tenants:
            continue
        rule = tenant.environments
        rules.append(
            {
                "tenant": tenant.name,
                "new_seq": attempt.sequences[tenant.name],
                "now": attempt.now,
                "refresh_id": attempt.refresh_id,
                "environment_tag": rule.tag,
                "environment_default": rule.default.value,
            }
        )
        folded: dict[str, str] = {}
        for value, environment in rule.values.items():
            folded.setdefault(value.lower(), environment.value)
        values.extend(
            {"tenant": tenant.name, "value": value, "environment": environment}
            for value, environment in folded.items()
        )
    connection.register("rule", pa.Table.from_pylist(rules, schema=_RULE))
    connection.register("environment_value", pa.Table.from_pylist(values, schema=_VALUE))


def _places(
    connection: duckdb.DuckDBPyConnection,
    attempt: Attempt,
    evidence: Evidence,
    places: Sequence[Place],
) -> None:
    by_name = {tenant.name: tenant for tenant in attempt.tenants}

    def complete(place: Place, kind: Kind) -> bool:
        certificate = evidence.certificates.get((place, kind))
        return certificate is not None and certificate.status is ListingStatus.COMPLETE

    rows: list[dict[str, Any]] = []
    for place in places:
        tenant = by_name[place.tenant]
        instances = evidence.certificates.get((place, Kind.INSTANCE))
        accepted = attempt.acceptances.get((place.tenant, place.scope(Kind.INSTANCE).id))
        read_at = evidence.known.completed_at.get((place, Kind.IMAGE))
        oldest = attempt.now - timedelta(hours=tenant.drift.stale_after_hours)
        rows.append(
            {
                "tenant": place.tenant,
                "connector": place.connector,
                "platform": place.platform.value,
                "account": place.account,
                "region": place.region,
                "region_no": evidence.places[place],
                "status": (instances.status if instances else ListingStatus.ABANDONED).value,
                "started_at": instances.started_at if instances else attempt.now,
                "accepted_at": accepted.accepted_at if accepted else None,
                "vanish_share": tenant.safety.vanish_share,
                "vanish_min": math.ceil(tenant.safety.vanish_min),
                "image_complete": complete(place, Kind.IMAGE),
                "image_carried": read_at is not None and read_at >= oldest,
                "volume_complete": complete(place, Kind.VOLUME),
                "group_complete": complete(place, Kind.SECURITY_GROUP),
                "patch_complete": complete(place, Kind.PATCH_STATE),
            }
        )
    connection.register("place", pa.Table.from_pylist(rows, schema=_PLACE))


def _rows(
    connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path], schema: pa.Schema
) -> None:
    if files:
        listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM read_parquet([{listed}])")
    else:
        connection.register(f"empty_{name}", schema.empty_table())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM empty_{name}")


def _losses(
    connection: duckdb.DuckDBPyConnection, places: Mapping[Place, int]
) -> Mapping[Place, Loss]:
    by_number = {number: place for place, number in places.items()}
    found = connection.execute("SELECT region_no, live, vanished, is_held FROM brake").fetchall()
    return {
        by_number[number]: Loss(live=live, vanished=vanished, held=held)
        for number, live, vanished, held in found
    }
