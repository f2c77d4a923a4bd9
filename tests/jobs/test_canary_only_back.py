"""Mode canary_only: a canary whose rest is refused, or waits too long, does not stay out."""

from datetime import timedelta

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import Conditions, DecisionKind
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.patching import Rollback
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import RolloutState
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import claim, finish
from qlrf_pipelines.services.rollout_rest import heed_word
from tests.fakes.approvals import ACME
from tests.fakes.drifted import policy
from tests.fakes.executor import Trouble
from tests.jobs.canaries import ANN, CANARY, REQUEST, CanaryHouse
from tests.jobs.remediated import ASK, skipped


@pytest.fixture
def house(instance: dg.DagsterInstance) -> CanaryHouse:
    return CanaryHouse(instance)


@pytest.mark.parametrize("kind", ["reject", "request_changes"])
@pytest.mark.parametrize("when", ["watched", "asked"])
def test_a_no_brings_the_canary_back_and_the_task_says_who_said_it(
    house: CanaryHouse, kind: str, when: str
) -> None:
    house.run(ASK)
    if when == "asked":
        house.go()
    assert house.images[CANARY] != "image-old"

    house.say(kind)

    assert house.go() is RolloutState.ROLLED_BACK
    assert house.images[CANARY] == "image-old"
    assert house.touched == {CANARY}
    assert house.task.state is TaskState.ROLLED_BACK
    assert "ann" in house.rollout.reason
    assert "verified" in house.rollout.reason


def test_the_requester_takes_it_back_too(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.say("reject", by="rita", role=Role.VIEWER)

    assert house.go() is RolloutState.ROLLED_BACK


def test_a_revoked_approval_of_the_rest_brings_the_canary_back(house: CanaryHouse) -> None:
    house.run(ASK)
    house.say()
    with pytest.raises(Refused, match="revoke the approval instead"):
        house.say("reject", by="bob")
    house.say("revoke", by="bob")

    assert house.go() is RolloutState.ROLLED_BACK
    assert house.touched == {CANARY}


def test_the_word_is_heeded_at_once_by_whoever_says_it(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.say("reject")

    after = heed_word(house.world, ACME, house.task.id)

    assert after is not None
    assert after.state is RolloutState.ROLLING_BACK
    assert house.task.state is TaskState.EXECUTING
    with pytest.raises(Refused, match="its canary is brought back"):
        house.say(by="bob")


def test_a_canary_nobody_decides_about_comes_back_when_time_runs_out(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.later(hours=9)
    house.sweep()
    assert house.task.reminded == 1
    house.later(hours=20)
    house.sweep()
    assert len(house.entries("approval_rest_expired")) == 1
    with pytest.raises(Refused, match="expired"):
        house.say()

    assert house.go() is RolloutState.ROLLED_BACK
    assert house.images[CANARY] == "image-old"
    assert "nobody let the rest go in time" in house.rollout.reason
    assert house.task.state is TaskState.ROLLED_BACK


def test_an_approval_of_the_rest_that_is_not_used_in_time_is_over(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    decide(
        house.world,
        ACME,
        house.task.id,
        kind=DecisionKind.APPROVE,
        digest=house.task.digest,
        conditions=Conditions(not_before=house.world.clock.now() + timedelta(hours=1)),
        **ANN,
    )
    assert house.tick() == []
    house.later(hours=30)

    assert house.go() is RolloutState.ROLLED_BACK
    assert house.touched == {CANARY}


def test_a_sick_canary_comes_back_and_nobody_is_asked_any_more(house: CanaryHouse) -> None:
    house.fleet.trouble(CANARY, Trouble.FAILS)
    house.run(ASK)

    assert house.go() is RolloutState.ROLLED_BACK
    assert house.task.state is TaskState.ROLLED_BACK
    with pytest.raises(Refused):
        house.say()


def test_nobody_takes_back_what_nobody_knows(house: CanaryHouse) -> None:
    house.fleet.trouble(CANARY, Trouble.UNKNOWN)
    house.run(ASK)
    assert house.rollout.state is RolloutState.HELD
    house.say("reject")

    assert house.go() is RolloutState.HELD
    rollouts.rollback(house.world, ACME, house.rollout.id, **ANN)
    assert house.go() is RolloutState.ROLLED_BACK


def test_where_only_people_take_anything_back_a_no_holds_it(instance: dg.DagsterInstance) -> None:
    manual = policy(rollback=Rollback(automatic=False))
    house = CanaryHouse(instance, policies=(manual,))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.go()
    house.say("reject")

    assert house.go() is RolloutState.HELD
    assert "takes nothing back by itself" in house.rollout.reason
    for verb in (rollouts.promote, rollouts.resume):
        verb(house.world, ACME, house.rollout.id, **ANN)
        assert house.go() is RolloutState.HELD
    assert house.touched == {CANARY}
    rollouts.rollback(house.world, ACME, house.rollout.id, **ANN)
    assert house.go() is RolloutState.ROLLED_BACK


def test_a_person_takes_it_back_or_leaves_it_while_others_are_asked(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    rollouts.cancel(house.world, ACME, house.rollout.id, **ANN)

    assert house.task.state is TaskState.CANCELLED
    assert house.touched == {CANARY}
    with pytest.raises(Refused):
        house.say()


def test_a_no_before_it_starts_ends_it(house: CanaryHouse) -> None:
    house.submit(REQUEST)
    before = house.request()
    house.say("reject")

    assert house.task.state is TaskState.REJECTED
    assert skipped(house.run(tags=dict(before.tags)))
    assert house.carried_out == []


def test_a_no_between_the_claim_and_the_first_row_starts_nothing(house: CanaryHouse) -> None:
    task = house.submit(REQUEST)
    claim(house.world, ACME, task.id, digest=task.digest, holder="a run that died")
    house.say("reject")
    house.later(minutes=5)

    [request] = house.tick()
    assert house.drive(request).success

    assert house.carried_out == []
    assert house.task.state is TaskState.CANCELLED
    assert not house.fleet.effects


def test_a_task_that_is_closed_by_hand_leaves_no_canary_out(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    finish(house.world, ACME, house.task.id, outcome=TaskState.FAILED, by="zoe")

    assert house.go() is RolloutState.ROLLED_BACK
    assert "closed as failed" in house.rollout.reason
