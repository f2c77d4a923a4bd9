"""A drill as people and programs read it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.drills import Drill, DrillRecord, Phase
from qlrf_pipelines.domain.measurement import Instant, elapsed
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.services.drills import Due, targets_of

COLUMNS = ("tenant", "id", "application", "type", "phase", "outcome", "rto", "rpo", "changed_at",
           "note")  # fmt: skip
DUE_COLUMNS = ("tenant", "plan", "application", "tier", "type", "proven_at", "due_at", "due",
               "running")  # fmt: skip
_TOLD = ("opened", "taken", "phase_ended", "declared", "validated", "recovered", "failed_back",
         "reprotected", "clean", "signed", "waiting", "abort_asked", "move_begun",
         "move_told")  # fmt: skip


def drill_facts(drill: Drill) -> dict[str, Any]:
    """A drill as one row."""
    targets = targets_of(drill)
    return {
        "tenant": drill.tenant,
        "id": drill.id,
        "plan": drill.plan,
        "application": drill.application,
        "type": drill.type.value,
        "phase": drill.phase.value,
        "outcome": drill.outcome.value if drill.outcome else None,
        "rto": targets["rto"] if drill.phase is Phase.CLOSED else None,
        "rpo": targets["rpo"] if drill.phase is Phase.CLOSED else None,
        "requested_by": drill.requested_by,
        "requested_at": drill.requested_at,
        "changed_at": drill.changed_at,
        "attempt": drill.attempt,
        "note": drill.waiting or drill.abort,
    }


def due_facts(due: Due) -> dict[str, Any]:
    """A plan and when it must be drilled, as one row."""
    return {
        "tenant": due.tenant,
        "plan": due.plan.name,
        "application": due.plan.application,
        "tier": due.plan.tier,
        "type": due.plan.type.value,
        "last": due.last.id if due.last else None,
        "proven_at": due.proven_at,
        "due_at": due.due_at,
        "due": due.due,
        "running": due.running or None,
    }


def record_facts(record: DrillRecord) -> dict[str, Any]:
    """A drill with everything that happened, as JSON."""
    return drill_facts(record.drill) | {
        "digest": record.drill.digest,
        "only": list(record.drill.only),
        "document": dict(record.drill.document),
        "result": record.drill.result,
        "live": live_of(record),
        "moves": [
            {
                "member": move.member,
                "move": move.kind.value,
                "state": move.state.value,
                "detail": move.detail,
                "begun": move.begun.at if move.begun else None,
                "ended": move.ended.at if move.ended else None,
                "seconds": _between(move.begun, move.ended),
            }
            for move in record.moves
        ],
        "timeline": timeline(record),
    }


def live_of(record: DrillRecord) -> Mapping[str, Any]:
    """What was live where when it was last written down."""
    found = [e.facts["live"] for e in record.entries if "live" in e.facts]
    return dict(found[-1]) if found else {}


def timeline(record: DrillRecord) -> list[dict[str, Any]]:
    """What happened when, with seconds since the incident was declared."""
    zero = record.declared
    return [
        {
            "at": entry.instant.at,
            "seconds": None if zero is None else _since(zero, entry.instant),
            "phase": entry.phase.value,
            "what": entry.kind,
            "detail": said(entry.kind, entry.facts),
        }
        for entry in record.entries
        if entry.kind in _TOLD
    ]


def said(kind: str, facts: Mapping[str, Any]) -> str:
    """One entry in a few words."""
    if kind in ("move_begun", "move_told"):
        detail = f": {facts['detail']}" if facts["detail"] else ""
        return f"{facts['member']} {facts['move']} {facts['state']}{detail}"
    if kind == "phase_ended":
        why = f" ({facts['why']})" if facts["why"] else ""
        return f"{facts['event']}{why}, then {facts['to']}"
    if kind == "recovered":
        ranges = facts["ranges"]
        if ranges is None:
            return f"{facts['member']}: not read ({facts['why']})"
        return f"{facts['member']}: {', '.join(f'{a}-{b}' for a, b in ranges) or 'nothing'}"
    chosen = ("by", "what", "step", "reason", "holder")
    return ", ".join(str(facts[name]) for name in chosen if facts.get(name))


def shown(record: DrillRecord) -> str:
    """A drill for the screen."""
    return "\n".join(_lines(record))


def _lines(record: DrillRecord) -> Iterator[str]:
    drill = record.drill
    outcome = f", {drill.outcome}" if drill.outcome else ""
    yield f"Drill {drill.id} of {drill.application} ({drill.tenant}): {drill.type}"
    yield f"  Phase      {drill.phase}{outcome}, attempt {drill.attempt}"
    yield f"  Plan       {drill.plan}, digest {drill.digest[:12]}"
    yield f"  Asked by   {drill.requested_by} at {iso(drill.requested_at, digits=False)}"
    if drill.only:
        yield f"  Members    {', '.join(drill.only)}"
    if drill.waiting:
        yield f"  Waits for  {drill.waiting}"
    if drill.abort:
        yield f"  Aborted    {drill.abort}"
    if drill.phase is Phase.HELD:
        yield "  HELD: it could not be brought back. What is live where:"
        for member, sides in live_of(record).items():
            yield f"    {member}: primary {sides['primary']}, recovery {sides['recovery']}"
        yield "  Mend it, then: qlrf drills resume, or after bringing it back: qlrf drills release"
    if drill.result is not None:
        yield from result_lines(drill.result)
    yield "  Timeline (seconds since the incident was declared)"
    for row in timeline(record):
        at = "       -" if row["seconds"] is None else f"{row['seconds']:8.2f}"
        yield f"    {at}  {row['phase']:<18} {row['what']:<12} {row['detail']}".rstrip()


def result_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """What was measured, against what was promised."""
    for name, word in (("rto", "RTO"), ("rpo", "RPO")):
        one = result[name]
        yield (
            f"  {word}        {seconds(one['seconds'])} of {seconds(one['target'])}: "
            f"{str(one['verdict']).upper()} ({one['why']})"
        )
    rpo = result["rpo"]
    lost = "not known" if rpo["writes"] is None else f"{rpo['writes']} acknowledged writes"
    yield f"  Lost       {lost}"
    yield f"  Failback   {seconds(result['failback']['seconds'])}"
    yield f"  Reprotect  {seconds(result['reprotect']['seconds'])}"
    yield f"  Left over  {'nothing' if result['clean'] else 'not proven to be nothing'}"
    for step in result["clock_steps"]:
        yield f"  The wall clock stepped by {step['seconds']} s before {step['at']}"


def seconds(value: object) -> str:
    """Seconds, or that there are none."""
    return f"{float(str(value)):.2f} s" if value is not None else "nothing"


def _since(start: Instant, end: Instant) -> float | None:
    forward = elapsed(start, end)
    if forward is not None:
        return forward
    back = elapsed(end, start)
    return None if back is None else -back


def _between(start: Instant | None, end: Instant | None) -> float | None:
    return None if start is None or end is None else elapsed(start, end)


def rows_of(records: Sequence[DrillRecord]) -> list[dict[str, Any]]:
    """Several drills as rows."""
    return [drill_facts(record.drill) for record in records]
