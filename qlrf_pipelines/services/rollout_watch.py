"""Watching a phase after its changes: triggers, metric checks and the canary's judge.

A metric that nobody answers for is no answer: the phase is not let pass by it, and a human is
asked in the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.canary import Analysis, Metric, Unit, Verdict, Worse
from qlrf_pipelines.domain.canary_judge import judge
from qlrf_pipelines.domain.errors import QlrfError, Rejected
from qlrf_pipelines.domain.operations import target_of
from qlrf_pipelines.domain.rollout import AssetRow, Rollout
from qlrf_pipelines.domain.rollout_plan import HOOK_ROW, PhasePlan, RolloutPlan
from qlrf_pipelines.domain.rollout_rules import FAILURE_SHARE, compare, holds, look_interval
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.canary import SCOPE, observe

_STEP = timedelta(seconds=15)


class Says(StrEnum):
    """What a look at a watched phase comes to."""

    WAIT = "wait"
    PASS = "pass"  # noqa: S105  a verdict, no password
    TRIP = "trip"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look: what it says, why, and when the next one is due."""

    says: Says
    reason: str = ""
    again_at: datetime | None = None


def look(
    world: World, plan: RolloutPlan, rollout: Rollout, rows: Sequence[AssetRow], now: datetime
) -> Look:
    """Look at the phase a rollout watches; at the end of its wait it passes, or somebody is asked.

    What a trigger says is acted upon at every look; what only a check says, at the end.
    """
    phase = plan.phases[rollout.phase]
    since = rollout.watch_since or now
    ends = since + phase.wait
    watched = _Watched(world, plan, rollout, rows, since=since, now=now)
    if (trip := watched.tripped(phase)) is not None:
        return Look(says=Says.TRIP, reason=trip)
    if now < ends:
        return Look(says=Says.WAIT, again_at=min(ends, now + look_interval(phase)))
    failed, unknown = watched.judged(phase)
    if failed:
        return Look(says=Says.TRIP, reason="; ".join(failed))
    if unknown:
        return Look(says=Says.HOLD, reason=f"inconclusive: {'; '.join(unknown)}")
    return Look(says=Says.PASS, reason=f"{phase.name} was watched for {_words(phase.wait)}")


class _Watched:
    """One look's view of the metrics; each source is opened once."""

    def __init__(
        self,
        world: World,
        plan: RolloutPlan,
        rollout: Rollout,
        rows: Sequence[AssetRow],
        *,
        since: datetime,
        now: datetime,
    ) -> None:
        self._world = world
        self._plan = plan
        self._rollout = rollout
        self._rows = rows
        self._since = since
        self._now = now
        self._sources: dict[str, MetricSource] = {}

    def tripped(self, phase: PhasePlan) -> str | None:
        """The first trigger whose comparison is true of a value somebody has."""
        for trigger in phase.triggers:
            if trigger.metric == FAILURE_SHARE or SCOPE in trigger.query:
                continue
            value = self._value(trigger.query, trigger.provider)
            if isinstance(value, float) and holds(trigger, value):
                return (
                    f"{trigger.metric} is {value:g}, {trigger.comparison.replace('-', ' ')} "
                    f"{trigger.threshold:g}"
                )
        return None

    def judged(self, phase: PhasePlan) -> tuple[list[str], list[str]]:
        """Why the metric checks fail, and why some of them say nothing."""
        failed: list[str] = []
        unknown: list[str] = []
        for check in phase.metrics:
            query = str(check.get("target", ""))
            if SCOPE in query:
                self._compared(phase, check, failed, unknown)
                continue
            value = self._value(query, str(check.get("provider", "")))
            if isinstance(value, str):
                unknown.append(value)
            elif not compare(value, check["comparison"], float(check["threshold"])):
                failed.append(
                    f"{query[:80]} is {value:g}, not {check['comparison']} {check['threshold']:g}"
                )
        return failed, unknown

    def _compared(
        self, phase: PhasePlan, check: Mapping[str, Any], failed: list[str], unknown: list[str]
    ) -> None:
        """Judge changed machines against unchanged ones, where the query can tell them apart."""
        changed, others = self._sides()
        if not others:
            unknown.append("every asset is changed, so there is no baseline to compare with")
            return
        analysis = self._analysis(phase, check, canary=changed, baseline=others)
        try:
            source = self._source(str(check.get("provider", "")))
            seen = observe(source, analysis, start=self._since, look=1)
        except QlrfError as error:
            unknown.append(str(error))
            return
        came = judge(analysis, seen, look=1)
        if came.verdict is Verdict.FAIL:
            failed.append(came.reason)
        elif came.verdict is not Verdict.PASS:
            unknown.append(came.reason)

    def _analysis(
        self, phase: PhasePlan, check: Mapping[str, Any], *, canary: str, baseline: str
    ) -> Analysis:
        higher = check["comparison"] == "less-than"
        metric = Metric(
            name=str(check["target"])[:60],
            unit=Unit.COUNT,
            worse=Worse.HIGHER if higher else Worse.LOWER,
            limit=float(check["threshold"]),
            critical=True,
            query=str(check["target"]),
        )
        seconds = max(int(_STEP.total_seconds()), int(phase.wait.total_seconds()))
        return Analysis(
            name=f"phase {phase.name} of rollout {self._rollout.id}",
            metrics=(metric,),
            duration=seconds,
            step=int(_STEP.total_seconds()),
            looks=1,
            baseline=baseline,
            canary=canary,
        )

    def _sides(self) -> tuple[str, str]:
        """The ids of changed and of unchanged assets, as a regular expression's alternatives."""
        sides: tuple[list[str], list[str]] = ([], [])
        for row in self._rows:
            if row.asset.startswith(HOOK_ROW):
                continue
            mine = target_of(row.asset).id
            changed = row.phase <= self._rollout.phase
            sides[0 if changed else 1].append(row.now_id or mine if changed else mine)
        return "|".join(sides[0]), "|".join(sides[1])

    def _value(self, query: str, provider: str) -> float | str:
        """The newest value of a query since the watch began, or why there is none."""
        start = min(self._since, self._now - _STEP)
        try:
            found = self._source(provider).series(query, start=start, end=self._now, step=_STEP)
        except QlrfError as error:
            return f"{query[:80]}: {error}"
        if isinstance(found, NoSeries):
            return f"{query[:80]}: {found.why}"
        value = found.points[-1].value
        return value if value == value else f"{query[:80]} is not a number"

    def _source(self, provider: str) -> MetricSource:
        if provider not in self._sources:
            self._sources[provider] = self._open(provider)
        return self._sources[provider]

    def _open(self, provider: str) -> MetricSource:
        tenants = self._world.estate.load().tenants
        mine = next((t for t in tenants if t.name == self._rollout.tenant), None)
        declared = [] if mine is None else [p for p in mine.metrics if p.kind == provider]
        if not declared:
            raise Rejected(
                f"Tenant {self._rollout.tenant} declares no metrics of {provider or 'any provider'}"
                "; add them to spec.metrics of its contract."
            )
        return self._world.metrics(declared[0])


def _words(wait: timedelta) -> str:
    seconds = int(wait.total_seconds())
    return f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"
