"""Rollouts as people read them, and as JSON."""

from collections.abc import Sequence
from typing import Any

from qlrf_pipelines.cli.texts import plain_cell
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.rollout import OUT, AssetRow, Rollout, RolloutState
from qlrf_pipelines.domain.rollout_plan import HOOK_ROW, RolloutPlan
from qlrf_pipelines.domain.rollout_rules import tally

_MARKS = {
    "waiting": "·",
    "changing": "▸",
    "standing_by": "◐",
    "to_switch": "◑",
    "done": "✓",
    "failed": "✗",
    "unknown": "?",
    "skipped": "-",
    "restoring": "◂",
    "restored": "↺",
    "not_restored": "!",
}
_BAR = 40
_REASONED = ("promote", "rollback", "cancel")


def rollout_facts(rollout: Rollout, rows: Sequence[AssetRow]) -> dict[str, Any]:
    """A rollout as JSON, its assets counted by state."""
    return {
        "tenant": rollout.tenant,
        "rollout": rollout.id,
        "state": rollout.state.value,
        "reason": rollout.reason,
        "taken_back": rollout.taken_back or None,
        "environment": rollout.environment,
        "phase": rollout.phase,
        "extent": ("whole" if rollout.bound is None else "canary"),
        "assets": tally(rows),
        "total": rollout.total,
        "digest": rollout.digest,
        "attempt": rollout.attempt,
        "driver": rollout.holder,
        "wakes_at": None if rollout.wake_at is None else iso(rollout.wake_at),
        "started_at": iso(rollout.started_at),
        "changed_at": iso(rollout.changed_at),
    }


def asset_facts(row: AssetRow) -> dict[str, Any]:
    """One asset of a rollout as JSON."""
    return {
        "asset": row.asset,
        "phase": row.phase,
        "batch": row.batch,
        "state": row.state.value,
        "detail": row.detail,
        "tries": row.tries,
        "asset_now": row.now_id or None,
        "before": dict(row.before),
        "begun_at": None if row.begun_at is None else iso(row.begun_at),
        "ended_at": None if row.ended_at is None else iso(row.ended_at),
    }


_MOST = 20


def headline(rollout: Rollout) -> str:
    """One line: which, how it stands, and why."""
    line = f"Rollout {rollout.id} of tenant {rollout.tenant}: {rollout.state.value.upper()}"
    return f"{line} ({plain_cell(rollout.reason)})" if rollout.reason else line


def progress_line(rollout: Rollout, rows: Sequence[AssetRow]) -> str:
    """One line: how it stands, and how many assets stand where."""
    counts = ", ".join(f"{n} {state}" for state, n in tally(rows).items())
    return f"{headline(rollout)}: {counts}"


def fitted(text: str, *, columns: int, lines: int) -> str:
    """A view that leaves a screen its last line: what is too long or too much is cut, and said."""
    room = max(1, columns - 1)
    cut = [one if len(one) <= room else f"{one[: room - 1]}…" for one in text.splitlines()]
    if len(cut) < lines:
        return "\n".join(cut)
    kept = max(1, lines - 2)
    more = f"… {len(cut) - kept} more lines: qlrf rollouts show"
    return "\n".join([*cut[:kept], more[:room]])


def shown(rollout: Rollout, rows: Sequence[AssetRow], plan: RolloutPlan) -> str:
    """A rollout phase by phase, with what is wrong in words and what can be done about it."""
    lines = [headline(rollout), f"  {_bar(rows)}"]
    for number, phase in enumerate(plan.phases):
        mine = [row for row in rows if row.phase == number]
        here = "→" if number == rollout.phase else " "
        counts = ", ".join(f"{n} {state}" for state, n in _counts(mine).items())
        lines.append(f"{here} {phase.name:<12} {_marks(mine):<24} {counts}")
    lines += _told(rows)
    lines += [*_watched(rollout, plan), *next_words(rollout)]
    return "\n".join(lines)


def _watched(rollout: Rollout, plan: RolloutPlan) -> list[str]:
    """Until when a phase is watched."""
    if rollout.state is not RolloutState.WATCHING or rollout.watch_since is None:
        return []
    ends = rollout.watch_since + plan.phases[rollout.phase].wait
    return [f"  watched since {rollout.watch_since:%H:%M:%S} until {ends:%Y-%m-%d %H:%M:%S} UTC"]


def _told(rows: Sequence[AssetRow]) -> list[str]:
    """What is wrong first, then what is on its way, then what keeps waiting or was left out."""
    wrong = [row for row in rows if row.state.value in ("failed", "unknown", "not_restored")]
    going = [row for row in rows if row.state.value in ("changing", "restoring")]
    others = [row for row in rows if row.state.value in ("waiting", "skipped") and row.detail]
    told = (*wrong, *going, *others)
    # What clouds and hooks say is not for a terminal to obey.
    lines = [
        f"    {_MARKS[row.state]} {plain_cell(row.asset)}: {plain_cell(row.detail)}"
        for row in told[:_MOST]
    ]
    more = len(told) - _MOST
    return [*lines, f"    … and {more} more; --json shows all"] if more > 0 else lines


def next_words(rollout: Rollout) -> list[str]:
    """What happens next, or who has to say what."""
    name = f"{rollout.id} --tenant {rollout.tenant}"
    state = rollout.state.value
    if rollout.wake_at is not None:
        when = f"{rollout.wake_at:%Y-%m-%d %H:%M:%S} UTC"
        return [f"  goes on by itself at {when}", *_asked(rollout)]
    verbs = {
        "paused": ("resume", "rollback", "cancel"),
        "held": ("resume", "promote", "retry", "rollback", "cancel"),
        "awaiting_approval": ("retry", "rollback", "cancel"),
        "stuck": ("retry", "cancel"),
        "running": ("pause", "rollback", "cancel"),
        "watching": ("pause", "promote", "rollback", "cancel"),
    }.get(state, ())
    why = {verb: " --reason WHY" if verb in _REASONED else "" for verb in verbs}
    return [*_asked(rollout), *(f"  qlrf rollouts {verb} {name}{why[verb]}" for verb in verbs)]


def _asked(rollout: Rollout) -> list[str]:
    """What people say about the rest of a canary that goes by itself, while they are asked."""
    if rollout.bound is None or rollout.state not in OUT:
        return []
    name = f"{rollout.id} --tenant {rollout.tenant} --digest {rollout.digest[:12]}"
    return [
        "  only its canary goes by itself; the rest goes once people have approved it:",
        *(f"  qlrf tasks {verb} {name}" for verb in ("approve", "reject")),
    ]


def _counts(rows: Sequence[AssetRow]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row.state.value] = found.get(row.state.value, 0) + 1
    return found


def _marks(rows: Sequence[AssetRow]) -> str:
    marks = "".join(_MARKS[row.state] for row in rows)
    return marks if len(marks) <= 24 else f"{marks[:21]}..."


def _bar(rows: Sequence[AssetRow]) -> str:
    assets = [row for row in rows if not row.asset.startswith(HOOK_ROW)]
    if not assets:
        return ""
    done = sum(1 for row in assets if row.state.value in ("done", "skipped"))
    filled = _BAR * done // len(assets)
    return f"[{'█' * filled}{'░' * (_BAR - filled)}] {done}/{len(assets)} changed"
