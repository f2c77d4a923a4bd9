"""Hooks run once under their token, and their fail policy decides what a failure means."""

from typing import Any

import pytest

from qlrf_pipelines.domain.operations import Health, HealthReport, Operation, Progress, Status
from tests.fakes.hooks import FakeHooks
from tests.services.rollout_house import Hands, House, phase, plan

NAMES = ["i-1", "i-2", "i-3"]
BAD = HealthReport(health=Health.UNHEALTHY, why="answered 500")
URL = "https://hooks.example/x"
WHEN = ["preRollout", "prePatch", "postPatch", "postRollout", "onFailure"]


def hook(when: str, *, kind: str = "webhook", policy: str = "abort") -> dict[str, Any]:
    target = URL if kind == "webhook" else "drain"
    return {
        "when": when,
        "type": kind,
        "target": target,
        "timeout_seconds": 60,
        "fail_policy": policy,
    }


def a_house(*hooks: dict[str, Any], bad: bool = False, kind: str = "webhook") -> House:
    canary = phase("canary", [["i-1"]], wait=0)
    document = plan(canary, phase("wave-1", [["i-2", "i-3"]], wait=0), hooks=list(hooks))
    said = FakeHooks({URL: BAD} if bad and kind == "webhook" else {})
    house = House(document, Hands(NAMES), hooks=said)
    if bad and kind == "script":
        no = Progress(status=Status.FAILED, detail="exit code 1")
        house.hands.script = lambda o: no if o.kind == "hook" else None
    return house


def calls(house: House) -> list[Any]:
    return house.world.hooks.calls  # type: ignore[attr-defined,no-any-return]


def test_each_hook_is_called_as_often_as_its_name_says() -> None:
    house = a_house(*(hook(when) for when in WHEN))

    assert house.go().state == "completed"

    events = [payload["event"] for _, _, payload in calls(house)]
    assert events[0] == "preRollout"
    assert events[-1] == "postRollout"
    assert events.count("prePatch") == events.count("postPatch") == 3
    assert "onFailure" not in events
    assert len({token for _, token, _ in calls(house)}) == len(events)


@pytest.mark.parametrize("kind", ["webhook", "script"])
@pytest.mark.parametrize("policy", ["continue", "warn"])
@pytest.mark.parametrize("when", ["preRollout", "prePatch", "postPatch", "postRollout"])
def test_a_failure_that_may_be_goes_on(when: str, policy: str, kind: str) -> None:
    house = a_house(hook(when, kind=kind, policy=policy), bad=True, kind=kind)

    assert house.go().state == "completed"
    assert house.hands.changed() == set(NAMES)


@pytest.mark.parametrize("kind", ["webhook", "script"])
@pytest.mark.parametrize("when", ["prePatch", "postPatch"])
def test_a_failed_hook_of_an_asset_is_a_failed_asset(when: str, kind: str) -> None:
    house = a_house(hook(when, kind=kind), bad=True, kind=kind)

    ended = house.go()

    assert ended.state == "rolled_back"
    assert house.hands.changed() == set()
    assert house.rows()["i-2"].state == "waiting"


@pytest.mark.parametrize("kind", ["webhook", "script"])
@pytest.mark.parametrize(("when", "left"), [("preRollout", set()), ("postRollout", set(NAMES))])
def test_a_failed_hook_of_the_rollout_asks_a_human(when: str, left: set[str], kind: str) -> None:
    house = a_house(hook(when, kind=kind), bad=True, kind=kind)

    held = house.go(hold_seconds=60)

    assert held.state == "held"
    assert f"hook:{when}" in held.reason
    assert house.hands.changed() == left


def test_a_failed_hook_for_failures_does_not_stop_the_way_back() -> None:
    house = a_house(hook("onFailure"), bad=True)
    house.hands.sick = {"i-1"}

    assert house.go().state == "rolled_back"
    assert [payload["event"] for _, _, payload in calls(house)] == ["onFailure"]
    assert house.hands.changed() == set()


def test_a_hook_after_a_check_that_took_its_time_is_begun_only_then() -> None:
    house = a_house(hook("postPatch", kind="script"))
    document = phase("canary", [["i-1"]], wait=0)
    document["health_checks"] = [{"type": "cloud-status", "successes": 3, "interval_seconds": 5}]
    house = House(plan(document, hooks=[hook("postPatch", kind="script")]), Hands(NAMES))
    begun: list[bool] = []

    def note(operation: Operation) -> None:
        if operation.kind == "hook":
            begun.append(operation.begun)

    house.hands.on_call = note

    assert house.go().state == "completed"
    assert begun == [False]
