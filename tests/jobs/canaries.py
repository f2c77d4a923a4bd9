"""A house whose tenant lets canaries go by themselves, and the sensors that move them on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.estate import ChangeRules
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import Rollout, RolloutState
from qlrf_pipelines.jobs.rollout import rollout
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.submission import submit_plan
from resources.plan_contract import SchemaPlanContract
from sensors.approvals import expiry_sweep
from sensors.rollouts import rollout_reconcile
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, fleet, machine, rules, world_of
from tests.fakes.observations import observed
from tests.fakes.policy import shipped_policies
from tests.jobs.remediated import ASK, House, told

FLEET = fleet(10)
KEYS = [asset["asset_key"] for asset in FLEET]
CANARY = KEYS[0]
REQUEST = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
ANN: dict[str, Any] = {"by": "ann", "role": Role.ENGINEER, "reason": "looks good to me"}


class CanaryHouse(House):
    """Ten production machines: one is the canary, nine are the rest. Real policies judge."""

    def __init__(self, instance: dg.DagsterInstance, **parts: Any) -> None:
        changes = rules(Mode.CANARY_ONLY, **({"cooldown_minutes": 0} | parts.pop("rule", {})))
        super().__init__(instance, world_of(*FLEET, changes=changes, **parts))
        self.world = replace(
            self.world,
            policy=shipped_policies(),
            plan_contract=SchemaPlanContract(),
        )
        # Runs are stamped by the machine's clock, so this house lives by it.
        clock = self.world.clock
        clock.advance(seconds=(datetime.now(UTC) - clock.now()).total_seconds())

    def rule(self, changes: ChangeRules, **parts: Any) -> None:
        """The tenant's rules for changes are others from now on."""
        estate: Any = self.world.estate
        [tenant] = estate.estate.tenants
        other = replace(tenant, changes=replace(changes, **parts))
        estate.estate = replace(estate.estate, tenants=(other,))

    def later(self, **parts: float) -> None:
        self.world.clock.advance(**parts)

    def submit(self, request: Any) -> Any:
        """A plan as `qlrf plan --submit` asks for it."""
        return submit_plan(self.world, self.plan(request))

    def tick(self) -> list[dg.RunRequest]:
        """What the reconcile sensor asks for."""
        with dg.build_sensor_context(
            instance=self.instance, resources={"world": self.world}
        ) as context:
            result: Any = rollout_reconcile(context)
        return [] if isinstance(result, dg.SkipReason) else list(result.run_requests)

    def sweep(self) -> str:
        with dg.build_sensor_context(
            instance=self.instance, resources={"world": self.world}
        ) as context:
            return str(expiry_sweep(context))

    def drive(self, request: dg.RunRequest) -> Any:
        return rollout.execute_in_process(
            instance=self.instance,
            resources={"world": self.world},
            tags=dict(request.tags),
            run_config={"ops": {"drive_rollout": {"config": {"hold_seconds": 0.0}}}},
            raise_on_error=False,
        )

    def go(self, *, minutes: float = 20, most: int = 30) -> RolloutState:
        """Let time pass and the sensor start what it asks for, until nothing more happens."""
        for _ in range(most):
            requests = self.tick()
            for request in requests:
                result = self.drive(request)
                assert result.success, told(result)
            if not requests and self.rollout.wake_at is None:
                break
            self.later(minutes=minutes)
        return self.rollout.state

    def go_to_the_gate(self, **parts: Any) -> None:
        """The canary is out and was watched."""
        result = self.run(ASK, **parts)
        assert result.success, told(result)
        assert self.go() is RolloutState.AWAITING_APPROVAL

    @property
    def rollout(self) -> Rollout:
        [found] = self.carried_out
        return found

    @property
    def touched(self) -> set[str]:
        """The assets something really happened to."""
        return {key for _, _, key in self.fleet.log}

    @property
    def images(self) -> Mapping[str, str]:
        return {key: asset.image for key, asset in self.fleet.assets.items()}

    def entries(self, kind: str) -> list[Mapping[str, Any]]:
        return [e.content for e in self.world.ledger.entries(ACME) if e.kind == kind]

    def refreshed(self, *assets: dict[str, Any]) -> None:
        """A refresh after the canary was replaced: it is gone, and another stands in its place."""
        gone = FLEET[0] | {"state": "terminated"}
        new = machine(100, image_ref="ami-0aaaaaaaaaaaaaaa1")
        rest = assets or tuple(FLEET[1:])
        drift = [
            drifted(gone, active=False),
            drifted(new, "current", version="1.6.4"),
            *(drifted(asset) for asset in rest),
        ]
        observed(self.world.lake, "acme", [gone, new, *rest], drift=drift)
