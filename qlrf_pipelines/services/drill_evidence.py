"""The evidence of one drill as one JSON document: enough to measure again without the database."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.approval import Decision
from qlrf_pipelines.domain.drill_steps import signatures
from qlrf_pipelines.domain.drills import DrillEntry, DrillRecord
from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant, Ranges, elapsed
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery_plans import plan_of
from qlrf_pipelines.domain.tasks import Record
from qlrf_pipelines.services.drill_rows import (
    leftovers_of,
    proven_members,
    spans_of,
    validated_members,
)
from qlrf_pipelines.services.drill_watching import WORKLOAD

FORMAT = "qlrf-drill-report/1"

Document = dict[str, Any]


def evidence_of(
    record: DrillRecord,
    *,
    answers: Sequence[Answer],
    writes: Sequence[CanaryWrite],
    task: Record | None,
    ledger: Sequence[Entry],
) -> Document:
    """Everything a closed drill left, as JSON.

    What is said or written later (a review, an alarm) is no part of it: it never changes.
    """
    drill = record.drill
    return {
        "format": FORMAT,
        "drill": {
            "tenant": drill.tenant,
            "id": drill.id,
            "application": drill.application,
            "plan": drill.plan,
            "plan_digest": drill.digest,
            "type": drill.type.value,
            "only": list(drill.only),
            "outcome": None if drill.outcome is None else drill.outcome.value,
            "abort": drill.abort,
            "requested_by": drill.requested_by,
            "requested_at": iso(drill.requested_at),
            "declared": _stamp(record.declared),
            "closed_at": iso(drill.changed_at),
            "attempts": drill.attempt,
        },
        "plan": dict(drill.document),
        "result": dict(drill.result or {}),
        "timeline": timeline_of(record),
        "moves": _moves(record),
        "members": _members(record),
        "probes": _probes(record, answers),
        "sequences": sequences_of(record, writes),
        "approvals": approvals_of(task, until=drill.changed_at),
        "sign_offs": _sign_offs(record),
        "leftovers": leftovers_of(record),
        "clean": record.last("clean") is not None or (drill.result or {}).get("clean") is True,
        "events": [_event(entry) for entry in record.entries],
        "answers": [_answer(one) for one in answers],
        "writes": [_write(one) for one in writes],
        "ledger": [
            {"seq": one.seq, "kind": one.kind, "hash": one.hash, "at": iso(one.recorded_at)}
            for one in ledger
            if one.seq <= drill.seq
        ],
    }


def timeline_of(record: DrillRecord) -> list[Document]:
    """The phases with their moments and, from the first of them on, seconds."""
    origin = record.entries[0].instant if record.entries else None
    return [
        {
            "phase": span.phase.value,
            "begun": _stamp(span.begun.instant),
            "ended": None if span.ended is None else _stamp(span.ended.instant),
            "begin_seconds": _between(origin, span.begun.instant),
            "end_seconds": None if span.ended is None else _between(origin, span.ended.instant),
            "seconds": span.seconds,
            "event": span.event,
            "why": span.reason,
            "attempts": span.attempts,
        }
        for span in spans_of(record)
    ]


def _moves(record: DrillRecord) -> list[Document]:
    rows = [row for row in record.moves if row.begun is not None]
    return [
        {
            "member": row.member,
            "move": row.kind.value,
            "test": row.test,
            "state": row.state.value,
            "detail": row.detail,
            "begun": _stamp(row.begun),
            "ended": _stamp(row.ended),
            "seconds": _between(row.begun, row.ended),
        }
        for row in sorted(rows, key=lambda row: row.begun.ticks if row.begun else 0)
    ]


def _members(record: DrillRecord) -> list[Document]:
    seen, proven = validated_members(record), proven_members(record)
    return [
        {
            "member": member.name,
            "adapter": member.adapter,
            "proven": member.name in proven,
            "before": dict(seen.get(member.name, {})),
        }
        for member in plan_of(record.drill.document).members
    ]


def _probes(record: DrillRecord, answers: Sequence[Answer]) -> list[Document]:
    plan = plan_of(record.drill.document)
    origin = record.entries[0].instant if record.entries else None
    return [
        {
            "probe": probe.name,
            "type": probe.type.value,
            "consecutive": probe.consecutive,
            **_counts(mine := [one for one in answers if one.probe == probe.name]),
            "runs": runs_of(mine, origin),
        }
        for probe in plan.probes
    ]


def _counts(answers: Sequence[Answer]) -> dict[str, int]:
    return {health.value: sum(one.health is health for one in answers) for health in Health}


def runs_of(answers: Sequence[Answer], origin: Instant | None) -> list[Document]:
    """Answers in a row that said the same, as one stretch of time."""
    found: list[Document] = []
    for one in answers:
        second = _between(origin, one.instant)
        if found and found[-1]["health"] == one.health.value:
            found[-1] |= {"last_seconds": second, "answers": found[-1]["answers"] + 1}
            continue
        found.append(
            {
                "health": one.health.value,
                "first_seconds": second,
                "last_seconds": second,
                "answers": 1,
                "why": one.why,
            }
        )
    return found


def sequences_of(record: DrillRecord, writes: Sequence[CanaryWrite]) -> list[Document]:
    """Per member: what was written, what was confirmed, what arrived, what is gone."""
    told = (record.drill.result or {}).get("rpo", {}).get("members", [])
    losses = {str(loss["member"]): loss for loss in told}
    read = {str(e.facts["member"]): e.facts for e in record.entries if e.kind == "recovered"}
    before = [one for one in writes if one.number < WORKLOAD]
    names = sorted({*losses, *read, *(one.member for one in before)})
    return [
        {
            "member": name,
            "written": _ranges(one.number for one in before if one.member == name),
            "acknowledged": _ranges(
                one.number for one in before if one.member == name and one.acknowledged is not None
            ),
            "recovered": read.get(name, {}).get("ranges"),
            "recovered_why": read.get(name, {}).get("why", "the recovery side was never read"),
            "loss": dict(losses[name]) if name in losses else None,
            "workload": sum(one.member == name and one.number >= WORKLOAD for one in writes),
        }
        for name in names
    ]


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    return [list(pair) for pair in Ranges.of(numbers).pairs]


def approvals_of(task: Record | None, *, until: datetime) -> Document:
    """Who decided about what, and whether it was this very document."""
    if task is None:
        return {"task": None, "digest": None, "decisions": []}
    return {
        "task": task.task.id,
        "digest": task.task.digest,
        "quorum": task.task.requirement.quorum,
        "role": task.task.requirement.role.value,
        "decisions": [_decision(one) for one in task.decisions if one.at <= until],
    }


def _decision(one: Decision) -> Document:
    return {
        "by": one.by,
        "role": one.role.value,
        "kind": one.kind.value,
        "at": iso(one.at),
        "digest": one.digest,
        "revision": one.revision,
        "reason": one.reason,
    }


def _sign_offs(record: DrillRecord) -> list[Document]:
    signed = {str(e.facts["step"]): e for e in record.entries if e.kind == "signed"}
    names = signatures(record)
    return [
        {
            "step": step.name,
            "phase": step.phase,
            "text": step.text,
            "needs": step.role.value,
            "by": names.get(step.name),
            "role": signed[step.name].facts["role"] if step.name in signed else None,
            "at": iso(signed[step.name].instant.at) if step.name in signed else None,
            "note": signed[step.name].facts["note"] if step.name in signed else "",
        }
        for step in plan_of(record.drill.document).runbook
    ]


def _event(entry: DrillEntry) -> Document:
    return {
        "number": entry.number,
        "phase": entry.phase.value,
        "kind": entry.kind,
        "instant": _stamp(entry.instant),
        "attempt": entry.attempt,
        "facts": dict(entry.facts),
    }


def _answer(one: Answer) -> Document:
    return {
        "probe": one.probe,
        "phase": one.phase,
        "health": one.health.value,
        "why": one.why,
        "instant": _stamp(one.instant),
    }


def _write(one: CanaryWrite) -> Document:
    return {
        "member": one.member,
        "number": one.number,
        "attempted": _stamp(one.attempted),
        "acknowledged": _stamp(one.acknowledged),
    }


def _stamp(instant: Instant | None) -> list[str] | None:
    """A moment on both clocks; ticks as text, they are more than JSON lets a number be."""
    return None if instant is None else [iso(instant.at), str(instant.ticks), instant.boot]


def _between(start: Instant | None, end: Instant | None) -> float | None:
    return None if start is None or end is None else elapsed(start, end)
