"""The steps of a drill, each a pure function from what is kept to what to keep next.

They run under the drill's lock. A step of a process that was taken over is refused: its attempt is
not the drill's any more.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.drills import (
    Drill,
    DrillEntry,
    DrillEvent,
    DrillRecord,
    DrillStep,
    MoveRow,
    MoveState,
    Outcome,
    Phase,
    advance,
)
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.measurement import Instant
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.roles import Role, person


def entry(
    record: DrillRecord,
    kind: str,
    now: Instant,
    **facts: Any,  # noqa: ANN401
) -> DrillEntry:
    """The next entry of a drill."""
    return DrillEntry(
        number=len(record.entries) + 1,
        phase=record.drill.phase,
        kind=kind,
        instant=now,
        attempt=record.drill.attempt,
        facts=facts,
    )


def opened(drill: Drill, now: Instant, **facts: Any) -> DrillStep:  # noqa: ANN401
    """A drill is asked for."""
    first = entry(
        DrillRecord(drill=drill),
        "opened",
        now,
        by=drill.requested_by,
        only=list(drill.only),
        **facts,
    )
    return DrillStep(drill=drill, entries=(first,))


def taken(record: DrillRecord, *, holder: str, now: Instant) -> DrillStep | None:
    """A process takes the drill further; the one before it can do nothing any more.

    Raises:
        Refused: the drill is closed.
    """
    drill = record.drill
    if drill.phase is Phase.CLOSED:
        raise Refused(f"Drill {drill.id} is closed; start another one.")
    if drill.holder == holder:
        return None
    fresh = replace(drill, attempt=drill.attempt + 1, holder=holder, changed_at=now.at)
    seen = replace(record, drill=fresh)
    return DrillStep(drill=fresh, entries=(entry(seen, "taken", now, holder=holder),))


def mine(record: DrillRecord, attempt: int) -> DrillRecord:
    """The record, if this attempt may still change it.

    Raises:
        Refused: another process took the drill over.
    """
    if record.drill.attempt != attempt:
        raise Refused(
            f"Drill {record.drill.id} was taken over by {record.drill.holder} "
            f"(attempt {record.drill.attempt}, this is {attempt}): nothing was done."
        )
    return record


def noted(record: DrillRecord, kind: str, now: Instant, **facts: Any) -> DrillStep:  # noqa: ANN401
    """Something happened that changes no phase."""
    changed = replace(record.drill, changed_at=now.at)
    return DrillStep(drill=changed, entries=(entry(record, kind, now, **facts),))


def ended(
    record: DrillRecord,
    event: DrillEvent,
    now: Instant,
    *,
    why: str = "",
    **facts: Any,  # noqa: ANN401
) -> DrillStep:
    """A phase ends, and the next one begins.

    Raises:
        Refused: nothing like that can happen in this phase.
    """
    drill = record.drill
    phase = advance(drill.phase, event, drill=drill.id)
    end = entry(record, "phase_ended", now, event=event.value, why=why, to=phase.value, **facts)
    changed = replace(
        drill, phase=phase, outcome=_outcome(drill, event), waiting="", changed_at=now.at
    )
    after = DrillRecord(drill=changed, entries=(*record.entries, end))
    begin = entry(after, "phase_started", now)
    return DrillStep(drill=changed, entries=(end, begin))


def _outcome(drill: Drill, event: DrillEvent) -> Outcome | None:
    """The worst that was ever said of it stays."""
    if event is DrillEvent.ABORTED and drill.outcome is None:
        return Outcome.ABORTED
    if event in (DrillEvent.FAILED, DrillEvent.UNKNOWN):
        return Outcome.FAILED
    return drill.outcome


def closed(record: DrillRecord, now: Instant, *, result: dict[str, Any]) -> DrillStep:
    """The report is written, and the drill is over."""
    done = ended(record, DrillEvent.PASSED, now)
    outcome = record.drill.outcome or Outcome.PASSED
    last = replace(done.drill, outcome=outcome, result=result)
    after = DrillRecord(drill=last, entries=(*record.entries, *done.entries))
    report = entry(after, "report", now, outcome=outcome.value, result=result)
    return replace(done, drill=last, entries=(*done.entries, report))


def abort_asked(
    record: DrillRecord, now: Instant, *, by: str, role: Role, reason: str
) -> DrillStep | None:
    """Somebody wants a drill to stop; whoever drives it brings everything back.

    Raises:
        Refused: it is closed, or this person may not.
        Rejected: the reason is missing.
    """
    drill = record.drill
    if not reason.strip():
        raise Rejected("An abort needs a reason; give one with --reason.")
    if role.rank < Role.OPERATOR.rank:
        raise Refused(f"{by} is {role}: a drill is aborted by an operator or higher.")
    if drill.phase in (Phase.CLOSED, Phase.REPORTING):
        raise Refused(f"Drill {drill.id} is in {drill.phase}: nothing is left to abort.")
    if drill.abort:
        return None
    changed = replace(drill, abort=f"{by}: {reason.strip()}", waiting="", changed_at=now.at)
    asked = entry(record, "abort_asked", now, by=by, role=role.value, reason=reason.strip())
    return DrillStep(drill=changed, entries=(asked,))


def answered(
    record: DrillRecord, event: DrillEvent, now: Instant, *, by: str, role: Role, reason: str
) -> DrillStep:
    """Somebody says how a held drill goes on: resumed, or released because they brought it back.

    Raises:
        Refused: it is not held, or this person may not.
        Rejected: the reason is missing.
    """
    drill = record.drill
    if not reason.strip():
        raise Rejected(f"A drill is {event} for a reason; give one with --reason.")
    if drill.phase is not Phase.HELD:
        raise Refused(f"Drill {drill.id} is in {drill.phase}, not held.")
    need = Role.ADMIN if event is DrillEvent.RELEASED else Role.ENGINEER
    if role.rank < need.rank:
        raise Refused(f"{by} is {role}: a held drill is {event} by {need} or higher.")
    return ended(record, event, now, why=reason.strip(), by=by, role=role.value)


def signed(
    record: DrillRecord, now: Instant, *, step: str, by: str, role: Role, need: Role, note: str
) -> DrillStep | None:
    """Somebody signs a manual step of the runbook; signed twice, it is signed once.

    Raises:
        Refused: the drill is over, or this person may not.
    """
    if record.drill.phase is Phase.CLOSED:
        raise Refused(f"Drill {record.drill.id} is closed; nothing of it is signed any more.")
    if role.rank < need.rank:
        raise Refused(f"{by} is {role}: step {step} is signed by {need} or higher.")
    if not person(by):
        raise Rejected("Somebody must sign; give a name with --as.")
    if step in signatures(record):
        return None
    changed = replace(record.drill, waiting="", changed_at=now.at)
    word = entry(record, "signed", now, step=step, by=by, role=role.value, note=note)
    return DrillStep(drill=changed, entries=(word,))


def signatures(record: DrillRecord) -> dict[str, str]:
    """Who signed which manual step."""
    return {
        str(one.facts["step"]): str(one.facts["by"])
        for one in record.entries
        if one.kind == "signed"
    }


def waits(record: DrillRecord, now: Instant, *, why: str) -> DrillStep | None:
    """A person has to do something before it goes on; no process waits for that."""
    if record.drill.waiting == why:
        return None
    changed = replace(record.drill, waiting=why, changed_at=now.at)
    return DrillStep(drill=changed, entries=(entry(record, "waiting", now, what=why),))


def token_of(drill: str, member: str, kind: MoveKind, round_: int = 0) -> str:
    """The name of a move for ever: the same again is the same move.

    A failback tried again after a human looked is another round: the last one is over.
    """
    again = f"\0{round_}" if round_ else ""
    return hashlib.sha256(f"{drill}\0{member}\0{kind}{again}".encode()).hexdigest()


def move_begun(record: DrillRecord, moves: Sequence[MoveRow], now: Instant) -> DrillStep:
    """Moves are about to be asked for: kept before anything is touched."""
    begun = tuple(replace(m, state=MoveState.RUNNING, begun=m.begun or now) for m in moves)
    return _moved(record, begun, now, "move_begun")


def move_told(record: DrillRecord, moves: Sequence[MoveRow], now: Instant) -> DrillStep:
    """What adapters said of moves; those that are over get their end."""
    told = tuple(m if m.state is MoveState.RUNNING else replace(m, ended=now) for m in moves)
    return _moved(record, told, now, "move_told")


def _moved(record: DrillRecord, moves: tuple[MoveRow, ...], now: Instant, kind: str) -> DrillStep:
    entries: list[DrillEntry] = []
    for move in moves:
        seen = replace(record, entries=(*record.entries, *entries))
        facts = {
            "token": move.token,
            "member": move.member,
            "move": move.kind.value,
            "test": move.test,
            "state": move.state.value,
            "detail": move.detail,
            "checkpoint": dict(move.checkpoint),
        }
        entries.append(entry(seen, kind, now, **facts))
    changed = replace(record.drill, changed_at=now.at)
    return DrillStep(drill=changed, entries=tuple(entries), moves=moves)
