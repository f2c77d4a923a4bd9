"""What is asked to be planned, and whether it can be asked at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.patching import PatchPolicy
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.planning_facts import Knowledge
from qlrf_pipelines.services.planning_targets import UNSEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What somebody wants planned: by a policy, by a selection, or by both together."""

    tenant: TenantId
    requested_by: str
    policy: str | None = None
    environments: tuple[Environment, ...] = ()
    families: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    verdicts: tuple[DriftVerdict, ...] = ()
    mode: Mode | None = None
    window: Span | None = None


def asked(world: World, request: PlanRequest) -> tuple[Tenant, PatchPolicy | None]:
    """The tenant and the policy a request names.

    Raises:
        NotFound: one of them is not declared.
        Rejected: nothing is selected, or something that nobody can see.
    """
    estate = world.estate.load()
    tenant = next((item for item in estate.tenants if item.name == request.tenant), None)
    if tenant is None:
        raise NotFound(f"No contract declares tenant {request.tenant}; see `qlrf tenants list`.")
    unseen = [verdict.value for verdict in request.verdicts if verdict in UNSEEN]
    if unseen:
        raise Rejected(
            f"What is {' or '.join(unseen)} cannot be planned: nobody knows what runs there."
            " Run `qlrf refresh` first."
        )
    if request.policy is None:
        if not (request.environments or request.families or request.assets or request.verdicts):
            raise Rejected(
                "Say what to plan: a policy, or a family, an environment, an asset or a verdict."
            )
        return tenant, None
    known = {policy.name: policy for policy in estate.patches_of(tenant.name)}
    if request.policy not in known:
        listed = ", ".join(sorted(known)) or "none yet"
        raise NotFound(
            f"Tenant {tenant.name} may use no patch policy {request.policy}; there is: {listed}."
        )
    return tenant, known[request.policy]


def narrow(request: PlanRequest, policy: PatchPolicy | None) -> dict[str, Sequence[str]]:
    """What to read: the request's own selection, else the policy's; targets() checks both."""
    selector = None if policy is None else policy.selector
    return {
        "environments": request.environments or (selector.environments if selector else ()),
        "families": request.families or (selector.families if selector else ()),
        "platforms": selector.platforms if selector else (),
        "regions": selector.regions if selector else (),
        "assets": request.assets,
    }


def all_found(request: PlanRequest, knowledge: Knowledge) -> None:
    """Make sure that every asset and every image family named is there.

    Raises:
        NotFound: one is not, or the rest of the selection excludes it.
    """
    known = {family for family, _ in knowledge.releases}
    strange = sorted(set(request.families) - known - {a.family for a in knowledge.candidates})
    if strange:
        raise NotFound(
            f"Tenant {request.tenant} has no image family {', '.join(strange)}, neither in its"
            f" contracts nor on what is selected; there is: {', '.join(sorted(known)) or 'none'}."
        )
    names = {n for asset in knowledge.candidates for n in (asset.key, asset.id, asset.name)}
    missing = sorted(set(request.assets) - names)
    if missing:
        raise NotFound(
            f"Tenant {request.tenant} has no active asset {', '.join(missing)} in this selection;"
            f" see `qlrf assets --tenant {request.tenant}`."
        )
