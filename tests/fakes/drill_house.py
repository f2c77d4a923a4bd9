"""A world in which drills can be run to their end, and the truth be looked at."""

from dataclasses import dataclass, field, replace
from typing import Any

from qlrf_pipelines.domain.drills import Drill, DrillRecord
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.recovery import Serving, Side
from qlrf_pipelines.domain.recovery_plans import DrillType, RecoveryPlan
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drilled import plan
from tests.fakes.estate import FakeEstate
from tests.fakes.recovery import FakeMember, FakeRecovery, FakeServiceProbes
from tests.fakes.stopwatch import FakeStopwatch
from tests.fakes.world import fake_world


@dataclass
class DrillHouse:
    """One plan, its members as they are, and a world that can move them."""

    plan: RecoveryPlan = field(default_factory=plan)
    members: dict[str, FakeMember] = field(default_factory=dict)
    stopwatch: FakeStopwatch = field(default_factory=FakeStopwatch)
    overrides: dict[str, Any] = field(default_factory=dict)
    tenant: TenantId = ACME

    def __post_init__(self) -> None:
        for member in self.plan.members:
            self.members.setdefault(member.name, FakeMember(stopwatch=self.stopwatch))
        parts: dict[str, Any] = {
            "clock": self.stopwatch.clock,
            "stopwatch": self.stopwatch,
            "estate": FakeEstate(Estate(recovery=(self.plan,))),
            "recovery": {"fake": FakeRecovery(**self.members)},
            "probes": FakeServiceProbes(self.members),
        }
        self.world: World = fake_world(**(parts | self.overrides))

    @property
    def database(self) -> FakeMember:
        return self.members["database"]

    def declare(self, other: RecoveryPlan) -> None:
        """Put another plan in the place of the one there is."""
        self.plan = other
        self.world = replace(self.world, estate=FakeEstate(Estate(recovery=(other,))))

    def start(self, type_: DrillType | None = None, **parts: Any) -> str:
        """Ask for a drill; its id."""
        given: dict[str, Any] = {"by": "rita", "role": Role.ADMIN} | parts
        return drills.start_drill(self.world, self.tenant, self.plan.name, type_=type_, **given).id

    def drive(self, drill: str, holder: str = "run-1") -> Drill:
        """Take it as far as it goes."""
        return drills.drive(self.world, self.tenant, drill, holder=holder)

    def run(self, type_: DrillType | None = None, **parts: Any) -> Drill:
        """A whole drill."""
        return self.drive(self.start(type_, **parts))

    def record(self, drill: str) -> DrillRecord:
        return self.world.drills.get(self.tenant, drill)

    def is_as_before(self) -> bool:
        """Whether every primary serves, no recovery side does, and nothing is left."""
        return all(
            one.sides == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}
            and not one.made
            for one in self.members.values()
        )
