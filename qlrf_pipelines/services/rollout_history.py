"""What the platform can carry out and what it carried out before: what a plan's risk asks."""

from collections.abc import Sequence
from functools import partial

from qlrf_pipelines.domain.change_risk import ChangeHistory, PastChanges
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import ENDED, Rollout, RolloutState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.hands import Hands

_NEWEST = 100
_GOOD = (RolloutState.COMPLETED,)


def hands_of(world: World) -> Hands:
    """Every executor by its version, and the rollouts that are kept."""
    versions = {platform: one.version for platform, one in world.executors.items()}
    return Hands(executors=versions, past=partial(past_changes, world))


def past_changes(world: World, tenant: TenantId, environment: Environment) -> PastChanges:
    """What rollouts did in an environment: among the tenant's newest hundred.

    Without one that ended there is no history, which counts as an unknown one.
    """
    found = [
        one
        for one in world.rollouts.list(tenant, limit=_NEWEST)
        if one.environment == environment.value
    ]
    last = max((one.changed_at for one in found), default=None)
    return PastChanges(last_at=last, history=_history(world, found))


def _history(world: World, found: Sequence[Rollout]) -> ChangeHistory | None:
    ended = [one for one in found if one.state in ENDED and _says_something(world, one)]
    if not ended:
        return None
    bad = [one for one in ended if one.state not in _GOOD]
    streak = next((n for n, one in enumerate(ended) if one.state not in _GOOD), len(ended))
    days = None
    if bad:
        newest = max(one.changed_at for one in bad)
        days = max(0.0, (world.clock.now() - newest).total_seconds() / 86400)
    return ChangeHistory(
        failure_rate=len(bad) / len(ended), days_since_failure=days, success_streak=streak
    )


def _says_something(world: World, rollout: Rollout) -> bool:
    """Whether anything was begun: one that was called off before is neither good nor bad."""
    if rollout.state is not RolloutState.CANCELLED or rollout.phase > 0:
        return True
    return any(row.begun_at is not None for row in world.rollouts.rows(rollout.tenant, rollout.id))
