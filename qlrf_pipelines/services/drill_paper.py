"""The evidence of a drill as a paper for people: in words, and never more than it proves."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.measurement import Verdict
from qlrf_pipelines.domain.moments import from_iso
from qlrf_pipelines.domain.paper import Paper, Tile, Tone
from qlrf_pipelines.services.drill_chart import chart_of, duration, promised
from qlrf_pipelines.services.drill_parts import moment, parts_of

Document = Mapping[str, Any]

_TYPES = {
    "full": "full drill",
    "partial": "partial drill",
    "tabletop": "tabletop exercise",
    "test_failover": "isolated test failover",
}
_VERDICTS = {
    Verdict.MET: (Tone.GOOD, "met"),
    Verdict.MISSED: (Tone.BAD, "missed"),
    Verdict.NOT_PROVEN: (Tone.WARN, "not proven"),
}
_PROOF = (
    "This report says nothing that the evidence behind it does not. The evidence is one JSON "
    "document (qlrf drills report --json); its SHA-256 over the canonical form of RFC 8785 is "
    "printed below and kept in the tenant's evidence ledger, whose entries are chained and cannot "
    "be changed. Anybody can derive the digest again from the document, and the chain from its "
    "first entry: qlrf evidence verify."
)


def paper_of(document: Document, seal: Document) -> Paper:
    """The report of a drill; `seal` is the ledger entry that vouches for the document."""
    drill, plan = document["drill"], document["plan"]
    word, tone = _outcome(document)
    day = from_iso(drill["closed_at"])
    title = f"{_TYPES[drill['type']]} by recovery plan {drill['plan']}"
    return Paper(
        heading="Disaster-recovery drill report",
        subject=drill["application"],
        subtitle=f"{title} · tenant {drill['tenant']} · {day.day} {day:%B %Y}",
        outcome=word,
        outcome_tone=tone,
        summary=_summary(document),
        author="QL-RF",
        tenant=f"Tenant {drill['tenant']}",
        running=f"Drill {drill['id']} of {drill['application']}",
        footer=f"SHA-256 {seal['digest']} · ledger entry {seal['seq']}",
        day=day.date(),
        tiles=(
            _tile("Recovery time (RTO)", document["result"].get("rto", {})),
            _tile("Data loss (RPO)", document["result"].get("rpo", {}), loss=True),
        ),
        facts=_facts(drill, plan),
        chart=chart_of(document),
        parts=parts_of(document),
        method=_method(document),
        proof=_PROOF,
        proofs=_proofs(document, seal),
    )


def _verdict(judged: Document) -> Verdict:
    return Verdict(judged.get("verdict", Verdict.NOT_PROVEN))


def _outcome(document: Document) -> tuple[str, Tone]:
    """How the drill ended; one that missed or did not prove a target has not simply passed."""
    outcome = document["drill"]["outcome"]
    if outcome != "passed":
        return (str(outcome).capitalize(), Tone.BAD if outcome == "failed" else Tone.WARN)
    verdicts = {_verdict(document["result"].get(name, {})) for name in ("rto", "rpo")}
    if verdicts == {Verdict.MET}:
        return "Passed", Tone.GOOD
    if Verdict.MISSED in verdicts:
        return "Target missed", Tone.BAD
    return "Completed", Tone.WARN


def _tile(title: str, judged: Document, *, loss: bool = False) -> Tile:
    verdict = _verdict(judged)
    tone, word = _VERDICTS[verdict]
    target, seconds = judged.get("target"), judged.get("seconds")
    why = str(judged.get("why", "the drill has no result"))
    if verdict is Verdict.NOT_PROVEN:
        measured = "Not proven"
        if seconds is not None:
            why += f" ({duration(seconds)} were seen, which does not count)"
    else:
        measured = duration(seconds) if seconds is not None else f"Over {promised(target or 0)}"
    writes = judged.get("writes")
    if loss and writes is not None:
        why += f" · {writes} acknowledged {'write' if writes == 1 else 'writes'} lost"
    resolution = judged.get("resolution_seconds")
    if resolution is not None and verdict is not Verdict.NOT_PROVEN:
        why += f" · looked at every {promised(resolution)}"
    return Tile(
        title=title,
        measured=measured,
        target="No target is set" if target is None else f"Target: at most {promised(target)}",
        verdict=word,
        tone=tone,
        why=why,
    )


def _summary(document: Document) -> str:
    drill, result = document["drill"], document["result"]
    name = f"application {drill['application']}"
    if drill["type"] == "tabletop":
        return f"The plan of {name} was gone through and nothing was moved; nothing is measured."
    rto, rpo = result.get("rto", {}), result.get("rpo", {})
    if _verdict(rto) is _verdict(rpo) is Verdict.NOT_PROVEN and _why(rto) == _why(rpo):
        both = f"Neither the recovery time nor the data loss of {name} is proven: {_why(rto)}."
        sentences = [both]
    else:
        sentences = [_recovered(name, rto), _lost(rpo)]
    back = result.get("failback", {}).get("seconds")
    if back is not None:
        sentences.append(f"The primary served again {duration(back)} after the way back began.")
    sentences.append(
        "Nothing of the drill was left behind."
        if document["clean"]
        else "It is not proven that nothing was left behind."
    )
    return " ".join(sentences)


def _recovered(name: str, rto: Document) -> str:
    if _verdict(rto) is Verdict.NOT_PROVEN:
        return f"It is not proven how long {name} would have been away: {_why(rto)}."
    if rto.get("seconds") is None:
        return f"{_begin(name)} did not come back within its target: {_why(rto)}."
    seconds = duration(rto["seconds"])
    return (
        f"{_begin(name)} served from the recovery side {seconds} after the incident was declared."
    )


def _lost(rpo: Document) -> str:
    if _verdict(rpo) is Verdict.NOT_PROVEN:
        return f"It is not proven what was lost: {_why(rpo)}."
    writes = rpo.get("writes")
    if writes == 0:
        return "Every write that had been acknowledged was there."
    lost = "More was lost than the target allows" if rpo.get("seconds") is None else (
        f"The last {duration(rpo['seconds'])} of acknowledged writes were lost"
    )  # fmt: skip
    return f"{lost}." if writes is None else f"{lost}, {writes} in all."


def _begin(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def _why(judged: Document) -> str:
    return str(judged.get("why", "there is no result")).rstrip(".")


def _facts(drill: Document, plan: Document) -> tuple[tuple[str, str], ...]:
    declared = drill["declared"]
    only = f" (only {', '.join(drill['only'])})" if drill["only"] else ""
    return (
        ("Tenant", drill["tenant"]),
        ("Drill", drill["id"]),
        ("Application", f"{drill['application']}, tier {plan['tier']}, {plan['environment']}"),
        ("Kind", _TYPES[drill["type"]] + only),
        ("Sites", f"{plan['primary']} to {plan['recovery']} (pair {plan['pair']})"),
        ("Asked for by", drill["requested_by"]),
        ("Asked for", moment(drill["requested_at"])),
        ("Incident", "never declared" if declared is None else moment(declared[0])),
        ("Closed", moment(drill["closed_at"])),
        ("Processes", f"{drill['attempts']} took it in turn"),
    )


def _method(document: Document) -> tuple[tuple[str, str], ...]:
    """How each number came about, as rules fixed before the drill and not after."""
    plan = document["plan"]
    steps = document["result"].get("clock_steps", [])
    stepped = (
        "The wall clock did not step during this drill."
        if not steps
        else "The wall clock stepped during this drill ("
        + "; ".join(f"{step['seconds']:+.3f} s at {moment(step['at'])}" for step in steps)
        + "); no interval was taken on it."
    )
    needed = ", ".join(f"{p['probe']} {p['consecutive']}" for p in document["probes"]) or "none"
    return (
        (
            "Recovery time",
            "From the moment the incident was declared, before anything was isolated, to the first "
            f"of the good answers in a row with which the last probe held (needed: {needed}). A "
            f"bad answer, no answer or a silence starts the count again. Probes ask every "
            f"{promised(plan['pace']['interval_seconds'])}, so that is how exact the number is.",
        ),
        (
            "Data loss",
            "Numbered writes go into the service's own data until it is isolated. The loss reaches "
            "from the last number of the unbroken run that arrived on the recovery side to the "
            "last number that was acknowledged. Nothing was synchronised before measuring. A "
            "number nobody acknowledged counts neither as kept nor as lost.",
        ),
        (
            "Clocks",
            "Intervals are taken on the machine's clock that never steps; the wall clock stands "
            "beside it for people. Readings of two boots are never compared. " + stepped,
        ),
        (
            "Verdicts",
            "Met needs the number, every required probe, and every phase of the drill. Missed is a "
            "number, or a floor under it, above the target. Everything else is not proven: there "
            "is no way from a missing value to met.",
        ),
    )


def _proofs(document: Document, seal: Document) -> tuple[tuple[str, str], ...]:
    ledger = document["ledger"]
    span = f"{ledger[0]['seq']} to {ledger[-1]['seq']}" if ledger else "none"
    result = document["result"]
    return (
        ("Evidence, SHA-256", seal["digest"]),
        ("Sealed", f"ledger entry {seal['seq']}, {moment(seal['recorded_at'])}"),
        ("Entry's hash", seal["hash"]),
        ("Hash before it", seal["previous_hash"]),
        ("Plan, SHA-256", document["drill"]["plan_digest"]),
        ("Answers, SHA-256", str(result.get("answers", {}).get("digest", "none"))),
        ("Writes, SHA-256", str(result.get("writes", {}).get("digest", "none"))),
        ("Ledger", f"{len(ledger)} entries of this drill, {span}"),
        ("Last of them", ledger[-1]["hash"] if ledger else "none"),
    )
