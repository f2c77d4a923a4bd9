"""Watching a phase after its changes: triggers, metric checks and the canary's judge.

A metric that nobody answers for is no answer: the phase is not let pass by it, and a human is
asked in the end. That holds of triggers as of checks, and a trigger looks at every value since the
watch began: what one look could not see, the next one does.
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
from qlrf_pipelines.domain.rollout import DUE, AssetRow, AssetState, Rollout
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
    unknown += watched.blind
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
        self._blind: list[str] = []

    def tripped(self, phase: PhasePlan) -> str | None:
        """The first trigger whose comparison is true of any value since the watch began.

        What a trigger says of `${scope}`, it says of the machines that are changed.
        """
        self._blind.clear()
        for trigger in phase.triggers:
            if trigger.metric == FAILURE_SHARE:
                continue
            query = trigger.query.replace(SCOPE, self._sides()[0])
            values = self._values(query, trigger.provider)
            if isinstance(values, str):
                self._blind.append(values)
                continue
            for value in values:
                if holds(trigger, value):
                    return (
                        f"{trigger.metric} is {value:g}, {trigger.comparison.replace('-', ' ')} "
                        f"{trigger.threshold:g}"
                    )
        return None

    @property
    def blind(self) -> list[str]:
        """Why triggers could not be looked at, as of the last time they were."""
        return list(self._blind)

    def judged(self, phase: PhasePlan) -> tuple[list[str], list[str]]:
        """Why the metric checks fail, and why some of them say nothing."""
        failed: list[str] = []
        unknown: list[str] = []
        for check in phase.metrics:
            query = str(check.get("target", ""))
            changed, others = self._sides()
            if SCOPE in query and others:
                self._compared(phase, check, (changed, others), failed, unknown)
                continue
            # Once every asset is changed there is nothing to compare with: the threshold decides.
            query = query.replace(SCOPE, changed)
            value = self._value(query, str(check.get("provider", "")))
            if isinstance(value, str):
                unknown.append(value)
            elif not compare(value, check["comparison"], float(check["threshold"])):
                failed.append(
                    f"{query[:80]} is {value:g}, not {check['comparison']} {check['threshold']:g}"
                )
        return failed, unknown

    def _compared(
        self,
        phase: PhasePlan,
        check: Mapping[str, Any],
        sides: tuple[str, str],
        failed: list[str],
        unknown: list[str],
    ) -> None:
        """Judge changed machines against unchanged ones, where the query can tell them apart."""
        analysis = self._analysis(phase, check, canary=sides[0], baseline=sides[1])
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
            if row.state is AssetState.DONE:
                sides[0].append(row.now_id or mine)
            elif row.state in (*DUE, AssetState.STANDING_BY):
                sides[1].append(mine)
        return "|".join(sides[0]), "|".join(sides[1])

    def _value(self, query: str, provider: str) -> float | str:
        """The newest value of a query since the watch began, or why there is none."""
        values = self._values(query, provider)
        return values if isinstance(values, str) else values[-1]

    def _values(self, query: str, provider: str) -> list[float] | str:
        """The values of a query since the watch began, or why the newest is not one."""
        start = min(self._since, self._now - _STEP)
        try:
            source = self._source(provider)
            found = source.series(query, start=start, end=self._now, step=_STEP)
        except QlrfError as error:
            return f"{query[:80]}: {error}"
        if isinstance(found, NoSeries):
            return f"{query[:80]}: {found.why}"
        newest = found.points[-1].at
        if self._now - newest > source.lag:
            # Whoever died after one good value would pass as healthy.
            return f"{query[:80]} was last seen at {newest:%H:%M:%S} UTC"
        values = [point.value for point in found.points]
        return values if values[-1] == values[-1] else f"{query[:80]} is not a number"

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
