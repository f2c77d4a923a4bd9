"""A refresh from the command line: Dagster's `refresh` job, run in this process and recorded."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteRepositoryOrigin

from assets_defs import expectations
from assets_defs.partitions import TenantRange, contiguous_ranges
from qlrf_pipelines import wiring
from qlrf_pipelines.definitions import build
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.jobs.refresh import REFRESH
from qlrf_pipelines.operate import summary
from qlrf_pipelines.operate.code_location import LOCATION, REPOSITORY, socket_path
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.operate.orphans import PROCESS_TAG, bury_orphans, process_name
from qlrf_pipelines.operate.partitions import sync
from qlrf_pipelines.operate.progress import ConsoleProgress
from qlrf_pipelines.operate.summary import Gap, TenantRow
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.settings import Settings

# Dagster tells a console every event of every step; the runs' own log keeps them.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOutcome:
    """What a refresh came to: runs, rows, and what could not be seen or done."""

    runs: tuple[str, ...]
    failures: tuple[str, ...]
    checks_failed: tuple[str, ...]
    rows: tuple[TenantRow, ...]
    gaps: tuple[Gap, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """1 when a run failed, 3 when a scope could not be read, else 0."""
        if self.failures:
            return 1
        return 3 if self.gaps else 0


def refresh(
    settings: Settings, tenants: Sequence[str] | None, progress: ConsoleProgress
) -> RefreshOutcome:
    """Refresh these tenants, or all of the estate, and read back what came of it.

    Raises:
        Rejected: the estate is invalid, or a tenant is not one of it.
        KeyboardInterrupt: somebody pressed Ctrl-C; what was committed until then stays.
    """
    world = wiring.live(settings, progress=progress)
    chosen = choose(world, tenants)
    expectations.warm_up()
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url, capture_logs=False) as instance,
    ):
        bury_orphans(instance)
        return refresh_in(
            instance,
            world,
            manifest=wiring.manifest(settings),
            tenants=chosen,
            progress=progress,
            settings=settings,
        )


def choose(world: World, tenants: Sequence[str] | None) -> list[TenantId]:
    """The tenants asked for, in the estate's order; None means all.

    Raises:
        Rejected: one of them is not in the estate, or the estate holds none.
    """
    known = [tenant.name for tenant in world.estate.load().tenants]
    if not known:
        raise Rejected("The estate declares no tenant; add one to tenants/ and try again.")
    if tenants is None:
        return known
    unknown = [name for name in tenants if name not in known]
    if unknown:
        raise Rejected(
            f"No contract names tenant {', '.join(unknown)}; the estate has {', '.join(known)}."
        )
    return [name for name in known if name in tenants]


def refresh_in(
    instance: dg.DagsterInstance,
    world: World,
    *,
    manifest: Path,
    tenants: Sequence[TenantId],
    progress: Progress,
    settings: Settings,
    steps: Sequence[str] | None = None,
) -> RefreshOutcome:
    """Refresh over an open instance: one recorded run per range of neighbouring tenants.

    `steps` limits the runs to these assets and their checks.
    """
    begun, since = time.monotonic(), world.clock.now()
    ordered = sync(instance, tenants)
    job = build(world, manifest, settings=settings).resolve_job_def(REFRESH)
    runs: list[_Finished] = []
    seconds: dict[str, float] = {}
    for part in contiguous_ranges(ordered, frozenset(tenants)):
        started = time.monotonic()
        run = _run(instance, job, part, settings=settings, steps=steps)
        runs.append(_carry_out(instance, job, run, progress=progress))
        share = (time.monotonic() - started) / len(part.tenants)
        seconds.update(dict.fromkeys(part.tenants, share))
    rows, gaps = summary.read(world, tenants, since=since, seconds=seconds)
    return RefreshOutcome(
        runs=tuple(run.run_id for run in runs),
        failures=tuple(line for run in runs for line in run.failures),
        checks_failed=tuple(line for run in runs for line in run.checks_failed),
        rows=rows,
        gaps=gaps,
        seconds=time.monotonic() - begun,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    run_id: str
    failures: tuple[str, ...]
    checks_failed: tuple[str, ...]


def _carry_out(
    instance: dg.DagsterInstance, job: dg.JobDefinition, run: dg.DagsterRun, *, progress: Progress
) -> _Finished:
    failures: list[str] = []
    checks: list[str] = []
    interrupted = False
    for event in execute_run_iterator(InMemoryJob(job), run, instance):
        interrupted |= _interrupted(event)
        failures += _failure(event)
        checks += _failed_check(event)
        if event.is_step_success and event.step_key:
            progress.said(f"{event.step_key} done in {_seconds(event):.1f} s")
    if interrupted:
        # Dagster has recorded the run as failed and let the step end in order.
        raise KeyboardInterrupt
    finished = instance.get_run_by_id(run.run_id)
    if finished is None or finished.status is not dg.DagsterRunStatus.SUCCESS:
        failures = failures or [f"Run {run.run_id} did not succeed; see it in the Dagster UI."]
    return _Finished(run_id=run.run_id, failures=tuple(failures), checks_failed=tuple(checks))


def _run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    tenants: TenantRange,
    *,
    settings: Settings,
    steps: Sequence[str] | None,
) -> dg.DagsterRun:
    # With the origin of the code location that `qlrf up` serves, the UI links the run to its job.
    location = GrpcServerCodeLocationOrigin(
        host="localhost", socket=str(socket_path(settings)), location_name=LOCATION
    )
    return instance.create_run_for_job(
        job_def=job,
        run_config=_QUIET,
        tags={**job.run_tags, **tenants.tags, PROCESS_TAG: process_name()},
        asset_selection=frozenset(map(dg.AssetKey, steps)) if steps else None,
        remote_job_origin=RemoteRepositoryOrigin(location, REPOSITORY).get_job_origin(job.name),
    )


def _failure(event: dg.DagsterEvent) -> list[str]:
    if not event.is_step_failure:
        return []
    error = event.step_failure_data.error_display_string.strip().splitlines()
    said = next((line for line in error if line.strip()), "failed")
    return [f"{event.step_key}: {said.strip()}"]


def _interrupted(event: dg.DagsterEvent) -> bool:
    if not event.is_step_failure or event.step_failure_data.error is None:
        return False
    return event.step_failure_data.error.cls_name == "DagsterExecutionInterruptedError"


def _failed_check(event: dg.DagsterEvent) -> list[str]:
    if event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        return []
    found = event.asset_check_evaluation_data
    if found.passed:
        return []
    name = f"{found.asset_key.to_user_string()}.{found.check_name}"
    return [f"{name}: {found.description or 'failed'}"]


def _seconds(event: dg.DagsterEvent) -> float:
    return event.step_success_data.duration_ms / 1000
