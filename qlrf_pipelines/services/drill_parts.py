"""The sections of a drill's report: each a sentence, and a table of what is on record."""

from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.moments import from_iso
from qlrf_pipelines.domain.paper import Cell, Column, Part, Tone
from qlrf_pipelines.services.drill_chart import duration, promised

Document = Mapping[str, Any]

_TONES = {
    "met": Tone.GOOD,
    "passed": Tone.GOOD,
    "succeeded": Tone.GOOD,
    "approve": Tone.GOOD,
    "in_sync": Tone.GOOD,
    "missed": Tone.BAD,
    "failed": Tone.BAD,
    "unknown": Tone.BAD,
    "reject": Tone.BAD,
    "revoke": Tone.BAD,
    "not_proven": Tone.WARN,
    "aborted": Tone.WARN,
    "lagging": Tone.WARN,
    "break_glass": Tone.WARN,
}


def moment(text: str) -> str:
    """A moment as people read it, in UTC."""
    return f"{from_iso(text):%Y-%m-%d %H:%M:%S} UTC"


def parts_of(document: Document) -> tuple[Part, ...]:
    """Every section, in the order an auditor asks."""
    return (
        _measurements(document),
        _phases(document),
        _sequences(document),
        _probes(document),
        _moves(document),
        _replication(document),
        _approvals(document),
        _sign_offs(document),
        _leftovers(document),
    )


def _word(value: object) -> Cell:
    """A word of our own, coloured by what it means."""
    said = str(value)
    return Cell(text=said.replace("_", " "), tone=_TONES.get(said))


def _text(value: object, *, none: str = "-") -> Cell:
    return Cell(text=none if value is None else str(value))


def _columns(**widths: float) -> tuple[Column, ...]:
    """Columns by their heads; a width below zero is a column of numbers."""
    return tuple(
        Column(head=head.replace("_", " "), width=abs(width), number=width < 0)
        for head, width in widths.items()
    )


def _measurements(document: Document) -> Part:
    result = document["result"]
    rows = [_measured("Recovery time (RTO)", result.get("rto", {}), aimed=True)]
    rows.append(_measured("Data loss (RPO)", result.get("rpo", {}), aimed=True))
    rows.append(_measured("Way back", result.get("failback", {})))
    rows.append(_measured("Protected again", result.get("reprotect", {})))
    return Part(
        title="Measurements",
        note="What was promised, what was measured, and what that proves.",
        columns=_columns(What=2.2, Target=1.4, Measured=1.4, Verdict=1.2, How_or_why_not=4.6),
        rows=rows,
    )


def _measured(title: str, one: Document, *, aimed: bool = False) -> tuple[Cell, ...]:
    verdict = str(one.get("verdict", "not_proven")) if aimed else ""
    seconds, target = one.get("seconds"), one.get("target")
    shown = "not known" if seconds is None else duration(seconds)
    if verdict == "not_proven":
        shown = "not proven"
    return (
        Cell(text=title),
        _text(None if target is None else promised(target), none="none set" if aimed else "-"),
        Cell(text=shown),
        _word(verdict) if aimed else Cell(text="-"),
        _text(one.get("why"), none="there is no result"),
    )


def _phases(document: Document) -> Part:
    return Part(
        title="Phases",
        note="In the order they were gone through; lengths on the clock that never steps.",
        columns=_columns(Phase=2.2, Begun=2.8, Length=-1.4, Ended=1.3, Why=4.2),
        rows=[
            (
                Cell(text=span["phase"].replace("_", " ").capitalize()),
                Cell(text=moment(span["begun"][0])),
                Cell(text=duration(span["seconds"])),
                Cell(text="not ended") if span["event"] is None else _word(span["event"]),
                Cell(text=span["why"]),
            )
            for span in document["timeline"]
        ],
    )


def _sequences(document: Document) -> Part:
    rows = [_sequence(one) for one in document["sequences"]]
    note = (
        "Numbered writes into the service's own data, from before the incident until the primary "
        "was isolated. Unsure: written, and nobody heard whether it was kept."
        if rows
        else "No numbered writes were made, so nothing is proven about data loss."
    )
    columns = _columns(
        Member=2.4, Written=-1.2, Acknowledged=-1.6, Recovered_up_to=-1.9, Lost=-1.1, Unsure=-1.1,
        Seconds=-1.4, How_or_why_not=3.4,
    )  # fmt: skip
    return Part(title="Numbered writes", note=note, columns=columns if rows else (), rows=rows)


def _sequence(one: Document) -> tuple[Cell, ...]:
    loss = one["loss"] or {}
    lost = loss.get("lost")
    tone = Tone.GOOD if lost == 0 else Tone.WARN
    return (
        Cell(text=one["member"]),
        Cell(text=str(_count(one["written"]))),
        Cell(text=str(_count(one["acknowledged"]))),
        Cell(text="not read" if one["recovered"] is None else str(loss.get("contiguous", "-"))),
        Cell(text="not proven" if lost is None else str(lost), tone=tone),
        _text(loss.get("unsure")),
        Cell(text=duration(loss.get("seconds"))),
        Cell(text=str(loss.get("why") or one["recovered_why"])),
    )


