"""What a rollout does next, as pure functions over its row, its assets' rows and its plan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.rollout import (
    DUE,
    IN_FLIGHT,
    TOUCHED,
    AssetEvent,
    AssetRow,
    AssetState,
    Rollout,
    RolloutEvent,
    advance_asset,
)
from qlrf_pipelines.domain.rollout_plan import (
    FAILURE_PHASE,
    HOOK_ROW,
    PhasePlan,
    RolloutPlan,
    Trigger,
)

FAILURE_SHARE = "failure_share"
SETTLED = (
    AssetState.STANDING_BY,
    AssetState.DONE,
    AssetState.FAILED,
    AssetState.UNKNOWN,
    AssetState.SKIPPED,
)
_LOOKS = 10
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How a check stands after one more answer: `verdict` is None while it goes on."""

    counts: Mapping[str, int]
    verdict: bool | None


def in_phase(rows: Iterable[AssetRow], phase: int) -> list[AssetRow]:
    """The rows of one phase, in order."""
    return sorted((row for row in rows if row.phase == phase), key=lambda row: row.order)


def to_begin(rollout: Rollout, rows: Iterable[AssetRow]) -> list[str]:
    """The assets to begin with next, in their order: those of the first batch that is not over.

    Nothing new is begun while an asset is unknown: whoever looks at it may want to stop.
    """
    known = list(rows)
    if any(row.state is AssetState.UNKNOWN for row in known):
        return []
    open_rows = [r for r in in_phase(known, rollout.phase) if r.state not in SETTLED]
    if not open_rows:
        return []
    batch = min(row.batch for row in open_rows)
    return [r.asset for r in open_rows if r.batch == batch and r.state in DUE]


def to_undo(
    plan: RolloutPlan, rows: Iterable[AssetRow], *, busy: int, parallel: int
) -> list[AssetRow]:
    """What to do on the way back: the hooks for a failure, then the last changed asset first."""
    known = list(rows)
    hooks = [r for r in known if r.phase == FAILURE_PHASE and r.state is AssetState.WAITING]
    if hooks or any(r.phase == FAILURE_PHASE and r.state in IN_FLIGHT for r in known):
        return hooks[: max(0, 1 - busy)]
    kept = (AssetState.FAILED,) if plan.retain_failed else ()
    back = [
        row
        for row in known
        if (row.state in TOUCHED or (row.state is AssetState.WAITING and row.tries))
        and row.state not in (AssetState.RESTORING, AssetState.NOT_RESTORED, *kept)
        and not (row.state is AssetState.CHANGING and row.begun)
        and not row.asset.startswith(HOOK_ROW)
    ]
    back.sort(key=lambda row: row.order, reverse=True)
    return back[: max(0, parallel - busy)]


def settled(rollout: Rollout, rows: Iterable[AssetRow]) -> bool:
    """Whether nothing of the phase is left to do."""
    return all(row.state in SETTLED for row in in_phase(rows, rollout.phase))


def failures(rows: Iterable[AssetRow]) -> list[AssetRow]:
    """The rows that failed or that nobody can speak for."""
    return [row for row in rows if row.state in (AssetState.FAILED, AssetState.UNKNOWN)]


def unfinished(rows: Iterable[AssetRow]) -> list[AssetRow]:
    """The rows without which a rollout is not completed: all that are not done, or gone."""
    over = (AssetState.DONE, AssetState.SKIPPED)
    return [row for row in rows if row.phase != FAILURE_PHASE and row.state not in over]


def let_through(rows: Iterable[AssetRow], phase: int) -> list[AssetRow]:
    """What stood by in a phase, with its switch due in the next one."""
    return [
        replace(row, state=advance_asset(row, AssetEvent.LET_THROUGH), phase=phase + 1)
        for row in in_phase(rows, phase)
        if row.state is AssetState.STANDING_BY
    ]


def tried_again(plan: RolloutPlan, row: AssetRow) -> AssetRow:
    """A failed row, to be done anew; one whose new side was looked at is only switched anew.

    Raises:
        Refused: it did not fail.
    """
    switch = plan.switch_of(row.asset)
    switched = switch is not None and row.step >= switch
    event = AssetEvent.SWITCH_RETRIED if switched else AssetEvent.RETRIED
    return replace(
        row,
        state=advance_asset(row, event),
        step=switch if switched and switch is not None else 0,
        tries=row.tries + 1,
        begun=False,
        checkpoint={},
    )


