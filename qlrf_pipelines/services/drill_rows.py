"""Drills as rows of the lake: what each proved, and the phases it went through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.drills import (
    DrillEntry,
    DrillRecord,
    MoveState,
    Phase,
)
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Verdict, elapsed
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus
from qlrf_pipelines.domain.recovery_plans import plan_of
from qlrf_pipelines.services.drill_watching import WORKLOAD

_WORST = (
    ReplicationStatus.UNKNOWN,
    ReplicationStatus.FAILED,
    ReplicationStatus.LAGGING,
    ReplicationStatus.IN_SYNC,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpan:
    """One phase a drill went through: how long it took by a clock that never steps."""

    number: int
    phase: Phase
    begun: DrillEntry
    ended: DrillEntry | None
    attempts: int

    @property
    def seconds(self) -> float | None:
        """Its length; None if it did not end, or no clock saw both ends."""
        return None if self.ended is None else elapsed(self.begun.instant, self.ended.instant)

    @property
    def event(self) -> str | None:
        """How it ended."""
        return None if self.ended is None else str(self.ended.facts["event"])

    @property
    def reason(self) -> str:
        """Why it ended so; '' if nobody had to say."""
        return "" if self.ended is None else str(self.ended.facts["why"])


def spans_of(record: DrillRecord) -> list[PhaseSpan]:
    """The phases of a drill in the order they were entered; the closed one is none."""
    found: list[PhaseSpan] = []
    begun: DrillEntry | None = None
    holders: set[int] = set()
    for entry in record.entries:
        if entry.kind in ("opened", "phase_started"):
            begun, holders = entry, set()
        if entry.attempt:
            holders.add(entry.attempt)
        if entry.kind == "phase_ended" and begun is not None:
            found.append(_span(len(found), begun, entry, holders))
            begun = None
    if begun is not None and begun.phase is not Phase.CLOSED:
        found.append(_span(len(found), begun, None, holders))
    return found


def _span(before: int, begun: DrillEntry, ended: DrillEntry | None, holders: set[int]) -> PhaseSpan:
    return PhaseSpan(
        number=before + 1,
        phase=begun.phase,
        begun=begun,
        ended=ended,
        attempts=max(1, len(holders)),
    )


def drill_row(
    record: DrillRecord,
    *,
    answers: Sequence[Answer],
    writes: Sequence[CanaryWrite],
    now: datetime,
) -> dict[str, Any]:
    """A drill as a row of the dataset drills."""
    measured = [one for one in writes if one.number < WORKLOAD]
    drill, plan, result = record.drill, plan_of(record.drill.document), record.drill.result or {}
    lag, status = replication_of(record)
    declared = record.declared
    return {
        "tenant": drill.tenant,
        "drill_id": drill.id,
        "application": drill.application,
        "plan": drill.plan,
        "plan_digest": drill.digest,
        "pair": plan.pair,
        "primary_site": plan.primary,
        "recovery_site": plan.recovery,
        "environment": plan.environment.value,
        "tier": plan.tier,
        "drill_type": drill.type.value,
        "phase": drill.phase.value,
        "outcome": None if drill.outcome is None else drill.outcome.value,
        "requested_by": drill.requested_by,
        "requested_at": drill.requested_at,
        "declared_at": None if declared is None else declared.at,
        "ended_at": drill.changed_at if drill.phase is Phase.CLOSED else None,
        "members": len(plan.members),
        "members_proven": len(proven_members(record)),
        **_target("rto", result, plan.rto_seconds),
        **_target("rpo", result, plan.rpo_seconds),
        "writes": len(measured),
        "writes_acknowledged": sum(one.acknowledged is not None for one in measured),
        "writes_lost": result.get("rpo", {}).get("writes"),
        "failback_seconds": result.get("failback", {}).get("seconds"),
        "replication_status": status,
        "replication_lag_seconds": lag,
        "left_over": left_over(record),
        "answers": len(answers),
        "answers_bad": sum(one.health is not Health.HEALTHY for one in answers),
        "ledger_seq": drill.seq,
        "as_of": now,
    }


def phase_rows(record: DrillRecord, *, now: datetime) -> list[dict[str, Any]]:
    """The phases of a drill as rows of the dataset drill_phases."""
    return [
        {
            "tenant": record.drill.tenant,
            "drill_id": record.drill.id,
            "number": span.number,
            "phase": span.phase.value,
            "started_at": span.begun.instant.at,
            "ended_at": None if span.ended is None else span.ended.instant.at,
            "seconds": span.seconds,
            "event": span.event,
            "reason": span.reason,
            "attempts": span.attempts,
            "as_of": now,
        }
        for span in spans_of(record)
    ]


def _target(name: str, result: Mapping[str, Any], target: float | None) -> dict[str, Any]:
    """One target; a drill without a result has proven nothing."""
    judged = result.get(name, {})
    return {
        f"{name}_target": judged.get("target", target),
        f"{name}_seconds": judged.get("seconds"),
        f"{name}_verdict": judged.get("verdict", Verdict.NOT_PROVEN.value),
        f"{name}_reason": judged.get("why", "the drill is not closed"),
    }


def proven_members(record: DrillRecord) -> set[str]:
    """Members that came over and, unless the primary never stopped serving, back again."""
    done = {kind: _succeeded(record, kind) for kind in (MoveKind.FAIL_OVER, MoveKind.FAIL_BACK)}
    over, back = done[MoveKind.FAIL_OVER], done[MoveKind.FAIL_BACK]
    return over if record.drill.test else over & back


def _succeeded(record: DrillRecord, kind: MoveKind) -> set[str]:
    rows = (row for row in record.moves if row.kind is kind)
    return {row.member for row in rows if row.state is MoveState.SUCCEEDED}


def left_over(record: DrillRecord) -> int | None:
    """How much was left behind; None if nobody could prove that there is nothing."""
    if record.last("clean") is not None:
        return 0
    found = leftovers_of(record)
    if found:
        return sum(map(len, found.values()))
    clean = (record.drill.result or {}).get("clean")
    return 0 if clean is True else None


def leftovers_of(record: DrillRecord) -> dict[str, list[str]]:
    """What the last look found that was left behind, by member."""
    for entry in reversed(record.entries):
        if entry.kind == "phase_ended" and entry.facts.get("leftovers"):
            return {str(name): list(items) for name, items in entry.facts["leftovers"].items()}
    return {}


def validated_members(record: DrillRecord) -> Mapping[str, Mapping[str, Any]]:
    """What the validation saw of each member: its sides, and how its replication stood."""
    for entry in record.entries:
        if entry.kind == "phase_ended" and entry.phase is Phase.VALIDATION:
            found: Mapping[str, Mapping[str, Any]] = entry.facts.get("members", {})
            return found
    return {}


def replication_of(record: DrillRecord) -> tuple[float | None, str]:
    """The largest lag and the worst status of any member; unknown if any is."""
    members = plan_of(record.drill.document).members
    seen = validated_members(record)
    only = record.drill.only
    facts = [seen.get(m.name, {}) for m in members if not only or m.name in only]
    said = {str(one.get("replication", ReplicationStatus.UNKNOWN)) for one in facts}
    status = next((word for word in _WORST if word in said), ReplicationStatus.UNKNOWN)
    lags = [one.get("lag_seconds") for one in facts]
    known = [float(lag) for lag in lags if lag is not None]
    return (max(known) if known and len(known) == len(lags) else None), status.value
