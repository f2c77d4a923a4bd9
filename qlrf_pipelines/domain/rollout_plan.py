"""A plan as an executor reads it: phases, work per asset, checks, triggers, hooks, windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.moments import from_iso
from qlrf_pipelines.domain.operations import RESTORE_SNAPSHOT, ROLLBACK, OperationKind
from qlrf_pipelines.domain.patching import StrategyType
from qlrf_pipelines.domain.plans import STRATEGY
from qlrf_pipelines.domain.rollout import AssetRow

BEFORE_EACH, AFTER_EACH = "prePatch", "postPatch"
FIRST, LAST, ON_FAILURE = "preRollout", "postRollout", "onFailure"
# Hooks of the rollout as a whole stand in rows of their own, in phases of their own.
HOOK_ROW = "hook:"
FAILURE_PHASE = -1
# A rollback strategy under which only people take anything back.
MANUAL = "manual"
# Patience with the cloud's own status, which a plan does not state: five minutes.
_PATIENCE = {"interval_seconds": 5, "successes": 1, "failures": 60, "timeout_seconds": 10}


class StepKind(StrEnum):
    """What one step of the work on an asset is; standing by ends a go, until it is let through."""

    HOOK = "hook"
    CHANGE = "change"
    CHECK = "check"
    STAND_BY = "stand_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the work on an asset: a hook, a change, a check of its health, or a stop."""

    kind: StepKind
    operation: OperationKind | None = None
    image: str | None = None
    parameters: Mapping[str, str] | None = None
    check: Mapping[str, Any] | None = None
    hook: Mapping[str, Any] | None = None

    @property
    def keeps_snapshots(self) -> bool:
        """Whether it takes snapshots first, by which it can be taken back."""
        patches = self.operation is OperationKind.PATCH_IN_PLACE
        return patches and (self.parameters or {}).get(ROLLBACK) == RESTORE_SNAPSHOT

    @property
    def name(self) -> str:
        """What it is, for a person."""
        if self.check is not None:
            return f"check {self.check['type']}"
        if self.hook is not None:
            return f"{self.hook['when']} hook {self.hook['type']}"
        return str(self.operation or self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What takes the rollout back: a metric on the wrong side of a threshold."""

    metric: str
    comparison: str
    threshold: float
    query: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasePlan:
    """One phase: its batches of assets, then a time to watch, with what is watched.

    After a `preview` its assets stand by, each with a new side that has no traffic; the phase after
    it, the `switch`, has no batches of its own. Whoever let the preview pass has been asked.
    """

    name: str
    canary: bool
    batches: tuple[tuple[str, ...], ...]
    wait: timedelta
    triggers: tuple[Trigger, ...]
    metrics: tuple[Mapping[str, Any], ...]
    preview: bool = False
    switch: bool = False

    @property
    def asks(self) -> bool:
        """Whether a human lets it pass, unless the policy says that it may pass by itself."""
        return self.preview or (self.canary and not self.switch)

    @property
    def size(self) -> int:
        """How many assets it changes."""
        return sum(len(batch) for batch in self.batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """Everything an executor needs of an approved plan."""

    id: str
    environment: str
    strategy: str
    phases: tuple[PhasePlan, ...]
    work: Mapping[str, tuple[Step, ...]]
    on_failure: tuple[str, ...]
    opens_at: datetime | None
    closes_at: datetime | None
    auto_promote: bool
    auto_rollback: bool
    retain_failed: bool

    @property
    def rows(self) -> tuple[AssetRow, ...]:
        """A row for every asset, in the plan's order, and for every hook that runs once."""
        found = [
            AssetRow(asset=name, order=nth, phase=FAILURE_PHASE, batch=nth)
            for nth, name in enumerate(self.on_failure)
        ]
        for number, phase in enumerate(self.phases):
            for place, batch in enumerate(phase.batches):
                found += [
                    AssetRow(asset=asset, order=len(found) + nth, phase=number, batch=place)
                    for nth, asset in enumerate(batch)
                ]
        return tuple(found)

    @property
    def canary_phase(self) -> int:
        """The number of the phase that may go ahead of the others.

        Raises:
            Rejected: none may, so that nobody knows where a canary would end.
        """
        found = next((n for n, phase in enumerate(self.phases) if phase.canary), None)
        if found is None:
            raise Rejected(f"Plan {self.id} has no canary that could go ahead of the rest.")
        return found

    @property
    def assets(self) -> tuple[str, ...]:
        """The keys of the assets it changes, in order."""
        return tuple(row.asset for row in self.rows if not row.asset.startswith(HOOK_ROW))

    def switch_of(self, asset: str) -> int | None:
        """The step from which on an asset is switched to its new side; None if it has no two."""
        kinds = [step.kind for step in self.work[asset]]
        return kinds.index(StepKind.STAND_BY) + 1 if StepKind.STAND_BY in kinds else None


def read_plan(document: Mapping[str, Any]) -> RolloutPlan:
    """An approved plan's document, which passed its contract when it was made.

    Raises:
        Rejected: it is no plan that could be carried out.
    """
    try:
        return _read(document)
    except (KeyError, TypeError, ValueError) as error:
        raise Rejected(
            f"Plan {document.get('id', '?')} cannot be read as a plan: {type(error).__name__} "
            f"{error}; plan it anew with `qlrf plan`."
        ) from error


def _read(document: Mapping[str, Any]) -> RolloutPlan:
    strategy: Mapping[str, str] = document.get("strategy", {})
    hooks: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for hook in document.get("hooks", ()):
        hooks[hook["when"]] = (*hooks.get(hook["when"], ()), hook)
    window = document["window"]
    work = {
        action["asset"]: _work(action, phase["health_checks"], hooks)
        for phase in document["phases"]
        for action in phase["actions"]
    }
    once = {
        when: {f"{HOOK_ROW}{when}:{n}": hook for n, hook in enumerate(hooks.get(when, ()))}
        for when in (FIRST, LAST, ON_FAILURE)
    }
    for named in once.values():
        work |= {name: (Step(kind=StepKind.HOOK, hook=hook),) for name, hook in named.items()}
    phases = [one for phase in document["phases"] for one in _phases(phase)]
    return RolloutPlan(
        id=document["id"],
        environment=document["environment"],
        strategy=strategy.get("type", ""),
        phases=(*_once(FIRST, once[FIRST]), *phases, *_once(LAST, once[LAST])),
        work=work,
        on_failure=tuple(once[ON_FAILURE]),
        opens_at=from_iso(window["opens_at"]) if window["required"] else None,
        closes_at=from_iso(window["closes_at"]) if window["required"] else None,
        auto_promote=strategy.get("auto_promote", "yes") == "yes",
        auto_rollback=(
            strategy.get("rollback_automatic", "yes") == "yes"
            and strategy.get("rollback") != MANUAL
        ),
        retain_failed=strategy.get("retain_failed_assets", "no") == "yes",
    )


def _once(when: str, names: Mapping[str, object]) -> tuple[PhasePlan, ...]:
    if not names:
        return ()
    batches = tuple((name,) for name in names)
    never = timedelta(0)
    return (
        PhasePlan(name=when, canary=False, batches=batches, wait=never, triggers=(), metrics=()),
    )


def _phase(phase: Mapping[str, Any]) -> PhasePlan:
    return PhasePlan(
        name=phase["name"],
        canary=phase["kind"] == "canary",
        batches=tuple(tuple(batch) for batch in phase["batches"]),
        wait=timedelta(seconds=phase["wait_seconds"]),
        triggers=tuple(
            Trigger(
                metric=item["metric"],
                comparison=item["comparison"],
                threshold=float(item["threshold"]),
                query=item.get("query", ""),
                provider=item.get("provider", ""),
            )
            for item in phase["rollback_triggers"]
        ),
        metrics=tuple(c for c in phase["health_checks"] if c["type"] == "metric"),
    )


def _phases(phase: Mapping[str, Any]) -> tuple[PhasePlan, ...]:
    """A phase as it is carried out: one, or a preview of the new sides and then the switch."""
    switch = _phase(phase)
    seconds = phase.get("preview_seconds")
    if seconds is None:
        return (switch,)
    own = tuple(one for one in switch.triggers if not one.query)
    # Without traffic a metric has nothing to say: what is previewed is the new sides' own health.
    preview = replace(
        switch,
        name=f"{switch.name} preview",
        preview=True,
        canary=False,
        wait=timedelta(seconds=seconds),
        triggers=own,
        metrics=(),
    )
    return preview, replace(switch, batches=(), switch=True)


def _work(
    action: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    hooks: Mapping[str, Sequence[Mapping[str, Any]]],
) -> tuple[Step, ...]:
    operation, checked = OperationKind(action["operation"]), health_steps(checks)
    parameters, image = action.get("parameters", {}), action.get("image")
    first = Step(kind=StepKind.CHANGE, operation=operation, image=image, parameters=parameters)
    changes: tuple[Step, ...] = (first, *checked)
    if parameters.get(STRATEGY) == StrategyType.BLUE_GREEN:
        changes = (
            replace(first, operation=OperationKind.START_BESIDE),
            *checked,
            Step(kind=StepKind.STAND_BY),
            *(_at_once(step) for step in checked),
            replace(first, operation=OperationKind.SWITCH),
            *checked,
        )
    return (
        *(Step(kind=StepKind.HOOK, hook=hook) for hook in hooks.get(BEFORE_EACH, ())),
        *changes,
        *(Step(kind=StepKind.HOOK, hook=hook) for hook in hooks.get(AFTER_EACH, ())),
    )


def _at_once(step: Step) -> Step:
    """A check of what has long been settled: just before the switch."""
    return replace(step, check={**(step.check or {}), "initial_delay_seconds": 0})


def health_steps(checks: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The checks of an asset's own health; metrics are watched for the phase as a whole."""
    return tuple(
        Step(kind=StepKind.CHECK, check=_PATIENCE | dict(check))
        for check in checks
        if check["type"] != "metric"
    )
