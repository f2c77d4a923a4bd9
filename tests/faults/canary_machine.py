"""One canary that goes by itself, and many hands: what a test does to them, in any order.

A machine that approves, rejects, revokes, delegates, breaks the glass, lets time pass and clocks go
wrong, changes and ends machines, starts runs by hand, kills them, and steers the rollout. What is
really done to machines is looked at as it is done, by the world of the test, and compared with
what people said about that very digest; the platform's own word is no one's.
"""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from qlrf_pipelines.domain.approval import DecisionKind, Extent
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import NotFound, QlrfError
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import Operation, OperationKind, Progress, Status
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import ENDED, OUT, AssetState, Change, Rollout, RolloutState
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Operator
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import Granted, claim, sweep
from qlrf_pipelines.services.gate import Attempt, pass_gate
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.remediation import kept, recheck_at_claim
from qlrf_pipelines.services.rollout_drive import drive
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.rollout_rest import heed, may_go_on, rest_claim
from qlrf_pipelines.services.rollout_takeup import take_up
from qlrf_pipelines.services.submission import JOB, submit_plan
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, machine, rules, world_of
from tests.fakes.observations import observed
from tests.services.rollout_house import Hands

COUNT = 5
# Each example has machines of its own: rollouts of other examples may still hold theirs.
FIRST = itertools.count(0, COUNT)
PEOPLE = {
    "rita": Role.ENGINEER,
    "ann": Role.ENGINEER,
    "bob": Role.ENGINEER,
    "Bob ": Role.ENGINEER,
    "dan": Role.OPERATOR,
    "zoe": Role.ADMIN,
}
WORDS = ("pause", "resume", "promote", "retry", "rollback")
FORWARD_KINDS = (OperationKind.REPLACE_WITH_IMAGE, OperationKind.PATCH_IN_PLACE)


class Died(Exception):
    """The process that drove the rollout is gone."""


class Watched(Hands):
    """Hands in any account, which tell before they do anything."""

    def operator(self, connector: Connector, account: str) -> Operator:
        return self


