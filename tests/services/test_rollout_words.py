"""A rollout that obeys: what people say is not kept waiting, forgotten or undone by the engine."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.domain.operations import Operation, OperationKind, Progress, Status, Target
from qlrf_pipelines.domain.rollout import AssetState, Change, RolloutState
from qlrf_pipelines.services import rollouts
from tests.services.rollout_house import ACME, Hands, House, as_engineer, key, phase, plan

HELD_ONLY = {"strategy": {"type": "canary", "rollback_automatic": "no"}}


class Blind(Hands):
    """A fleet of which one machine cannot be looked at for now."""

    blind = "i-2"

    def capture(self, target: Target) -> Any:
        if target.id == self.blind:
            raise Unavailable("Too many requests; it is asked again.")
        return super().capture(target)


def running(operation: Operation) -> Progress:
    return Progress(status=Status.RUNNING, detail="under way", poll_seconds=60)


def test_a_way_back_is_not_kept_waiting_by_a_look_at_what_will_not_be_changed() -> None:
    hands = Blind(["i-1", "i-2"])
    house = House(plan(phase("wave-1", [["i-1"], ["i-2"]])), hands)
    house.begin()

    def enough(seconds: float) -> None:
        house.clock.advance(seconds=seconds)
        if house.states()["i-1"] == "done" and house.now.state is RolloutState.RUNNING:
            rollouts.rollback(house.world, ACME, house.id, **as_engineer())

    house.world.rollouts.on_wait = enough  # type: ignore[attr-defined]

    assert house.drive().state == "rolled_back"
    assert hands.changed() == set()
    assert house.states() == {"i-1": "restored", "i-2": "waiting"}


def test_what_is_tried_again_the_next_morning_has_its_whole_time() -> None:
    hands = Hands(["i-1"])
    house = House(plan(phase("wave-1", [["i-1"]])), hands)
    hands.script = lambda o: Progress(status=Status.UNKNOWN, detail="no answer")
    assert house.go().state == "held"
    house.clock.advance(hours=9)
    hands.script, hands.calls = lambda o: None, 3

    rollouts.retry(house.world, ACME, house.id, **as_engineer())

    assert house.drive().state == "completed"


def test_a_way_back_that_is_tried_again_the_next_morning_has_its_whole_time() -> None:
    hands = Hands(["i-1"])
    hands.sick = {"i-1"}
    house = House(plan(phase("wave-1", [["i-1"]])), hands)
    hands.script = lambda o: (
        Progress(status=Status.FAILED, detail="no room")
        if o.kind is OperationKind.RESTORE
        else None
    )
    assert house.go().state == "stuck"
    house.clock.advance(hours=9)
    hands.script, hands.calls = lambda o: None, 3

    rollouts.retry(house.world, ACME, house.id, **as_engineer())

    assert house.drive().state == "rolled_back"


def held(*phases: dict[str, Any], sick: set[str]) -> House:
    hands = Hands([f"i-{n}" for n in range(1, 9)])
    hands.sick = sick
    house = House(plan(*phases, **HELD_ONLY), hands)
    assert house.go().state == "held"
    return house


def test_a_phase_that_is_let_pass_is_passed_however_many_failed_in_it() -> None:
    house = held(phase("canary", [["i-1", "i-2"]]), phase("wave-1", [["i-3", "i-4"]]), sick={"i-1"})

    rollouts.promote(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert ended.state == "held"
    assert "too few to take it back" in ended.reason
    assert house.states() == {"i-1": "failed", "i-2": "done", "i-3": "done", "i-4": "done"}


def test_what_fails_after_it_still_stops_the_next_phase() -> None:
    house = held(
        phase("canary", [["i-1", "i-2"]]), phase("wave-1", [["i-3", "i-4"]]), sick={"i-1", "i-3"}
    )

    rollouts.promote(house.world, ACME, house.id, **as_engineer())
    stopped = house.drive()

    assert (stopped.state, stopped.phase) == ("held", 1)
    assert "failure_share is 50%" in stopped.reason


@pytest.mark.parametrize("state", [RolloutState.PAUSED, RolloutState.HELD, RolloutState.STUCK])
def test_what_is_in_the_air_has_somebody_to_follow_it_also_while_people_think(
    state: RolloutState,
) -> None:
    hands = Hands(["i-1", "i-2"])
    house = House(plan(phase("wave-1", [["i-1"], ["i-2"]])), hands)
    house.begin()
    row = replace(house.rows()["i-1"], state=AssetState.CHANGING, begun=True, before={"image": "x"})
    stopped = replace(house.now, state=state)
    house.world.rollouts.amend(ACME, house.id, lambda _: Change(rollout=stopped, rows=(row,)))

    [work] = house.world.rollouts.with_work(ACME, now=house.clock.now())
    after = house.drive(hold_seconds=0)

    assert work.id == house.id
    assert after.state is state
    assert house.states() == {"i-1": "done", "i-2": "waiting"}
    assert house.world.rollouts.with_work(ACME, now=house.clock.now()) == []


def hook(when: str) -> dict[str, Any]:
    return {"when": when, "type": "script", "target": "/opt/say", "timeout_seconds": 60}


def test_a_hook_after_the_rollout_runs_on_what_took_the_place_of_its_first_asset() -> None:
    hands = Hands(["i-1", "i-2"])
    asked: list[tuple[str, str]] = []

    def script(operation: Operation) -> Progress | None:
        asked.append((str(operation.kind), operation.target.id))
        if operation.kind is OperationKind.REPLACE_WITH_IMAGE:
            hands.images["i-new"] = "ami-new"
            return Progress(status=Status.SUCCEEDED, detail="replaced", asset_id="i-new")
        return None

    hands.script = script
    house = House(plan(phase("wave-1", [["i-1"]]), hooks=[hook("postRollout")]), hands)

    assert house.go().state == "completed"
    assert [of for kind, of in asked if kind == "hook"] == ["i-new"]


def test_a_hook_before_the_rollout_runs_on_the_first_asset_that_is_there() -> None:
    hands = Hands(["i-2"])
    hooks: list[str] = []
    hands.on_call = lambda o: hooks.append(o.target.id) if o.kind is OperationKind.HOOK else None
    house = House(plan(phase("wave-1", [["i-1", "i-2"]]), hooks=[hook("preRollout")]), hands)
    house.begin(skipped={key("i-1"): "it is gone"})

    assert house.drive().state == "completed"
    assert hooks == ["i-2"]


def test_with_every_asset_gone_a_hook_says_that_there_is_none_to_run_on() -> None:
    house = House(plan(phase("wave-1", [["i-1"]]), hooks=[hook("preRollout")]), Hands(["i-1"]))
    house.begin(skipped={key("i-1"): "it is gone"})

    stopped = house.drive()

    assert stopped.state == "held"
    assert "none to run a hook on" in stopped.reason


def test_a_word_that_cannot_be_is_refused_in_words() -> None:
    house = House(plan(phase("wave-1", [["i-1"]])), Hands(["i-1"]))
    assert house.go().state == "completed"

    with pytest.raises(Refused, match="is completed, so it cannot be rolled back; see"):
        rollouts.rollback(house.world, ACME, house.id, **as_engineer())
