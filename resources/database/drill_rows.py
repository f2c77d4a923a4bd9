"""Drills as rows and back."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from qlrf_pipelines.domain.canonical import canonical
from qlrf_pipelines.domain.drills import (
    Drill,
    DrillEntry,
    MoveRow,
    MoveState,
    Outcome,
    Phase,
)
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrillType
from resources.database.ledger import number

Row = Mapping[str, Any]


def _text(value: Mapping[str, Any]) -> str:
    return canonical(dict(value)).decode()


def _json(text: str) -> Any:  # noqa: ANN401
    return json.loads(text, parse_int=number)


def drill_row(drill: Drill) -> dict[str, Any]:
    """A drill as a row."""
    return {
        "tenant": drill.tenant,
        "id": drill.id,
        "plan": drill.plan,
        "application": drill.application,
        "type": drill.type.value,
        "phase": drill.phase.value,
        "document": _text(drill.document),
        "digest": drill.digest,
        "requested_by": drill.requested_by,
        "requested_at": drill.requested_at,
        "changed_at": drill.changed_at,
        "only_members": json.dumps(list(drill.only)),
        "task": drill.task,
        "attempt": drill.attempt,
        "holder": drill.holder,
        "abort": drill.abort,
        "waiting": drill.waiting,
        "outcome": None if drill.outcome is None else drill.outcome.value,
        "result": None if drill.result is None else _text(drill.result),
        "seq": drill.seq,
    }


def drill_of(row: Row) -> Drill:
    """A row as a drill."""
    return Drill(
        tenant=TenantId(row["tenant"]),
        id=row["id"],
        plan=row["plan"],
        application=row["application"],
        type=DrillType(row["type"]),
        phase=Phase(row["phase"]),
        document=_json(row["document"]),
        digest=row["digest"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"].astimezone(UTC),
        changed_at=row["changed_at"].astimezone(UTC),
        only=tuple(json.loads(row["only_members"])),
        task=row["task"],
        attempt=row["attempt"],
        holder=row["holder"],
        abort=row["abort"],
        waiting=row["waiting"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        result=None if row["result"] is None else _json(row["result"]),
        seq=row["seq"],
    )


def entry_row(tenant: TenantId, drill: str, entry: DrillEntry) -> dict[str, Any]:
    """An entry as a row."""
    return {
        "tenant": tenant,
        "drill": drill,
        "number": entry.number,
        "phase": entry.phase.value,
        "kind": entry.kind,
        "attempt": entry.attempt,
        "facts": _text(entry.facts),
        **_moment("", entry.instant),
    }


def entry_of(row: Row) -> DrillEntry:
    """A row as an entry."""
    return DrillEntry(
        number=row["number"],
        phase=Phase(row["phase"]),
        kind=row["kind"],
        instant=_instant(row),
        attempt=row["attempt"],
        facts=_json(row["facts"]),
    )


def move_row(tenant: TenantId, drill: str, move: MoveRow) -> dict[str, Any]:
    """A move as a row."""
    return {
        "tenant": tenant,
        "drill": drill,
        "token": move.token,
        "member": move.member,
        "kind": move.kind.value,
        "test": move.test,
        "state": move.state.value,
        "detail": move.detail,
        "checkpoint": _text(move.checkpoint),
        **_moment("begun_", move.begun),
        **_moment("ended_", move.ended),
    }


def move_of(row: Row) -> MoveRow:
    """A row as a move."""
    return MoveRow(
        token=row["token"],
        member=row["member"],
        kind=MoveKind(row["kind"]),
        test=row["test"],
        state=MoveState(row["state"]),
        detail=row["detail"],
        checkpoint=_json(row["checkpoint"]),
        begun=None if row["begun_at"] is None else _instant(row, "begun_"),
        ended=None if row["ended_at"] is None else _instant(row, "ended_"),
    )


def answer_row(tenant: TenantId, drill: str, answer: Answer) -> dict[str, Any]:
    """A probe's answer as a row."""
    return {
        "tenant": tenant,
        "drill": drill,
        "phase": answer.phase,
        "probe": answer.probe,
        "health": answer.health.value,
        "why": answer.why,
        **_moment("", answer.instant),
    }


def answer_of(row: Row) -> Answer:
    """A row as a probe's answer."""
    return Answer(
        probe=row["probe"],
        health=Health(row["health"]),
        instant=_instant(row),
        why=row["why"],
        phase=row["phase"],
    )


def write_rows(tenant: TenantId, drill: str, write: CanaryWrite) -> list[dict[str, Any]]:
    """A write as the rows of its steps."""
    steps = {"attempted": write.attempted, "acknowledged": write.acknowledged}
    return [
        {
            "tenant": tenant,
            "drill": drill,
            "member": write.member,
            "number": write.number,
            "step": step,
            **_moment("", instant),
        }
        for step, instant in steps.items()
        if instant is not None
    ]


def writes_of(rows: Iterable[Row]) -> list[CanaryWrite]:
    """Rows of steps as writes, by member and number."""
    found: dict[tuple[str, int], dict[str, Instant]] = {}
    for row in rows:
        found.setdefault((row["member"], row["number"]), {})[row["step"]] = _instant(row)
    return [
        CanaryWrite(
            member=member,
            number=place,
            attempted=steps["attempted"],
            acknowledged=steps.get("acknowledged"),
        )
        for (member, place), steps in sorted(found.items())
    ]


def _moment(prefix: str, instant: Instant | None) -> dict[str, Any]:
    return {
        f"{prefix}at": None if instant is None else instant.at,
        f"{prefix}ticks": None if instant is None else instant.ticks,
        f"{prefix}boot": None if instant is None else instant.boot,
    }


def _instant(row: Row, prefix: str = "") -> Instant:
    return Instant(
        at=row[f"{prefix}at"].astimezone(UTC),
        ticks=row[f"{prefix}ticks"],
        boot=row[f"{prefix}boot"],
    )