class CanaryRaces(RuleBasedStateMachine):
    """One plan of five machines under canary_only; `said` is what people really said."""

    def world_of_its_own(self, world: World) -> World:
        return world

    @initialize(two=st.booleans(), begins=st.sampled_from([True, True, True, False]))
    def ask(self, two: bool, begins: bool) -> None:
        first = next(FIRST)
        self.now = [machine(first + n, "staging") for n in range(COUNT)]
        changes = rules(Mode.CANARY_ONLY, cooldown_minutes=0, require_two_approvers=two)
        self.hands = Watched([asset["asset_id"] for asset in self.now])
        self.hands.on_call = self.look_at
        world = world_of(*self.now, changes=changes)
        self.world: Any = self.world_of_its_own(
            replace(world, executors={Platform.AWS: self.hands})
        )
        self.quorum = 2 if two else 1
        self.yes: dict[tuple[int, str], set[str]] = {}
        self.glass: set[tuple[int, str]] = set()
        self.no: set[tuple[int, str]] = set()
        self.wrong: list[str] = []
        self.digests: list[str] = []
        self.runs = 0
        self.dies_at: int | None = None
        request = PlanRequest(
            tenant=ACME,
            requested_by="rita",
            assets=tuple(asset["asset_key"] for asset in self.now),
        )
        planned = make_plan(
            self.world,
            request,
            engine=self.world.policy,
            contract=self.world.plan_contract,
            hands=hands_of(self.world),
        )
        task = submit_plan(self.world, planned)
        assert task.requirement.unattended is Extent.CANARY
        self.task = task.id
        self.digests.append(task.digest)
        if begins:
            self.a_run_arrives_at_the_gate(begins=True)

    # ---- what really happens to machines

    def look_at(self, operation: Operation) -> None:
        """What is done now, and whether people let it be done."""
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at <= 0:
                raise Died
        if operation.kind not in FORWARD_KINDS:
            return
        record = self.world.tasks.get(ACME, self.task)
        about = (record.task.revision, record.task.digest)
        canary = record.document.content["phases"][0]["assets"]
        alone = record.task.requirement.unattended is Extent.CANARY
        if operation.target.key in canary and alone:
            return
        people = self.yes.get(about, set())
        enough = len(people) >= self.quorum or about in self.glass
        if not enough or about in self.no:
            self.wrong.append(f"{operation.target.id} was changed with the word of {people}")

    # ---- what people say

    @rule(
        by=st.sampled_from(sorted(PEOPLE)),
        kind=st.sampled_from(
            [DecisionKind.APPROVE] * 4
            + [
                DecisionKind.REJECT,
                DecisionKind.REVOKE,
                DecisionKind.REQUEST_CHANGES,
                DecisionKind.BREAK_GLASS,
            ]
        ),
        stale=st.booleans(),
    )
    def say(self, by: str, kind: DecisionKind, stale: bool) -> None:
        record = self.world.tasks.get(ACME, self.task)
        digest = self.digests[0] if stale else record.task.digest
        about = (record.task.revision, digest)
        try:
            decide(
                self.world,
                ACME,
                self.task,
                kind=kind,
                digest=digest,
                by=by,
                role=PEOPLE[by],
                reason="it was looked at by me",
            )
        except QlrfError:
            return
        if kind is DecisionKind.APPROVE:
            # dan speaks for ann, if she let him.
            name = by.strip().lower()
            self.yes.setdefault(about, set()).add("ann" if name == "dan" else name)
        elif kind is DecisionKind.BREAK_GLASS:
            self.glass.add(about)
        else:
            self.no.add(about)

    @rule(pair=st.sampled_from([("ann", "bob"), ("bob", "Bob "), ("rita", "ann"), ("dan", "ann")]))
    def two_names_approve(self, pair: tuple[str, str]) -> None:
        for by in pair:
            self.say(by, DecisionKind.APPROVE, stale=False)

    @rule()
    def ann_lets_dan_decide(self) -> None:
        self.attempt(
            lambda: decide(
                self.world,
                ACME,
                self.task,
                kind=DecisionKind.DELEGATE,
                digest=self.world.tasks.get(ACME, self.task).task.digest,
                by="ann",
                role=Role.ENGINEER,
                delegate="dan",
            )
        )

    @rule(word=st.sampled_from(WORDS))
    def steer(self, word: str) -> None:
        say = getattr(rollouts, word)
        self.attempt(
            lambda: say(self.world, ACME, self.task, by="zoe", role=Role.ADMIN, reason="so be it")
        )

    def attempt(self, action: Any) -> Any:
        try:
            return action()
        except QlrfError:
            return None

    # ---- what the world does

    @rule(hours=st.sampled_from([1, 1, 5, 25, -3]))
    def time_passes_or_a_clock_is_wrong(self, hours: int) -> None:
        self.world.clock.advance(hours=hours)

    @rule(which=st.integers(0, COUNT - 1), how=st.sampled_from(["ended", "other image", "back"]))
    def a_machine_is_another_one(self, which: int, how: str) -> None:
        asset = self.now[which]
        asset |= {"state": "terminated" if how == "ended" else "running"}
        asset |= {"image_ref": "ami-b" if how == "other image" else "ami-0aaaaaaaaaaaaaaa0"}
        drift = [drifted(a, active=a["state"] == "running") for a in self.now]
        observed(self.world.lake, "acme", self.now, drift=drift)

    @rule(status=st.sampled_from([None, Status.FAILED, Status.UNKNOWN]))
    def operations_go_wrong_or_well(self, status: Status | None) -> None:
        def script(operation: Operation) -> Progress | None:
            if status is None or operation.kind not in FORWARD_KINDS:
                return None
            return Progress(status=status, detail="it went wrong")

        self.hands.script = script

    @rule(calls=st.one_of(st.none(), st.integers(1, 6)))
    def the_process_will_die(self, calls: int | None) -> None:
        self.dies_at = calls

    # ---- what the platform does

    def another_run(self) -> str:
        self.runs += 1
        return f"run-{self.runs}"

    @rule(begins=st.booleans())
    def a_run_arrives_at_the_gate(self, begins: bool) -> None:
        """It may die between its claim and the first row."""
        record, run = self.world.tasks.get(ACME, self.task), self.another_run()
        attempt = Attempt(run=run, root_run="r", job=JOB, task=self.task)

        def look(record: Any) -> Any:
            return recheck_at_claim(self.world, record, hands=hands_of(self.world))

        came = self.attempt(lambda: pass_gate(self.world, kept(record), attempt, recheck=look))
        self.digests.append(self.world.tasks.get(ACME, self.task).task.digest)
        if isinstance(came, Granted) and begins:
            self.attempt(
                lambda: rollouts.begin_claimed(
                    self.world,
                    ACME,
                    self.task,
                    digest=came.claim.digest,
                    holder=run,
                    conditions=came.conditions,
                    skipped=came.left_out,
                )
            )

    @rule(stage=st.sampled_from(["execute", "rest"]), stale=st.booleans())
    def somebody_claims_by_hand(self, stage: str, stale: bool) -> None:
        digest = self.world.tasks.get(ACME, self.task).task.digest
        given = self.digests[0] if stale else digest
        run = self.another_run()
        self.attempt(
            lambda: claim(self.world, ACME, self.task, digest=given, holder=run, stage=stage)
        )

    @rule(times=st.integers(1, 4))
    def the_next_attempts_drive(self, times: int) -> None:
        for _ in range(times):
            self.drive()
            self.world.clock.advance(minutes=16)

    @rule(pair=st.sampled_from([("ann", "bob"), ("bob", "zoe"), ("rita", "zoe")]))
    def all_goes_as_it_should(self, pair: tuple[str, str]) -> None:
        self.the_next_attempts_drive(times=2)
        self.two_names_approve(pair)
        self.the_reconcile_sensor_looks()

    def drive(self) -> None:
        run = self.another_run()
        try:
            if take_up(self.world, ACME, self.task, holder=run) is not None:
                drive(self.world, ACME, self.task, holder=run, hold_seconds=0, parallel=2)
        except Died:
            self.dies_at = None
        except QlrfError:
            return

    @rule()
    def the_reconcile_sensor_looks(self) -> None:
        """As sensors/rollouts.py does it, for this one rollout."""
        found = self.rollout
        if found is None:
            return
        after = heed(self.world, found)
        record = self.world.tasks.get(ACME, self.task)
        waits = after.state is RolloutState.AWAITING_APPROVAL
        if waits and may_go_on(record, self.world.clock.now()):
            self.drive()

    @rule()
    def the_sweep_looks(self) -> None:
        sweep(self.world, [ACME])

    @precondition(lambda self: self.bounded)
    @rule()
    def somebody_writes_past_the_bound(self) -> None:
        """The last word is the database's."""
        found = self.rollout
        assert found is not None
        assert found.bound is not None
        bound = found.bound

        def ahead(seen: Rollout) -> Change:
            return Change(rollout=replace(seen, phase=bound + 1))

        def unbound(seen: Rollout) -> Change:
            return Change(rollout=replace(seen, bound=None))

        with pytest.raises(QlrfError):
            self.world.rollouts.amend(ACME, self.task, ahead)
        record = self.world.tasks.get(ACME, self.task)
        if rest_claim(record) is None:
            with pytest.raises(QlrfError):
                self.world.rollouts.amend(ACME, self.task, unbound)

    @property
    def rollout(self) -> Rollout | None:
        try:
            found: Rollout = self.world.rollouts.get(ACME, self.task)
        except NotFound:
            return None
        return found

    @property
    def bounded(self) -> bool:
        found = self.rollout if hasattr(self, "task") else None
        return found is not None and found.bound is not None

    # ---- what holds at any moment, and in the end

    @invariant()
    def nothing_was_touched_without_people(self) -> None:
        assert getattr(self, "wrong", []) == []

    @invariant()
    def nothing_was_done_twice(self) -> None:
        if hasattr(self, "hands"):
            assert all(count == 1 for count in self.hands.effects.values())

    @invariant()
    def a_canary_alone_stays_within_its_bound(self) -> None:
        found = self.rollout if hasattr(self, "task") else None
        if found is not None and found.bound is not None:
            assert found.phase <= found.bound

    def teardown(self) -> None:
        """Left alone for days, no canary stays out without a word."""
        if not hasattr(self, "task"):
            return
        self.dies_at = None
        self.hands.script = lambda operation: None
        for _ in range(12):
            self.world.clock.advance(hours=12)
            self.the_sweep_looks()
            self.the_reconcile_sensor_looks()
            found = self.rollout
            if found is not None and found.state not in ENDED:
                self.drive()
        self.nothing_was_touched_without_people()
        self.nothing_is_left_out_silently()

    def nothing_is_left_out_silently(self) -> None:
        found, task = self.rollout, self.world.tasks.get(ACME, self.task).task
        if found is None or found.bound is None or found.state not in OUT:
            if found is None and task.state is TaskState.EXECUTING:
                self.drive()
            return
        rows = self.world.rollouts.rows(ACME, self.task)
        unknown = any(row.state is AssetState.UNKNOWN for row in rows)
        claimed = rest_claim(self.world.tasks.get(ACME, self.task)) is not None
        assert unknown or claimed, f"{found.state}: {found.reason}"
