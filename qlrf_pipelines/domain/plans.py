"""Plans: what changes on which asset, in which order. A plan is a document with a digest.

Nothing in it comes from a clock except its window, and its ids come from its own content: the same
facts, contracts and policy make the same plan.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import Environment, Platform, RiskLevel

NO_EXECUTOR = "none"
TOGETHER = "together"  # the parameter that names what an asset can only be changed with
# Of what is changed together, how much may be away at a time, and how much more may be there.
MAX_UNAVAILABLE, MAX_SURGE = "max_unavailable_percent", "max_surge_percent"
STRATEGY = "strategy"  # the parameter that says how, where it makes another operation of it
_PRODUCTION_PHASE = 0.2
_DIGITS = 12


class Operation(StrEnum):
    """What is done to an asset."""

    REPLACE_WITH_IMAGE = "replace_with_image"
    PATCH_IN_PLACE = "patch_in_place"
    ROLLING_UPDATE = "rolling_update"


_TAKES = {
    Operation.REPLACE_WITH_IMAGE: timedelta(minutes=15),
    Operation.PATCH_IN_PLACE: timedelta(minutes=30),
    Operation.ROLLING_UPDATE: timedelta(minutes=10),
}
_SWITCHES = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One operation on one asset, and why; `facts` is the digest of what it was decided upon."""

    asset: str
    name: str
    platform: Platform
    operation: Operation
    why: str
    family: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    image: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    facts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Assets changed at the same time."""

    actions: tuple[Action, ...]

    @property
    def assets(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(action.asset for action in self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A canary or a wave: its batches, then a time to watch, by metrics too if `analysis` says so.

    With a `preview`, new sides stand beside the old ones for so long before they get the traffic.
    """

    name: str
    canary: bool
    batches: tuple[Batch, ...]
    wait: timedelta
    preview: timedelta | None = None
    analysis: bool = True

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every action, in the order of the batches."""
        return tuple(action for batch in self.batches for action in batch.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A share of the plan's assets that is reached, and how it is watched then."""

    share: float
    wait: timedelta
    analysis: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a change moves: shares are of all the plan's assets.

    `steps` are the stages reached one after the other, the last being everything; `canary` is
    whether the first of them is judged before the others; `preview` is how long new sides stand
    beside the old ones, None where there are no two.
    """

    steps: tuple[Stage, ...]
    batch_share: float
    phase_share: float
    canary: bool
    preview: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a person decides about, and everything an executor needs."""

    tenant: str
    type: str
    environment: Environment
    policy: str | None
    requested_by: str
    cause: Mapping[str, Any]
    summary: str
    risk_score: float
    risk_level: RiskLevel
    risk_factors: tuple[Mapping[str, Any], ...]
    phases: tuple[Phase, ...]
    fleet: int
    critical_assets: int
    dependents: int | None
    health_checks: tuple[Mapping[str, Any], ...]
    rollback_triggers: tuple[Mapping[str, Any], ...]
    audited: bool
    frameworks: tuple[str, ...]
    evidence: bool
    approval: bool
    quorum: int
    roles: tuple[str, ...]
    mode: Mode
    risk_threshold: float
    two_approvers: bool
    window: Span | None
    timezone: str
    strategy: Mapping[str, str]
    hooks: tuple[Mapping[str, Any], ...] = ()
    notifications: tuple[Mapping[str, Any], ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """Every action, in order."""
        return tuple(action for phase in self.phases for action in phase.actions)

    @property
    def max_at_once(self) -> int:
        """The size of the largest batch."""
        return max(len(batch.actions) for phase in self.phases for batch in phase.batches)

    @property
    def predicted(self) -> timedelta:
        """How long it should take: the slowest operation of each batch, checks and waits."""
        checking = max((_checking(check) for check in self.health_checks), default=0)
        total = timedelta(0)
        for phase in self.phases:
            for batch in phase.batches:
                total += max(_TAKES[action.operation] for action in batch.actions)
                total += timedelta(seconds=checking)
                if phase.preview is not None:
                    # Looked at once more, switched, and looked at again.
                    total += _SWITCHES + timedelta(seconds=2 * checking)
            total += phase.wait + (phase.preview or timedelta(0))
        return total

    def document(self) -> dict[str, Any]:
        """The plan as its contract has it; `id` and `task` are made of everything else."""
        body = self._body()
        name = digest(body)[:_DIGITS]
        head = {"apiVersion": "qlrf/v1", "kind": "Plan", "id": f"p-{name}", "task": f"t-{name}"}
        return head | body

    def _body(self) -> dict[str, Any]:
        total = len(self.actions)
        body: dict[str, Any] = {
            "tenant": self.tenant,
            "type": self.type,
            "environment": self.environment.value,
            "requested_by": self.requested_by,
            "cause": dict(self.cause),
            "summary": self.summary,
            "risk": {
                "score": self.risk_score,
                "level": self.risk_level.value,
                "factors": [dict(factor) for factor in self.risk_factors],
            },
            "phases": [self._phase(phase) for phase in self.phases],
            "total_assets": total,
            "image_diff": image_diff(self.actions),
            "blast_radius": self._blast_radius(total),
            "predicted_duration_seconds": int(self.predicted.total_seconds()),
            "compliance": {
                "in_scope": self.audited,
                "frameworks": list(self.frameworks),
                "evidence": self.evidence,
            },
            "approvals": {
                "required": self.approval,
                "quorum": self.quorum,
                "roles": list(self.roles),
            },
            "autonomy": {
                "mode": self.mode.value,
                "risk_threshold": self.risk_threshold,
                "require_two_approvers": self.two_approvers,
            },
            "window": _window(self.window, self.timezone),
            "strategy": dict(self.strategy),
            "hooks": [dict(hook) for hook in self.hooks],
            "notifications": [dict(one) for one in self.notifications],
        }
        return body | ({"policy": self.policy} if self.policy else {})

    def _blast_radius(self, total: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "assets": total,
            "percent": round(min(100.0, 100 * total / self.fleet), 2) if self.fleet else 100.0,
            "max_at_once": self.max_at_once,
            "critical_assets": self.critical_assets,
        }
        return found if self.dependents is None else found | {"dependents": self.dependents}

    def _phase(self, phase: Phase) -> dict[str, Any]:
        preview = {}
        if phase.preview is not None:
            preview["preview_seconds"] = int(phase.preview.total_seconds())
        return preview | {
            "name": phase.name,
            "kind": "canary" if phase.canary else "wave",
            "assets": [action.asset for action in phase.actions],
            "batches": [list(batch.assets) for batch in phase.batches],
            "wait_seconds": int(phase.wait.total_seconds()),
            "health_checks": [
                dict(check)
                for check in self.health_checks
                if phase.analysis or check["type"] != "metric"
            ],
            "rollback_triggers": [
                dict(trigger)
                for trigger in self.rollback_triggers
                if phase.analysis or "query" not in trigger
            ],
            "actions": [action_document(action) for action in phase.actions],
        }


def make_phases(actions: Sequence[Action], pace: Pace, *, production: bool) -> tuple[Phase, ...]:
    """The actions in phases and batches, each action in exactly one.

    In production no phase holds more than 20 % of them, or one: a small fleet moves asset by asset.
    A step too large for one phase becomes several, each with the step's wait. What can only be
    changed together is never parted, also where that makes a phase larger than it should be: the
    policies then have the last word.
    """
    total = len(actions)
    share = min(pace.phase_share, _PRODUCTION_PHASE) if production else pace.phase_share
    largest = phase_bound(total, share)
    together = min(largest, phase_bound(total, pace.batch_share))
    units = _units(actions)
    found: list[Phase] = []
    done = 0
    for number, step in enumerate(pace.steps):
        last = number == len(pace.steps) - 1
        until = total if last else min(total, max(done + 1, math.floor(total * step.share)))
        while done < until and units:
            chosen = _packed(units, min(largest, until - done))
            done += sum(len(unit) for unit in chosen)
            canary = pace.canary and not found
            name = "canary" if canary else f"wave-{len(found) + (0 if pace.canary else 1)}"
            batches = _batches(chosen, together)
            found.append(
                Phase(
                    name=name,
                    canary=canary,
                    batches=batches,
                    wait=step.wait,
                    preview=pace.preview,
                    analysis=step.analysis,
                )
            )
    return tuple(found)


Unit = tuple[Action, ...]


def _units(actions: Sequence[Action]) -> deque[Unit]:
    """What is changed together, in the order of the first of each."""
    found: dict[str, list[Action]] = {}
    for action in actions:
        found.setdefault(action.parameters.get(TOGETHER, action.asset), []).append(action)
    return deque(tuple(unit) for unit in found.values())


def _packed(units: deque[Unit], size: int) -> list[Unit]:
    """The next units that fit into `size`, at least one, taken off the queue."""
    chosen = [units.popleft()]
    while units and sum(map(len, chosen)) + len(units[0]) <= size:
        chosen.append(units.popleft())
    return chosen


def phase_bound(total: int, share: float) -> int:
    """How many of so many assets a share allows: rounded down, at least one."""
    return max(1, math.floor(total * share))


def image_diff(actions: Sequence[Action]) -> list[dict[str, Any]]:
    """Which versions become which, and on how many assets."""
    counted: dict[tuple[str, str, str, str], int] = {}
    for action in actions:
        if action.family is None or action.to_version is None:
            continue
        step = (action.family, action.from_version or "unknown", action.to_version, action.platform)
        counted[step] = counted.get(step, 0) + 1
    return [
        {"family": f, "from_version": a, "to_version": b, "platform": str(p), "assets": n}
        for (f, a, b, p), n in sorted(counted.items())
    ]


def plan_digest(document: Mapping[str, Any], context: Mapping[str, str]) -> str:
    """What the plan is known by: SHA-256 over the document and what it was made from."""
    return digest({"plan": dict(document), "context": dict(context)})


def _batches(units: Sequence[Unit], size: int) -> tuple[Batch, ...]:
    left = deque(units)
    found: list[Batch] = []
    while left:
        unit_actions = [action for unit in _packed(left, size) for action in unit]
        found.append(Batch(actions=tuple(unit_actions)))
    return tuple(found)


def _checking(check: Mapping[str, Any]) -> int:
    tries = int(check.get("successes", 1)) - 1
    return int(check.get("initial_delay_seconds", 0)) + tries * int(
        check.get("interval_seconds", 0)
    )


def _window(window: Span | None, timezone: str) -> dict[str, Any]:
    if window is None:
        return {"required": False}
    return {
        "required": True,
        "opens_at": iso(window.opens_at, digits=False),
        "closes_at": iso(window.closes_at, digits=False),
        "timezone": timezone,
    }


def executor_version(executors: Mapping[Platform, str], platforms: Iterable[Platform]) -> str:
    """Who would carry out a change of these platforms; `none` where nobody can."""
    parts = {platform: executors.get(platform, NO_EXECUTOR) for platform in platforms}
    if set(parts.values()) <= {NO_EXECUTOR}:
        return NO_EXECUTOR
    return ", ".join(f"{platform} {version}" for platform, version in sorted(parts.items()))


def action_document(action: Action) -> dict[str, Any]:
    """An action as it stands in the plan."""
    optional = {
        "family": action.family,
        "from_version": action.from_version,
        "to_version": action.to_version,
        "image": action.image,
        "parameters": dict(action.parameters) or None,
        "facts": action.facts,
    }
    stated = {name: value for name, value in optional.items() if value is not None}
    return {"asset": action.asset, "operation": action.operation.value, **stated}
