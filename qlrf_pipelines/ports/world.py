"""The world: every port, gathered."""

from collections.abc import Callable
from dataclasses import dataclass

from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.ports.acceptances import Acceptances
from qlrf_pipelines.ports.clock import Clock, Ids
from qlrf_pipelines.ports.clouds import Clouds
from qlrf_pipelines.ports.contracts import PlanContract
from qlrf_pipelines.ports.controls import ControlStore
from qlrf_pipelines.ports.drills import Drills
from qlrf_pipelines.ports.engine import Engine
from qlrf_pipelines.ports.estate import EstateStore
from qlrf_pipelines.ports.executors import Executors
from qlrf_pipelines.ports.hooks import Hooks
from qlrf_pipelines.ports.lake import Lake
from qlrf_pipelines.ports.ledger import Ledger
from qlrf_pipelines.ports.locks import Locks
from qlrf_pipelines.ports.metrics import MetricSource
from qlrf_pipelines.ports.notifier import Notifier
from qlrf_pipelines.ports.outbox import Outbox
from qlrf_pipelines.ports.policy import PolicyEngine
from qlrf_pipelines.ports.probes import Probes
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.recovery import RecoveryAdapters
from qlrf_pipelines.ports.rollouts import Rollouts
from qlrf_pipelines.ports.stopwatch import Stopwatch
from qlrf_pipelines.ports.tasks import Tasks
from qlrf_pipelines.ports.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything the platform asks of the outside."""

    clock: Clock
    ids: Ids
    estate: EstateStore
    controls: ControlStore
    engine: Engine
    clouds: Clouds
    lake: Lake
    ledger: Ledger
    locks: Locks
    acceptances: Acceptances
    tasks: Tasks
    rollouts: Rollouts
    executors: Executors
    probes: Probes
    hooks: Hooks
    notifier: Notifier
    outbox: Outbox
    metrics: Callable[[Provider], MetricSource]
    warehouse: Warehouse
    drills: Drills
    recovery: RecoveryAdapters
    stopwatch: Stopwatch
    policy: PolicyEngine
    plan_contract: PlanContract
    progress: Progress
