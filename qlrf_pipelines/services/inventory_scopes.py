"""Scope certificates as rows: the latest of every scope, and what it means for its assets."""

from collections.abc import Mapping
from typing import Any

import duckdb

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.inventory import Certificate, Kind
from qlrf_pipelines.domain.vocabulary import ListingStatus, Platform
from qlrf_pipelines.services.inventory_known import Known
from qlrf_pipelines.services.inventory_plan import Place
from qlrf_pipelines.services.inventory_reconcile import Attempt, Evidence, Loss

Row = dict[str, Any]


def scope_rows(
    connection: duckdb.DuckDBPyConnection,
    attempt: Attempt,
    evidence: Evidence,
    losses: Mapping[Place, Loss],
) -> list[Row]:
    """One row per certificate, and one per abandoned place that still has live assets."""
    live, known = _live(connection), evidence.known
    rows: list[Row] = []
    for (place, kind), certificate in evidence.certificates.items():
        row = _row(place, kind, attempt, certificate, known)
        if kind is Kind.INSTANCE:
            row |= _judged(place, certificate, losses.get(place), live.get(place, 0))
        rows.append(row)
    for place in evidence.places:
        if (place, Kind.INSTANCE) not in evidence.certificates and live.get(place, 0):
            rows.append(_abandoned(place, attempt, live[place], known))
    return sorted(rows, key=lambda row: (row["tenant"], row["scope_id"]))


def _live(connection: duckdb.DuckDBPyConnection) -> dict[Place, int]:
    found = connection.execute(
        "SELECT tenant, connector, platform, account, region, count(*) FROM written "
        "WHERE tombstoned_at IS NULL GROUP BY ALL"
    ).fetchall()
    return {
        Place(
            tenant=TenantId(tenant),
            connector=connector,
            platform=Platform(platform),
            account=account,
            region=region,
        ): count
        for tenant, connector, platform, account, region, count in found
    }


def _row(place: Place, kind: Kind, attempt: Attempt, certificate: Certificate, known: Known) -> Row:
    complete = certificate.status is ListingStatus.COMPLETE
    before = known.completed_at.get((place, kind))
    return _where(place, kind) | {
        "refresh_id": attempt.refresh_id,
        "identity": certificate.identity,
        "started_at": certificate.started_at,
        "finished_at": certificate.finished_at,
        "status": certificate.status.value,
        "pages": certificate.pages,
        "end_marker": certificate.end_marker,
        "listed": certificate.listed,
        "live": None,
        "vanished": None,
        "error": certificate.error,
        "last_complete_at": certificate.started_at if complete else before,
    }


def _judged(place: Place, certificate: Certificate, loss: Loss | None, live: int) -> Row:
    if certificate.status is not ListingStatus.COMPLETE:
        return {"live": live}
    if loss is None or not loss.held:
        return {"live": live, "vanished": loss.vanished if loss else 0}
    return {
        "live": live,
        "vanished": loss.vanished,
        "status": ListingStatus.HELD.value,
        "error": f"{loss.vanished} of {loss.live} assets vanished at once, so none was declared "
        f"gone. If they really are gone: {_how(place)}",
    }


def _abandoned(place: Place, attempt: Attempt, live: int, known: Known) -> Row:
    return _where(place, Kind.INSTANCE) | {
        "refresh_id": attempt.refresh_id,
        "identity": None,
        "started_at": attempt.now,
        "finished_at": attempt.now,
        "status": ListingStatus.ABANDONED.value,
        "pages": 0,
        "end_marker": False,
        "listed": 0,
        "live": live,
        "vanished": None,
        "error": f"No connector lists this region any more; its {live} assets are kept as they "
        f"were. If they are gone: {_how(place)}",
        "last_complete_at": known.completed_at.get((place, Kind.INSTANCE)),
    }


def _where(place: Place, kind: Kind) -> Row:
    return {
        "tenant": place.tenant,
        "connector": place.connector,
        "platform": place.platform.value,
        "account": place.account,
        "region": place.region,
        "kind": kind.value,
        "scope_id": place.scope(kind).id,
    }


def _how(place: Place) -> str:
    scope = place.scope(Kind.INSTANCE).id
    return f"qlrf scopes accept {place.tenant} {scope} --reason TEXT"