def _count(ranges: Sequence[Sequence[int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _probes(document: Document) -> Part:
    rows = [
        (
            Cell(text=one["probe"]),
            Cell(text=one["type"]),
            Cell(text=str(one["consecutive"])),
            Cell(text=str(one["healthy"])),
            Cell(text=str(one["unhealthy"])),
            Cell(text=str(one["unknown"])),
            Cell(text=one["runs"][-1]["health"] if one["runs"] else "never asked"),
        )
        for one in document["probes"]
    ]
    note = "What the service was asked, from outside and through its members; all must hold."
    columns = _columns(
        Probe=3, Type=1.4, Needed_in_a_row=-2, Good=-1, Bad=-1, No_answer=-1.4, Last=2
    )
    return Part(title="Probes", note=note, columns=columns, rows=rows)


def _moves(document: Document) -> Part:
    rows = [
        (
            Cell(text=one["member"]),
            Cell(text=one["move"].replace("_", " ")),
            _word(one["state"]),
            Cell(text=moment(one["begun"][0])),
            Cell(text=duration(one["seconds"])),
            Cell(text=one["detail"]),
        )
        for one in document["moves"]
    ]
    note = "What was changed, member by member." if rows else "Nothing was changed anywhere."
    columns = _columns(Member=2, Move=1.5, State=1.5, Begun=2.8, Length=-1.4, Detail=3.6)
    return Part(title="Moves", note=note, columns=columns if rows else (), rows=rows)


def _replication(document: Document) -> Part:
    rows = []
    for one in document["members"]:
        seen = one["before"]
        lag = seen.get("lag_seconds")
        rows.append(
            (
                Cell(text=one["member"]),
                Cell(text=one["adapter"]),
                _text(seen.get("primary"), none="not seen"),
                _text(seen.get("recovery"), none="not seen"),
                _word(seen.get("replication", "unknown")),
                Cell(text="not known" if lag is None else duration(float(lag))),
                Cell(
                    text="yes" if one["proven"] else "no", tone=None if one["proven"] else Tone.WARN
                ),
            )
        )
    return Part(
        title="Members, and their replication before the incident",
        note="As the validation saw them. Nothing was synchronised on account of the drill.",
        columns=_columns(
            Member=2.2,
            Adapter=1.4,
            Primary=1.2,
            Recovery=1.3,
            Replication=1.4,
            Lag=-1.3,
            Over_and_back=1.6,
        ),
        rows=rows,
    )


def _approvals(document: Document) -> Part:
    given = document["approvals"]
    rows = [
        (
            Cell(text=one["by"]),
            Cell(text=one["role"]),
            _word(one["kind"]),
            Cell(text=moment(one["at"])),
            Cell(text=one["digest"], mono=True),
        )
        for one in given["decisions"]
    ]
    if given["task"] is None:
        note = "Nobody was asked to approve this drill: no decision about it is on record."
    else:
        note = (
            f"Task {given['task']} asked for {given['quorum']} of role {given['role']} or higher; "
            "nobody approves what they asked for themselves. What was approved is the plan, its "
            f"scope and the adapters' versions, with the digest {given['digest']}."
        )
    columns = _columns(Who=1.7, Role=1.2, Decision=1.3, When=2.5, Digest_decided_about=5)
    return Part(title="Approvals", note=note, columns=columns if rows else (), rows=rows)


def _sign_offs(document: Document) -> Part:
    rows = [
        (
            Cell(text=one["step"]),
            Cell(text=one["text"]),
            Cell(text=one["phase"].replace("_", " ")),
            Cell(text="not signed", tone=Tone.WARN)
            if one["by"] is None
            else Cell(text=f"{one['by']} ({one['role']})"),
            Cell(text="-" if one["at"] is None else moment(one["at"])),
            Cell(text=one["note"]),
        )
        for one in document["sign_offs"]
    ]
    note = "What people did and signed." if rows else "The plan has no step that a person signs."
    columns = _columns(Step=2, What=3.4, Phase=1.5, Signed_by=2, When=2.3, Note=1.8)
    return Part(title="Runbook", note=note, columns=columns if rows else (), rows=rows)


def _leftovers(document: Document) -> Part:
    rows = [
        (Cell(text=member), Cell(text=name, mono=True))
        for member, names in sorted(document["leftovers"].items())
        for name in names
    ]
    if document["clean"]:
        note = "Every adapter was asked what the drill had made, and nothing of it is left."
        rows = []
    elif rows:
        note = "These were found left behind when the drill was last looked at."
    else:
        note = "It is not proven that nothing was left behind: nobody could look."
    columns = _columns(Member=1.5, Left_behind=6)
    return Part(title="What was left behind", note=note, columns=columns if rows else (), rows=rows)
