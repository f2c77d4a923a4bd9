"""What a plan's assets were promised, and until when: for people to see, never part of a plan.

A plan's digest covers facts, and this changes with mere time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from qlrf_pipelines.domain.datasets import PATCH_SLA
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.patch_sla import SlaStatus
from qlrf_pipelines.domain.plans import Plan
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import patch_sla_sql

# An asset counts once, where there is most to do.
_URGENCY = (
    SlaStatus.BREACHED,
    SlaStatus.BREACHING,
    SlaStatus.DUE,
    SlaStatus.UNKNOWN,
    SlaStatus.MET,
)
_RANKS = " ".join(f"WHEN '{status}' THEN {rank}" for rank, status in enumerate(_URGENCY))
_STANDING = f"""
WITH stood AS (
  SELECT asset_key, due_at,
         CASE WHEN as_of < $fresh THEN '{SlaStatus.UNKNOWN}'
              WHEN status IN ('{SlaStatus.MET}', '{SlaStatus.UNKNOWN}') THEN status
              ELSE {patch_sla_sql.status_at("due_at", "within_seconds * 1000000", "$now")} END
           AS status
  FROM patch_sla
  WHERE policy = $policy AND asset_key IN (SELECT unnest($assets))
)
SELECT urgency, count(*), min(due_at) FROM (
  SELECT asset_key, min(CASE status {_RANKS} END) AS urgency,
         min(due_at) FILTER (status NOT IN ('{SlaStatus.MET}', '{SlaStatus.UNKNOWN}')) AS due_at
  FROM stood GROUP BY asset_key)
GROUP BY urgency
"""  # noqa: S608  words of our own


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How the assets of one plan stand under its policy; `first_due_at` is of what lacks patches.

    `unknown` are those nobody can tell of, the never judged ones included.
    """

    assets: int
    breached: int
    breaching: int
    due: int
    met: int
    unknown: int
    first_due_at: datetime | None


def deadlines(world: World, plan: Plan) -> Deadlines | None:
    """What the policy of a plan promised about its assets; None without a policy.

    Raises:
        Unavailable: the lake does not answer.
    """
    if plan.policy is None:
        return None
    assets = [action.asset for action in plan.actions]
    return _standing(world, TenantId(plan.tenant), policy=plan.policy, assets=assets)


def _standing(world: World, tenant: TenantId, *, policy: str, assets: Sequence[str]) -> Deadlines:
    now = world.clock.now()
    rules = {item.name: item.drift for item in world.estate.load().tenants}
    fresh = now - timedelta(hours=rules[tenant].stale_after_hours)
    with world.engine.session() as session:
        world.lake.view(session.connection, PATCH_SLA, tenants=[tenant])
        found = session.connection.execute(
            _STANDING, {"now": now, "fresh": fresh, "policy": policy, "assets": list(assets)}
        ).fetchall()
    counted = {_URGENCY[urgency]: number for urgency, number, _ in found}
    judged = sum(counted.values())
    return Deadlines(
        assets=len(assets),
        breached=counted.get(SlaStatus.BREACHED, 0),
        breaching=counted.get(SlaStatus.BREACHING, 0),
        due=counted.get(SlaStatus.DUE, 0),
        met=counted.get(SlaStatus.MET, 0),
        unknown=counted.get(SlaStatus.UNKNOWN, 0) + len(assets) - judged,
        first_due_at=min((due for _, _, due in found if due is not None), default=None),
    )
