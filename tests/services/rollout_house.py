"""A tenant with an approved plan of some machines, and hands that write down what they do."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain.approval import Conditions, DecisionKind, Extent, Requirement
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import Connector, Estate, Tenant, TenantId
from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    Health,
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import AssetRow, Rollout
from qlrf_pipelines.domain.tasks import Task
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import approvals, claims, rollouts
from qlrf_pipelines.services.rollout_drive import drive
from tests.fakes.clock import FakeClock
from tests.fakes.estate import FakeEstate
from tests.fakes.world import fake_world

ACME = TenantId("acme")
Script = Callable[[Operation], Progress | None]


class Hands(Executor, Operator):
    """A fleet: the image of every machine, and how often each token really changed something.

    `script` may answer for an operation before the fleet does; `calls` is how many calls of
    `advance` an operation takes; `sick` machines fail their health check.
    """

    platform = Platform.AWS
    version = "hands/1"

    def __init__(self, names: list[str], *, calls: int = 1) -> None:
        self.images = dict.fromkeys(names, "ami-old")
        self.effects: Counter[str] = Counter()
        self.order: list[tuple[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.calls = calls
        self.sick: set[str] = set()
        self.script: Script = lambda operation: None
        self.on_call: Callable[[Operation], None] = lambda operation: None
        self.at_once = self.most_at_once = 0
        self._door = threading.RLock()

    def operator(self, connector: Connector, account: str) -> Operator:
        if account != "111":
            raise NotFound(f"no account {account}")
        return self

    def capture(self, target: Target) -> Mapping[str, Any]:
        if target.id not in self.images:
            raise NotFound(f"{target.id} is gone")
        return {"image": self.images[target.id]}

    def advance(self, operation: Operation) -> Progress:
        self.on_call(operation)
        with self._door:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self._advance(operation)
        finally:
            with self._door:
                self.at_once -= 1

    def _advance(self, operation: Operation) -> Progress:
        scripted = self.script(operation)
        if scripted is not None:
            return scripted
        with self._door:
            self.seen[operation.token] += 1
            if self.seen[operation.token] < self.calls:
                return Progress(status=Status.RUNNING, detail="under way", poll_seconds=1)
            if not self.effects[operation.token]:
                self.effects[operation.token] += 1
                self.order.append((str(operation.kind), operation.target.id))
                self._do(operation)
        return Progress(status=Status.SUCCEEDED, detail="done")

    def _do(self, operation: Operation) -> None:
        if operation.kind is OperationKind.RESTORE:
            self.images[operation.target.id] = operation.before["image"]
        elif operation.kind not in (OperationKind.HOOK, OperationKind.FINALISE):
            self.images[operation.target.id] = str(operation.image)

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        sick = target.id in self.sick and self.images[target.id] != "ami-old"
        health = Health.UNHEALTHY if sick else Health.HEALTHY
        return HealthReport(health=health, why="the cloud says so")

    def address(self, target: Target) -> str | None:
        return "10.0.0.1"

    def changed(self) -> set[str]:
        return {name for name, image in self.images.items() if image != "ami-old"}


class TwoSided(Hands):
    """A fleet whose machines may have a second side: who serves, and what stands beside whom."""

    def __init__(self, names: list[str], *, calls: int = 1) -> None:
        super().__init__(names, calls=calls)
        self.serves = {name: name for name in names}
        self.beside: dict[str, str] = {}

    def _advance(self, operation: Operation) -> Progress:
        came = super()._advance(operation)
        sides = (OperationKind.START_BESIDE, OperationKind.SWITCH)
        if came.status is not Status.SUCCEEDED or operation.kind not in sides:
            return came
        return replace(came, asset_id=self.beside[operation.target.id])

    def _do(self, operation: Operation) -> None:
        name, kind = operation.target.id, operation.kind
        if kind is OperationKind.START_BESIDE:
            self.beside[name] = new = f"{name}-{operation.token[:4]}"
            self.images[new] = str(operation.image)
        elif kind is OperationKind.SWITCH:
            assert operation.parameters[NEW_SIDE] == self.beside[name]
            self.serves[name] = self.beside[name]
        elif kind is OperationKind.RESTORE:
            self.serves[name] = name
            if (new := self.beside.pop(name, None)) is not None:
                del self.images[new]
        elif kind is OperationKind.FINALISE:
            assert operation.parameters["operation"] == OperationKind.START_BESIDE
            del self.images[name]

    def served_by_new(self) -> set[str]:
        return {name for name, by in self.serves.items() if by != name}


def key(name: str) -> str:
    return f"aws:111:us-east-1:{name}"


def phase(name: str, batches: list[list[str]], *, wait: int = 60, **parts: Any) -> dict[str, Any]:
    names = [n for batch in batches for n in batch]
    given: dict[str, Any] = {
        "name": name,
        "kind": "canary" if name == "canary" else "wave",
        "assets": [key(n) for n in names],
        "batches": [[key(n) for n in batch] for batch in batches],
        "wait_seconds": wait,
        "health_checks": [{"type": "cloud-status", "failures": 2, "interval_seconds": 5}],
        "rollback_triggers": [
            {"metric": "failure_share", "comparison": "greater-than", "threshold": 0.2}
        ],
        "actions": [
            {"asset": key(n), "operation": "replace_with_image", "image": "ami-new"} for n in names
        ],
    }
    return given | parts


def two_sides(name: str, batches: list[list[str]], *, preview: int = 600, **parts: Any) -> Any:
    """A phase in which every machine gets a new side beside the old one, and then the switch."""
    made = phase(name, batches, preview_seconds=preview, **parts)
    for action in made["actions"]:
        action["parameters"] = {"strategy": "blue-green"}
    return made


def plan(*phases: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {
        "id": "p-1",
        "environment": "staging",
        "phases": list(phases),
        "window": {"required": False},
        "strategy": {"type": "canary"},
        "hooks": [],
    } | parts


class House:
    """A world in which one plan is approved and claimed; time passes when somebody waits.

    With `alone` it is the platform that approved it, and its canary only.
    """

    alone = False

    def __init__(self, document: dict[str, Any], hands: Hands, **parts: Any) -> None:
        self.hands = hands
        self.alone = bool(parts.pop("alone", self.alone))
        self.clock = FakeClock()
        home = Connector(tenant=ACME, name="main", platform=Platform.AWS)
        tenant = Tenant(
            name=ACME, display_name="Acme", connectors=(home,), metrics=parts.pop("metrics_at", ())
        )
        self.world: World = fake_world(
            clock=self.clock,
            executors={Platform.AWS: hands},
            estate=FakeEstate(Estate(tenants=(tenant,))),
            **parts,
        )
        self.listen(self.world)
        self.record = self.claimed(document)

    def listen(self, world: World) -> None:
        if hasattr(world.rollouts, "on_wait"):
            world.rollouts.on_wait = lambda seconds: self.clock.advance(seconds=seconds)

    def claimed(self, document: dict[str, Any]) -> Any:
        # Commands look at such a house by the machine's own clock.
        ends = self.world.clock.now() + timedelta(days=4000 if self.alone else 1)
        extent = Extent.CANARY if self.alone else None
        task = approvals.submit_task(
            self.world,
            ACME,
            kind="remediation",
            title="Replace some machines",
            document=document,
            requested_by="rita",
            requirement=Requirement(expires_at=ends, unattended=extent),
        )
        self.world.tasks.get(ACME, task.id)
        if self.alone:
            approvals.let_go(self.world, ACME, task.id)
        else:
            self.approve(task)
        claims.claim(self.world, ACME, task.id, digest=task.digest, holder="run-1")
        return self.world.tasks.get(ACME, task.id)

    def approve(self, task: Task) -> None:
        approvals.decide(
            self.world,
            ACME,
            task.id,
            kind=DecisionKind.APPROVE,
            digest=task.digest,
            by="ann",
            role=Role.ENGINEER,
        )

    @property
    def id(self) -> str:
        return str(self.record.task.id)

    def begin(self, *, skipped: Mapping[str, str] | None = None, **conditions: Any) -> Rollout:
        limits = Conditions(**conditions)
        return rollouts.begin(self.world, self.record, limits, skipped=skipped or {})

    def drive(self, *, hold_seconds: float = 3600, parallel: int = 4) -> Rollout:
        return drive(
            self.world, ACME, self.id, holder="run-1", hold_seconds=hold_seconds, parallel=parallel
        )

    def go(self, **parts: Any) -> Rollout:
        self.begin()
        return self.drive(**parts)

    @property
    def now(self) -> Rollout:
        return self.world.rollouts.get(ACME, self.id)

    def rows(self) -> dict[str, AssetRow]:
        return {
            row.asset.rsplit(":", 1)[-1]: row for row in self.world.rollouts.rows(ACME, self.id)
        }

    def states(self) -> dict[str, str]:
        return {name: row.state.value for name, row in self.rows().items()}

    def task_state(self) -> str:
        return self.world.tasks.get(ACME, self.id).task.state.value

    def facts(self) -> list[str]:
        return [entry.kind for entry in self.world.ledger.entries(ACME)]


def goes_alone(*phases: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A plan under canary_only, of which people approve the rest."""
    asks = {"approvals": {"required": True}, "autonomy": {"mode": "canary_only"}}
    return plan(*phases, **asks, **parts)


def as_engineer(**parts: Any) -> dict[str, Any]:
    return {"by": "ann", "role": Role.ENGINEER} | parts


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def without(row: AssetRow, **parts: Any) -> AssetRow:
    return replace(row, **parts)
