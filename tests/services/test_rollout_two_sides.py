"""Blue-green: a new side beside the old one, looked at without traffic, and then the switch."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.operations import Operation, OperationKind, Progress, Status
from qlrf_pipelines.services import rollouts
from tests.services.rollout_house import ACME, House, TwoSided, as_engineer, plan, two_sides
from tests.services.test_rollout_crashes import Killer, drive_through

NAMES = ["i-1", "i-2", "i-3", "i-4", "i-5"]
ASKS, GOES_ON = {"type": "blue-green", "auto_promote": "no"}, {"type": "blue-green"}


def blue_green(*phases: Any, strategy: dict[str, str] = ASKS, **parts: Any) -> dict[str, Any]:
    return plan(*(phases or (two_sides("wave-1", [NAMES]),)), strategy=strategy, **parts)


def house_of(*phases: Any, **parts: Any) -> tuple[House, TwoSided]:
    house = House(blue_green(*phases, **parts), hands := TwoSided(NAMES))
    return house, hands


def promoted(house: House) -> Any:
    rollouts.promote(house.world, ACME, house.id, **as_engineer(reason="it looks good"))
    return house.drive()


def fails(kind: str, *names: str) -> Any:
    said = Progress(status=Status.FAILED, detail="it does not come up")
    return lambda o: said if o.kind == kind and o.target.id in names else None


def test_new_sides_stand_beside_the_old_ones_without_traffic_until_somebody_looked() -> None:
    house, hands = house_of()

    held = house.go()

    assert held.state == "held"
    assert held.reason == "wave-1 preview was watched for 10 min and passed; promote it to go on"
    assert set(house.states().values()) == {"standing_by"}
    assert sorted(hands.beside) == NAMES
    assert hands.served_by_new() == set()


def test_promoted_all_of_them_take_the_traffic_and_the_old_sides_are_let_go_at_the_end() -> None:
    house, hands = house_of()
    house.go()

    ended = promoted(house)

    assert ended.state == "completed"
    assert hands.served_by_new() == set(NAMES)
    kinds = [kind for kind, _ in hands.order]
    assert kinds == ["start_beside"] * 5 + ["switch"] * 5 + ["finalise"] * 5
    assert {row.now_id for row in house.rows().values()} == set(hands.beside.values())


def test_who_let_a_canary_be_switched_to_is_not_asked_again_after_the_switch() -> None:
    first, rest = two_sides("canary", [NAMES[:1]]), two_sides("wave-1", [NAMES[1:]])
    house, hands = house_of(first, rest)
    house.go()

    held = promoted(house)

    assert "wave-1 preview" in held.reason
    assert hands.served_by_new() == {"i-1"}


def test_old_sides_that_take_long_to_be_let_go_are_waited_for() -> None:
    house, hands = house_of(strategy=GOES_ON)
    asked: list[str] = []

    def slow(operation: Operation) -> Progress | None:
        if operation.kind is not OperationKind.FINALISE:
            return None
        asked.append(operation.target.id)
        going = asked.count(operation.target.id) < 300
        return Progress(status=Status.RUNNING, detail="slowly", poll_seconds=10) if going else None

    hands.script = slow
    ended = house.go()

    assert ended.state == "completed"
    assert "still there" not in ended.reason


def test_a_policy_may_let_a_good_preview_pass_by_itself() -> None:
    house, hands = house_of(strategy=GOES_ON)

    assert house.go().state == "completed"
    assert hands.served_by_new() == set(NAMES)


def test_nothing_is_switched_before_the_preview_is_over() -> None:
    house, hands = house_of(strategy=GOES_ON)
    began = house.clock.now()
    switched: list[float] = []

    def note(operation: Operation) -> None:
        if operation.kind is OperationKind.SWITCH:
            switched.append((house.clock.now() - began).total_seconds())

    hands.on_call = note
    house.go()

    assert min(switched) >= 600


def test_in_waves_each_wave_is_previewed_and_asked_for() -> None:
    house, hands = house_of(two_sides("wave-1", [NAMES[:2]]), two_sides("wave-2", [NAMES[2:]]))

    first = house.go()
    second = promoted(house)

    assert (first.state, second.state) == ("held", "held")
    assert hands.served_by_new() == set(NAMES[:2])
    assert "wave-2 preview" in second.reason
    assert promoted(house).state == "completed"


def test_a_new_side_that_does_not_come_up_is_taken_down_and_no_traffic_was_touched() -> None:
    house, hands = house_of()
    hands.script = fails("start_beside", "i-1", "i-2")

    ended = house.go()

    assert ended.state == "rolled_back"
    assert hands.beside == {}
    assert "switch" not in {kind for kind, _ in hands.order}


def test_a_new_side_that_is_unfit_is_never_switched_to_unasked_even_if_few_are() -> None:
    alone = two_sides("wave-1", [NAMES], rollback_triggers=[])
    house, hands = house_of(alone, strategy=GOES_ON)
    hands.script = fails("start_beside", "i-2")

    held = house.go()

    assert held.state == "held"
    assert "1 new sides are not fit to be switched to" in held.reason
    assert hands.served_by_new() == set()

    hands.script = lambda o: None
    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    assert house.drive().state == "completed"
    assert hands.served_by_new() == set(NAMES)


def test_people_may_switch_the_fit_ones_and_the_end_is_honest() -> None:
    house, hands = house_of(two_sides("wave-1", [NAMES], rollback_triggers=[]))
    hands.script = fails("start_beside", "i-2")
    house.go()

    held = promoted(house)

    assert held.state == "held"
    assert "1 of 5 assets failed" in held.reason
    assert hands.served_by_new() == set(NAMES) - {"i-2"}
    assert promoted(house).state == "failed"


def test_what_falls_ill_during_the_preview_is_found_before_it_gets_traffic() -> None:
    house, hands = house_of()
    house.go()
    real = hands.check

    def ill(target: Any, check: Any) -> Any:
        hands.sick = {hands.beside["i-3"]}
        return real(target, check)

    hands.check = ill  # type: ignore[method-assign]
    ended = promoted(house)

    assert house.rows()["i-3"].detail
    assert ended.state in ("held", "rolled_back")
    assert ("switch", "i-3") not in hands.order


def test_a_switch_that_proves_bad_goes_back_to_the_old_sides_which_never_stopped() -> None:
    house, hands = house_of()
    house.go()
    hands.script = fails("switch", "i-1", "i-2")

    ended = promoted(house)

    assert ended.state == "rolled_back"
    assert hands.served_by_new() == set()
    assert hands.beside == {}
    assert set(NAMES) <= set(hands.images)


def test_a_failed_switch_is_tried_again_with_the_side_that_stands_there() -> None:
    house, hands = house_of(two_sides("wave-1", [NAMES], rollback_triggers=[]))
    house.go()
    hands.script = fails("switch", "i-2")
    held = promoted(house)
    assert held.state == "held"
    hands.script = lambda o: None

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert ended.state == "completed"
    assert [kind for kind, name in hands.order if name == "i-2"].count("start_beside") == 1


def test_a_side_made_anew_in_a_later_wave_is_looked_at_before_it_is_switched_to() -> None:
    never: dict[str, Any] = {"rollback_triggers": []}
    waves = (two_sides("wave-1", [NAMES[:2]], **never), two_sides("wave-2", [NAMES[2:]], **never))
    house, hands = house_of(*waves)
    hands.script = fails("start_beside", "i-1")
    house.go()
    promoted(house)
    promoted(house)  # to the end of wave 1's switch, with i-1 let be
    hands.script = lambda o: None
    rollouts.retry(house.world, ACME, house.id, **as_engineer())

    again = house.drive()

    assert again.state == "held"
    assert "wave-1 preview" in again.reason
    assert house.states()["i-1"] == "standing_by"
    while house.now.state == "held":
        promoted(house)
    assert house.now.state == "completed"
    assert hands.served_by_new() == set(NAMES)


@pytest.mark.parametrize("say", [rollouts.rollback, rollouts.cancel], ids=["rollback", "cancel"])
def test_whoever_does_not_like_what_they_see_says_so(say: Any) -> None:
    house, hands = house_of()
    house.go()

    say(house.world, ACME, house.id, **as_engineer(reason="it looks bad"))
    ended = house.drive()

    assert hands.served_by_new() == set()
    if say is rollouts.rollback:
        assert ended.state == "rolled_back"
        assert hands.beside == {}
    else:
        # What is there stays there, and it is said.
        assert ended.state == "cancelled"
        assert set(house.states().values()) == {"standing_by"}


def test_metrics_say_nothing_of_a_side_without_traffic_and_are_asked_after_the_switch() -> None:
    watched = two_sides(
        "wave-1",
        [NAMES],
        rollback_triggers=[
            {
                "metric": "errors",
                "comparison": "greater-than",
                "threshold": 0.01,
                "query": "errors",
                "provider": "prometheus",
            }
        ],
    )
    house, _ = house_of(watched)

    held = house.go()
    after = promoted(house)

    assert "preview was watched" in held.reason
    assert after.state == "held"  # nobody answers for the metric: inconclusive, never passed
    assert "inconclusive" in after.reason


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 160), max_size=12), st.integers(1, 3))
def test_killed_anywhere_every_machine_gets_one_new_side_and_one_switch(
    moments: set[int], calls: int
) -> None:
    house = House(blue_green(strategy=GOES_ON), hands := TwoSided(NAMES, calls=calls))

    drive_through(house, Killer(moments))

    assert house.now.state == "completed"
    assert hands.served_by_new() == set(NAMES)
    assert set(hands.effects.values()) == {1}
    for kind in ("start_beside", "switch"):
        assert sorted(name for what, name in hands.order if what == kind) == NAMES
    assert verify_chain(house.world.ledger.entries(ACME)) > 0


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 160), max_size=12), st.sampled_from(["start_beside", "switch"]))
def test_killed_anywhere_on_the_way_back_no_new_side_is_left(moments: set[int], bad: str) -> None:
    house = House(blue_green(strategy=GOES_ON), hands := TwoSided(NAMES))
    hands.script = fails(bad, "i-2", "i-4")

    drive_through(house, Killer(moments))

    assert house.now.state == "rolled_back"
    assert hands.beside == {}
    assert hands.served_by_new() == set()
    assert set(hands.effects.values()) == {1}
