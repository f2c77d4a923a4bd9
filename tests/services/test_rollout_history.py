"""What rollouts did before is what a plan's risk relies upon; what never happened is no history."""

from qlrf_pipelines.domain.rollout import RolloutState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.rollout_history import past_changes
from tests.services.rollout_house import ACME, Hands, House, as_engineer, phase, plan


def house() -> House:
    return House(plan(phase("wave-1", [["i-1"], ["i-2"]], wait=0)), Hands(["i-1", "i-2"]))


def test_a_rollout_called_off_before_anything_was_begun_is_neither_good_nor_bad() -> None:
    mine = house()
    mine.begin()
    rollouts.cancel(mine.world, ACME, mine.id, **as_engineer(reason="the cloud is away"))

    assert mine.now.state is RolloutState.CANCELLED
    assert past_changes(mine.world, ACME, Environment(mine.now.environment)).history is None


def test_one_called_off_in_the_middle_counts_as_failed() -> None:
    mine = house()

    def cancel(_: object) -> None:
        if mine.now.state is RolloutState.RUNNING:
            rollouts.cancel(mine.world, ACME, mine.id, **as_engineer(reason="it looks wrong"))

    mine.hands.on_call = cancel
    assert mine.go().state is RolloutState.CANCELLED

    past = past_changes(mine.world, ACME, Environment(mine.now.environment))
    assert past.history is not None
    assert past.history.failure_rate == 1


def test_one_that_completed_counts_as_good() -> None:
    mine = house()
    assert mine.go().state is RolloutState.COMPLETED

    past = past_changes(mine.world, ACME, Environment(mine.now.environment))
    assert past.history is not None
    assert past.history.success_streak == 1
