"""What drills and recovery plans write into the ledger, as whoever cares for recovery hears it."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.drills import Drill, DrillEvent, Outcome, Phase
from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.measurement import Verdict
from qlrf_pipelines.domain.messages import About, Event, Message, OnlyWhile, compose
from qlrf_pipelines.domain.news import News
from qlrf_pipelines.domain.recovery_plans import DrillType, RecoveryPlan

TARGETS = ("rto", "rpo")
_DUE = "drill_alarm_due"
_REPLICATION = "drill_alarm_replication_"
_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.PASSED: "has passed",
    Outcome.FAILED: "has failed",
    Outcome.ABORTED: "was aborted",
}


def event_of(entry: Entry) -> Event | None:
    """What an entry about a drill or a recovery plan is to a listener; None if it is nothing.

    That a drill failed or is held was told when it happened: its alarms are not told again.
    """
    content = entry.content
    if entry.kind == _DUE:
        return Event.DRILL_DUE
    if entry.kind.startswith(_REPLICATION):
        return Event.RPO_AT_RISK
    if entry.kind == "drill_waiting":
        return Event.DRILL_WAITING
    if entry.kind == "drill_phase_ended" and content.get("to") == Phase.HELD:
        return Event.DRILL_HELD
    if entry.kind == "drill_report":
        passed = content.get("outcome") == Outcome.PASSED and not _missed(content)
        return Event.DRILL_COMPLETED if passed else Event.DRILL_FAILED
    return Event.DRILL_STARTED if _started(entry) else None


def _started(entry: Entry) -> bool:
    """From now on something may be touched; a tabletop touches nothing, and declares nothing."""
    if entry.content.get("type") != DrillType.TABLETOP:
        return entry.kind == "drill_declared"
    return entry.kind == "drill_phase_started" and entry.content.get("phase") == Phase.FAILOVER


def news_of_alarm(entry: Entry, event: Event, plan: RecoveryPlan | None) -> News:
    """What an alarm about a recovery plan tells; `plan` is None if it is not declared any more."""
    due = event is Event.DRILL_DUE
    message = compose(
        event=event,
        about=About.RECOVERY_PLAN,
        tenant=entry.tenant,
        subject=entry.subject,
        environment="" if plan is None else plan.environment.value,
        says="is due for a drill" if due else "may lose more than its RPO allows",
        reason=str(entry.content.get("text", "")),
        facts={"application": str(entry.content.get("application", ""))},
        at=entry.recorded_at,
    )
    return News(events=(event,), message=message)


def news_of(entry: Entry, event: Event, drill: Drill) -> News:
    """What an entry about a drill tells."""
    content = entry.content
    message = compose(
        event=event,
        about=About.DRILL,
        tenant=entry.tenant,
        subject=entry.subject,
        environment=str(drill.document.get("environment", "")),
        digest=drill.digest,
        says=_says(event, content),
        reason=_reason(event, content),
        facts={
            "application": drill.application,
            "plan": drill.plan,
            "type": drill.type.value,
            "asked_by": drill.requested_by,
            **({name: _target(content, name) for name in TARGETS} if _closed(event) else {}),
        },
        at=entry.recorded_at,
        only_while=_ONLY_WHILE.get(event, OnlyWhile.ALWAYS),
    )
    return News(events=(event,), message=message, resolving=(Event.DRILL_COMPLETED,))


_ONLY_WHILE = {
    Event.DRILL_WAITING: OnlyWhile.AWAITING_SIGNATURE,
    Event.DRILL_HELD: OnlyWhile.HELD,
}


def _closed(event: Event) -> bool:
    return event in (Event.DRILL_COMPLETED, Event.DRILL_FAILED)


def _says(event: Event, content: Mapping[str, Any]) -> str:
    if event is Event.DRILL_WAITING:
        return "waits for a person"
    if event is Event.DRILL_HELD:
        return "is held: something may be live where it should not"
    if event is Event.DRILL_STARTED:
        return "has started"
    return f"{_OUTCOMES[Outcome(str(content['outcome']))]}{_missed_words(content)}"


def _missed_words(content: Mapping[str, Any]) -> str:
    missed = " and ".join(name.upper() for name in _missed(content))
    return f", and missed its {missed}" if missed else ""


def _missed(content: Mapping[str, Any]) -> list[str]:
    return [name for name in TARGETS if _result(content, name).get("verdict") == Verdict.MISSED]


def _result(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    result = content.get("result")
    found = result.get(name) if isinstance(result, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _target(content: Mapping[str, Any], name: str) -> str:
    """A target's verdict with its numbers and its reason; not proven if nothing is known of it."""
    found = _result(content, name)
    verdict = str(found.get("verdict", Verdict.NOT_PROVEN)).replace("_", " ")
    parts = (verdict, _numbers(found.get("seconds"), found.get("target")), found.get("why"))
    return ", ".join(str(part) for part in parts if part)


def _numbers(seconds: object, target: object) -> str:
    took = f"{seconds:.1f} s" if isinstance(seconds, int | float) else ""
    allowed = f"{target:g} s" if isinstance(target, int | float) else ""
    if took and allowed:
        return f"{took} of {allowed}"
    return took or (f"the target is {allowed}" if allowed else "")


def _reason(event: Event, content: Mapping[str, Any]) -> str:
    if event is Event.DRILL_WAITING:
        return str(content.get("what", ""))
    if event is Event.DRILL_HELD:
        return str(content.get("why", ""))
    return _first_no(content) if event is Event.DRILL_FAILED else ""


def _first_no(content: Mapping[str, Any]) -> str:
    """How the first phase ended that did not pass."""
    result = content.get("result")
    phases = result.get("phases", ()) if isinstance(result, Mapping) else ()
    noes = (one for one in phases if one["event"] != DrillEvent.PASSED)
    first = next(noes, None)
    return "" if first is None else f"{first['phase']} {first['event']}: {first['why']}"


def holds(message: Message, drill: Drill) -> bool:
    """Whether a message about a drill is still true."""
    if message.only_while is OnlyWhile.AWAITING_SIGNATURE:
        return bool(drill.waiting)
    return message.only_while is not OnlyWhile.HELD or drill.phase is Phase.HELD
