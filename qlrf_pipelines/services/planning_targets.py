"""What becomes of each asset: an action, or the reason why there is none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import semver

from qlrf_pipelines.domain.change_risk import ChangeSize
from qlrf_pipelines.domain.operations import IDLE, RESTORE_SNAPSHOT, ROLLBACK
from qlrf_pipelines.domain.patching import (
    BATCHED,
    PatchPolicy,
    PatchSelector,
    PatchSource,
    SourceType,
    StrategyType,
    windows_for,
)
from qlrf_pipelines.domain.plans import (
    MAX_SURGE,
    MAX_UNAVAILABLE,
    STRATEGY,
    TOGETHER,
    Action,
    Operation,
)
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import (
    DriftVerdict,
    Environment,
    ImageStatus,
    Platform,
    Severity,
)
from qlrf_pipelines.services.planning_facts import Candidate, Knowledge, Release

FIXABLE = (DriftVerdict.BEHIND, DriftVerdict.RETIRED)
# What could not be seen can neither be planned nor asked for.
UNSEEN = (DriftVerdict.STALE, DriftVerdict.UNKNOWN)
_FINE = (DriftVerdict.CURRENT, DriftVerdict.EXEMPT, DriftVerdict.BEHIND_IN_GRACE)
_NOT_SEEN = "it was not seen by the last refresh"
_GOLDEN = PatchSource(type=SourceType.GOLDEN_IMAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An asset that was selected and is not changed, and why."""

    asset: str
    name: str
    why: str


def targets(
    knowledge: Knowledge,
    candidates: Sequence[Candidate],
    *,
    policy: PatchPolicy | None,
    verdicts: Collection[DriftVerdict],
    window_stated: bool = False,
) -> tuple[list[Action], list[Skipped]]:
    """The actions and the skipped, in the order of the assets' keys.

    `window_stated`: the request says itself when it may run, whatever windows its policy has.
    """
    source = _GOLDEN if policy is None else policy.source
    actions: list[Action] = []
    skipped: list[Skipped] = []
    for asset in candidates:
        if policy is not None and not selected(asset, policy.selector):
            continue
        if source.type is SourceType.GOLDEN_IMAGE:
            found = _image_action(knowledge, asset, policy, verdicts or FIXABLE)
        else:
            found = _patch_action(asset, source, policy)
        why = "" if window_stated else _no_window(policy, asset.environment)
        if isinstance(found, Action) and why:
            found = why
        if isinstance(found, Action):
            actions.append(found)
        elif found:
            skipped.append(Skipped(asset=asset.key, name=asset.name, why=found))
    return _whole_groups(knowledge, candidates, actions, skipped, policy)


def _no_window(policy: PatchPolicy | None, environment: Environment) -> str:
    """Why a policy of maintenance windows never changes this environment; nothing if it does."""
    if policy is None or policy.strategy.type is not StrategyType.MAINTENANCE_WINDOW:
        return ""
    if windows_for(policy.strategy, environment):
        return ""
    return f"policy {policy.name} has no maintenance window for {environment}"


def _whole_groups(
    knowledge: Knowledge,
    candidates: Sequence[Candidate],
    actions: Sequence[Action],
    skipped: list[Skipped],
    policy: PatchPolicy | None,
) -> tuple[list[Action], list[Skipped]]:
    """An Auto Scaling group is replaced as a whole, or not at all: its refresh knows no half."""
    groups = {asset.key: asset.group for asset in candidates}
    replaced = {a.asset for a in actions if a.operation is Operation.REPLACE_WITH_IMAGE}
    kept: list[Action] = []
    for action in actions:
        group = groups[action.asset]
        others = knowledge.groups.get(group, frozenset()) - replaced
        if not group or action.asset not in replaced:
            kept.append(action)
        elif others:
            name = group.rsplit(":", 1)[-1]
            why = (
                f"its Auto Scaling group {name} is replaced as a whole, and {len(others)} of its"
                " machines are not part of this plan"
            )
            skipped.append(Skipped(asset=action.asset, name=action.name, why=why))
        else:
            parameters = {**action.parameters, TOGETHER: group, **_within_a_group(policy)}
            kept.append(replace(action, parameters=parameters))
    return kept, skipped


def _within_a_group(policy: PatchPolicy | None) -> Mapping[str, str]:
    """What the strategy allows of a group at a time: it is one unit of the plan, not of itself."""
    if policy is None or policy.strategy.type not in BATCHED:
        return {}
    return {
        MAX_UNAVAILABLE: str(policy.strategy.max_unavailable_percent),
        MAX_SURGE: str(policy.strategy.max_surge_percent),
    }


def selected(asset: Candidate, selector: PatchSelector) -> bool:
    """Whether a policy is about an asset."""
    excluded = any(asset.tags.get(k) == v for k, v in selector.exclude_tags.items())
    if excluded or {asset.key, asset.id} & set(selector.exclude_assets):
        return False
    return (
        _within(asset.platform, selector.platforms)
        and _within(asset.environment, selector.environments)
        and _within(asset.region, selector.regions)
        and (asset.family is None or _within(asset.family, selector.families))
        and all(asset.tags.get(k) == v for k, v in selector.tags.items())
    )


def _within(value: object, allowed: Collection[object]) -> bool:
    return not allowed or value in allowed


def change_size(actions: Sequence[Action]) -> ChangeSize | None:
    """The largest step of them; None if one is unknown. Patches in place are moderate."""
    ranks = list(ChangeSize)
    found = [_step(action) for action in actions]
    known = [size for size in found if size is not None]
    return min(known, key=ranks.index) if found and len(known) == len(found) else None


