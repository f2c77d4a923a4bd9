"""A plan as a person reads it before deciding, out of the very document they decide about."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.cli.texts import plain_cell, plain_table
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.plans import NO_EXECUTOR, STRATEGY

if TYPE_CHECKING:
    from qlrf_pipelines.services.patch_deadlines import Deadlines
    from qlrf_pipelines.services.planning import Planned
    from qlrf_pipelines.services.planning_targets import Skipped

_MOST = 20
Rows = Sequence[Mapping[str, Any]]


def plan_text(item: "Planned", *, promised: "Deadlines | None" = None) -> str:
    """Everything that matters of one plan, the most important first.

    `promised` changes with mere time, so it is told beside the document, not in it.
    """
    named = {action.asset: (action.name, action.why) for action in item.plan.actions}
    head = (
        f"Plan {item.document['id']}  {plain_cell(item.plan.summary)}",
        f"  digest   {item.digest}",
        *_promises(promised),
    )
    return "\n".join([*head, *document_lines(item.document, item.context, named=named)]) + "\n"


def _promises(found: "Deadlines | None") -> Iterator[str]:
    if found is None:
        return
    stands = {
        "breached": found.breached,
        "breaching": found.breaching,
        "due": found.due,
        "met": found.met,
        "unknown": found.unknown,
    }
    counted = ", ".join(f"{number} {word}" for word, number in stands.items() if number)
    due = "" if found.first_due_at is None else f"; first due {plain_cell(found.first_due_at)}"
    yield f"  promised {counted} of {found.assets} assets{due}"


def skipped_text(skipped: Sequence["Skipped"]) -> str:
    """The assets that were selected and stay as they are."""
    rows = [(one.name, one.why) for one in skipped[:_MOST]]
    text = f"Not planned: {len(skipped)}\n" + plain_table(("asset", "why"), rows)
    return text + _more(len(skipped)) + "\n"


def document_lines(
    document: Mapping[str, Any],
    context: Mapping[str, str],
    *,
    named: Mapping[str, tuple[str, str]] | None = None,
) -> Iterator[str]:
    """A plan's document for a person; `named` has each asset's name and reason, if they are known.

    Raises:
        KeyError: the document is no plan.
    """
    yield from _head(document, context)
    yield from _table("Images", document["image_diff"], _IMAGES)
    yield from _assets(document, named or {})
    yield "Phases"
    yield plain_table(("phase", "assets", "batches", "at once", "then"), _phases(document))
    yield ""
    yield f"Risk {document['risk']['score']:g} of 100, {document['risk']['level']}"
    yield plain_table(("factor", "weight", "score", "", "why"), _factors(document))
    yield ""
    yield "Taken back if"
    yield plain_table(("what", "is", "than"), _triggers(document))
    yield ""
    yield "Gates"
    yield plain_table(("gate", "result", "why"), _gates(document.get("gates", ())))
    yield ""
    yield from _table("Hooks", document["hooks"], ("when", "type", "target", "fail_policy"))
    heard = [{**one, "events": ", ".join(one["events"])} for one in document["notifications"]]
    yield from _table("Who hears of it", heard, ("channel", "target", "events"))


_IMAGES = ("family", "from_version", "to_version", "platform", "assets")


def _head(document: Mapping[str, Any], context: Mapping[str, str]) -> Iterator[str]:
    by_people = document["autonomy"]["mode"] == Mode.PLAN_ONLY
    by_people = by_people or context.get("executor", NO_EXECUTOR) == NO_EXECUTOR
    predicted = timedelta(seconds=document["predicted_duration_seconds"])
    longer = ", longer than its window" if _outlasts(predicted, document["window"]) else ""
    kind = document["strategy"].get("type", "canary")
    yield f"  why           {plain_cell(document['cause']['detail'])}"
    yield f"  window        {_window(document['window'])}"
    yield f"  takes         about {_duration(predicted)}, waits included{longer}"
    yield f"  strategy      {plain_cell(kind)}"
    yield f"  blast radius  {_radius(document['blast_radius'])}"
    yield f"  carried out   by {'people' if by_people else 'the platform'}"
    yield ""


def _outlasts(predicted: timedelta, window: Mapping[str, Any]) -> bool:
    """Whether a plan would be held when its window closes, as far as its own numbers tell."""
    if not window["required"]:
        return False
    opens, closes = (datetime.fromisoformat(window[name]) for name in ("opens_at", "closes_at"))
    return predicted > closes - opens


def _assets(document: Mapping[str, Any], named: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    actions = [action for phase in document["phases"] for action in phase["actions"]]
    columns = ["asset", "operation", "from", "to", "image"]
    rows = [
        [
            action["asset"],
            _operation(action),
            action.get("from_version"),
            action.get("to_version"),
            action.get("image"),
        ]
        for action in actions[:_MOST]
    ]
    if named:
        columns = [columns[0], "name", *columns[1:], "why"]
        told = [named.get(row[0], ("", "")) for row in rows]
        rows = [[row[0], name, *row[1:], why] for row, (name, why) in zip(rows, told, strict=True)]
    yield "Assets"
    yield plain_table(columns, rows) + _more(len(actions))
    yield ""


def _operation(action: Mapping[str, Any]) -> str:
    how = action.get("parameters", {}).get(STRATEGY)
    return f"{action['operation']}, {how}" if how else str(action["operation"])


def _phases(document: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            phase["name"],
            len(phase["assets"]),
            len(phase["batches"]),
            max(len(batch) for batch in phase["batches"]),
            _then(phase),
        )
        for phase in document["phases"]
    ]


def _then(phase: Mapping[str, Any]) -> str:
    watch = f"watch {_duration(timedelta(seconds=phase['wait_seconds']))}"
    if "preview_seconds" not in phase:
        return watch
    preview = _duration(timedelta(seconds=phase["preview_seconds"]))
    return f"preview new sides {preview}, switch, {watch}"


def _factors(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            one["factor"],
            f"{one['weight']:.2f}",
            f"{one['score']:g}",
            "" if one.get("known", True) else "unknown",
            one["why"],
        )
        for one in document["risk"].get("factors", ())
    ]


def _triggers(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What any phase is taken back by, each once."""
    found = {
        (t["metric"], t["comparison"].replace("-than", "").replace("-", " "), f"{t['threshold']:g}")
        for phase in document["phases"]
        for t in phase["rollback_triggers"]
    }
    return sorted(found) or [("-", "-", "-")]


def _gates(gates: Rows) -> list[tuple[str, str, str]]:
    """One row per reason, the gate named on the first."""
    found = []
    for gate in gates:
        for number, reason in enumerate(gate["reasons"] or ("",)):
            first = number == 0
            found.append((gate["gate"] if first else "", gate["result"] if first else "", reason))
    return found


def _table(title: str, rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    if rows:
        yield title
        yield plain_table(columns, [[row[name] for name in columns] for row in rows])
        yield ""


def _window(window: Mapping[str, Any]) -> str:
    if not window["required"]:
        return "none: at any time"
    return f"{window['opens_at']} to {window['closes_at']} ({window['timezone']})"


def _radius(radius: Mapping[str, Any]) -> str:
    dependents = radius.get("dependents", "an unknown number of")
    return (
        f"{radius['assets']} assets, {radius['percent']:g} % of the environment,"
        f" {radius['critical_assets']} critical, {radius['max_at_once']} at once,"
        f" {dependents} dependents"
    )


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _more(count: int) -> str:
    return f"\n… and {count - _MOST} more; --json shows all" if count > _MOST else ""
