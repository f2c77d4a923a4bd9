"""What was known before a refresh: the places that have assets or certificates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.inventory import Kind
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.services.inventory_plan import Place

_LISTS_NOTHING = (Kind.ACCOUNT, Kind.REGION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Places, the kinds once listed there, their rows, and when listings were last complete.

    `live` are the places that hold live assets.
    """

    kinds: Mapping[Place, frozenset[Kind]]
    rows: Mapping[Place, int]
    live: frozenset[Place]
    completed_at: Mapping[tuple[Place, Kind], datetime]

    @property
    def images_read_at(self) -> dict[Place, datetime]:
        """When the images of a place were last read completely."""
        return {
            place: moment
            for (place, kind), moment in self.completed_at.items()
            if kind is Kind.IMAGE
        }


def known_places(connection: duckdb.DuckDBPyConnection) -> Known:
    """Read them from the views `inventory_before` and `scopes_before`.

    Both are asked: a refresh killed between its commits leaves assets without a certificate.
    """
    kinds: dict[Place, set[Kind]] = {}
    rows: dict[Place, int] = {}
    completed: dict[tuple[Place, Kind], datetime] = {}
    lived_in: set[Place] = set()
    for *where, kind, moment in connection.execute(
        "SELECT tenant, connector, platform, account, region, kind, last_complete_at "
        "FROM scopes_before ORDER BY ALL"
    ).fetchall():
        place = _place(where)
        if Kind(kind) not in _LISTS_NOTHING:
            kinds.setdefault(place, set()).add(Kind(kind))
        if moment is not None:
            completed[place, Kind(kind)] = moment
    for found in connection.execute(
        "SELECT tenant, connector, platform, account, region, "
        "count(*), count(*) FILTER (tombstoned_at IS NULL) FROM inventory_before "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        *where, rows[_place(found[:5])], live = found
        held = kinds.setdefault(_place(where), set())
        if live:
            held.add(Kind.INSTANCE)
            lived_in.add(_place(where))
    return Known(
        kinds={place: frozenset(held) for place, held in kinds.items()},
        rows=rows,
        live=frozenset(lived_in),
        completed_at=completed,
    )


def _place(where: Any) -> Place:  # noqa: ANN401  a row of a query
    tenant, connector, platform, account, region = where
    return Place(
        tenant=TenantId(tenant),
        connector=connector,
        platform=Platform(platform),
        account=account,
        region=region,
    )