def _step(action: Action) -> ChangeSize | None:
    if action.operation is Operation.PATCH_IN_PLACE:
        return ChangeSize.MODERATE
    if None in (version_key(action.from_version or ""), version_key(action.to_version or "")):
        return None
    old, new = (semver.Version.parse(str(v)) for v in (action.from_version, action.to_version))
    if old.major != new.major:
        return ChangeSize.MAJOR
    return ChangeSize.MINOR if old.minor == new.minor else ChangeSize.MODERATE


def _image_action(
    knowledge: Knowledge,
    asset: Candidate,
    policy: PatchPolicy | None,
    verdicts: Collection[DriftVerdict],
) -> Action | str:
    """The replacement of an asset's image; why there is none; nothing if it is fine as it is."""
    source = _GOLDEN if policy is None else policy.source
    if asset.verdict not in verdicts or asset.verdict in UNSEEN:
        return "" if asset.verdict in _FINE else f"{asset.verdict}: {asset.reason}"
    if not asset.fresh:
        return _NOT_SEEN
    if asset.tags.get(IDLE):
        return "it is the side without traffic of another change; finish that, or end it yourself"
    if source.family is not None and asset.family not in (None, source.family):
        return ""
    family = source.family if asset.family is None else asset.family
    version = source.version or asset.approved_version
    if family is None or version is None:
        return f"{asset.verdict}: no approved version is known for it"
    if asset.version == version:
        return ""
    release = knowledge.releases.get((family, version))
    why = _unfit(release, asset, source, family=family, version=version) or _one_sided(
        asset, policy
    )
    if why or release is None:
        return why
    image = release.places[(asset.platform, str(asset.place))]
    rolling = asset.platform is Platform.KUBERNETES
    return Action(
        asset=asset.key,
        name=asset.name,
        platform=asset.platform,
        operation=Operation.ROLLING_UPDATE if rolling else Operation.REPLACE_WITH_IMAGE,
        why=f"{asset.verdict}: {asset.reason}",
        family=family,
        from_version=asset.version,
        to_version=version,
        image=image,
        parameters=_parameters(policy),
    )


def _unfit(
    release: Release | None, asset: Candidate, source: PatchSource, *, family: str, version: str
) -> str:
    """Why a release cannot be what this asset gets; nothing if it can."""
    named = f"{family} {version}"
    if release is None:
        return f"no golden image is {named}"
    if release.status != ImageStatus.PRODUCTION or asset.environment not in release.environments:
        return f"{named} is not approved for {asset.environment}"
    least = version_key(source.min_version or "")
    if least is not None and (version_key(version) or "") < least:
        return f"{named} is below {source.min_version}, the least the policy accepts"
    if (asset.platform, str(asset.place)) not in release.places:
        return f"{named} has no image on {asset.platform} in {asset.place}"
    return ""


def _one_sided(asset: Candidate, policy: PatchPolicy | None) -> str:
    """Why there is no second side to switch to; nothing if there is, or none is asked for."""
    if not asset.group or not _blue_green(policy):
        return ""
    name = asset.group.rsplit(":", 1)[-1]
    return f"its Auto Scaling group {name} has no second side here; plan it with rolling or canary"


def _blue_green(policy: PatchPolicy | None) -> bool:
    return policy is not None and policy.strategy.type is StrategyType.BLUE_GREEN


def _parameters(policy: PatchPolicy | None) -> Mapping[str, str]:
    """That an asset gets a new side beside the old one, and then the switch, if that is so."""
    if not _blue_green(policy):
        return {}
    return {STRATEGY: StrategyType.BLUE_GREEN.value}


def _patch_action(
    asset: Candidate, source: PatchSource, policy: PatchPolicy | None
) -> Action | str:
    if not asset.fresh or asset.verdict == DriftVerdict.STALE:
        return _NOT_SEEN
    counted = _missing(asset.patches, source)
    if counted is None:
        return "which patches it lacks is unknown: no patch manager reports on it"
    if counted == 0:
        return ""
    parameters = {
        "severity": ", ".join(source.severity),
        "classifications": ", ".join(source.classifications),
    }
    if source.repository:
        parameters["repository"] = source.repository
    if policy is not None and policy.rollback.strategy == RESTORE_SNAPSHOT:
        if asset.group:
            name = asset.group.rsplit(":", 1)[-1]
            return (
                f"its Auto Scaling group {name} would replace it as soon as it is stopped to"
                " restore its snapshots; give the group another image instead"
            )
        parameters[ROLLBACK] = RESTORE_SNAPSHOT
    return Action(
        asset=asset.key,
        name=asset.name,
        platform=asset.platform,
        operation=Operation.PATCH_IN_PLACE,
        why=f"{counted} patches of the policy's kind are missing or failed",
        parameters=parameters,
    )


def _missing(patches: Mapping[str, int | None], source: PatchSource) -> int | None:
    """How many patches of the policy's kind are missing; None if nobody knows.

    The inventory tells critical and security patches from all others, no finer.
    """
    wide = set(source.classifications) - {"security"} or set(source.severity) - {
        Severity.CRITICAL,
        Severity.HIGH,
    }
    names = ["patches_missing", "patches_failed"] if wide else ["patches_critical_missing"]
    if not wide and Severity.HIGH in source.severity:
        names.append("patches_security_missing")
    found = [patches.get(name) for name in names]
    if any(found):
        return max(count for count in found if count is not None)
    return None if None in found else 0
