"""A plan as a person reads it before deciding."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.cli.texts import plain_cell, plain_table

if TYPE_CHECKING:
    from qlrf_pipelines.services.planning import Planned
    from qlrf_pipelines.services.planning_targets import Skipped

_MOST = 20


def plan_text(item: "Planned") -> str:
    """Everything that matters of one plan, the most important first."""
    return "\n".join(_lines(item)) + "\n"


def skipped_text(skipped: Sequence["Skipped"]) -> str:
    """The assets that were selected and stay as they are."""
    rows = [(one.name, one.why) for one in skipped[:_MOST]]
    text = f"Not planned: {len(skipped)}\n" + plain_table(("asset", "why"), rows)
    return text + _more(len(skipped)) + "\n"


def _lines(item: "Planned") -> Iterator[str]:
    plan, document = item.plan, item.document
    yield f"Plan {document['id']}  {plain_cell(plan.summary)}"
    yield f"  digest        {item.digest}"
    yield f"  why           {plain_cell(plan.cause['detail'])}"
    yield f"  window        {_window(document['window'])}"
    yield f"  takes         about {_duration(plan.predicted)}, waits included"
    yield f"  blast radius  {_radius(document['blast_radius'])}"
    yield f"  carried out   by {'the platform' if item.context['executor'] != 'none' else 'people'}"
    yield ""
    yield from _table("Images", document["image_diff"], ("family", "from_version", "to_version", "platform", "assets"))  # fmt: skip  # noqa: E501
    actions = [(a.name, a.operation.value, a.image or "-", a.why) for a in plan.actions]
    yield "Assets"
    yield plain_table(("asset", "operation", "image", "why"), actions[:_MOST]) + _more(len(actions))
    yield ""
    phases = [
        (p.name, len(p.actions), len(p.batches), max(len(b.actions) for b in p.batches), _duration(p.wait))  # noqa: E501
        for p in plan.phases
    ]  # fmt: skip
    yield "Phases"
    yield plain_table(("phase", "assets", "batches", "at once", "then watch"), phases)
    yield ""
    yield f"Risk {item.risk.score:g} of 100, {item.risk.level}"
    rows = [
        (f.factor.value, f"{f.weight:.2f}", f"{f.score:g}", "" if f.known else "unknown", f.why)
        for f in item.risk.factors
    ]
    yield plain_table(("factor", "weight", "score", "", "why"), rows)
    yield ""
    yield "Gates"
    yield plain_table(("gate", "result", "why"), _gates(item))
    if plan.hooks:
        yield ""
        yield from _table("Hooks", plan.hooks, ("when", "type", "target", "fail_policy"))
    if plan.notifications:
        yield ""
        heard = [{**one, "events": ", ".join(one["events"])} for one in plan.notifications]
        yield from _table("Who hears of it", heard, ("channel", "target", "events"))


def _gates(item: "Planned") -> list[tuple[str, str, str]]:
    """One row per reason, the gate named on the first."""
    found = []
    for gate in item.gates:
        for number, reason in enumerate(gate.reasons or ("",)):
            first = number == 0
            found.append((gate.gate if first else "", gate.result if first else "", reason))
    return found


def _table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
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
    minutes = int(span.total_seconds()) // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _more(count: int) -> str:
    return f"\n… and {count - _MOST} more; --json shows all" if count > _MOST else ""
