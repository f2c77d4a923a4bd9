"""Remediation: from a request to a plan people approve, and from the approval to what may run."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.approval import Approved, DecisionKind, Extent, Standing, voters
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Record, TaskState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import cancel, let_go, standing_of
from qlrf_pipelines.services.gate import Looked, Proposal
from qlrf_pipelines.services.hands import NO_HANDS, Hands
from qlrf_pipelines.services.plan_gates import Gate, Result, executing_gate
from qlrf_pipelines.services.planning import Planned, make_plan
from qlrf_pipelines.services.planning_facts import look
from qlrf_pipelines.services.planning_request import PlanRequest, asked
from qlrf_pipelines.services.planning_targets import targets
from qlrf_pipelines.services.recheck import (
    Changed,
    Rechecked,
    Shrunk,
    recheck,
    request_again,
    selection_of,
)
from qlrf_pipelines.services.submission import (
    KIND,
    open_key,
    plan_key,
    refuse_denied,
    requirement_of,
)
from qlrf_pipelines.services.triggers import due, requester

PLATFORM = "qlrf"


def propose(world: World, request: PlanRequest, *, hands: Hands = NO_HANDS) -> Proposal:
    """Plan what is requested, as the gate asks for it.

    Raises:
        Refused: a gate denies the plan, there is nothing to change, or its window has closed.
        NotFound, Rejected, Unavailable: as make_plan.
    """
    planned = _planned(world, request, hands)
    key = open_key(world, request.tenant, plan_key(planned))
    return _proposal(world, planned, key=key)


def propose_due(
    world: World,
    tenant: TenantId,
    policy: str,
    environment: Environment,
    *,
    hands: Hands = NO_HANDS,
) -> Proposal:
    """Plan what a policy would change now by itself; its open request is replaced by this one.

    Raises:
        Refused: a gate denies the plan, or nothing is due any more.
        NotFound, Rejected, Unavailable: as make_plan.
    """
    request = PlanRequest(
        tenant=tenant,
        requested_by=requester(policy),
        policy=policy,
        environments=(environment,),
    )
    declared, kept_policy = asked(world, request)
    found = () if kept_policy is None else due(world, declared, kept_policy, now=world.clock.now())
    wanted = next((one for one in found if one.environment is environment), None)
    if wanted is None:
        raise Refused(
            f"Policy {policy} has nothing to change in {environment} of tenant {tenant} now."
        )
    planned = _planned(world, replace(request, assets=wanted.assets), hands)
    key = open_key(world, tenant, f"policy:{policy}:{environment}")
    return _proposal(world, planned, key=key)


def kept(record: Record, *, left_out: Mapping[str, str] | None = None) -> Proposal:
    """What a task is about, as it stands: the same digest."""
    task = record.task
    return Proposal(
        tenant=task.tenant,
        kind=task.kind,
        title=task.title,
        document=record.document.content,
        context={k: v for k, v in record.document.context.items() if k != "job"},
        requested_by=task.requested_by,
        stage=task.stage,
        left_out=dict(left_out or {}),
    )


def recheck_at_claim(world: World, record: Record, *, hands: Hands = NO_HANDS) -> Looked:
    """What may be taken of a task at this moment, or must be asked for anew.

    Unchanged: the same. Some assets are gone: the same, less those. Anything else: a fresh plan of
    the same selection, or the end of the task if nothing of it is left to change.

    Raises:
        Refused: the policies deny that it runs now, or deny the fresh plan.
        Unavailable: the lake or the policies cannot be asked.
    """
    task = record.task
    if task.requirement.unattended is not None and task.state is TaskState.AWAITING_APPROVAL:
        record = let_go(world, task.tenant, task.id)
    standing = standing_of(world, record)
    if not _may_start(record, standing, now=world.clock.now()):
        return _as_it_is(record)
    extent = standing.extent if isinstance(standing, Approved) else Extent.WHOLE
    alone = extent is Extent.CANARY
    came = recheck(world, record.document, hands=hands, alone=alone)
    part = extent.value if alone else ""
    if isinstance(came, Changed):
        note(world, record, came, of=part)
        proposal = _anew(world, record, hands)
        if proposal is None:
            return _nothing_left(world, record, "; ".join(came.reasons))
        return Looked(proposal=proposal, record=record)
    if isinstance(came, Shrunk) and came.all_gone:
        note(world, record, came, of=part)
        return _nothing_left(world, record, "every asset of it is gone")
    gate = last_word(world, record, extent=extent)
    note(world, record, came, gate, of=part)
    if gate is not None and gate.result is Result.DENIED:
        what = f"The canary of task {task.id}" if alone else f"Task {task.id}"
        instead = " or once people approve all of it" if alone else ""
        raise Refused(
            f"{what} must not run now: {'; '.join(gate.reasons)}. It stays approved"
            f" until its approval expires; run it again once that is mended{instead}."
        )
    return _as_it_is(record, left_out=came.gone if isinstance(came, Shrunk) else {})


def _as_it_is(record: Record, *, left_out: Mapping[str, str] | None = None) -> Looked:
    return Looked(proposal=kept(record, left_out=left_out), record=record)


def _may_start(record: Record, standing: Standing, *, now: datetime) -> bool:
    if record.task.state is not TaskState.APPROVED or not isinstance(standing, Approved):
        return False
    opens = standing.conditions.not_before
    return opens is None or opens <= now


def carried_out_by_people(content: Mapping[str, Any]) -> bool:
    """Whether a plan's mode leaves it to people: the platform only records what was approved."""
    return selection_of(content).mode is Mode.PLAN_ONLY


