"""Planning: from drift or an operator's selection to a plan that has passed, or not, its gates.

Nothing is changed here, and nothing is carried out: a plan is a document, and people act on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qlrf_pipelines.domain.autonomy import Permission
from qlrf_pipelines.domain.change_risk import ChangeRisk
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.patching import PatchPolicy
from qlrf_pipelines.domain.plans import Action, Plan, executor_version, make_phases, plan_digest
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.contracts import PlanContract
from qlrf_pipelines.ports.policy import PolicyEngine
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import plan_gates, planning_terms
from qlrf_pipelines.services.hands import NO_HANDS, Hands
from qlrf_pipelines.services.plan_gates import Gate, Result
from qlrf_pipelines.services.planning_facts import Candidate, frameworks, look
from qlrf_pipelines.services.planning_request import PlanRequest, all_found, asked, narrow
from qlrf_pipelines.services.planning_targets import Skipped, targets
from qlrf_pipelines.services.planning_weigh import Making, Weighed, weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with its gates, and everything a person wants to see before deciding.

    `document` is the plan as its contract has it, gates included; `digest` covers it and
    `context`, the digests of what it was made from.
    """

    plan: Plan
    document: Mapping[str, Any]
    context: Mapping[str, str]
    digest: str
    gates: tuple[Gate, ...]
    risk: ChangeRisk
    permission: Permission
    policy: PatchPolicy | None
    versions: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def denials(self) -> tuple[str, ...]:
        """Every reason of every gate that denies."""
        return tuple(
            f"{gate.gate}: {reason}"
            for gate in self.gates
            if gate.result is Result.DENIED
            for reason in gate.reasons
        )

    @property
    def denied(self) -> bool:
        """Whether a gate says no."""
        return any(gate.result is Result.DENIED for gate in self.gates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """The plans made of one request, one per environment, and what was left out of all of them."""

    plans: tuple[Planned, ...]
    skipped: tuple[Skipped, ...]


def make_plans(
    world: World,
    request: PlanRequest,
    *,
    engine: PolicyEngine | None,
    contract: PlanContract | None,
    hands: Hands = NO_HANDS,
) -> Planning:
    """One plan per environment in which something is to be changed, and its gates.

    Raises:
        NotFound: the tenant or the policy is not declared, or an asset named is not there.
        Rejected: the request is contradictory, or names what can never be planned.
        Unavailable: the lake does not answer.
    """
    tenant, policy = asked(world, request)
    knowledge = look(world, tenant.name, narrow(request, policy))
    all_found(request, knowledge)
    actions, skipped = targets(
        knowledge,
        knowledge.candidates,
        policy=policy,
        verdicts=request.verdicts,
        window_stated=request.window is not None,
    )
    assets = {asset.key: asset for asset in knowledge.candidates}
    by_environment: dict[Environment, list[Action]] = {}
    for action in actions:
        asset = assets[action.asset]
        relied = replace(action, facts=planning_terms.action_facts(asset, action))
        by_environment.setdefault(asset.environment, []).append(relied)
    plans = tuple(
        _plan(
            Making(
                world=world,
                request=request,
                tenant=tenant,
                policy=policy,
                knowledge=knowledge,
                environment=environment,
                made_at=world.clock.now(),
                hands=hands,
            ),
            chosen,
            [assets[action.asset] for action in chosen],
            engine=engine,
            contract=contract,
        )
        for environment, chosen in sorted(by_environment.items(), key=lambda item: _SAFEST[item[0]])
    )
    return Planning(plans=plans, skipped=tuple(skipped))


def make_plan(
    world: World,
    request: PlanRequest,
    *,
    engine: PolicyEngine | None,
    contract: PlanContract | None,
    hands: Hands = NO_HANDS,
) -> Planned:
    """The one plan of a request.

    Raises:
        Refused: there is nothing to change, or it would span several environments.
        NotFound, Rejected, Unavailable: as make_plans.
    """
    plans = make_plans(world, request, engine=engine, contract=contract, hands=hands).plans
    if len(plans) == 1:
        return plans[0]
    if not plans:
        raise Refused(f"Tenant {request.tenant}: nothing selected needs, or can have, a change.")
    names = ", ".join(planned.plan.environment for planned in plans)
    raise Refused(
        f"Tenant {request.tenant}: the selection spans {names}, and a plan changes one"
        " environment; name one with --environment."
    )


# Where a mistake costs least comes first.
_SAFEST = {
    environment: rank
    for rank, environment in enumerate(
        (
            Environment.SANDBOX,
            Environment.DEVELOPMENT,
            Environment.STAGING,
            Environment.DR,
            Environment.PRODUCTION,
        )
    )
}


def _plan(
    making: Making,
    actions: Sequence[Action],
    assets: Sequence[Candidate],
    *,
    engine: PolicyEngine | None,
    contract: PlanContract | None,
) -> Planned:
    weighed = weigh(making, actions, assets)
    plan = _draw(making, weighed)
    document = plan.document()
    gates = (
        plan_gates.schema_gate(contract, document),
        plan_gates.policy_gate(engine, document),
        plan_gates.risk_gate(weighed.risk),
        plan_gates.autonomy_gate(weighed.permission, weighed.proposal),
        plan_gates.approvals_gate(
            required=plan.approval, quorum=plan.quorum, roles=plan.roles, why=weighed.need.why
        ),
    )
    return _finished(making, plan, gates, weighed)


def _draw(making: Making, weighed: Weighed) -> Plan:
    policy, actions, rule = making.policy, weighed.actions, weighed.rule
    pace = planning_terms.pace(policy, weighed.risk, weighed.permission, total=len(actions))
    production = making.environment is Environment.PRODUCTION
    keys = [asset.key for asset in weighed.assets]
    audited, named = frameworks(making.world, making.tenant.name, keys)
    return Plan(
        tenant=making.tenant.name,
        type="drift_plan" if actions[0].to_version else "patch_plan",
        environment=making.environment,
        policy=None if policy is None else policy.name,
        requested_by=making.request.requested_by,
        cause=planning_terms.cause(policy, making.request.verdicts, actions),
        summary=planning_terms.summary(actions, making.environment, policy),
        risk_score=weighed.risk.score,
        risk_level=weighed.risk.level,
        risk_factors=planning_terms.factors(weighed.risk),
        phases=make_phases(actions, pace, production=production),
        fleet=making.knowledge.fleet.get(making.environment, 0),
        critical_assets=weighed.proposal.critical or 0,
        dependents=weighed.dependents,
        health_checks=planning_terms.health_checks(policy),
        rollback_triggers=planning_terms.rollback_triggers(policy),
        audited=audited,
        frameworks=named,
        evidence=policy is None or policy.sla.require_evidence,
        approval=weighed.need.required,
        quorum=weighed.need.quorum,
        roles=weighed.need.roles,
        mode=rule.mode,
        risk_threshold=rule.risk_threshold,
        two_approvers=rule.require_two_approvers,
        window=weighed.window,
        timezone=weighed.timezone,
        strategy=planning_terms.strategy(policy),
        hooks=planning_terms.hooks(policy),
        notifications=planning_terms.notifications(policy),
    )


def _finished(
    making: Making,
    plan: Plan,
    gates: tuple[Gate, ...],
    weighed: Weighed,
) -> Planned:
    document = plan.document() | {"gates": [gate.document() for gate in gates]}
    bundle = next(gate for gate in gates if gate.gate == "policy").inputs.get("bundle")
    context = {
        "policy_bundle": bundle or plan_gates.NO_BUNDLE,
        "inventory": digest([planning_terms.inventory_facts(asset) for asset in weighed.assets]),
        "risk_inputs": digest([dict(item) for item in plan.risk_factors]),
        "executor": executor_version(
            making.hands.executors, {asset.platform for asset in weighed.assets}
        ),
    }
    return Planned(
        plan=plan,
        document=document,
        context=context,
        digest=plan_digest(document, context),
        gates=gates,
        risk=weighed.risk,
        permission=weighed.permission,
        policy=making.policy,
        versions=making.knowledge.versions,
    )
