"""Whatever happens in whatever order, what runs is what people approved, as it is at that moment.

A machine that changes, ends, hides and restores assets, approves, revokes, lets time pass and
starts runs for stale requests. What was approved and what was there is written down by the world
of the test, not by the platform.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import Granted
from qlrf_pipelines.services.gate import Attempt, Looked, pass_gate
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.remediation import kept, recheck_at_claim
from qlrf_pipelines.services.submission import JOB, submit_plan
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, machine, world_of
from tests.fakes.observations import observed

COUNT = 3
WHICH = st.integers(0, COUNT - 1)


class RemediationRaces(RuleBasedStateMachine):
    """One plan over three machines; `now` is what is really there, `ran` what really ran."""

    @initialize()
    def ask(self) -> None:
        self.now = [machine(number) for number in range(COUNT)]
        self.world: Any = world_of(*self.now)
        self.ran: list[tuple[str, set[str]]] = []
        self.votes: dict[str, int] = {}
        self.runs = 0
        request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
        planned = make_plan(
            self.world, request, engine=self.world.policy, contract=self.world.plan_contract
        )
        self.task = submit_plan(self.world, planned).id
        self.relied: dict[str, dict[str, str]] = {}
        self.remember()

    def remember(self) -> None:
        """What each asset was when the plan of this digest was made."""
        record = self.world.tasks.get(ACME, self.task)
        if record.task.digest not in self.relied:
            images = {asset["asset_key"]: asset["image_ref"] for asset in self.now}
            keys = [a["asset"] for p in record.document.content["phases"] for a in p["actions"]]
            self.relied[record.task.digest] = {key: images[key] for key in keys}

    def refresh(self) -> None:
        drift = [drifted(asset, active=asset["state"] == "running") for asset in self.now]
        observed(self.world.lake, "acme", self.now, drift=drift)

    @rule(which=WHICH, image=st.sampled_from("ab"))
    def change(self, which: int, image: str) -> None:
        self.now[which] |= {"image_ref": f"ami-{image}"}
        self.refresh()

    @rule(which=WHICH)
    def end(self, which: int) -> None:
        self.now[which] |= {"state": "terminated", "fresh": True}
        self.refresh()

    @rule(which=WHICH, fresh=st.booleans())
    def hide_or_show(self, which: int, fresh: bool) -> None:
        self.now[which] |= {"fresh": fresh}
        self.refresh()

    @rule(which=WHICH)
    def come_back(self, which: int) -> None:
        self.now[which] |= {"state": "running", "fresh": True}
        self.refresh()

    @rule()
    def restore(self) -> None:
        self.now = [machine(number) for number in range(COUNT)]
        self.refresh()

    @rule(kind=st.sampled_from([DecisionKind.APPROVE] * 3 + [DecisionKind.REVOKE]))
    def say(self, kind: DecisionKind) -> None:
        self.decide(kind)

    def decide(self, kind: DecisionKind) -> None:
        digest = self.world.tasks.get(ACME, self.task).task.digest
        try:
            decide(
                self.world,
                ACME,
                self.task,
                kind=kind,
                digest=digest,
                by="ann",
                role=Role.ENGINEER,
                reason="it was looked at",
            )
        except QlrfError:
            return
        self.votes[digest] = self.votes.get(digest, 0) + (kind is DecisionKind.APPROVE)

    @rule(hours=st.integers(1, 20))
    def wait(self, hours: int) -> None:
        self.world.clock.advance(hours=hours)

    @rule(between=st.booleans())
    def run(self, between: bool) -> None:
        """A run for the task as it stands; perhaps somebody approves while it looks."""
        self.runs += 1
        attempt = Attempt(run=f"run-{self.runs}", root_run="r", job=JOB, task=self.task)

        def look(record: Any) -> Looked:
            looked = recheck_at_claim(self.world, record)
            if between and record.task.state is TaskState.AWAITING_APPROVAL:
                self.decide(DecisionKind.APPROVE)
            return looked

        record = self.world.tasks.get(ACME, self.task)
        try:
            came = pass_gate(self.world, kept(record), attempt, recheck=look)
        except QlrfError:
            return
        self.remember()
        if isinstance(came, Granted):
            self.check(came)

    def check(self, came: Granted) -> None:
        """What is carried out is there, as it was when people looked at it; the rest is gone."""
        assert self.votes.get(came.claim.digest), "nobody approved this"
        there = {asset["asset_key"]: asset for asset in self.now}
        for key, image in self.relied[came.claim.digest].items():
            asset = there[key]
            if key in came.left_out:
                assert asset["state"] == "terminated"
            else:
                assert (asset["image_ref"], asset["state"]) == (image, "running")
            assert asset["fresh"] or key in came.left_out
        self.ran.append((came.claim.digest, set(came.left_out)))

    @invariant()
    def once(self) -> None:
        assert len(getattr(self, "ran", ())) <= 1


@pytest.mark.slow
def test_no_order_of_events_runs_what_was_not_approved_as_it_is() -> None:
    run_state_machine_as_test(
        RemediationRaces,
        settings=settings(
            max_examples=60,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
