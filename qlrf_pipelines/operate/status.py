"""How the platform stands: what runs, how much memory it takes, what was refreshed when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.datasets import DRIFT, SCOPES
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.operate import processes, state
from qlrf_pipelines.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process, with everything it started."""

    name: str
    pid: int | None
    running: bool
    memory_mib: float | None
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRefresh:
    """When a tenant was last refreshed, and how many of its scopes were not seen then."""

    tenant: str
    refreshed_at: datetime | None
    scored_at: datetime | None
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformStatus:
    """Everything `qlrf status` shows."""

    up: bool
    ready: bool
    since: str | None
    url: str | None
    memory_mib: float | None
    parts: tuple[Part, ...]
    pending_runs: int | None
    tenants: tuple[LastRefresh, ...]


def status(settings: Settings) -> PlatformStatus:
    """Look, and start nothing."""
    up = state.is_up(settings)
    found = state.read(settings) if up else None
    parts = list(_parts(found)) if found else []
    database = wiring.database_status(settings)
    if database.embedded:
        parts.append(_database_part(database.pid, running=database.running))
    told = [part.memory_mib for part in parts if part.memory_mib is not None]
    return PlatformStatus(
        up=up,
        ready=bool(found and found.ready),
        since=found.since if found else None,
        url=found.url if found else None,
        memory_mib=round(sum(told), 1) if told else None,
        parts=tuple(parts),
        pending_runs=_pending(settings) if database.running else None,
        tenants=_tenants(settings),
    )


def _parts(found: state.PlatformState) -> Sequence[Part]:
    children = set(processes.descendants(child.pid for child in found.children.values()))
    own = processes.descendants([found.supervisor.pid]) - children
    parts = [
        Part(
            name="supervisor",
            pid=found.supervisor.pid,
            running=found.supervisor.lives,
            memory_mib=processes.memory_mib(own),
            restarts=0,
        )
    ]
    for name, child in found.children.items():
        parts.append(
            Part(
                name=name,
                pid=child.pid,
                running=child.lives,
                memory_mib=processes.memory_mib(processes.descendants([child.pid])),
                restarts=found.restarts.get(name, 0),
            )
        )
    return parts


def _database_part(pid: int | None, *, running: bool) -> Part:
    # The keeper is the server's parent, and belongs to it.
    keeper = processes.parent_of(pid) if pid else None
    roots = [number for number in (keeper, pid) if number and number > 1]
    return Part(
        name="database",
        pid=pid,
        running=running,
        memory_mib=processes.memory_mib(processes.descendants(roots)) if running else None,
        restarts=0,
    )


def _pending(settings: Settings) -> int | None:
    import dagster as dg

    from qlrf_pipelines.operate.instance import opened

    waiting = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    try:
        with (
            wiring.database(settings) as database,
            opened(settings, dagster_url=database.dagster_url) as instance,
        ):
            return instance.get_runs_count(dg.RunsFilter(statuses=waiting))
    except QlrfError:
        return None


def _tenants(settings: Settings) -> tuple[LastRefresh, ...]:
    try:
        declared = [tenant.name for tenant in wiring.estate(settings).load().tenants]
    except QlrfError:
        declared = []
    lake, engine = wiring.lake(settings), wiring.engine(settings)
    names = sorted({*declared, *lake.tenants()})
    if not names:
        return ()
    with engine.session() as session:
        for dataset in (SCOPES, DRIFT):
            lake.view(session.connection, dataset, tenants=[TenantId(name) for name in names])
        rows = session.connection.execute(
            """
            SELECT t.tenant, s.refreshed_at, d.scored_at, coalesce(s.gaps, 0) AS gaps
            FROM (SELECT unnest($names::varchar[]) AS tenant) AS t
            LEFT JOIN (
                SELECT tenant, max(finished_at) AS refreshed_at,
                    count(*) FILTER (status <> 'complete')::bigint AS gaps
                FROM scopes GROUP BY tenant
            ) AS s USING (tenant)
            LEFT JOIN (SELECT tenant, max(as_of) AS scored_at FROM drift GROUP BY tenant) AS d
                USING (tenant)
            ORDER BY t.tenant
            """,
            {"names": names},
        )
        return tuple(
            LastRefresh(tenant=tenant, refreshed_at=refreshed, scored_at=scored, gaps=gaps)
            for tenant, refreshed, scored, gaps in rows.fetchall()
        )
