"""The wiring: which adapter serves which port. The only module that imports `resources`.

Every import of an adapter is inside the function that needs it: importing this module costs
nothing, and `qlrf query` never loads a cloud SDK, the database driver or the lake.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.domain.canary import Provider
    from qlrf_pipelines.ports.analyses import Analyses
    from qlrf_pipelines.ports.clock import Clock
    from qlrf_pipelines.ports.clouds import Clouds
    from qlrf_pipelines.ports.contracts import PlanContract
    from qlrf_pipelines.ports.controls import ControlStore
    from qlrf_pipelines.ports.drills import Drills
    from qlrf_pipelines.ports.engine import Engine
    from qlrf_pipelines.ports.estate import EstateStore
    from qlrf_pipelines.ports.executors import Executors
    from qlrf_pipelines.ports.lake import Lake
    from qlrf_pipelines.ports.metrics import MetricSource
    from qlrf_pipelines.ports.policy import PolicyEngine, PolicyStore, PolicyTests
    from qlrf_pipelines.ports.progress import Progress
    from qlrf_pipelines.ports.recovery import RecoveryAdapter, RecoveryAdapters
    from qlrf_pipelines.ports.reports import Reports
    from qlrf_pipelines.ports.tasks import Tasks
    from qlrf_pipelines.ports.warehouse import Warehouse
    from qlrf_pipelines.ports.world import World
    from resources.clouds.aws.simulator.process import Simulator
    from resources.database.connection import Database
    from resources.database.embedded import DatabaseStatus
    from resources.recovery.postgres_pair import PostgresPair
    from resources.warehouse.sources import Sources


def estate(settings: Settings) -> "EstateStore":
    """The folder of contracts."""
    from resources.estate import FolderEstate

    return FolderEstate(settings.estate)


def clock() -> "Clock":
    """What time it is."""
    from resources.clock import SystemClock

    return SystemClock()


def controls() -> "ControlStore":
    """The controls shipped with the platform."""
    from resources.controls import FolderControls

    return FolderControls()


def policies() -> "PolicyStore":
    """The policy packages shipped with the platform."""
    from resources.policy.folder import FolderPolicies

    return FolderPolicies()


def policy(settings: Settings) -> "PolicyEngine":
    """Who judges by the policies: this process, or the OPA server of the settings.

    Raises:
        Rejected: the shipped policies cannot be used.
    """
    if settings.opa_url:
        from resources.policy.server import OpaServer

        return OpaServer(settings.opa_url, timeout_seconds=settings.opa_timeout)
    from resources.policy.embedded import EmbeddedPolicies

    return EmbeddedPolicies(policies().load())


def plan_contract() -> "PlanContract":
    """The contract every generated plan is held against."""
    from resources.plan_contract import SchemaPlanContract

    return SchemaPlanContract()


def policy_tests() -> "PolicyTests":
    """Who runs the tests written beside the policies."""
    from resources.policy.embedded import EmbeddedTests

    return EmbeddedTests()


def analyses() -> "Analyses":
    """The canary analyses shipped with the platform, and any file."""
    from resources.canary import FolderAnalyses

    return FolderAnalyses()


def metrics(provider: "Provider") -> "MetricSource":
    """The metrics of a provider, its secrets resolved now; an SDK is loaded if it needs one.

    Raises:
        Rejected: credentials lead nowhere, or there is no such kind of provider.
    """
    from resources.metrics.providers import metric_source
    from resources.secrets import Secrets

    return metric_source(provider, secrets=Secrets(os.environ))  # noqa: TID251  as in clouds()


def lake(settings: Settings) -> "Lake":
    """The lake: a local folder or object storage."""
    from resources.lake import DeltaLake

    return DeltaLake(settings.lake_uri)


def engine(settings: Settings) -> "Engine":
    """Set-based computing within the memory and threads the settings allow."""
    from resources.engine import DuckDbEngine

    return DuckDbEngine(settings)


def clouds(settings: Settings) -> "Clouds":
    """Every platform there is an adapter for; an SDK is loaded when its cloud is first asked."""
    from qlrf_pipelines.domain.vocabulary import Platform
    from resources.clouds.aws.inventory import AwsCloud
    from resources.clouds.kubernetes.inventory import ATTEMPTS as KUBERNETES_ATTEMPTS
    from resources.clouds.kubernetes.inventory import KubernetesCloud
    from resources.clouds.patience import Patience
    from resources.secrets import Secrets

    secrets = Secrets(os.environ)  # noqa: TID251  what `env:NAME` refers to
    patience = Patience(
        max_attempts=settings.aws_max_attempts,
        read_timeout=settings.read_timeout,
        pool_size=settings.workers,
    )
    return {
        Platform.AWS: AwsCloud(secrets=secrets, patience=patience),
        Platform.KUBERNETES: KubernetesCloud(
            secrets=secrets, patience=replace(patience, max_attempts=KUBERNETES_ATTEMPTS)
        ),
    }


def recovery(settings: Settings) -> "RecoveryAdapters":
    """Who can move which kind of member; an SDK is loaded when a member is opened."""
    from resources.clouds.aws.recovery import AwsRecovery
    from resources.clouds.kubernetes.recovery import KubernetesRecovery
    from resources.clouds.vsphere.recovery import VsphereRecovery
    from resources.recovery.postgres import PostgresRecovery
    from resources.secrets import Secrets

    secrets = Secrets(os.environ)  # noqa: TID251  as in clouds()
    adapters: list[RecoveryAdapter] = [
        AwsRecovery(
            secrets=secrets,
            clock=clock(),
            attempts=settings.aws_max_attempts,
            timeout=settings.read_timeout,
        ),
        VsphereRecovery(secrets=secrets, clock=clock(), timeout=settings.read_timeout),
        KubernetesRecovery(secrets=secrets, timeout=settings.read_timeout),
        PostgresRecovery(secrets=secrets, postgres_bin=settings.postgres_bin),
    ]
    return {adapter.name: adapter for adapter in adapters}


def executors(settings: Settings) -> "Executors":
    """Whoever can change assets, by platform; an SDK is loaded when one is first asked to."""
    from qlrf_pipelines.domain.vocabulary import Platform
    from resources.clouds.aws.executor import AwsExecutor
    from resources.clouds.kubernetes.executor import KubernetesExecutor
    from resources.secrets import Secrets

    secrets = Secrets(os.environ)  # noqa: TID251  as in clouds()
    return {
        Platform.AWS: AwsExecutor(
            secrets=secrets,
            max_attempts=settings.aws_max_attempts,
            read_timeout=settings.read_timeout,
        ),
        Platform.KUBERNETES: KubernetesExecutor(
            secrets=secrets, clock=clock(), timeout=settings.read_timeout
        ),
    }


def warehouse(settings: Settings) -> "Warehouse":
    """The marts, on DuckDB or Postgres as the settings say; a reader loads nothing else."""
    if settings.marts == "postgres":
        from resources.warehouse.postgres import PostgresWarehouse

        return PostgresWarehouse(
            home=settings.home,
            sources=lambda: _sources(settings),
            urls=lambda: _marts_urls(settings),
            wait_seconds=settings.lock_wait_seconds,
        )
    from resources.warehouse.duckdb import DuckDbWarehouse

    return DuckDbWarehouse(
        home=settings.home,
        sources=lambda: _sources(settings),
        wait_seconds=settings.lock_wait_seconds,
    )


def _sources(settings: Settings) -> "Sources":
    from resources.warehouse.sources import Sources

    return Sources(lake=lake(settings), estate=estate(settings), controls=controls())


@contextmanager
def _marts_urls(settings: Settings) -> "Iterator[tuple[str, str]]":
    with database(settings) as found:
        if not found.marts_url or not found.reader_url:
            raise Refused(
                "Marts in an external PostgreSQL need two more roles: set "
                "QLRF_DATABASE_OWNER_URL (builds them) and QLRF_DATABASE_READER_URL (reads them)."
            )
        yield found.marts_url, found.reader_url


def manifest(settings: Settings) -> Path:
    """Where dbt's manifest of the marts is, for the target in use; parsed if the project changed.

    Raises:
        Rejected: the dbt project cannot be parsed.
    """
    from resources.warehouse import dbt

    if settings.marts == "postgres":
        from resources.warehouse.postgres import postgres_target

        with _marts_urls(settings) as (builder_url, _):
            return dbt.ensure_manifest(dbt.PROJECT, settings.home, postgres_target(builder_url))
    return dbt.ensure_manifest(dbt.PROJECT, settings.home, dbt.duckdb_target(settings.home))


@contextmanager
def database(settings: Settings) -> "Iterator[Database]":
    """The control-plane database, started if need be and migrated; kept up until the block ends.

    Processes started inside the block take a lease of their own when they first use it.
    """
    from resources.database.connection import opened

    with opened(settings) as found:
        yield found


def database_status(settings: Settings) -> "DatabaseStatus":
    """How the database stands, without starting it."""
    from resources.database.connection import status

    return status(settings)


def simulator() -> "AbstractContextManager[Simulator]":
    """A local AWS API in a process of its own, for the demonstration."""
    from resources.clouds.aws.simulator.process import running

    return running()


def tasks(settings: Settings) -> "Tasks":
    """What waits for people; a command that only looks loads no lake and no cloud."""
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    return SqlTasks(Sessions(settings))


def drills(settings: Settings) -> "Drills":
    """Drills as they are kept; a command that only looks loads no lake and no cloud."""
    from resources.database.drills import SqlDrills
    from resources.database.sessions import Sessions

    return SqlDrills(Sessions(settings))


def reports() -> "Reports":
    """Who sets a report as a PDF; the typesetter is loaded when the first one is set."""
    from resources.report.pdf import TypstReports

    return TypstReports()


def postgres_pair(settings: Settings, folder: Path) -> "PostgresPair":
    """A primary and its standby on this machine, made and started, for the demonstration."""
    from resources.recovery.postgres_pair import make_pair

    return make_pair(folder, postgres_bin=settings.postgres_bin)


def live(settings: Settings, *, progress: "Progress | None" = None) -> "World":
    """Every port with the adapter that serves it in production.

    Nothing is started here: the policies are loaded when first asked, and the database is opened by
    the first use of the ledger, the locks or the acceptances; this process keeps it up from then on
    until it ends.
    """
    from qlrf_pipelines.ports.world import World
    from resources.clock import SystemClock, TimeSortedIds
    from resources.database.acceptances import SqlAcceptances
    from resources.database.drills import SqlDrills
    from resources.database.ledger import SqlLedger
    from resources.database.locks import SqlLocks
    from resources.database.outbox import SqlOutbox
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks
    from resources.hooks import HttpHooks
    from resources.notify.channels import ChannelNotifier
    from resources.policy.deferred import DeferredPolicies
    from resources.probes import NetworkProbes
    from resources.progress import SilentProgress
    from resources.secrets import Secrets
    from resources.stopwatch import SystemStopwatch

    sessions = Sessions(settings)
    return World(
        clock=SystemClock(),
        ids=TimeSortedIds(),
        estate=estate(settings),
        controls=controls(),
        engine=engine(settings),
        clouds=clouds(settings),
        lake=lake(settings),
        ledger=SqlLedger(sessions),
        locks=SqlLocks(sessions),
        acceptances=SqlAcceptances(sessions),
        tasks=SqlTasks(sessions),
        rollouts=SqlRollouts(sessions),
        executors=executors(settings),
        probes=NetworkProbes(),
        hooks=HttpHooks(Secrets(os.environ)),  # noqa: TID251  as in clouds()
        notifier=ChannelNotifier(Secrets(os.environ)),  # noqa: TID251  as in clouds()
        outbox=SqlOutbox(sessions),
        metrics=metrics,
        drills=SqlDrills(sessions),
        recovery=recovery(settings),
        stopwatch=SystemStopwatch(),
        warehouse=warehouse(settings),
        policy=DeferredPolicies(lambda: policy(settings)),
        plan_contract=plan_contract(),
        progress=progress or SilentProgress(),
    )
