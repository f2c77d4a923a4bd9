"""What a drill proved, from the rows it left and nothing else."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qlrf_pipelines.domain.drills import (
    PHASES,
    DrillEntry,
    DrillRecord,
    Outcome,
    Phase,
)
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.measurement import (
    Answer,
    CanaryWrite,
    Instant,
    Loss,
    Measured,
    Ranges,
    clock_steps,
    elapsed,
    judge,
    measure_loss,
    measure_rto,
    worst,
)
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrillType, RecoveryPlan, plan_of
from qlrf_pipelines.services.drill_watching import WORKLOAD

_FORWARD = (MoveKind.FAIL_OVER, MoveKind.SWITCH)


def result_of(
    record: DrillRecord,
    *,
    answers: Sequence[Answer],
    writes: Sequence[CanaryWrite],
    now: Instant,
    max_gap_seconds: float,
) -> dict[str, Any]:
    """The result as JSON: targets with verdicts, times, losses, phases, and digests of the rows."""
    plan = plan_of(record.drill.document)
    only = record.drill.only
    why = unproven_why(record, plan)
    rto = judge(
        rto_of(record, plan, answers, now=now, max_gap_seconds=max_gap_seconds),
        plan.rto_seconds,
        unproven=why,
    )
    losses = losses_of(record, plan, writes)
    rpo = judge(worst(losses), plan.rpo_seconds, unproven=why)
    declared = record.declared
    moved = len(only) if only else len(plan.members)
    return {
        "schema": 1,
        "type": record.drill.type.value,
        "outcome": (record.drill.outcome or Outcome.PASSED).value,
        "members": len(plan.members),
        "moved": 0 if record.drill.type is DrillType.TABLETOP else moved,
        "declared": None if declared is None else iso(declared.at),
        "rto": asdict(rto) | {"resolution_seconds": plan.pace.interval_seconds},
        "rpo": asdict(rpo)
        | {
            "writes": _sum(losses),
            "resolution_seconds": plan.canary.interval_seconds,
            "members": [asdict(loss) for loss in losses],
        },
        "failback": asdict(_from_failback(record, "failed_back")),
        "reprotect": asdict(_from_failback(record, "reprotected")),
        "clean": record.last("clean") is not None or (not record.moves and not writes),
        "phases": phases_of(record),
        "clock_steps": [
            {"at": iso(step.at), "seconds": step.seconds}
            for step in clock_steps(entry.instant for entry in record.entries)
        ],
        "attempts": record.drill.attempt,
        "answers": {"count": len(answers), "digest": digest([_answer(a) for a in answers])},
        "writes": {
            "count": len(writes),
            "acknowledged": sum(w.acknowledged is not None for w in writes),
            "digest": digest([_write(w) for w in writes]),
        },
    }


def unproven_why(record: DrillRecord, plan: RecoveryPlan) -> str:
    """Why no target of this drill can be met, whatever was measured; '' if it can."""
    drill = record.drill
    if drill.type is DrillType.TABLETOP:
        return "a tabletop moves nothing and measures nothing"
    ended = {
        entry.phase: entry
        for entry in record.entries
        if entry.kind == "phase_ended" and entry.facts["event"] != "passed"
    }
    for phase in PHASES:
        if phase in ended:
            return f"phase {phase} {ended[phase].facts['event']}: {ended[phase].facts['why']}"
    if Phase.HELD in ended:
        return "the drill was held"
    if drill.outcome is not None:
        return f"the drill {drill.outcome}"
    if drill.only and len(drill.only) < len(plan.members):
        return f"only {len(drill.only)} of {len(plan.members)} members were moved"
    passed = {e.phase for e in record.entries if e.kind == "phase_ended"}
    missing = [phase for phase in PHASES[:-1] if phase not in passed]
    return f"phase {missing[0]} never ended" if missing else ""


def rto_of(
    record: DrillRecord,
    plan: RecoveryPlan,
    answers: Sequence[Answer],
    *,
    now: Instant,
    max_gap_seconds: float,
) -> Measured:
    """The recovery time, from the answers until the service was found proven."""
    validated = record.last("validated")
    ended = validated.instant if validated else _left_recovery(record) or now
    counted = answers_that_count(record, answers)
    seen = [answer for answer in counted if not _is_after(answer.instant, ended)]
    found = measure_rto(
        record.declared,
        seen,
        required={probe.name: probe.consecutive for probe in plan.probes},
        max_gap_seconds=max_gap_seconds,
        until=ended,
    )
    if validated is None and found.seconds is not None:
        return Measured(seconds=None, why="the service was never found proven")
    return found


def answers_that_count(record: DrillRecord, answers: Sequence[Answer]) -> list[Answer]:
    """The answers after the last member began to move: before, nothing had recovered yet.

    A standby that may be read answers well while it is one, and that proves nothing.
    """
    begun = [m.begun for m in record.moves if m.kind in _FORWARD and m.begun is not None]
    if not begun:
        return list(answers)
    last = max(begun, key=lambda instant: instant.ticks)
    return [answer for answer in answers if not _is_after(last, answer.instant)]


def losses_of(record: DrillRecord, plan: RecoveryPlan, writes: Sequence[CanaryWrite]) -> list[Loss]:
    """What each member lost that takes canary writes."""
    before = [write for write in writes if write.number < WORKLOAD]
    found = {
        str(entry.facts["member"]): entry.facts["ranges"]
        for entry in record.entries
        if entry.kind == "recovered"
    }
    only = record.drill.only
    members = [name for name in plan.canary.members if not only or name in only]
    return [measure_loss(name, before, _numbers(found.get(name))) for name in members]


def _numbers(ranges: Sequence[Sequence[int]] | None) -> list[int] | None:
    if ranges is None:
        return None
    return Ranges(pairs=tuple((int(pair[0]), int(pair[1])) for pair in ranges)).numbers


def _is_after(instant: Instant, end: Instant) -> bool:
    passed = elapsed(end, instant)
    return passed is not None and passed > 0


def _left_recovery(record: DrillRecord) -> Instant | None:
    """When the drill turned back."""
    for entry in record.entries:
        if entry.kind == "phase_ended" and entry.facts.get("to") in (Phase.FAILBACK, Phase.HELD):
            return entry.instant
    return None


def _from_failback(record: DrillRecord, kind: str) -> Measured:
    """Seconds from the beginning of the failback to an entry of this kind."""
    end = record.last(kind)
    start = next(
        (e for e in record.entries if e.kind == "phase_started" and e.phase is Phase.FAILBACK),
        None,
    )
    if start is None or end is None:
        return Measured(seconds=None, why="it was not seen")
    passed = elapsed(start.instant, end.instant)
    if passed is None:
        return Measured(seconds=None, why="the machine restarted in between")
    return Measured(seconds=passed, why="from the beginning of the failback")


def phases_of(record: DrillRecord) -> list[dict[str, Any]]:
    """Every phase in the order it was gone through, with both times of its begin and end."""
    found: list[dict[str, Any]] = []
    begun: DrillEntry | None = next((e for e in record.entries if e.kind == "opened"), None)
    for entry in record.entries:
        if entry.kind == "phase_started":
            begun = entry
        if entry.kind != "phase_ended" or begun is None:
            continue
        found.append(
            {
                "phase": entry.phase.value,
                "begun": iso(begun.instant.at),
                "ended": iso(entry.instant.at),
                "seconds": elapsed(begun.instant, entry.instant),
                "event": entry.facts["event"],
                "why": entry.facts["why"],
            }
        )
    return found


def _sum(losses: Sequence[Loss]) -> int | None:
    known = [loss.lost for loss in losses if loss.lost is not None]
    return sum(known) if losses and len(known) == len(losses) else None


def _stamp(instant: Instant | None) -> list[str] | None:
    return None if instant is None else [iso(instant.at), str(instant.ticks), instant.boot]


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "probe": answer.probe,
        "phase": answer.phase,
        "health": answer.health.value,
        "why": answer.why,
        "instant": _stamp(answer.instant),
    }


def _write(write: CanaryWrite) -> dict[str, Any]:
    return {
        "member": write.member,
        "number": write.number,
        "attempted": _stamp(write.attempted),
        "acknowledged": _stamp(write.acknowledged),
    }
