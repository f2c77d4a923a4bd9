"""Whether what an approval relied upon still holds, asked at the moment the approval is used.

Nothing is changed here. An asset that is proven to be gone makes the plan smaller; anything else
that differs, or that nobody can see any more, sends the plan back to the people who approved it.
Time alone changes nothing: windows are sought at the moment the plan was made, and factors that
fall by mere waiting may have fallen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.change_risk import ChangeFacts, ChangeRisk, Factor
from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.plans import Action, Operation, action_document, executor_version
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.tasks import Document
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, Platform
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import planning_terms
from qlrf_pipelines.services.hands import NO_HANDS, Hands
from qlrf_pipelines.services.planning_facts import (
    Candidate,
    Knowledge,
    Whereabouts,
    look,
    whereabouts,
)
from qlrf_pipelines.services.planning_request import PlanRequest, asked
from qlrf_pipelines.services.planning_targets import targets
from qlrf_pipelines.services.planning_weigh import Making, Weighed, weigh

# The score of these falls by waiting; the others stay unless something else changed.
_FALL_WITH_TIME = frozenset({Factor.DRIFT, Factor.HISTORY})
_FALL_WITH_FEWER = frozenset({Factor.CHANGE_SIZE, Factor.DEPENDENCIES, Factor.ROLLBACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Everything is as it was approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """Some assets are proven to be gone, each with its reason; all else is as approved."""

    gone: Mapping[str, str]
    all_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Something else than vanishing happened, or cannot be seen; people must look again."""

    reasons: tuple[str, ...]


Rechecked = Unchanged | Shrunk | Changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a plan was made of, as its document says it."""

    tenant: TenantId
    environment: Environment
    policy: str | None
    requested_by: str
    mode: Mode
    actions: Mapping[str, Mapping[str, Any]]
    window: Span | None
    verdicts: tuple[DriftVerdict, ...] = ()

    @property
    def assets(self) -> tuple[str, ...]:
        """The keys of its assets, in the order of the plan."""
        return tuple(self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is there now of an approved plan."""

    selection: Selection
    document: Mapping[str, Any]
    knowledge: Knowledge
    places: Mapping[str, Whereabouts]
    gone: Mapping[str, str]
    left: tuple[Candidate, ...]
    changed: tuple[str, ...]
    alone: bool


def recheck(
    world: World,
    approved: Document,
    *,
    hands: Hands = NO_HANDS,
    changed: Sequence[str] = (),
    alone: bool = False,
) -> Rechecked:
    """Compare a plan's document and context with the world as it is now.

    `changed` are the assets of a canary that went first: they are not compared with their own
    change. `alone` is whether the canary is to go by itself, and still has to be let.

    Raises:
        Unavailable: the lake or the policies cannot be asked; nothing may go on without them.
        Rejected: the document is no plan.
    """
    seen = _look(world, approved, changed=tuple(changed), alone=alone)
    reasons = list(_basis(world, approved, seen, hands))
    reasons += _assets(seen)
    if not reasons and seen.left:
        reasons += _remade(world, approved, seen, hands)
    if reasons:
        return Changed(reasons=tuple(reasons))
    if seen.gone:
        return Shrunk(gone=dict(seen.gone), all_gone=not seen.left)
    return Unchanged()


