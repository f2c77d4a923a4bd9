"""Canary analysis as values: what is compared, what was seen, and what was concluded.

The rules are in canary_judge.py (all metrics), canary_values.py (measured values) and
canary_rates.py (events among requests).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qlrf_pipelines.domain.errors import Rejected

LAST_SHARE, EARLY_SHARE, LATE_SHARE = 0.5, 0.4, 0.1  # of the false-alarm rate; together 1


class Verdict(StrEnum):
    """What one metric, or all of them, say about the canary. Only `pass` promotes."""

    PASS = "pass"  # noqa: S105  a verdict, no password
    MARGINAL = "marginal"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"

    @property
    def promise(self) -> int:
        """How near to promotion: 2 promotes, 1 asks a human, 0 does not promote.

        Losing any sample or any metric never raises it.
        """
        return {Verdict.PASS: 2, Verdict.MARGINAL: 1}.get(self, 0)


class Kind(StrEnum):
    """How a metric is sampled: one value each time, or events among a number of requests."""

    VALUE = "value"
    RATE = "rate"


class Worse(StrEnum):
    """Which change of a metric is the bad one."""

    HIGHER = "higher"
    LOWER = "lower"
    EITHER = "either"


class Unit(StrEnum):
    """What a number counts; a limit may be written in another unit of the same measure."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    RATIO = "ratio"
    PERCENT = "percent"
    BYTES = "bytes"
    MEBIBYTES = "mebibytes"
    COUNT = "count"
    PER_SECOND = "per_second"


_MEASURES: Mapping[Unit, tuple[str, float]] = {
    Unit.SECONDS: ("time", 1.0),
    Unit.MILLISECONDS: ("time", 0.001),
    Unit.RATIO: ("share", 1.0),
    Unit.PERCENT: ("share", 0.01),
    Unit.BYTES: ("size", 1.0),
    Unit.MEBIBYTES: ("size", 1048576.0),
    Unit.COUNT: ("count", 1.0),
    Unit.PER_SECOND: ("rate", 1.0),
}


def convert(value: float, *, unit: Unit, into: Unit) -> float:
    """A value in another unit.

    Raises:
        Rejected: the two units do not measure the same.
    """
    (measure, size), (wanted, wanted_size) = _MEASURES[unit], _MEASURES[into]
    if measure != wanted:
        raise Rejected(f"{unit} cannot be compared with {into}; write the limit in {into}.")
    return value if unit is into else value * size / wanted_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing to compare, and how much worse still is good enough.

    `relative` and `absolute` are the tolerance: a worsening up to the larger of both is accepted.
    `limit` is in the metric's own unit; the canary's median (or rate) must stay on its good side.
    """

    name: str
    unit: Unit
    kind: Kind = Kind.VALUE
    worse: Worse = Worse.HIGHER
    weight: float = 1.0
    critical: bool = False
    relative: float = 0.1
    absolute: float = 0.0
    minimum: int = 10  # samples per side, or requests per side
    limit: float | None = None
    query: str = ""
    total_query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where metrics are read; credentials are references, never secrets."""

    kind: str
    url: str = ""
    region: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is compared, how often one looks, and how seldom a good canary may be called bad.

    `false_alarm` is the chance that a canary that behaves exactly as the baseline fails at any
    look at any metric, however many looks are taken.
    """

    name: str
    metrics: tuple[Metric, ...]
    false_alarm: float = 0.02
    confidence: float = 0.95
    pass_score: float = 100.0
    marginal_score: float = 50.0
    duration: int = 600  # seconds
    step: int = 15
    looks: int = 10
    provider: Provider | None = None
    baseline: str = ""
    canary: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be judged, all of it at once."""
        wrong = [problem for metric in self.metrics for problem in _problems(metric)]
        names = [metric.name for metric in self.metrics]
        if not names:
            wrong.append("it has no metric")
        wrong += [
            f"metric {name} is listed twice" for name in sorted(set(names)) if _twice(names, name)
        ]
        if self.marginal_score > self.pass_score:
            wrong.append("the marginal score is above the score that passes")
        if self.duration < self.step * self.looks:
            wrong.append(f"{self.duration} s are too short for {self.looks} looks of {self.step} s")
        if wrong:
            raise Rejected(f"Canary analysis {self.name}: {'; '.join(wrong)}; correct it.")


def _twice(names: list[str], name: str) -> bool:
    return names.count(name) > 1


def _problems(metric: Metric) -> list[str]:
    found = []
    if metric.limit is not None and metric.worse is Worse.EITHER:
        found.append(f"{metric.name} has a limit but does not say which side of it is bad")
    if metric.kind is Kind.RATE and metric.worse is not Worse.HIGHER:
        found.append(f"{metric.name} counts events: only more of them can be worse")
    if metric.kind is Kind.RATE and metric.absolute <= 0:
        found.append(f"{metric.name} needs an absolute tolerance: a rate of 0 has no percentage")
    if metric.weight <= 0:
        found.append(f"{metric.name} has no weight")
    return found


def alpha_at(false_alarm: float, *, look: int, looks: int) -> float:
    """How much of the false-alarm rate this look may spend; over all looks ever it is not exceeded.

    Half belongs to the last planned look, two fifths in equal parts to those before it, and a
    tenth, ever less, to those after it: a rollout that is paused may be looked at for ever.
    """
    if looks == 1 and look == 1:
        return false_alarm * (LAST_SHARE + EARLY_SHARE)
    if look < looks:
        return false_alarm * EARLY_SHARE / (looks - 1)
    if look == looks:
        return false_alarm * LAST_SHARE
    late = look - looks
    return false_alarm * LATE_SHARE / (late * (late + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What was seen of one metric on one side.

    `expected` is how many samples there should be; a sample that is missing, not a number or
    infinite is later taken as the worst it could have been. For a rate, `values` are events and
    `totals` the requests of the same moments. `unread` says why there is nothing.
    """

    values: tuple[float, ...] = ()
    totals: tuple[float, ...] | None = None
    expected: int = 0
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One metric on both sides."""

    baseline: Side = Side(unread="nobody looked")
    canary: Side = Side(unread="nobody looked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one metric says, with every number that explains it.

    `shift` is how much worse the canary is (positive is worse), in the metric's unit; the truth is
    above `low` and below `high`, each with the analysis' confidence. `p` is the chance of what was
    seen if both sides were alike, `alpha` what it had to fall to. `superiority` is the chance that
    a canary's sample is worse than a baseline's. `needed` is how many samples (or requests) per
    side are still missing for a verdict, if that can be told.
    """

    metric: str
    verdict: Verdict
    reason: str
    unit: Unit
    critical: bool
    weight: float
    alpha: float
    tolerance: float | None = None
    baseline_count: int = 0
    canary_count: int = 0
    missing: int = 0
    baseline: float | None = None
    canary: float | None = None
    shift: float | None = None
    shift_percent: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    superiority: float | None = None
    limit: float | None = None
    limit_p: float | None = None
    needed: int | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What all metrics together say at one look."""

    analysis: str
    verdict: Verdict
    reason: str
    score: float
    look: int
    looks: int
    findings: tuple[Finding, ...]

    @property
    def final(self) -> bool:
        """Whether no further look is planned: the canary failed, or this was the last one."""
        return self.verdict is Verdict.FAIL or self.look >= self.looks

    @property
    def needed(self) -> int | None:
        """Samples per side that are still missing for the metric that needs most."""
        return max((f.needed for f in self.findings if f.needed), default=None)
