"""Drills into the lake: new and open ones are read again, closed ones are known already."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.dataset_shape import Dataset
from qlrf_pipelines.domain.drill_datasets import DRILL_PHASES, DRILLS
from qlrf_pipelines.domain.drills import Drill, Outcome, Phase
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_rows import drill_row, phase_rows

# More than anybody drills within the life of a database.
_MOST = 100_000
_PREVIEW = 5
_SHOWN = ("drill_id", "application", "drill_type", "phase", "outcome", "rto_seconds", "rpo_seconds")

Row = dict[str, Any]


def export_drills(world: World, tenants: Sequence[Tenant]) -> StepReport:
    """Bring the datasets drills and drill_phases of these tenants up to date.

    A drill that was exported once keeps its rows even if the database loses it: forgetting a
    drill that failed must not make anybody look ready.

    Raises:
        Unavailable: the database or the lake is down; what was there before stays.
    """
    began = time.perf_counter()
    names = [tenant.name for tenant in tenants]
    now = world.clock.now()
    before = {dataset.name: _kept(world, dataset, names) for dataset in (DRILLS, DRILL_PHASES)}
    drills = {_key(row): row for row in before[DRILLS.name]}
    phases = before[DRILL_PHASES.name]
    changed = 0
    with_drills = set(world.drills.tenants())
    for name in names:
        if name in with_drills:
            fresh = _changed(world, name, drills)
            changed += len(fresh)
            phases = _told(world, name, fresh, drills=drills, phases=phases, now=now)
    version = world.lake.version(DRILLS)
    if changed:
        _write(world, DRILL_PHASES, phases, names)
        version = _write(world, DRILLS, list(drills.values()), names)
    return StepReport(
        dataset=DRILLS.name,
        version=version,
        seconds=time.perf_counter() - began,
        facts=_facts(names, drills.values(), phases),
        preview=_preview(drills.values()),
    )


def _kept(world: World, dataset: Dataset, names: Sequence[TenantId]) -> list[Row]:
    with world.engine.session() as session:
        world.lake.view(session.connection, dataset, tenants=names)
        table = session.connection.sql(f"SELECT * FROM {dataset.name}").to_arrow_table()  # noqa: S608  our own name
    rows: list[Row] = table.to_pylist()
    return rows


def _changed(world: World, name: TenantId, drills: Mapping[tuple[str, str], Row]) -> list[Drill]:
    """The drills that took a step since they were exported, and all that are not closed."""
    found: list[Drill] = []
    for record in world.drills.list(name, limit=_MOST):
        drill = record.drill
        known = drills.get((name, drill.id))
        same = known is not None and known["ledger_seq"] == drill.seq
        if not (same and drill.phase is Phase.CLOSED):
            found.append(drill)
    return found


def _told(
    world: World,
    name: TenantId,
    fresh: Sequence[Drill],
    *,
    drills: dict[tuple[str, str], Row],
    phases: list[Row],
    now: datetime,
) -> list[Row]:
    """Put new rows of these drills into `drills`; returns the phases with theirs."""
    told = {drill.id for drill in fresh}
    rest = [row for row in phases if row["tenant"] != name or row["drill_id"] not in told]
    for drill in fresh:
        record = world.drills.get(name, drill.id)
        drills[name, drill.id] = drill_row(
            record,
            answers=world.drills.answers(name, drill.id),
            writes=world.drills.writes(name, drill.id),
            now=now,
        )
        rest += phase_rows(record, now=now)
    return rest


def _write(world: World, dataset: Dataset, rows: list[Row], names: Sequence[TenantId]) -> int:
    table = pa.Table.from_pylist(rows, schema=dataset.schema)
    return world.lake.replace(dataset, table.to_reader(), tenants=names)


def _key(row: Row) -> tuple[str, str]:
    return row["tenant"], row["drill_id"]


def _facts(
    names: Sequence[TenantId], drills: Iterable[Row], phases: Iterable[Row]
) -> dict[TenantId, Mapping[str, Fact]]:
    found = {
        name: dict.fromkeys(("drills", "open", "held", "passed", "phases"), 0) for name in names
    }
    for row in drills:
        mine = found[row["tenant"]]
        mine["drills"] += 1
        mine["open"] += row["phase"] != Phase.CLOSED
        mine["held"] += row["phase"] == Phase.HELD
        mine["passed"] += row["outcome"] == Outcome.PASSED
    for row in phases:
        found[row["tenant"]]["phases"] += 1
    return dict(found)


def _preview(drills: Iterable[Row]) -> dict[TenantId, list[Mapping[str, Fact]]]:
    """The newest few of each tenant; ids sort by time."""
    found: dict[TenantId, list[Mapping[str, Fact]]] = {}
    for row in sorted(drills, key=_key, reverse=True):
        mine = found.setdefault(TenantId(row["tenant"]), [])
        if len(mine) < _PREVIEW:
            mine.append({column: row[column] for column in _SHOWN})
    return found
