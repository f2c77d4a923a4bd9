"""What must hold of every dataset, as data; and the SQL that measures it, tenant by tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from qlrf_pipelines.domain import datasets
from qlrf_pipelines.domain.datasets import Dataset
from qlrf_pipelines.domain.drills import Outcome, Phase
from qlrf_pipelines.domain.measurement import Verdict
from qlrf_pipelines.domain.patch_sla import Measure, SlaStatus
from qlrf_pipelines.domain.recovery_plans import DrillType
from qlrf_pipelines.domain.resilience import NO_DATA, SCOPE_TYPES, Readiness
from qlrf_pipelines.domain.vocabulary import (
    AssetState,
    Change,
    ControlVerdict,
    DriftVerdict,
    Environment,
    Health,
    ImageStatus,
    Platform,
    Resolution,
    RiskLevel,
    Severity,
)

KEYS_UNIQUE = "keys_unique"
COLUMNS_FILLED = "columns_filled"
WORDS_KNOWN = "words_known"
TIMES_PAST = "no_future_times"
NUMBERS_IN_RANGE = "numbers_in_range"
GROUPS: Mapping[str, str] = {
    KEYS_UNIQUE: "Every row's key is its own within its tenant.",
    COLUMNS_FILLED: "Columns that must say something do.",
    WORDS_KNOWN: "Enumerated columns hold words of the vocabulary alone.",
    TIMES_PAST: "No time lies in the future (five minutes of skew allowed).",
    NUMBERS_IN_RANGE: "Scores and shares stay within their bounds.",
}


def _words(kind: type[StrEnum]) -> tuple[str, ...]:
    return tuple(str(word) for word in kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The expectations on one dataset, and the asset they are shown at."""

    asset: str
    dataset: Dataset
    filled: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    times: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # An append-only history is checked where it is new: rows whose time here is recent.
    recent: str | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the checks this dataset has."""
        present = {
            KEYS_UNIQUE: True,
            COLUMNS_FILLED: True,
            WORDS_KNOWN: bool(self.words),
            TIMES_PAST: bool(self.times),
            NUMBERS_IN_RANGE: bool(self.ranges),
        }
        return tuple(name for name, there in present.items() if there)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a row: the tenant and the dataset's key."""
        return ("tenant", *self.dataset.key)


_SCORE = (0.0, 100.0)
_SECONDS = (0.0, 30 * 86_400.0)
QUALITIES: tuple[Quality, ...] = (
    Quality(
        asset="inventory",
        dataset=datasets.INVENTORY,
        filled=("asset_key", "asset_id", "platform", "account", "region", "environment", "state"),
        words={
            "platform": _words(Platform),
            "environment": _words(Environment),
            "state": _words(AssetState),
        },
        times=("launched_at", "first_seen", "last_seen"),
    ),
    Quality(
        asset="inventory_changes",
        dataset=datasets.INVENTORY_CHANGES,
        filled=("asset_key", "change_seq", "change", "changed_at"),
        words={"change": _words(Change)},
        times=("changed_at",),
        recent="changed_at",
    ),
    Quality(
        asset="golden_images",
        dataset=datasets.GOLDEN_IMAGES,
        filled=("family", "version", "status"),
        words={"status": _words(ImageStatus)},
    ),
    Quality(
        asset="drift",
        dataset=datasets.DRIFT,
        filled=("asset_key", "active", "drift_verdict", "drift_score", "resolution"),
        words={"drift_verdict": _words(DriftVerdict), "resolution": _words(Resolution)},
        times=("as_of",),
        ranges={"drift_score": _SCORE},
    ),
    Quality(
        asset="compliance",
        dataset=datasets.CONTROL_RESULTS,
        filled=("control_id", "asset_key", "verdict"),
        words={"verdict": _words(ControlVerdict)},
        times=("as_of",),
    ),
    Quality(
        asset="risk",
        dataset=datasets.RISK,
        filled=("asset_key", "risk_score", "risk_level", "not_assessed"),
        words={"risk_level": _words(RiskLevel)},
        times=("as_of",),
        ranges={"risk_score": _SCORE, "exposure_factor": _SCORE, "noncompliance_factor": _SCORE},
    ),
    Quality(
        asset="patch_sla",
        dataset=datasets.PATCH_SLA,
        filled=("asset_key", "policy", "severity", "active", "status", "within_seconds", "reason"),
        words={
            "severity": _words(Severity),
            "measured_by": _words(Measure),
            "status": _words(SlaStatus),
        },
        # due_at lies in the future, as it should.
        times=("since", "as_of"),
    ),
    Quality(
        asset="drills",
        dataset=datasets.DRILLS,
        filled=("drill_id", "application", "plan", "drill_type", "phase", "requested_at"),
        words={
            "drill_type": _words(DrillType),
            "phase": _words(Phase),
            "outcome": _words(Outcome),
            "rto_verdict": _words(Verdict),
            "rpo_verdict": _words(Verdict),
        },
        times=("requested_at", "declared_at", "ended_at"),
        ranges={"rto_seconds": _SECONDS, "rpo_seconds": _SECONDS},
    ),
    Quality(
        asset="resilience",
        dataset=datasets.RESILIENCE,
        filled=("scope_type", "scope_value", "status", "readiness", "applications", "ready"),
        words={
            "scope_type": SCOPE_TYPES,
            "status": _words(Health),
            "readiness": (*_words(Readiness), NO_DATA),
        },
        times=("as_of",),
        ranges={"coverage": (0.0, 1.0), "failure_upper": (0.0, 1.0)},
    ),
)


