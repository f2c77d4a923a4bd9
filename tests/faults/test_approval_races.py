"""Whatever happens in whatever order, nothing runs that was not approved, and nothing runs twice.

A machine that edits, approves, rejects, revokes, cancels, delegates, lets time pass, turns clocks
back, clicks twice, starts runs for stale digests and starts them again. What ran is written down by
the world of the test, not by the platform, and compared with what people were shown.
"""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from qlrf_pipelines.domain.approval import Conditions, DecisionKind, Requirement
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import ENDED, NOT_STARTED, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import approvals, claims
from qlrf_pipelines.services.gate import Attempt, Proposal, pass_gate
from sensors.approvals import Cursor, newly_ready
from tests.fakes.world import fake_world

PEOPLE = st.sampled_from(["rita", "ann", "bob", "Ann "])
PLANS = st.sampled_from(["plan A", "plan B", "plan C"])
TENANTS = itertools.count(1)
QUORUM = 2


class ApprovalRaces(RuleBasedStateMachine):
    """One task, many hands. `executed` is what really ran; `votes` what people really said."""

    digests = Bundle("digests")
    runs = Bundle("runs")

    def make_world(self) -> World:
        return fake_world()

    @initialize(target=digests)
    def ask(self) -> str:
        self.world = self.make_world()
        self.tenant = TenantId(f"tenant-{next(TENANTS)}")
        self.number = 0
        self.cursor = Cursor()
        return self.ask_again()

    @precondition(lambda self: self.now.state in ENDED)
    @rule(target=digests)
    def ask_again(self) -> str:
        self.executed: list[tuple[str, str]] = []
        self.votes: dict[tuple[int, str], set[str]] = {}
        self.stopped: set[int] = set()
        self.authors: dict[int, str] = {1: "rita"}
        self.task = approvals.submit_task(
            self.world,
            self.tenant,
            kind="restart",
            title="Restart",
            document={"plan": "plan A"},
            requested_by="rita",
            requirement=Requirement(
                expires_at=self.world.clock.now() + timedelta(hours=24), quorum=QUORUM
            ),
        ).id
        return self.now.digest

    @property
    def now(self) -> Any:
        return self.world.tasks.get(self.tenant, self.task).task

    def attempt(self, action: Any) -> Any:
        try:
            return action()
        except QlrfError:
            return None

    @rule(target=digests, plan=PLANS, by=PEOPLE)
    def edit(self, plan: str, by: str) -> str:
        self.attempt(
            lambda: approvals.revise(
                self.world, self.tenant, self.task, document={"plan": plan}, revised_by=by
            )
        )
        self.authors.setdefault(self.now.revision, by.strip().lower())
        return self.now.digest

    def say(self, kind: DecisionKind, by: str, digest: str, **parts: Any) -> Any:
        given = {"role": Role.ENGINEER, "reason": "it was looked at by me"} | parts
        return self.attempt(
            lambda: approvals.decide(
                self.world, self.tenant, self.task, kind=kind, digest=digest, by=by, **given
            )
        )

    @rule(by=PEOPLE, digest=digests, twice=st.booleans())
    def approve(self, by: str, digest: str, twice: bool) -> None:
        self.vote(by, digest)
        if twice:
            self.vote(by, digest)

    def vote(self, by: str, digest: str, **parts: Any) -> None:
        revision = self.now.revision
        if self.say(DecisionKind.APPROVE, by, digest, **parts) is not None:
            self.votes.setdefault((revision, digest), set()).add(by.strip().lower())

    @rule(pair=st.sampled_from([("ann", "bob"), ("rita", "ann"), ("ann", "Ann ")]))
    def two_names_approve(self, pair: tuple[str, str]) -> None:
        for by in pair:
            self.vote(by, self.now.digest)

    @rule(by=PEOPLE, digest=digests, hours=st.integers(1, 5))
    def approve_for_later(self, by: str, digest: str, hours: int) -> None:
        opens = self.world.clock.now() + timedelta(hours=hours)
        self.vote(by, digest, conditions=Conditions(not_before=opens))

    @rule(
        by=PEOPLE,
        digest=digests,
        kind=st.sampled_from(
            [DecisionKind.REJECT, DecisionKind.REVOKE, DecisionKind.REQUEST_CHANGES]
        ),
    )
    def say_no(self, by: str, digest: str, kind: DecisionKind) -> None:
        before = self.now
        if self.say(kind, by, digest) is not None and before.state in NOT_STARTED:
            self.stopped.add(before.revision)

    @rule(by=PEOPLE, to=PEOPLE, digest=digests)
    def delegate(self, by: str, to: str, digest: str) -> None:
        self.say(DecisionKind.DELEGATE, by, digest, delegate=to)

    @rule(by=PEOPLE, digest=digests)
    def approve_without_the_right_to(self, by: str, digest: str) -> None:
        self.vote(by, digest, role=Role.VIEWER)

    @rule()
    def cancel(self) -> None:
        self.attempt(
            lambda: approvals.cancel(
                self.world,
                self.tenant,
                self.task,
                by="rita",
                role=Role.OPERATOR,
                reason="not needed",
            )
        )

    @rule(hours=st.sampled_from([1, 5, 25, -3]))
    def time_passes_or_a_clock_is_wrong(self, hours: int) -> None:
        self.world.clock.advance(hours=hours)

    @rule()
    def sweep(self) -> None:
        claims.sweep(self.world, [self.tenant])

    @rule(target=runs, forget=st.booleans())
    def sensor_ticks(self, forget: bool) -> Any:
        """A tick; the cursor may be lost, as when a tick dies before it is kept."""
        ready, after = newly_ready(self.world.tasks, self.cursor)
        self.cursor = self.cursor if forget else after
        return multiple(*((task.digest, task.stage) for task in ready))

    @rule(run=runs)
    def a_run_arrives(self, run: tuple[str, str]) -> None:
        self.run_for(run[0])

    @rule(run=consumes(runs))
    def a_run_arrives_and_its_step_is_tried_again(self, run: tuple[str, str]) -> None:
        self.run_for(run[0], tries=2)

    @rule()
    def the_run_of_this_very_digest_arrives(self) -> None:
        self.run_for(self.now.digest)

    @rule(digest=digests)
    def somebody_starts_a_run_by_hand(self, digest: str) -> None:
        self.run_for(digest)

    @rule(plan=PLANS)
    def a_run_comes_back_with_a_plan_of_its_own(self, plan: str) -> None:
        self.number += 1
        proposal = Proposal(
            tenant=self.tenant,
            kind="restart",
            title="Restart",
            document={"plan": plan},
            requested_by="rita",
            context=dict(self.world.tasks.get(self.tenant, self.task).document.context),
        )
        run = f"run-{self.number}"
        attempt = Attempt(run=run, root_run="root", job="restart", task=self.task)
        came = self.attempt(lambda: pass_gate(self.world, proposal, attempt))
        self.authors.setdefault(self.now.revision, "rita")
        if isinstance(came, claims.Granted):
            self.carry_out(came.claim.digest, run, came.record.document.content["plan"])

    def run_for(self, digest: str, *, tries: int = 1) -> None:
        self.number += 1
        run = f"run-{self.number}"
        for _ in range(tries):
            came = self.attempt(
                lambda: claims.claim(self.world, self.tenant, self.task, digest=digest, holder=run)
            )
        if isinstance(came, claims.Granted):
            self.carry_out(digest, run, came.record.document.content["plan"])

    def carry_out(self, digest: str, run: str, plan: str) -> None:
        record = claims.require_claim(self.world, self.tenant, self.task, digest=digest, holder=run)
        assert record.task.digest == digest
        assert record.document.content["plan"] == plan
        revision = record.task.revision
        enough = self.votes.get((revision, digest), set()) - {"rita", self.authors[revision]}
        assert len(enough) >= QUORUM, f"{digest[:8]} ran with the word of {enough}"
        assert revision not in self.stopped
        self.executed.append((digest, run))

    @rule(ended=st.sampled_from([TaskState.COMPLETED, TaskState.FAILED, TaskState.ROLLED_BACK]))
    def it_ends(self, ended: TaskState) -> None:
        self.attempt(
            lambda: claims.finish(self.world, self.tenant, self.task, outcome=ended, by="run")
        )

    @invariant()
    def nothing_ran_twice(self) -> None:
        ran = [digest for digest, _ in getattr(self, "executed", [])]
        assert len(ran) == len(set(ran))
        assert len(ran) <= 1

    @invariant()
    def what_ran_is_executing_or_ended(self) -> None:
        if getattr(self, "executed", []):
            assert self.now.state is TaskState.EXECUTING or self.now.state in ENDED

    def teardown(self) -> None:
        if hasattr(self, "world"):
            steps = self.world.tasks.tenants()[self.tenant]
            assert verify_chain(self.world.ledger.entries(self.tenant)) == steps


def test_no_interleaving_runs_what_was_not_approved_or_anything_twice() -> None:
    run_state_machine_as_test(
        ApprovalRaces, settings=settings(max_examples=250, stateful_step_count=40, deadline=None)
    )


@pytest.mark.slow
def test_nor_does_any_in_postgres(postgres: Any) -> None:
    from resources.clock import TimeSortedIds
    from resources.database.ledger import SqlLedger
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(postgres.settings)

    class InPostgres(ApprovalRaces):
        """The same, over rows; each example is a tenant's history of its own."""

        def make_world(self) -> World:
            return fake_world(
                tasks=SqlTasks(sessions), ledger=SqlLedger(sessions), ids=TimeSortedIds()
            )

    run_state_machine_as_test(
        InPostgres,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    sessions.close()
