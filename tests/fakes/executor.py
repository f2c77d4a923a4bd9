"""A fleet in memory whose operations take as many calls as a test wants, and fail as it says."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import (
    Health,
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator


class Trouble(StrEnum):
    """What goes wrong with an operation on an asset."""

    FAILS = "fails"  # nothing is changed and the operation says failed
    BREAKS = "breaks"  # the change is made, and the operation says failed
    UNKNOWN = "unknown"  # the change is made, and nobody can say so
    UNAVAILABLE = "unavailable"  # the cloud does not answer; nothing is changed
    LOST = "lost"  # the change is made, but the answer does not arrive


@dataclass(kw_only=True)
class FakeAsset:
    """One asset of the fleet."""

    image: str = "image-old"
    state: str = "running"
    patched: bool = False
    address: str | None = "127.0.0.1"
    health: list[Health] = field(default_factory=lambda: [Health.HEALTHY])


@dataclass(kw_only=True)
class _Running:
    left: int
    status: Status = Status.RUNNING
    detail: str = "It is being done."


class FakeFleet:
    """Assets by key, what is to go wrong, and every effect there ever was. Thread-safe."""

    def __init__(self, *, calls: int = 1) -> None:
        self.lock = threading.RLock()
        self.calls = calls
        self.assets: dict[str, FakeAsset] = {}
        self.effects: Counter[str] = Counter()
        self.log: list[tuple[str, OperationKind, str]] = []
        self.operations: dict[str, _Running] = {}
        self._lengths: dict[str, int] = {}
        self._troubles: dict[tuple[str, OperationKind | None], list[Trouble]] = {}

    def add(self, key: str, **fields: Any) -> FakeAsset:
        """Put an asset into the fleet."""
        with self.lock:
            made = self.assets[key] = FakeAsset(**fields)
            return made

    def takes(self, key: str, calls: int) -> None:
        """Let operations on one asset take that many calls."""
        with self.lock:
            self._lengths[key] = calls

    def trouble(self, key: str, *troubles: Trouble, kind: OperationKind | None = None) -> None:
        """Let the next calls that would change this asset go wrong, one trouble each."""
        with self.lock:
            self._troubles.setdefault((key, kind), []).extend(troubles)

    def effects_on(self, key: str) -> list[OperationKind]:
        """What really happened to an asset, in order."""
        with self.lock:
            return [kind for _, kind, where in self.log if where == key]

    def length(self, key: str) -> int:
        """How many calls an operation on this asset takes."""
        return self._lengths.get(key, self.calls)

    def next_trouble(self, key: str, kind: OperationKind) -> Trouble | None:
        """What goes wrong now, if anything; it goes wrong once."""
        for name in ((key, kind), (key, None)):
            waiting = self._troubles.get(name)
            if waiting:
                return waiting.pop(0)
        return None


class FakeOperator(Operator):
    """The hands in one account of the fleet."""

    def __init__(self, fleet: FakeFleet) -> None:
        self._fleet = fleet

    def capture(self, target: Target) -> Mapping[str, Any]:
        with self._fleet.lock:
            asset = self._asset(target)
            return {"image": asset.image, "state": asset.state, "patched": asset.patched}

    def advance(self, operation: Operation) -> Progress:
        with self._fleet.lock:
            return self._advance(operation)

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        with self._fleet.lock:
            asset = self._fleet.assets.get(target.key)
            if asset is None:
                return HealthReport(health=Health.UNKNOWN, why=f"There is no {target.key}.")
            health = asset.health.pop(0) if len(asset.health) > 1 else asset.health[0]
            return HealthReport(health=health, why=f"{target.key} is {health}.")

    def address(self, target: Target) -> str | None:
        with self._fleet.lock:
            return self._asset(target).address

    def _asset(self, target: Target) -> FakeAsset:
        asset = self._fleet.assets.get(target.key)
        if asset is None:
            raise NotFound(f"There is no asset {target.key}.")
        return asset

    def _advance(self, operation: Operation) -> Progress:
        asset = self._asset(operation.target)
        _permitted(operation)
        known = self._fleet.operations.get(operation.token)
        if known is None:
            known = self._begin(operation, asset)
        elif known.status is Status.RUNNING:
            known.left -= 1
        if known.status is Status.RUNNING and known.left <= 0:
            known.status, known.detail = Status.SUCCEEDED, f"{operation.kind} is done."
        return Progress(
            status=known.status,
            detail=known.detail,
            checkpoint={"left": max(known.left, 0)},
            poll_seconds=0,
        )

    def _begin(self, operation: Operation, asset: FakeAsset) -> _Running:
        fleet = self._fleet
        key = operation.target.key
        trouble = fleet.next_trouble(key, operation.kind)
        if trouble is Trouble.UNAVAILABLE:
            raise Unavailable(f"{key}: the cloud does not answer; it is asked again later.")
        known = fleet.operations[operation.token] = _Running(left=fleet.length(key) - 1)
        if trouble is Trouble.FAILS:
            known.status, known.detail = Status.FAILED, f"{operation.kind} was refused."
            return known
        _change(asset, operation)
        fleet.effects[operation.token] += 1
        fleet.log.append((operation.token, operation.kind, key))
        if trouble is Trouble.BREAKS:
            known.status, known.detail = Status.FAILED, f"{operation.kind} broke it."
        if trouble is Trouble.UNKNOWN:
            known.status, known.detail = Status.UNKNOWN, "Nobody can say whether it was done."
        if trouble is Trouble.LOST:
            raise Unavailable(f"{key}: the answer did not arrive; it is asked again later.")
        return known


class FakeExecutor(Executor):
    """An executor over a fleet, of any platform."""

    def __init__(self, fleet: FakeFleet | None = None, platform: Platform = Platform.AWS) -> None:
        self.platform = platform
        self.version = "fake 1"
        self.fleet = fleet or FakeFleet()
        self.lost: dict[str, Exception] = {}
        self.entered: list[tuple[str, str]] = []

    def operator(self, connector: Connector, account: str) -> Operator:
        self.entered.append((connector.name, account))
        if account in self.lost:
            raise self.lost[account]
        return FakeOperator(self.fleet)


def _permitted(operation: Operation) -> None:
    if operation.kind is OperationKind.REPLACE_WITH_IMAGE and not operation.image:
        raise Rejected(f"{operation.target.key}: name the image to replace it with.")
    if operation.kind is OperationKind.RESTORE and not operation.before:
        raise Rejected(f"{operation.target.key}: nothing was captured to restore.")


def _change(asset: FakeAsset, operation: Operation) -> None:
    if operation.image and operation.kind is not OperationKind.RESTORE:
        asset.image = operation.image
    if operation.kind is OperationKind.PATCH_IN_PLACE:
        asset.patched = True
    if operation.kind is OperationKind.RESTORE:
        asset.image = str(operation.before["image"])
        asset.state = str(operation.before["state"])
        asset.patched = bool(operation.before["patched"])
