"""The weight of a change: when it may run, how risky it is then, what autonomy allows of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from qlrf_pipelines.domain.autonomy import AutonomyRule, Mode, Permission, Proposal, decide
from qlrf_pipelines.domain.change_risk import (
    ChangeFacts,
    ChangeRisk,
    PastChanges,
    assess_change,
)
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Tenant
from qlrf_pipelines.domain.patching import PatchPolicy
from qlrf_pipelines.domain.plans import Action
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import planning_terms
from qlrf_pipelines.services.hands import NO_HANDS, Hands
from qlrf_pipelines.services.planning_facts import Candidate, Knowledge
from qlrf_pipelines.services.planning_request import PlanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What every step of making one plan looks at; `made_at` is the moment its window is sought."""

    world: World
    request: PlanRequest
    tenant: Tenant
    policy: PatchPolicy | None
    knowledge: Knowledge
    environment: Environment
    made_at: datetime
    hands: Hands = NO_HANDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The change of one environment: its assets, when it may run, its risk and what that allows."""

    actions: Sequence[Action]
    assets: Sequence[Candidate]
    window: Span | None
    timezone: str
    dependents: int | None
    risk: ChangeRisk
    rule: AutonomyRule
    proposal: Proposal
    permission: Permission
    need: planning_terms.Need


def weigh(
    making: Making,
    actions: Sequence[Action],
    assets: Sequence[Candidate],
    *,
    seen_as: Callable[[ChangeFacts], ChangeFacts] = lambda facts: facts,
) -> Weighed:
    """Weigh a change of these assets; `seen_as` may put other facts in the place of what is found.

    Raises:
        Rejected: the request asks for more autonomy than the tenant allows, or a zone is unknown.
    """
    rules, rule = making.tenant.changes, rule_of(making)
    stated = making.request.window
    window, timezone = planning_terms.window(
        making.policy,
        making.environment,
        stated=stated,
        now=making.made_at,
        timezone=rules.timezone,
    )
    past = making.hands.past(making.tenant.name, making.environment)
    found = planning_terms.risk_facts(
        making.knowledge,
        actions,
        assets,
        environment=making.environment,
        window=window,
        policy=making.policy,
        stated=stated is not None,
        past=past,
    )
    facts = seen_as(found)
    risk = assess_change(facts, rules.risk)
    proposal = _propose(making, actions, assets, window=window, risk=risk, past=past)
    permission = decide(rule, proposal)
    return Weighed(
        actions=actions,
        assets=assets,
        window=window,
        timezone=timezone,
        dependents=facts.dependents,
        risk=risk,
        rule=rule,
        proposal=proposal,
        permission=permission,
        need=planning_terms.approvals(
            making.policy, making.environment, risk, permission, rule=rule
        ),
    )


def rule_of(making: Making) -> AutonomyRule:
    """The tenant's rule; a request may ask for less autonomy, never for more.

    Raises:
        Rejected: it asks for more.
    """
    rule = making.tenant.changes.autonomy.of(making.environment)
    if making.request.mode is None:
        return rule
    modes = list(Mode)
    if modes.index(making.request.mode) > modes.index(rule.mode):
        raise Rejected(
            f"Tenant {making.tenant.name} allows {rule.mode} in {making.environment}; a plan may"
            f" ask for less than that, not for {making.request.mode}. Change spec.changes.autonomy."
        )
    return planning_terms.with_mode(rule, making.request.mode)


def _propose(
    making: Making,
    actions: Sequence[Action],
    assets: Sequence[Candidate],
    *,
    window: Span | None,
    risk: ChangeRisk,
    past: PastChanges | None,
) -> Proposal:
    now = making.world.clock.now()
    return Proposal(
        operations=tuple(sorted({action.operation.value for action in actions})),
        environment=making.environment,
        platforms=tuple(sorted({asset.platform for asset in assets})),
        assets=len(actions),
        critical=sum(asset.critical for asset in assets),
        minutes_since_change=None if past is None else past.minutes_before(now),
        window=window,
        timezone=making.tenant.changes.timezone,
        risk=risk,
    )
