"""A rollout does what was approved, in its order, and says honestly how it ended."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.operations import Progress, Status
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.services import rollouts
from tests.services.rollout_house import ACME, Hands, House, as_engineer, key, phase, plan

NAMES = ["i-1", "i-2", "i-3", "i-4", "i-5"]


def two_phases(**parts: object) -> dict[str, object]:
    canary = phase("canary", [["i-1"]])
    return plan(canary, phase("wave-1", [["i-2", "i-3"], ["i-4", "i-5"]]), **parts)


def test_every_asset_is_changed_once_in_the_order_of_its_plan() -> None:
    house = House(two_phases(), hands := Hands(NAMES))

    ended = house.go()

    assert ended.state == "completed"
    assert hands.changed() == set(NAMES)
    assert set(hands.effects.values()) == {1}
    assert hands.order[0] == ("replace_with_image", "i-1")
    assert {name for _, name in hands.order[1:3]} == {"i-2", "i-3"}
    assert house.task_state() == "completed"


def test_a_bad_canary_is_brought_back_and_nothing_else_is_touched() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    hands.sick = {"i-1"}

    ended = house.go()

    assert ended.state == "rolled_back"
    assert hands.changed() == set()
    assert house.states()["i-1"] == "restored"
    assert {house.states()[name] for name in NAMES[1:]} == {"waiting"}
    assert house.task_state() == "rolled_back"


def test_no_more_are_changed_at_once_than_an_approval_allows() -> None:
    document = plan(phase("wave-1", [NAMES], wait=0))
    house = House(document, hands := Hands(NAMES))
    house.begin(max_batch=2)

    house.drive(parallel=5)

    assert hands.most_at_once <= 2
    assert house.now.state == "completed"


def test_assets_that_are_gone_are_skipped_and_it_is_said() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    del hands.images["i-3"]
    house.begin(skipped={key("i-5"): "terminated since"})

    ended = house.drive()

    assert ended.state == "completed"
    assert house.states()["i-3"] == "skipped"
    assert house.rows()["i-5"].detail == "terminated since"


def test_what_nobody_can_tell_is_held_and_never_done_again() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    lost = Progress(status=Status.UNKNOWN, detail="no answer to what was sent")
    hands.script = lambda o: lost if o.target.id == "i-2" else None

    held = house.go()
    for _ in range(3):
        house.drive()

    assert held.state == "held"
    assert "i-2: no answer" in held.reason
    assert house.task_state() == "paused"
    assert hands.seen[house.rows()["i-2"].asset] == 0
    with pytest.raises(Refused, match="Nobody knows"):
        rollouts.promote(house.world, ACME, house.id, **as_engineer())


def test_asked_again_an_unknown_asset_keeps_its_token() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    tokens: list[str] = []

    def once_lost(operation: object) -> Progress | None:
        if operation.target.id != "i-2" or operation.kind == "finalise":  # type: ignore[attr-defined]
            return None
        tokens.append(operation.token)  # type: ignore[attr-defined]
        lost = Progress(status=Status.UNKNOWN, detail="no answer")
        return lost if len(tokens) == 1 else None

    hands.script = once_lost
    house.go()

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert ended.state == "completed"
    assert len(set(tokens)) == 1


def test_a_retry_of_what_failed_is_a_new_operation() -> None:
    document = plan(phase("wave-1", [NAMES], rollback_triggers=[]))
    house = House(document, hands := Hands(NAMES))
    failed = Progress(status=Status.FAILED, detail="the disk is full")
    hands.script = lambda o: failed if o.target.id == "i-2" else None
    held = house.go()
    before = house.rows()["i-2"].tries
    hands.script = lambda o: None

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert held.state == "held"
    assert "1 of 5 assets failed" in held.reason
    assert house.rows()["i-2"].tries == before + 1
    assert ended.state == "completed"


def test_what_failed_in_an_earlier_phase_is_tried_again_and_nothing_is_left_out() -> None:
    first = phase("wave-1", [NAMES[:3]], rollback_triggers=[])
    second = phase("wave-2", [NAMES[3:]], rollback_triggers=[])
    house = House(plan(first, second), hands := Hands(NAMES))
    failed = Progress(status=Status.FAILED, detail="the disk is full")
    hands.script = lambda o: failed if o.target.id == "i-2" else None
    held = house.go()
    hands.script = lambda o: None

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert (held.state, held.phase) == ("held", 1)
    assert ended.state == "completed"
    assert hands.changed() == set(NAMES)
    changes = [name for kind, name in hands.order if kind == "replace_with_image"]
    assert sorted(changes) == NAMES


def test_what_is_to_be_tried_again_is_brought_back_too() -> None:
    document = plan(phase("wave-1", [NAMES], rollback_triggers=[]))
    house = House(document, hands := Hands(NAMES))
    hands.sick = {"i-2"}
    assert house.go().state == "held"
    assert "i-2" in hands.changed()

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    rollouts.rollback(house.world, ACME, house.id, **as_engineer(reason="enough"))
    ended = house.drive()

    assert ended.state == "rolled_back"
    assert hands.changed() == set()


def test_failures_that_are_let_be_do_not_end_as_completed() -> None:
    document = plan(phase("wave-1", [NAMES], rollback_triggers=[]))
    house = House(document, hands := Hands(NAMES))
    failed = Progress(status=Status.FAILED, detail="the disk is full")
    hands.script = lambda o: failed if o.target.id == "i-2" else None
    house.go()

    rollouts.promote(house.world, ACME, house.id, **as_engineer())
    ended = house.drive()

    assert ended.state == "failed"
    assert house.task_state() == "failed"


def test_a_restore_that_fails_is_stuck_loudly_and_can_be_tried_again() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    hands.sick = {"i-1"}
    no = Progress(status=Status.FAILED, detail="the old image is gone")
    hands.script = lambda o: no if o.kind == "restore" else None

    stuck = house.go(hold_seconds=0)

    assert stuck.state == "stuck"
    assert "could not be brought back" in stuck.reason
    assert house.task_state() == "paused"
    hands.script = lambda o: None
    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    assert (ended := house.drive()).state == "rolled_back"
    # Whatever was said on its way, why it was taken back is what its end says.
    why = stuck.reason.partition("; 1 assets could not be brought back")[0]
    assert ended.taken_back == why
    assert ended.reason == f"{why}; brought back and verified"


def test_a_pause_lets_what_is_in_the_air_land_and_begins_nothing() -> None:
    house = House(plan(phase("wave-1", [["i-1"], ["i-2"], ["i-3"]], wait=0)), hands := Hands(NAMES))

    def pause_in_the_middle(operation: object) -> None:
        if operation.target.id == "i-2" and house.now.state == "running":  # type: ignore[attr-defined]
            rollouts.pause(house.world, ACME, house.id, **as_engineer())

    hands.on_call = pause_in_the_middle  # type: ignore[assignment]

    paused = house.go(hold_seconds=0)

    assert paused.state == "paused"
    assert hands.changed() == {"i-1", "i-2"}
    assert house.states()["i-3"] == "waiting"
    rollouts.resume(house.world, ACME, house.id, **as_engineer())
    assert house.drive().state == "completed"


def test_a_rollback_brings_back_the_last_changed_first() -> None:
    document = plan(phase("wave-1", [["i-1"], ["i-2"]], wait=900), phase("wave-2", [["i-3"]]))
    house = House(document, hands := Hands(NAMES))
    house.go(hold_seconds=0)

    rollouts.rollback(house.world, ACME, house.id, **as_engineer(reason="users complain"))
    ended = house.drive(parallel=1)

    assert ended.state == "rolled_back"
    assert [name for kind, name in hands.order if kind == "restore"] == ["i-2", "i-1"]


def test_a_cancelled_rollout_keeps_what_is_changed_and_is_not_completed() -> None:
    house = House(
        plan(phase("wave-1", [["i-1"]], wait=900), phase("wave-2", [["i-2"]])), Hands(NAMES)
    )
    house.go(hold_seconds=0)

    rollouts.cancel(house.world, ACME, house.id, **as_engineer())

    assert house.now.state == "cancelled"
    assert house.task_state() == "cancelled"
    assert house.hands.changed() == {"i-1"}


def test_a_long_watch_holds_no_process_and_says_when_it_goes_on() -> None:
    house = House(two_phases(), Hands(NAMES))

    parked = house.go(hold_seconds=0)

    assert parked.state == "watching"
    assert parked.wake_at is not None
    assert parked.wake_at > house.clock.now()


def test_only_engineers_steer() -> None:
    house = House(two_phases(), Hands(NAMES))
    house.go(hold_seconds=0)

    with pytest.raises(Refused, match="engineers"):
        rollouts.pause(house.world, ACME, house.id, by="vic", role=Role.VIEWER)


def test_an_asset_belongs_to_one_rollout_at_a_time() -> None:
    house = House(two_phases(), Hands(NAMES))
    house.go(hold_seconds=0)
    other = House(two_phases(id="p-2"), house.hands)
    other.world = house.world
    other.record = other.claimed(two_phases(id="p-2"))

    with pytest.raises(Refused, match="being changed by rollout"):
        other.begin()


def test_nothing_begins_outside_its_window() -> None:
    window = {
        "required": True,
        "opens_at": "2026-11-01T14:00:00Z",
        "closes_at": "2026-11-01T15:00:00Z",
    }
    house = House(two_phases(window=window), hands := Hands(NAMES))

    parked = house.go(hold_seconds=0)
    early = set(hands.changed())
    house.clock.advance(hours=4)
    late = house.drive(hold_seconds=0)

    assert parked.state == "running"
    assert early == set()
    assert late.state == "held"
    assert "window closed" in late.reason
    assert hands.changed() == set()


def test_a_canary_without_auto_promotion_waits_for_a_human() -> None:
    house = House(two_phases(strategy={"type": "canary", "auto_promote": "no"}), Hands(NAMES))

    held = house.go(hold_seconds=600)
    assert held.state == "held"
    assert "promote it to go on" in held.reason

    rollouts.promote(house.world, ACME, house.id, **as_engineer())
    assert house.drive().state == "completed"


def test_every_step_is_evidence() -> None:
    house = House(two_phases(), Hands(NAMES))

    house.go()

    facts = house.facts()
    assert facts.count("rollout_asset_changed") == 5
    assert facts.index("rollout_begun") < facts.index("rollout_finished")


def test_a_retry_reaches_the_driver_that_holds_on() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    lost = Progress(status=Status.UNKNOWN, detail="no answer to what was sent")
    hands.script = lambda o: lost if o.target.id == "i-2" else None
    said: list[str] = []

    def somebody_looks(seconds: float) -> None:
        house.clock.advance(seconds=seconds)
        if house.now.state == "held" and not said:
            said.append("retry")
            hands.script = lambda o: None
            rollouts.retry(house.world, ACME, house.id, **as_engineer())

    house.world.rollouts.on_wait = somebody_looks  # type: ignore[attr-defined]

    assert house.go().state == "completed"
    assert said == ["retry"]


def test_a_pause_while_what_was_kept_is_let_go_is_obeyed() -> None:
    house = House(plan(phase("wave-1", [["i-1"]], wait=0)), hands := Hands(NAMES))
    slow = Progress(status=Status.RUNNING, detail="deleting", poll_seconds=5)
    hands.script = lambda o: slow if o.kind == "finalise" else None

    def somebody_pauses(seconds: float) -> None:
        house.clock.advance(seconds=seconds)
        if house.now.state not in ("paused", "completed"):
            rollouts.pause(house.world, ACME, house.id, **as_engineer())

    house.world.rollouts.on_wait = somebody_pauses  # type: ignore[attr-defined]

    assert house.go(hold_seconds=0).state == "paused"
    hands.script = lambda o: None
    rollouts.resume(house.world, ACME, house.id, **as_engineer())
    assert house.drive().state == "completed"


def test_a_clock_that_is_set_back_delays_nothing_by_as_much_and_forgets_nothing() -> None:
    house = House(two_phases(), hands := Hands(NAMES, calls=3))
    slept: list[float] = []

    def back_once(seconds: float) -> None:
        slept.append(seconds)
        house.clock.advance(seconds=seconds - (7200 if len(slept) == 2 else 0))

    house.world.rollouts.on_wait = back_once  # type: ignore[attr-defined]

    ended = house.go()

    assert ended.state == "completed"
    assert set(hands.effects.values()) == {1}
    assert sum(slept) < 1200
    moments = [
        e.recorded_at for e in house.world.ledger.entries(ACME) if e.kind.startswith("rollout_")
    ]
    assert moments == sorted(moments)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 23)), st.sets(st.integers(0, 23)), st.integers(1, 5))
def test_whatever_fails_no_asset_is_begun_twice_nor_forgotten(
    failing: set[int], gone: set[int], parallel: int
) -> None:
    names = [f"i-{n}" for n in range(24)]
    wave = phase("wave-1", [names[:9], names[9:]], wait=0, rollback_triggers=[])
    house = House(plan(wave), hands := Hands(names))
    for number in gone:
        del hands.images[f"i-{number}"]
    no = Progress(status=Status.FAILED, detail="the disk is full")
    bad = {f"i-{number}" for number in failing}
    begun: list[str] = []
    hands.script = lambda o: no if o.target.id in bad else None
    hands.on_call = lambda o: begun.append(o.target.id) if not o.begun else None

    house.go(parallel=parallel, hold_seconds=0)

    there = [name for number, name in enumerate(names) if number not in gone]
    assert sorted(begun) == sorted(there)
    assert hands.most_at_once <= parallel
    assert {house.states()[name] for name in there} <= {"done", "failed"}
    assert hands.changed() == set(there) - bad


def test_a_plan_for_a_platform_nobody_here_changes_is_refused_before_it_begins() -> None:
    house = House(two_phases(), hands := Hands(NAMES))
    house.world = replace(house.world, executors={})

    with pytest.raises(Refused, match="no executor for aws here"):
        house.begin()

    assert house.world.rollouts.list(ACME) == []
    assert hands.changed() == set()