def profile_sql(quality: Quality) -> str:
    """One row per tenant: how many rows, keys and nulls, the latest times, the number's bounds.

    Expectations are asked of this, not of the rows: a million rows become a thousand.
    """
    key = ", ".join(quality.key)
    columns = [
        "tenant",
        "count(*)::bigint AS row_count",
        f"count(DISTINCT hash({key}))::bigint AS key_count",
    ]
    columns += [
        f"count(*) FILTER ({name} IS NULL)::bigint AS {name}__nulls" for name in quality.filled
    ]
    columns += [f"max({name}) AS {name}__latest" for name in quality.times]
    for name in quality.ranges:
        columns += [f"min({name}) AS {name}__least", f"max({name}) AS {name}__most"]
        # A frame cannot tell NaN from unknown, and Great Expectations skips what is unknown.
        columns.append(f"count(*) FILTER (NOT isfinite({name}))::bigint AS {name}__endless")
    return f"SELECT {', '.join(columns)} FROM {quality.dataset.name} GROUP BY tenant"  # noqa: S608


def words_sql(quality: Quality) -> str:
    """One row per combination of enumerated words, with how many rows say so."""
    names = ", ".join(quality.words)
    return (
        f"SELECT {names}, count(*)::bigint AS row_count "  # noqa: S608
        f"FROM {quality.dataset.name} GROUP BY ALL"
    )


def offenders_sql(quality: Quality, group: str, *, limit: int) -> str:
    """The rows that break one group of expectations, named by tenant and key.

    The latest time that is not in the future is the parameter `$latest`.
    """
    key = ", ".join(quality.key)
    table = quality.dataset.name
    if group == KEYS_UNIQUE:
        return (
            f"SELECT {key}, count(*)::bigint AS copies FROM {table} "  # noqa: S608
            f"GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT {limit}"
        )
    faults = _faults(quality, group)
    shown = ", ".join(f"{name}::varchar AS {name}" for name in faults if name not in quality.key)
    what = (
        "concat_ws(', ', "
        + ", ".join(f"CASE WHEN {fault} THEN '{name}' END" for name, fault in faults.items())
        + ") AS wrong"
    )
    return (
        f"SELECT {', '.join(filter(None, (key, shown, what)))} FROM {table} "  # noqa: S608
        f"WHERE {' OR '.join(faults.values())} ORDER BY {key} LIMIT {limit}"
    )


def _faults(quality: Quality, group: str) -> dict[str, str]:
    if group == COLUMNS_FILLED:
        return {name: f"{name} IS NULL" for name in quality.filled}
    if group == WORDS_KNOWN:
        return {name: f"{name} NOT IN ({_listed(words)})" for name, words in quality.words.items()}
    if group == TIMES_PAST:
        return {name: f"{name} > $latest" for name in quality.times}
    return {
        name: f"NOT isfinite({name}) OR {name} < {low} OR {name} > {high}"
        for name, (low, high) in quality.ranges.items()
    }


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
