"""What a rollout's entries in the ledger tell those whom its plan names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.messages import About, Event, Message, compose
from qlrf_pipelines.domain.news import News, reason_of
from qlrf_pipelines.domain.rollout import Rollout

# kind of ledger entry -> the event it is to a listener, and what it says
STEPS: Mapping[str, tuple[Event, str]] = {
    "rollout_begun": (Event.STARTED, "has started"),
    "rollout_paused": (Event.PAUSED, "is paused"),
    "rollout_held": (Event.PAUSED, "is held and waits for a person"),
    "rollout_asked": (Event.PAUSED, "waits for people to approve what follows its canary"),
    "rollout_finished": (Event.COMPLETED, "is completed"),
    "rollout_gave_up": (Event.FAILED, "has failed"),
    "rollout_cancelled": (Event.FAILED, "was cancelled: what is changed stays changed"),
    "rollout_restore_failed": (Event.FAILED, "is stuck: not everything could be brought back"),
    "rollout_tripped": (Event.ROLLBACK, "is being rolled back"),
    "rollout_denied": (Event.ROLLBACK, "is being rolled back: the rest was not approved"),
    "rollout_rollback_asked": (Event.ROLLBACK, "is being rolled back"),
    "rollout_restored": (Event.ROLLBACK, "is rolled back, and that is verified"),
}
# A task that fails with no rollout was claimed and changed nothing.
NOT_BEGUN = "approval_failed"


def news_of(entry: Entry, document: Mapping[str, Any]) -> News:
    """What an entry about a rollout tells."""
    event, says = STEPS.get(entry.kind, (Event.FAILED, "did not begin: nothing was changed"))
    message = compose(
        event=event,
        about=About.ROLLOUT,
        tenant=entry.tenant,
        subject=entry.subject,
        environment=_environment(document),
        policy=str(document.get("policy", "")),
        digest=str(entry.content.get("digest", "")),
        says=says,
        reason=reason_of(entry.content),
        assets=_assets(entry.content.get("assets")),
        at=entry.recorded_at,
    )
    return News(events=(event,), message=message, resolving=(Event.COMPLETED,))


def _environment(document: Mapping[str, Any]) -> str:
    return str(document.get("environment", "")) or "unknown"


def _assets(found: object) -> Mapping[str, int]:
    if isinstance(found, Mapping):
        return {str(name): int(count) for name, count in found.items()}
    return {"planned": found} if isinstance(found, int) else {}


def progress_of(
    rollout: Rollout,
    document: Mapping[str, Any],
    *,
    key: str,
    assets: Mapping[str, int],
    now: datetime,
) -> Message:
    """How far a rollout is."""
    phases = document.get("phases", ())
    where = f"phase {rollout.phase + 1} of {len(phases)}" if phases else "on its way"
    return compose(
        key=key,
        event=Event.PROGRESS,
        about=About.ROLLOUT,
        tenant=rollout.tenant,
        subject=rollout.id,
        environment=_environment(document),
        policy=str(document.get("policy", "")),
        digest=rollout.digest,
        says=f"is {rollout.state.value.replace('_', ' ')}, {where}",
        reason=rollout.reason,
        assets=assets,
        at=now,
    )