def selection_of(content: Mapping[str, Any]) -> Selection:
    """What a plan was made of.

    Raises:
        Rejected: the document is no plan.
    """
    try:
        actions = {
            action["asset"]: action for phase in content["phases"] for action in phase["actions"]
        }
        return Selection(
            tenant=TenantId(content["tenant"]),
            environment=Environment(content["environment"]),
            policy=content.get("policy"),
            requested_by=content["requested_by"],
            mode=Mode(content["autonomy"]["mode"]),
            actions=actions,
            window=_window(content["window"]),
            verdicts=tuple(DriftVerdict(one) for one in content["cause"].get("verdicts", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Rejected(f"The document is no plan that could be rechecked: {error}.") from error


def request_again(world: World, selection: Selection, *, made_at: datetime) -> PlanRequest:
    """The request that would make this plan again: never more autonomy than it was made with.

    Raises:
        NotFound: the tenant or the policy is not declared any more.
    """
    request = PlanRequest(
        tenant=selection.tenant,
        requested_by=selection.requested_by,
        policy=selection.policy,
        environments=(selection.environment,),
        assets=selection.assets,
        verdicts=selection.verdicts,
    )
    tenant, policy = asked(world, request)
    modes, rule = list(Mode), tenant.changes.autonomy.of(selection.environment)
    found, _ = planning_terms.window(
        policy,
        selection.environment,
        stated=None,
        now=made_at,
        timezone=tenant.changes.timezone,
    )
    by_policy = policy is not None and _same(found, selection.window)
    return replace(
        request,
        mode=min(selection.mode, rule.mode, key=modes.index),
        window=None if by_policy else selection.window,
    )


def _look(world: World, approved: Document, *, changed: tuple[str, ...], alone: bool) -> _Seen:
    selection = selection_of(approved.content)
    keys = selection.assets
    actions = {key: action for key, action in selection.actions.items() if key not in changed}
    knowledge = look(world, selection.tenant, {"assets": keys})
    places = whereabouts(world, selection.tenant, keys, version=knowledge.versions["inventory"])
    gone = {key: why for key in actions if key in places and (why := places[key].gone)}
    found = {asset.key: asset for asset in knowledge.candidates}
    return _Seen(
        selection=replace(selection, actions=actions),
        document=approved.content,
        knowledge=knowledge,
        places=places,
        gone=gone,
        left=tuple(found[key] for key in actions if key in found and key not in gone),
        changed=changed,
        alone=alone,
    )


def _basis(world: World, approved: Document, seen: _Seen, hands: Hands) -> Iterator[str]:
    """What all assets have in common: the policies, and who would carry it out."""
    before, now = approved.context.get("policy_bundle"), world.policy.bundle_digest()
    if not now or now != before:
        yield "the policies are others than those it was judged by"
    platforms = {Platform(place.platform) for place in seen.places.values() if place.platform}
    version = executor_version(hands.executors, platforms)
    if version != approved.context.get("executor"):
        yield f"it would be carried out by another executor: {version}"


def _assets(seen: _Seen) -> Iterator[str]:
    left = {asset.key: asset for asset in seen.left}
    for key, action in seen.selection.actions.items():
        if key not in seen.gone:
            why = _other(seen.places.get(key), left.get(key), action)
            if why:
                yield f"{key} {why}"


def _other(place: Whereabouts | None, asset: Candidate | None, action: Mapping[str, Any]) -> str:
    """Why an asset is not what was approved; '' if it is."""
    if place is None:
        return "is unknown to the inventory, and nobody saw it end"
    if not place.fresh:
        return "was not seen by the last refresh, so nobody knows what it is now"
    if asset is None or place.environment is None:
        return f"is {place.state or 'in an unknown state'}, and was not judged as it is"
    if planning_terms.action_facts(asset, _as_planned(asset, action)) != action.get("facts"):
        runs = f"{asset.family or 'an unknown image'} {asset.version or ''}".strip()
        return f"is not as it was: it is {asset.state}, runs {runs} and is {asset.verdict}"
    return ""


def _as_planned(asset: Candidate, action: Mapping[str, Any]) -> Action:
    return Action(
        asset=asset.key,
        name=asset.name,
        platform=asset.platform,
        operation=Operation(action["operation"]),
        why="",
    )


def _remade(world: World, approved: Document, seen: _Seen, hands: Hands) -> Iterator[str]:
    """What planning it again, as it was asked for, would make of it."""
    try:
        request = request_again(world, seen.selection, made_at=approved.made_at)
        tenant, policy = asked(world, request)
    except NotFound as error:
        yield str(error)
        return
    verdicts = {DriftVerdict(asset.verdict) for asset in seen.left}
    stated = request.window is not None
    actions, _ = targets(
        seen.knowledge, seen.left, policy=policy, verdicts=verdicts, window_stated=stated
    )
    others = list(_actions(seen, actions))
    yield from others
    if not others:
        making = Making(
            world=world,
            request=request,
            tenant=tenant,
            policy=policy,
            knowledge=seen.knowledge,
            environment=seen.selection.environment,
            made_at=approved.made_at,
            hands=hands,
        )
        weighed = weigh(making, actions, seen.left, seen_as=_whole(seen))
        yield from _terms(seen, weighed)
        yield from _risk(seen, weighed.risk)


def _actions(seen: _Seen, actions: Sequence[Action]) -> Iterator[str]:
    """Assets for which something else would be done now than was approved."""
    now = {action.asset: action_document(action) for action in actions}
    for asset in seen.left:
        before = {k: v for k, v in seen.selection.actions[asset.key].items() if k != "facts"}
        if now.get(asset.key) != before:
            yield f"{asset.key} would get another change now, or none"


def _whole(seen: _Seen) -> "Callable[[ChangeFacts], ChangeFacts]":
    """The plan's own scope: assets that are gone have left the plan and the fleet alike.

    So have changed ones that were replaced, until a refresh sees what took their place.
    """
    radius = seen.document["blast_radius"]
    places = (seen.places.get(key) for key in seen.changed)
    gone = len(seen.gone) + sum(place is not None and bool(place.gone) for place in places)

    def as_approved(facts: ChangeFacts) -> ChangeFacts:
        fleet = None if facts.fleet is None else facts.fleet + gone
        return replace(
            facts, affected=radius["assets"], critical=radius["critical_assets"], fleet=fleet
        )

    return as_approved


def _terms(seen: _Seen, weighed: Weighed) -> Iterator[str]:
    """Whom it would ask now, if that is more than it asked, and when it would run."""
    asked_for, need = seen.document["approvals"], weighed.need
    if weighed.rule.mode is not seen.selection.mode:
        yield f"the tenant allows no more than {weighed.rule.mode} now"
    elif seen.alone and not weighed.permission.automatic:
        why = "; ".join((weighed.permission.reason, *weighed.permission.blocked))
        yield f"its canary may not go by itself now: {why}"
    if need.required and not asked_for["required"]:
        yield f"it needs approval now: {'; '.join(need.why)}"
    elif need.quorum > asked_for["quorum"]:
        yield f"it needs {need.quorum} approvals now, not {asked_for['quorum']}"
    if need.required and not set(asked_for["roles"]) <= set(need.roles):
        yield f"only {', '.join(need.roles)} may approve it now"
    if not _same(weighed.window, seen.selection.window):
        yield "its maintenance window is another one now"


def _risk(seen: _Seen, risk: ChangeRisk) -> Iterator[str]:
    before = {item["factor"]: item for item in seen.document["risk"]["factors"]}
    may_fall = _FALL_WITH_TIME
    if seen.gone or seen.changed:
        may_fall |= _FALL_WITH_FEWER
    if seen.changed:
        may_fall |= {Factor.SCOPE}
    for item in risk.factors:
        old = before.get(item.factor.value)
        if old is None or round(item.weight, 6) != old["weight"]:
            yield f"the risk of {item.factor} is weighed otherwise now"
            continue
        worse = item.score > old["score"] or (old["known"] and not item.known)
        if worse or (item.score < old["score"] and item.factor not in may_fall):
            was = f"{item.score:g} now, not {old['score']:g}"
            yield f"the risk of {item.factor} is {was}: {item.why}"


def _window(stated: Mapping[str, Any]) -> Span | None:
    if stated["required"] is not True:
        return None
    return Span(
        opens_at=datetime.fromisoformat(stated["opens_at"]),
        closes_at=datetime.fromisoformat(stated["closes_at"]),
    )


def _same(one: Span | None, other: Span | None) -> bool:
    """Whether two windows are the same to the second, as documents tell them."""
    return _ends(one) == _ends(other)


def _ends(window: Span | None) -> tuple[str, str] | None:
    if window is None:
        return None
    return iso(window.opens_at, digits=False), iso(window.closes_at, digits=False)
