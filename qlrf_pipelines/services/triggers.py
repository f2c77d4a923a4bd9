"""What a policy would change by itself, and whether it may ask for that now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.patching import PatchPolicy, Trigger
from qlrf_pipelines.domain.roles import person
from qlrf_pipelines.domain.tasks import OPEN, Record, TaskState
from qlrf_pipelines.domain.vocabulary import Environment, Severity
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.planning_facts import Candidate, look
from qlrf_pipelines.services.planning_request import PlanRequest, narrow
from qlrf_pipelines.services.planning_targets import targets
from qlrf_pipelines.services.planning_terms import action_facts
from qlrf_pipelines.services.submission import KIND

BY_ITSELF = (Trigger.DRIFT_TRIGGERED, Trigger.CVE_TRIGGERED, Trigger.SCHEDULED)
_MOST_OPEN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The assets a policy would change in one environment, and the digests of their facts."""

    environment: Environment
    facts: Mapping[str, str]

    @property
    def assets(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(self.facts)

    @property
    def digest(self) -> str:
        """One digest of all of it: the same assets with the same facts are the same snapshot."""
        return digest(dict(self.facts))


def requester(policy: str) -> str:
    """In whose name a policy asks; no person has it, so any of them may decide."""
    return f"policy:{policy}"


def due(world: World, tenant: Tenant, policy: PatchPolicy, *, now: datetime) -> Sequence[Due]:
    """What a policy would change now by its own schedule, per environment.

    Raises:
        Unavailable: the lake does not answer.
    """
    request = PlanRequest(
        tenant=tenant.name, requested_by=requester(policy.name), policy=policy.name
    )
    knowledge = look(world, tenant.name, narrow(request, policy))
    actions, _ = targets(knowledge, knowledge.candidates, policy=policy, verdicts=())
    assets = {asset.key: asset for asset in knowledge.candidates}
    found: dict[Environment, dict[str, str]] = {}
    for action in actions:
        asset = assets[action.asset]
        if _is_due(policy, asset, now=now):
            facts = action_facts(asset, action)
            found.setdefault(asset.environment, {})[asset.key] = facts
    return [Due(environment=e, facts=found[e]) for e in sorted(found)]


def _is_due(policy: PatchPolicy, asset: Candidate, *, now: datetime) -> bool:
    schedule = policy.schedule
    if schedule.type is Trigger.DRIFT_TRIGGERED:
        return old_enough(asset.drifted_since, schedule.drift_age, now=now)
    if schedule.type is Trigger.CVE_TRIGGERED:
        return vulnerable(asset.patches, schedule.severities)
    return schedule.type is Trigger.SCHEDULED


def old_enough(since: datetime | None, age: timedelta, *, now: datetime) -> bool:
    """Whether a drift has lasted long enough; one nobody knows the beginning of has."""
    return since is None or now - since >= age


def vulnerable(patches: Mapping[str, int | None], severities: Collection[Severity]) -> bool:
    """Whether patches of these severities are missing, or nobody can say that they are not."""
    names = {"patches_failed"}
    if Severity.CRITICAL in severities:
        names.add("patches_critical_missing")
    if Severity.HIGH in severities:
        names.add("patches_security_missing")
    if set(severities) - {Severity.CRITICAL, Severity.HIGH}:
        names.add("patches_missing")
    return any(patches.get(name) is None or patches[name] for name in names)


def open_requests(world: World, tenant: TenantId) -> Sequence[Record]:
    """Every change of a tenant that is asked for, approved or being carried out."""
    tasks = world.tasks.list(tenant, states=OPEN, limit=_MOST_OPEN)
    return [world.tasks.get(tenant, task.id) for task in tasks if task.kind == KIND]


def in_the_way(records: Sequence[Record], policy: PatchPolicy, wanted: Due) -> str:
    """Why a policy must not ask now; '' if it may.

    It asks once: not while the same is asked for already, not over what people approved or what is
    being carried out, and not beside a person who asked for one of the same assets. What it asked
    for itself and nobody has approved yet, it may replace by what it sees now.
    """
    for record in records:
        task, plan = record.task, record.document.content
        if plan.get("environment") != wanted.environment.value:
            continue
        shared = set(_facts_of(record)) & set(wanted.assets)
        if _undecided(record, policy):
            if _facts_of(record) == dict(wanted.facts):
                return f"task {task.id} asks for exactly that"
        elif _own(record, policy) or shared:
            return f"task {task.id} is {task.state}"
    return ""


def asked_for(records: Sequence[Record], policy: PatchPolicy, wanted: Due) -> bool:
    """Whether a policy has asked for exactly that already, and nobody has decided yet."""
    return any(
        _undecided(record, policy)
        and record.document.content.get("environment") == wanted.environment.value
        and _facts_of(record) == dict(wanted.facts)
        for record in records
    )


def _own(record: Record, policy: PatchPolicy) -> bool:
    by = person(record.task.requested_by)
    of = record.document.content.get("policy")
    return of == policy.name and by == person(requester(policy.name))


def _undecided(record: Record, policy: PatchPolicy) -> bool:
    waits = record.task.state in (TaskState.AWAITING_APPROVAL, TaskState.PLANNED)
    return waits and _own(record, policy)


def _facts_of(record: Record) -> dict[str, str]:
    phases = record.document.content.get("phases", ())
    return {a["asset"]: a.get("facts", "") for phase in phases for a in phase["actions"]}
