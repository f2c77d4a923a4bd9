"""A world of drifted machines and the runs that remediate them: what the job's tests look at."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import AssetState, Rollout
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.jobs.remediation import remediation
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.planning import Planned, make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.rollout_history import hands_of
from sensors.approvals import run_request
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, fleet
from tests.fakes.executor import FakeExecutor, FakeFleet
from tests.fakes.observations import observed
from tests.fakes.policy import FakePolicies


class House:
    """A world with drifted machines, and an instance that remembers runs."""

    def __init__(self, instance: dg.DagsterInstance, world: World) -> None:
        self.instance = instance
        self.fleet = FakeFleet()
        for row in world.lake.rows("inventory"):  # type: ignore[attr-defined]
            self.fleet.add(row["asset_key"])
        executors = {Platform.AWS: FakeExecutor(self.fleet)}
        self.world = replace(world, policy=FakePolicies(), executors=executors)

    def run(self, config: Mapping[str, Any] | None = None, **parts: Any) -> Any:
        given: dict[str, Any] = {"raise_on_error": False, **parts}
        ops = dict(given.pop("run_config", {}).get("ops", {}))
        if config is not None:
            ops["plan_remediation"] = {"config": dict(config)}
        # The clock of these tests stands still: nothing is waited for in the run.
        ops["execute_plan"] = {"config": {"hold_seconds": 0.0}}
        given["run_config"] = {"ops": ops}
        return remediation.execute_in_process(
            instance=self.instance, resources={"world": self.world}, **given
        )

    def plan(self, request: PlanRequest) -> Planned:
        """A plan as `qlrf plan` makes it."""
        return make_plan(
            self.world,
            request,
            engine=self.world.policy,
            contract=self.world.plan_contract,
            hands=hands_of(self.world),
        )

    def request(self) -> dg.RunRequest:
        [task] = self.world.tasks.approved_since(ACME, cursor=0, limit=9)
        found = run_request(task)
        assert found is not None
        return found

    def go_on(self) -> Any:
        return self.run(tags=dict(self.request().tags))

    @property
    def task(self) -> Any:
        [task] = self.world.tasks.list(ACME)
        return task

    @property
    def document(self) -> Mapping[str, Any]:
        return self.world.tasks.get(ACME, self.task.id).document.content

    def say(self, kind: str = "approve", by: str = "ann", role: Role = Role.ENGINEER) -> None:
        decide(
            self.world,
            ACME,
            self.task.id,
            kind=DecisionKind(kind),
            digest=self.task.digest,
            by=by,
            role=role,
            reason="the site needs it now",
        )

    def seen(self, *assets: dict[str, Any], gone: tuple[int, ...] = ()) -> None:
        """Another refresh; the assets at these places have ended."""
        now = [a | {"state": "terminated"} if n in gone else a for n, a in enumerate(assets)]
        drift = [drifted(a, active=n not in gone) for n, a in enumerate(now)]
        observed(self.world.lake, "acme", now, drift=drift)

    @property
    def carried_out(self) -> list[Rollout]:
        """What was begun: once per approval, or not at all."""
        return list(self.world.rollouts.list(ACME))

    @property
    def left_out(self) -> dict[str, str]:
        """The assets of the one rollout that are not changed, and why."""
        [begun] = self.carried_out
        rows = self.world.rollouts.rows(ACME, begun.id)
        return {row.asset: row.detail for row in rows if row.state is AssetState.SKIPPED}

    @property
    def approved_by(self) -> list[str]:
        return [one.by for one in self.world.tasks.get(ACME, self.task.id).current]

    @property
    def recorded(self) -> list[Any]:
        """What was left to people."""
        entries = self.world.ledger.entries(ACME)
        return [entry.content for entry in entries if entry.kind == "remediation"]

    @property
    def rechecked(self) -> list[str]:
        entries = self.world.ledger.entries(ACME)
        return [e.content["found"] for e in entries if e.kind == "plan_rechecked"]


FLEET = fleet(3)
ASK = {"tenant": "acme", "families": ["ql-base-linux"], "requested_by": "rita"}


def told(result: Any) -> str:
    """Why a run failed, as people read it."""
    [event] = [e for e in result.all_events if e.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)


def skipped(result: Any) -> bool:
    return any(event.is_step_skipped for event in result.all_events)
