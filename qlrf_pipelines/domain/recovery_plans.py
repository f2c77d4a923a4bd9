"""Recovery plans: what fails over where, in which order, and what would prove that it did.

A plan is JSON all the way down: what people approve, what is kept with the drill and what the
drill carries out are the same document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.recovery import Member
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.vocabulary import Environment, Platform


class DrillType(StrEnum):
    """How far a drill goes: tabletop touches nothing, test_failover leaves the primary serving."""

    FULL = "full"
    PARTIAL = "partial"
    TABLETOP = "tabletop"
    TEST_FAILOVER = "test_failover"


class ProbeType(StrEnum):
    """How a service is asked: from outside, or through the member's adapter (sql, command)."""

    HTTP = "http"
    TCP = "tcp"
    SQL = "sql"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place where a tenant's services run."""

    tenant: str
    name: str
    platform: Platform
    region: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrPair:
    """Two sites, one standing in for the other; targets None are not set."""

    tenant: str
    name: str
    primary: str
    recovery: str
    rto_seconds: float | None = None
    rpo_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRule:
    """One question to the service, and how many good answers in a row prove that it serves.

    `target` is where clients find the service; `test_target` where an isolated test finds it.
    """

    name: str
    type: ProbeType
    target: str = ""
    test_target: str = ""
    member: str = ""
    statement: str = ""
    command: tuple[str, ...] = ()
    expect: str | None = None
    consecutive: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePace:
    """How often the probes ask, how long they wait, and when they give up."""

    interval_seconds: float = 1.0
    timeout_seconds: float = 5.0
    within_seconds: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryWrites:
    """Numbered writes: into which members, how often, and for how long before the incident."""

    members: tuple[str, ...] = ()
    interval_seconds: float = 0.1
    before_seconds: float = 5.0
    workload: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualStep:
    """Something a person does and signs before the phase it belongs to can end."""

    name: str
    phase: str
    text: str
    role: Role = Role.OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillApproval:
    """Who must agree before anything is touched."""

    quorum: int = 1
    role: Role = Role.ENGINEER


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPlan:
    """How one application survives the loss of its primary site."""

    tenant: str
    name: str
    application: str
    tier: int
    environment: Environment
    pair: str
    primary: str
    recovery: str
    groups: tuple[tuple[Member, ...], ...]
    probes: tuple[ProbeRule, ...]
    type: DrillType
    pace: ProbePace = field(default_factory=ProbePace)
    canary: CanaryWrites = field(default_factory=CanaryWrites)
    rto_seconds: float | None = None
    rpo_seconds: float | None = None
    fresh_days: int | None = None
    approval: DrillApproval = field(default_factory=DrillApproval)
    runbook: tuple[ManualStep, ...] = ()
    move_seconds: float = 1800.0

    @property
    def asked_inside(self) -> tuple[ProbeRule, ...]:
        """The probes that are asked through a member's adapter."""
        inside = (ProbeType.SQL, ProbeType.COMMAND)
        return tuple(probe for probe in self.probes if probe.type in inside)

    @property
    def members(self) -> tuple[Member, ...]:
        """Everything that fails over, in the order of the groups."""
        return tuple(member for group in self.groups for member in group)

    def waves(self, only: Sequence[str] = ()) -> tuple[tuple[Member, ...], ...]:
        """Members that move together, in order; with `only`, those members alone.

        Raises:
            Rejected: dependencies go round in a circle, to a later group or to nobody.
        """
        return waves(self.groups, only=only)


def waves(
    groups: Sequence[Sequence[Member]], *, only: Sequence[str] = ()
) -> tuple[tuple[Member, ...], ...]:
    """Groups in their order, each cut into what may move at the same time.

    Raises:
        Rejected: dependencies go round in a circle, to a later group or to nobody.
    """
    named = {member.name for group in groups for member in group}
    done: set[str] = set()
    found: list[tuple[Member, ...]] = []
    for group in groups:
        left = list(group)
        while left:
            ready = tuple(m for m in left if done.issuperset(m.depends_on))
            if not ready:
                raise Rejected(_stuck(left, named=named, done=done))
            found.append(ready)
            done.update(m.name for m in ready)
            left = [m for m in left if m not in ready]
    chosen = [tuple(m for m in wave if not only or m.name in only) for wave in found]
    return tuple(wave for wave in chosen if wave)


def _stuck(left: Sequence[Member], *, named: set[str], done: set[str]) -> str:
    member = left[0]
    missing = sorted(set(member.depends_on) - done)
    nobody = [name for name in missing if name not in named]
    if nobody:
        return f"{member.name} depends on {nobody[0]}, which is no member; check its name."
    here = {m.name for m in left}
    later = [name for name in missing if name not in here]
    if later:
        return f"{member.name} depends on {later[0]}, which moves later; put it into a later group."
    circle = " -> ".join(_circle(member.name, {m.name: m.depends_on for m in left}))
    return f"the dependencies go round in a circle: {circle}; take one of them out."


def _circle(start: str, edges: Mapping[str, Sequence[str]]) -> Iterator[str]:
    seen: list[str] = []
    at = start
    while at not in seen:
        seen.append(at)
        at = next((name for name in edges.get(at, ()) if name in edges), at)
    yield from seen[seen.index(at) :]
    yield at


def unanswered(name: str, type_: ProbeType, adapter: str, answers: frozenset[ProbeType]) -> str:
    """Why a probe proves nothing: nobody in that adapter can answer it; and what to do."""
    known = " or ".join(sorted(answers))
    told = f"it answers {known}" if known else "it answers neither sql nor command"
    others = f"{known}, http or tcp" if known else "http or tcp"
    return (
        f"probe {name} asks by {type_}, which the adapter {adapter} cannot answer ({told}); "
        f"ask by {others}, or ask another member"
    )


def plan_document(plan: RecoveryPlan) -> dict[str, Any]:
    """A plan as JSON."""
    return asdict(plan)


def plan_of(document: Mapping[str, Any]) -> RecoveryPlan:
    """The plan a document was made of."""
    given = dict(document)
    given["groups"] = tuple(tuple(map(_member, group)) for group in given["groups"])
    given["probes"] = tuple(map(_probe, given["probes"]))
    given["pace"] = ProbePace(**given["pace"])
    canary = dict(given["canary"])
    given["canary"] = CanaryWrites(**(canary | {"members": tuple(canary["members"])}))
    given["approval"] = DrillApproval(
        quorum=given["approval"]["quorum"], role=Role(given["approval"]["role"])
    )
    given["runbook"] = tuple(
        ManualStep(**(dict(step) | {"role": Role(step["role"])})) for step in given["runbook"]
    )
    given["type"] = DrillType(given["type"])
    given["environment"] = Environment(given["environment"])
    return RecoveryPlan(**given)


def _member(value: Mapping[str, Any]) -> Member:
    return Member(**(dict(value) | {"depends_on": tuple(value["depends_on"])}))


def _probe(value: Mapping[str, Any]) -> ProbeRule:
    given = dict(value) | {"type": ProbeType(value["type"]), "command": tuple(value["command"])}
    return ProbeRule(**given)
