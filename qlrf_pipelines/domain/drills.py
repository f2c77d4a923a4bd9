"""Drills: seven phases as a state table, and the rows a drill leaves behind.

A drill is a durable row; a process is only an attempt at taking it further. Whatever happens, the
way out leads through failback: nothing ends while something may still be live where it should not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.measurement import Instant
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrillType


class Phase(StrEnum):
    """Where a drill stands: one of seven phases, held for a human, or closed."""

    VALIDATION = "validation"
    ISOLATION = "isolation"
    FAILOVER = "failover"
    SERVICE_VALIDATION = "service_validation"
    WORKLOAD = "workload"
    FAILBACK = "failback"
    REPORTING = "reporting"
    HELD = "held"
    CLOSED = "closed"


class DrillEvent(StrEnum):
    """How a phase ends, or what a human says to a drill that is held."""

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    RESUMED = "resumed"
    RELEASED = "released"


class Outcome(StrEnum):
    """How a drill ended."""

    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"


_P, _E = Phase, DrillEvent
PHASES = (
    _P.VALIDATION,
    _P.ISOLATION,
    _P.FAILOVER,
    _P.SERVICE_VALIDATION,
    _P.WORKLOAD,
    _P.FAILBACK,
    _P.REPORTING,
)
# Once one of these began, something may have been changed, and only failback leads out.
TOUCHING = (_P.ISOLATION, _P.FAILOVER, _P.SERVICE_VALIDATION, _P.WORKLOAD)

NEXT: Mapping[tuple[Phase, DrillEvent], Phase] = {
    (_P.VALIDATION, _E.PASSED): _P.ISOLATION,
    (_P.VALIDATION, _E.FAILED): _P.REPORTING,
    (_P.VALIDATION, _E.ABORTED): _P.REPORTING,
    (_P.ISOLATION, _E.PASSED): _P.FAILOVER,
    (_P.FAILOVER, _E.PASSED): _P.SERVICE_VALIDATION,
    (_P.SERVICE_VALIDATION, _E.PASSED): _P.WORKLOAD,
    (_P.WORKLOAD, _E.PASSED): _P.FAILBACK,
    **{(phase, _E.FAILED): _P.FAILBACK for phase in TOUCHING},
    **{(phase, _E.ABORTED): _P.FAILBACK for phase in TOUCHING},
    **{(phase, _E.UNKNOWN): _P.HELD for phase in TOUCHING},
    (_P.FAILBACK, _E.PASSED): _P.REPORTING,
    (_P.FAILBACK, _E.ABORTED): _P.FAILBACK,
    (_P.FAILBACK, _E.FAILED): _P.HELD,
    (_P.FAILBACK, _E.UNKNOWN): _P.HELD,
    (_P.HELD, _E.RESUMED): _P.FAILBACK,
    (_P.HELD, _E.ABORTED): _P.FAILBACK,
    (_P.HELD, _E.RELEASED): _P.REPORTING,
    (_P.REPORTING, _E.PASSED): _P.CLOSED,
}


class MoveState(StrEnum):
    """How far one move of one member is; refused means that the member has no such move."""

    PLANNED = "planned"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRow:
    """One move of one member in one drill, as far as it is."""

    token: str
    member: str
    kind: MoveKind
    test: bool
    state: MoveState = MoveState.PLANNED
    detail: str = ""
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    begun: Instant | None = None
    ended: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillEntry:
    """Something that happened in a drill; `number` counts from 1 within the drill."""

    number: int
    phase: Phase
    kind: str
    instant: Instant
    attempt: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A drill's row.

    `document` is the plan that was approved, and `digest` its digest. `attempt` and `holder` are
    the process that may take it further: a step of an older attempt is refused. `abort` is who
    wants it to stop and why; `waiting` is what a person has to do before it goes on.
    """

    tenant: TenantId
    id: str
    plan: str
    application: str
    type: DrillType
    phase: Phase
    document: Mapping[str, Any]
    digest: str
    requested_by: str
    requested_at: datetime
    changed_at: datetime
    only: tuple[str, ...] = ()
    task: str = ""
    attempt: int = 0
    holder: str = ""
    abort: str = ""
    waiting: str = ""
    outcome: Outcome | None = None
    result: Mapping[str, Any] | None = None
    seq: int = 0

    @property
    def test(self) -> bool:
        """Whether the primary keeps serving while the recovery side is tried in isolation."""
        return self.type is DrillType.TEST_FAILOVER


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRecord:
    """A drill with everything that happened and everything that was moved."""

    drill: Drill
    entries: tuple[DrillEntry, ...] = ()
    moves: tuple[MoveRow, ...] = ()

    def last(self, kind: str) -> DrillEntry | None:
        """The newest entry of a kind."""
        return next((one for one in reversed(self.entries) if one.kind == kind), None)

    @property
    def declared(self) -> Instant | None:
        """When the incident was declared; None before that."""
        found = self.last("declared")
        return None if found is None else found.instant

    @property
    def ended_as(self) -> Mapping[Phase, str]:
        """How each phase that ended did so the last time."""
        return {e.phase: str(e.facts["event"]) for e in self.entries if e.kind == "phase_ended"}

    def move(self, token: str) -> MoveRow | None:
        """The move of a token."""
        return next((move for move in self.moves if move.token == token), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStep:
    """One step of one drill, kept whole or not at all; `evidence` goes into the ledger."""

    drill: Drill
    entries: tuple[DrillEntry, ...] = ()
    moves: tuple[MoveRow, ...] = ()

    @property
    def evidence(self) -> tuple[NewEntry, ...]:
        """What happened, as the ledger keeps it, with both clocks."""
        return tuple(_evidence(self.drill, entry) for entry in self.entries)


def advance(phase: Phase, event: DrillEvent, *, drill: str = "") -> Phase:
    """The phase after an event.

    Raises:
        Refused: nothing like that can happen to a drill in this phase.
    """
    found = NEXT.get((phase, event))
    if found is None:
        raise Refused(f"Drill {drill or '?'} is in {phase}, so it cannot be {event}.")
    return found


def _evidence(drill: Drill, entry: DrillEntry) -> NewEntry:
    return NewEntry(
        kind=f"drill_{entry.kind}",
        subject=drill.id,
        recorded_at=entry.instant.at,
        content={
            "application": drill.application,
            "plan": drill.plan,
            "type": drill.type.value,
            "digest": drill.digest,
            "phase": entry.phase.value,
            "number": entry.number,
            "attempt": entry.attempt,
            # As text: nanoseconds are more than canonical JSON lets a number be.
            "ticks": str(entry.instant.ticks),
            "boot": entry.instant.boot,
            **entry.facts,
        },
    )
