"""A fleet in memory whose operations take as many calls as a test wants, and fail as it says."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.estate import Connector
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
    serves: bool = True
    beside: str | None = None  # the key of the asset whose new side this is
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

    def sides(self, key: str) -> dict[str, FakeAsset]:
        """The new sides that stand beside an asset, by key."""
        with self.lock:
            return {k: a for k, a in self.assets.items() if a.beside == key and _there(a)}

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
            asset_id=_now(operation),
            poll_seconds=0,
        )

    def _begin(self, operation: Operation, asset: FakeAsset) -> _Running:
        fleet = self._fleet
        key = operation.target.key
        trouble = fleet.next_trouble(key, operation.kind)
        if trouble is Trouble.UNAVAILABLE:
            raise Unavailable(f"{key}: the cloud does not answer; it is asked again later.")
        known = fleet.operations[operation.token] = _Running(left=fleet.length(key) - 1)
        why = _impossible(fleet, operation)
        if trouble is Trouble.FAILS:
            why = f"{operation.kind} was refused."
        if why:
            known.status, known.detail = Status.FAILED, why
            return known
        _change(asset, operation)
        _change_sides(fleet, asset, operation)
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
    if operation.kind in _NEED_IMAGE and not operation.image:
        raise Rejected(f"{operation.target.key}: name the image to replace it with.")
    if operation.kind is OperationKind.SWITCH and not operation.parameters.get(NEW_SIDE):
        raise Rejected(f"{operation.target.key}: name the new side to switch to.")
    if operation.kind is OperationKind.RESTORE and not operation.before:
        raise Rejected(f"{operation.target.key}: nothing was captured to restore.")


_NEED_IMAGE = (OperationKind.REPLACE_WITH_IMAGE, OperationKind.START_BESIDE)
_CHANGE_IN_PLACE = (OperationKind.REPLACE_WITH_IMAGE, OperationKind.ROLLING_UPDATE)


def _there(asset: FakeAsset) -> bool:
    return asset.state != "terminated"


def _now(operation: Operation) -> str | None:
    """The asset that is there once the operation is done, if it is another one."""
    if operation.kind is OperationKind.START_BESIDE:
        return f"{operation.target.id}-{operation.token[-6:]}"
    return operation.parameters.get(NEW_SIDE) if operation.kind is OperationKind.SWITCH else None


def _side(operation: Operation) -> str:
    return replace(operation.target, id=_now(operation) or operation.target.id).key


def _is_beside(operation: Operation) -> bool:
    return operation.parameters.get("operation") == OperationKind.START_BESIDE


def _impossible(fleet: FakeFleet, operation: Operation) -> str:
    """Why an operation on two sides fails and changes nothing; nothing if it can be done."""
    key = operation.target.key
    if operation.kind is OperationKind.SWITCH and _side(operation) not in fleet.sides(key):
        return f"{operation.parameters[NEW_SIDE]} does not run beside {key}."
    if operation.kind is OperationKind.RESTORE and not _there(fleet.assets[key]):
        return f"{key} is gone; there is nothing to bring back."
    switched = any(side.serves for side in fleet.sides(key).values())
    if operation.kind is OperationKind.FINALISE and _is_beside(operation) and not switched:
        return f"Nothing beside {key} has its traffic; it is kept."
    return ""


def _change_sides(fleet: FakeFleet, asset: FakeAsset, operation: Operation) -> None:
    key = operation.target.key
    if operation.kind is OperationKind.START_BESIDE:
        image = str(operation.image)
        fleet.assets[_side(operation)] = FakeAsset(image=image, serves=False, beside=key)
    if operation.kind is OperationKind.SWITCH:
        fleet.assets[_side(operation)].serves, asset.serves = True, False
    if operation.kind is OperationKind.RESTORE:
        asset.serves = True
        for side in fleet.sides(key).values():
            side.serves, side.state = False, "terminated"
    if operation.kind is OperationKind.FINALISE and _is_beside(operation):
        asset.state = "terminated"


def _change(asset: FakeAsset, operation: Operation) -> None:
    if operation.image and operation.kind in _CHANGE_IN_PLACE:
        asset.image = operation.image
    if operation.kind is OperationKind.PATCH_IN_PLACE:
        asset.patched = True
    if operation.kind is OperationKind.RESTORE:
        asset.image = str(operation.before["image"])
        asset.state = str(operation.before["state"])
        asset.patched = bool(operation.before["patched"])
