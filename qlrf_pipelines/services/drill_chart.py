"""The timeline of a drill as lanes over one axis, in seconds from the declared incident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.drills import PHASES, DrillEvent, Phase
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.paper import Bar, Chart, Lane, Legend, Mark, Tone

_STEPS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800)
_TICKS = 9
_PROBES = 12
_GAP, _LETTER = 0.008, 0.0105  # shares of the width
_EVENTS = {
    DrillEvent.PASSED: Tone.MOVE,
    DrillEvent.RESUMED: Tone.WARN,
    DrillEvent.RELEASED: Tone.WARN,
    DrillEvent.ABORTED: Tone.WARN,
    DrillEvent.FAILED: Tone.BAD,
    DrillEvent.UNKNOWN: Tone.BAD,
}
_HEALTH = {Health.HEALTHY: Tone.GOOD, Health.UNHEALTHY: Tone.BAD, Health.UNKNOWN: Tone.PLAIN}
_LEGEND = (
    Legend(text="phase", tone=Tone.MOVE),
    Legend(text="failed phase or bad answer", tone=Tone.BAD),
    Legend(text="good answer", tone=Tone.GOOD),
    Legend(text="no answer", tone=Tone.PLAIN),
    Legend(text="incident declared", tone=Tone.BAD, line=True),
    Legend(text="service proven", tone=Tone.GOOD, line=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """From `first` to `last` second; `zero` is what ticks count from."""

    first: float
    last: float
    zero: float

    def share(self, second: float) -> float:
        """Where a second lies, between 0 and 1."""
        place = (second - self.first) / (self.last - self.first)
        return round(min(1.0, max(0.0, place)), 5)


def duration(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None:
        return "not known"
    if abs(seconds) < 10:
        return f"{seconds:.2f} s"
    if abs(seconds) < 120:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def promised(seconds: float) -> str:
    """A length of time somebody chose, without digits nobody gave."""
    if seconds >= 7200 or seconds % 60 or seconds < 120:
        return f"{seconds:g} s" if seconds < 120 else duration(seconds)
    return f"{seconds / 60:g} min"


def chart_of(document: Mapping[str, Any]) -> Chart:
    """The phases, and below them what each probe was answered."""
    declared = _declared(document)
    axis = _axis(document, declared)
    phases = _phase_lanes(document["timeline"], axis)
    interval = float(document["plan"]["pace"]["interval_seconds"])
    probes = [_probe_lane(probe, axis, interval) for probe in document["probes"][:_PROBES]]
    return Chart(
        spoken=_spoken(document),
        lanes=tuple(phases + probes),
        ticks=_ticks(axis),
        marks=tuple(_marks(document, axis, declared)),
        legend=_LEGEND,
    )


def _declared(document: Mapping[str, Any]) -> float | None:
    """Seconds from the first event to the declared incident; None without one."""
    declared, timeline = document["drill"]["declared"], document["timeline"]
    if declared is None or not timeline:
        return None
    _, ticks, boot = declared
    _, first, first_boot = timeline[0]["begun"]
    return None if boot != first_boot else (int(ticks) - int(first)) / 1e9


def _axis(document: Mapping[str, Any], declared: float | None) -> _Axis:
    seconds = [
        second
        for span in document["timeline"]
        for second in (span["begin_seconds"], span["end_seconds"])
        if second is not None
    ]
    first, last = min(seconds, default=0.0), max(seconds, default=0.0)
    if declared is not None:
        # People may have taken a day to approve: that is said, not drawn.
        first = max(first, declared - max(5.0, 0.2 * (last - declared)))
    return _Axis(
        first=first, last=max(last, first + 1.0), zero=declared if declared is not None else first
    )


def _phase_lanes(timeline: Sequence[Mapping[str, Any]], axis: _Axis) -> list[Lane]:
    gone = {span["phase"] for span in timeline}
    shown = [*PHASES, *([Phase.HELD] if Phase.HELD in gone else [])]
    return [
        Lane(
            label=phase.value.replace("_", " ").capitalize(),
            strong=True,
            bars=tuple(_phase_bar(span, axis) for span in timeline if span["phase"] == phase),
        )
        for phase in shown
    ]


def _phase_bar(span: Mapping[str, Any], axis: _Axis) -> Bar:
    begin = axis.first if span["begin_seconds"] is None else span["begin_seconds"]
    end = begin if span["end_seconds"] is None else span["end_seconds"]
    event = span["event"]
    tone = Tone.PLAIN if event is None else _EVENTS[DrillEvent(event)]
    said = "" if event in (None, "passed") else f" {event}"
    text = ("length not known" if span["seconds"] is None else duration(span["seconds"])) + said
    return _bar(axis.share(begin), axis.share(end), tone, text)


def _bar(begin: float, end: float, tone: Tone, text: str = "") -> Bar:
    """Its text stands inside if it fits, else right of it, else left."""
    room = len(text) * _LETTER + 2 * _GAP
    inside = end - begin > room
    text_at = begin + _GAP if inside else end + _GAP if end + room < 1 else begin - room
    return Bar(
        begin=begin,
        length=round(end - begin, 5),
        tone=tone,
        text=text,
        text_at=round(max(0.0, text_at), 5),
        inside=inside,
    )


def _probe_lane(probe: Mapping[str, Any], axis: _Axis, interval: float) -> Lane:
    bars = []
    runs = [run for run in probe["runs"] if run["first_seconds"] is not None]
    for number, run in enumerate(runs):
        last = run["first_seconds"] if run["last_seconds"] is None else run["last_seconds"]
        after = runs[number + 1]["first_seconds"] if number + 1 < len(runs) else last + interval
        end = min(last + interval, max(after, run["first_seconds"]))
        begin = axis.share(run["first_seconds"])
        bars.append(_bar(begin, axis.share(end), _HEALTH[Health(run["health"])]))
    return Lane(label=str(probe["probe"]), bars=tuple(bars))


def _ticks(axis: _Axis) -> tuple[Mark, ...]:
    span = axis.last - axis.first
    step = next((step for step in _STEPS if span / step <= _TICKS), _STEPS[-1])
    first = -int((axis.zero - axis.first) / step)
    count = int((axis.last - axis.zero) / step)
    return tuple(
        Mark(at=axis.share(axis.zero + number * step), text=_tick(number * step))
        for number in range(first, count + 1)
    )


def _tick(seconds: float) -> str:
    if abs(seconds) < 120:
        return f"{seconds:g} s"
    sign, whole = ("-" if seconds < 0 else ""), round(abs(seconds))
    if whole < 7200:
        return f"{sign}{whole // 60}:{whole % 60:02d} min"
    return f"{sign}{whole // 3600}:{whole % 3600 // 60:02d} h"


def _marks(document: Mapping[str, Any], axis: _Axis, declared: float | None) -> list[Mark]:
    if declared is None:
        return []
    found = [Mark(at=axis.share(declared), tone=Tone.BAD)]
    seconds = document["result"].get("rto", {}).get("seconds")
    if seconds is not None:
        found.append(Mark(at=axis.share(declared + seconds), tone=Tone.GOOD))
    return found


def _spoken(document: Mapping[str, Any]) -> str:
    phases = [
        f"{span['phase'].replace('_', ' ')} {span['event'] or 'did not end'} "
        f"({duration(span['seconds'])})"
        for span in document["timeline"]
    ]
    probes = [
        f"{probe['probe']}: {probe['healthy']} good, {probe['unhealthy']} bad, "
        f"{probe['unknown']} without answer"
        for probe in document["probes"]
    ]
    return f"Phases in order: {'; '.join(phases)}. Probes: {'; '.join(probes) or 'none'}."