def _planned(world: World, request: PlanRequest, hands: Hands) -> Planned:
    planned = make_plan(
        world, request, engine=world.policy, contract=world.plan_contract, hands=hands
    )
    refuse_denied(planned)
    return planned


def _proposal(world: World, planned: Planned, *, key: str = "") -> Proposal:
    plan = planned.plan
    return Proposal(
        tenant=TenantId(plan.tenant),
        kind=KIND,
        title=plan.summary,
        document=planned.document,
        requested_by=plan.requested_by,
        context=planned.context,
        requirement=requirement_of(planned, now=world.clock.now()),
        key=key,
    )


def _anew(world: World, record: Record, hands: Hands) -> Proposal | None:
    """A fresh plan for what is left of the selection; None if nothing of it needs a change."""
    selection = selection_of(record.document.content)
    request = request_again(world, selection, made_at=record.document.made_at)
    there = _still_planned(world, request)
    if not there:
        return None
    planned = _planned(world, replace(request, assets=there), hands)
    return _proposal(world, planned)


def _still_planned(world: World, request: PlanRequest) -> tuple[str, ...]:
    """The assets of a request that are there and need a change."""
    _, policy = asked(world, request)
    knowledge = look(world, request.tenant, {"assets": request.assets})
    mine = [
        asset
        for asset in knowledge.candidates
        if asset.key in request.assets and asset.environment in request.environments
    ]
    stated = request.window is not None
    actions, _ = targets(
        knowledge, mine, policy=policy, verdicts=request.verdicts, window_stated=stated
    )
    return tuple(action.asset for action in actions)


def _nothing_left(world: World, record: Record, why: str) -> Looked:
    task = record.task
    cancel(
        world,
        task.tenant,
        task.id,
        by=PLATFORM,
        role=Role.OPERATOR,
        reason=f"nothing is left to change: {why}",
    )
    return _as_it_is(world.tasks.get(task.tenant, task.id))


def last_word(world: World, record: Record, *, extent: Extent = Extent.WHOLE) -> Gate | None:
    """What the policies say right before so much of it runs.

    Nobody asks where the platform runs nothing.
    """
    if carried_out_by_people(record.document.content):
        return None
    return executing_gate(
        world.policy,
        record.document.content,
        _facts(world, record, extent),
        bundle=record.document.context.get("policy_bundle", ""),
    )


def _facts(world: World, record: Record, extent: Extent) -> dict[str, Any]:
    """What the platform knows at the last moment; the recheck just walked through the plan."""
    task = record.task
    roles = record.document.content["approvals"]["roles"]
    said = voters(
        task.requirement,
        record.current,
        requester=task.requested_by,
        author=record.document.made_by,
    )
    facts: dict[str, Any] = {
        "now": iso(world.clock.now()),
        "approvals": [{"person": who, "role": _as_listed(role, roles)} for who, role in said],
        "extent": extent.value,
        "simulation_completed": True,
    }
    for one in record.current:
        if one.kind is DecisionKind.BREAK_GLASS:
            facts["glass"] = {"person": one.by, "role": one.role.value, "reason": one.reason}
    return facts


def _as_listed(role: Role, roles: list[str]) -> str:
    """The highest role on the list that somebody of this role holds; their own if none."""
    held = [one for one in Role if one.value in roles and one.rank <= role.rank]
    return (held[-1] if held else role).value


def note(
    world: World, record: Record, came: Rechecked, gate: Gate | None = None, *, of: str = ""
) -> None:
    """Keep as evidence what was found at the moment the approval was used; `of` names a part."""
    found: dict[str, Any] = {"digest": record.task.digest, "found": type(came).__name__.lower()}
    if of:
        found["of"] = of
    if isinstance(came, Shrunk):
        found["gone"] = dict(came.gone)
    if isinstance(came, Changed):
        found["reasons"] = list(came.reasons)
    if gate is not None:
        found["gate"] = gate.document()
    entry = NewEntry(
        kind="plan_rechecked",
        subject=record.task.id,
        recorded_at=world.clock.now(),
        content=found,
    )
    world.ledger.append({record.task.tenant: [entry]})