def begins_again_at(
    plan: RolloutPlan, rollout: Rollout, rows: Sequence[AssetRow]
) -> tuple[int, int]:
    """The phase a retry of these rows goes on at, and the highest one that need not be watched.

    The phases before the one a rollout stands at were passed, and are passed again once they are
    whole; but a new side made anew is looked at anew.
    """
    at = min((row.phase for row in rows if row.phase != FAILURE_PHASE), default=rollout.phase)
    passed = rollout.phase - 1
    previews = [row.phase for row in rows if row.phase >= 0 and plan.phases[row.phase].preview]
    return min(at, rollout.phase), min(passed, min(previews, default=passed + 1) - 1)


def failure_share(rows: Sequence[AssetRow], phase: int, *, passed: int = -1) -> float:
    """The share of assets begun that failed or are unknown: of this phase or of all, the worse.

    What failed in a phase that was let pass, up to `passed`, was let be.
    """
    assets = [r for r in rows if not r.asset.startswith(HOOK_ROW) and r.phase >= 0]
    shares = [0.0]
    for some in ([r for r in assets if r.phase == phase], assets):
        tried = [r for r in some if r.state not in (AssetState.WAITING, AssetState.SKIPPED)]
        bad = [r for r in failures(tried) if r.phase > passed]
        shares.append(len(bad) / len(tried) if tried else 0.0)
    return max(shares)


def tripped(
    phase: PhasePlan, rows: Sequence[AssetRow], number: int, *, passed: int = -1
) -> str | None:
    """Why the assets' own fate takes the rollout back, or None.

    While an asset is unknown nothing is taken back by itself: to touch what nobody knows is for a
    human to decide, and the rollout is held for one.
    """
    if any(row.state is AssetState.UNKNOWN for row in rows):
        return None
    share = failure_share(rows, number, passed=passed)
    for trigger in phase.triggers:
        if trigger.metric == FAILURE_SHARE and holds(trigger, share):
            return (
                f"failure_share is {share:.0%}, {trigger.comparison.replace('-', ' ')} "
                f"{trigger.threshold:.0%}"
            )
    return None


def on_trip(plan: RolloutPlan, why: str) -> tuple[RolloutEvent, str]:
    """What a trigger does: it takes the rollout back, or holds it where only people may."""
    if plan.auto_rollback:
        return RolloutEvent.TRIPPED, why
    return RolloutEvent.HELD, (
        f"{why}; its policy takes nothing back by itself: roll it back, retry or promote it"
    )


def holds(trigger: Trigger, value: float) -> bool:
    """Whether a trigger's comparison is true of a value."""
    return compare(value, trigger.comparison, trigger.threshold)


def compare(value: float, comparison: str, threshold: float) -> bool:
    """`value comparison threshold`; a value that is not a number compares with nothing."""
    if value != value:
        return False
    return {
        "less-than": value < threshold,
        "greater-than": value > threshold,
        "equals": value == threshold,
    }[comparison]


def checked(check: Mapping[str, Any], counts: Mapping[str, int], health: Health) -> Checked:
    """One more answer to a check: so many good ones in a row prove it, so many bad ones fail it.

    An answer nobody could get counts as a bad one: absence is not health.
    """
    good = counts.get("good", 0) + 1 if health is Health.HEALTHY else 0
    bad = 0 if health is Health.HEALTHY else counts.get("bad", 0) + 1
    verdict = None
    if good >= int(check.get("successes", 1)):
        verdict = True
    elif bad >= int(check.get("failures", 1)):
        verdict = False
    return Checked(counts={"good": good, "bad": bad}, verdict=verdict)


def look_interval(phase: PhasePlan) -> timedelta:
    """How often a phase is looked at while it is watched: about ten times."""
    return min(_LONGEST, max(_SHORTEST, phase.wait / _LOOKS))


def window_says(plan: RolloutPlan, rollout: Rollout, now: datetime) -> datetime | str | None:
    """None if something may be begun now; else when it may, or why it may not any more."""
    opens = max((m for m in (plan.opens_at, rollout.not_before) if m is not None), default=None)
    closes = min((m for m in (plan.closes_at, rollout.not_after) if m is not None), default=None)
    if closes is not None and now >= closes:
        return f"the window closed at {closes:%Y-%m-%d %H:%M} UTC"
    if opens is not None and now < opens:
        return opens
    return None


def tally(rows: Iterable[AssetRow]) -> dict[str, int]:
    """How many assets stand in each state; a state without any is left out."""
    found: dict[str, int] = {}
    for row in rows:
        if not row.asset.startswith(HOOK_ROW):
            found[row.state.value] = found.get(row.state.value, 0) + 1
    return found
