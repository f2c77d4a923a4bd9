"""A watched phase passes only on answers that are there: whoever is silent is not healthy."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.operations import Health, HealthReport, Progress, Status
from qlrf_pipelines.domain.rollout import AssetRow, AssetState, Rollout, RolloutState
from qlrf_pipelines.domain.rollout_plan import RolloutPlan, read_plan
from qlrf_pipelines.domain.rollout_rules import checked
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.rollout_watch import Says, look
from tests.fakes.clock import NOON
from tests.fakes.metrics import FakeMetrics
from tests.services.rollout_house import ACME, Hands, House, as_engineer, key, minutes, phase, plan

NAMES = [f"i-{n}" for n in range(1, 9)]
QUERY = 'sum(rate(errors{env="staging"}[1m]))'
SCOPED = 'sum(rate(latency{instance=~"${scope}"}[1m]))'
CANARY, BASELINE = SCOPED.replace("${scope}", "i-1"), "i-2|i-3|i-4|i-5|i-6|i-7|i-8"
HOME = Provider(kind="prometheus", url="http://127.0.0.1:1")


def trigger(query: str = QUERY) -> dict[str, Any]:
    return {
        "metric": "error rate",
        "comparison": "greater-than",
        "threshold": 0.05,
        "query": query,
        "provider": "prometheus",
    }


def check(query: str = QUERY, threshold: float = 0.05) -> dict[str, Any]:
    return {
        "type": "metric",
        "target": query,
        "comparison": "less-than",
        "threshold": threshold,
        "provider": "prometheus",
    }


def watched(*, triggers: tuple[Any, ...] = (), checks: tuple[Any, ...] = ()) -> dict[str, Any]:
    canary = phase(
        "canary",
        [["i-1"]],
        wait=300,
        rollback_triggers=list(triggers),
        health_checks=list(checks),
    )
    return plan(canary, phase("wave-1", [NAMES[1:]], wait=0))


def a_house(document: dict[str, Any], metrics: FakeMetrics) -> House:
    return House(document, Hands(NAMES), metrics=lambda _: metrics, metrics_at=(HOME,))


def always(value: float) -> Callable[[datetime], float]:
    return lambda _: value


def test_a_metric_that_stays_good_lets_the_phase_pass() -> None:
    metrics = FakeMetrics({QUERY: always(0.01)})
    house = a_house(watched(triggers=(trigger(),), checks=(check(),)), metrics)

    assert house.go().state == "completed"
    assert len(metrics.asked) > 5


def test_a_trigger_that_trips_takes_the_canary_back() -> None:
    start = NOON + minutes(2)
    metrics = FakeMetrics({QUERY: lambda at: 0.5 if at > start else 0.01})
    house = a_house(watched(triggers=(trigger(),)), metrics)

    ended = house.go()

    assert ended.state == "rolled_back"
    assert "error rate is 0.5, greater than 0.05" in ended.reason
    assert house.hands.changed() == set()
    assert house.task_state() == "rolled_back"


def test_without_automatic_rollback_a_trigger_asks_a_human() -> None:
    document = watched(triggers=(trigger(),))
    document["strategy"] = {"type": "canary", "rollback_automatic": "no"}
    house = a_house(document, FakeMetrics({QUERY: always(0.5)}))

    held = house.go(hold_seconds=600)

    assert held.state == "held"
    assert "error rate is 0.5" in held.reason
    assert house.hands.changed() == {"i-1"}


@pytest.mark.parametrize("where", ["triggers", "checks"])
def test_a_source_that_is_down_holds_the_phase_until_somebody_can_see_again(where: str) -> None:
    metrics = FakeMetrics({QUERY: Unavailable("Prometheus does not answer")})
    watch = trigger() if where == "triggers" else check()
    house = a_house(watched(**{where: (watch,)}), metrics)

    held = house.go(hold_seconds=600)

    assert held.state == "held"
    assert "inconclusive" in held.reason
    assert "Prometheus does not answer" in held.reason
    assert house.hands.changed() == {"i-1"}
    rollouts.resume(house.world, ACME, house.id, **as_engineer())
    assert house.drive(hold_seconds=600).state == "held"

    metrics.answers[QUERY] = always(0.01)
    rollouts.resume(house.world, ACME, house.id, **as_engineer())
    assert house.drive(hold_seconds=600).state == "completed"


def test_a_tenant_without_that_provider_is_held_and_told() -> None:
    house = House(watched(checks=(check(),)), Hands(NAMES))

    held = house.go(hold_seconds=600)

    assert held.state == "held"
    assert "declares no metrics of prometheus" in held.reason


@pytest.mark.parametrize("where", ["trigger", "check"])
def test_a_canary_that_fell_silent_after_good_values_is_held(where: str) -> None:
    silent = NOON + minutes(3)
    metrics = FakeMetrics({QUERY: lambda at: 0.01 if at < silent else None})
    asked = {"triggers": (trigger(),)} if where == "trigger" else {"checks": (check(),)}
    house = a_house(watched(**asked), metrics)

    held = house.go(hold_seconds=600)

    assert held.state == "held"
    assert "was last seen at 12:02:45 UTC" in held.reason


def test_a_source_that_is_late_by_nature_is_given_its_time() -> None:
    known = NOON + minutes(3)
    metrics = FakeMetrics({QUERY: lambda at: 0.01 if at < known else None})
    metrics.lag = timedelta(minutes=10)

    assert a_house(watched(checks=(check(),)), metrics).go(hold_seconds=600).state == "completed"


def judged(canary: float, baseline: float) -> House:
    metrics = FakeMetrics(
        {
            CANARY: lambda at: canary + (at.second % 7) / 1000,
            SCOPED.replace("${scope}", BASELINE): lambda at: baseline + (at.second % 5) / 1000,
        }
    )
    document = watched(checks=(check(SCOPED, threshold=1000),))
    document["phases"][0]["wait_seconds"] = 900
    return a_house(document, metrics)


def test_changed_machines_are_judged_against_unchanged_ones() -> None:
    house = judged(canary=1.9, baseline=1.0)

    ended = house.go()

    assert ended.state == "rolled_back"
    assert house.hands.changed() == set()


def test_changed_machines_that_are_like_the_others_pass() -> None:
    house = judged(canary=1.0, baseline=1.0)

    house.go(hold_seconds=3600)

    assert house.hands.changed() == set(NAMES)


def test_once_every_asset_is_changed_the_threshold_decides() -> None:
    everything = SCOPED.replace("${scope}", "i-1|i-2")
    metrics = FakeMetrics({everything: always(0.5)})
    wave = phase("wave-1", [["i-1", "i-2"]], wait=300, health_checks=[check(SCOPED)])
    house = a_house(plan(wave), metrics)

    ended = house.go()

    assert ended.state == "rolled_back"
    assert "0.5, not less-than 0.05" in ended.reason


def test_a_retry_is_watched_from_its_own_start() -> None:
    wave = phase("wave-1", [["i-1", "i-2"]], wait=300, rollback_triggers=[])
    house = House(plan(wave), Hands(NAMES))
    failed = Progress(status=Status.FAILED, detail="the disk is full")
    house.hands.script = lambda o: failed if o.target.id == "i-2" else None
    assert house.go(hold_seconds=600).state == "held"
    house.hands.script = lambda o: None
    house.clock.advance(hours=5)
    before = house.clock.now()

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    parked = house.drive(hold_seconds=0)

    assert parked.state == "watching"
    assert parked.watch_since is not None
    assert parked.watch_since >= before


Truth = dict[str, tuple[float, float]]
Seen = list[set[str]]


def a_plan() -> RolloutPlan:
    return read_plan(
        watched(triggers=(trigger("a"), trigger("b")), checks=(check("b"), check("c")))
    )


PLAN = a_plan()
WORLD = a_house(watched(), FakeMetrics({})).world
LOOKS = (NOON, NOON + minutes(2), NOON + minutes(5))
ROWS = tuple(
    AssetRow(
        asset=key(name),
        order=number,
        phase=min(number, 1),
        batch=0,
        state=AssetState.WAITING if number else AssetState.DONE,
    )
    for number, name in enumerate(NAMES)
)
WATCHING = Rollout(
    tenant=ACME,
    id="r",
    digest="d" * 64,
    environment="staging",
    state=RolloutState.WATCHING,
    total=8,
    started_at=NOON,
    changed_at=NOON,
    watch_since=NOON,
)


def ends(truth: Truth, seen: Seen) -> Says:
    """What a watch of two stretches of time comes to; each look gets answers for some metrics."""

    def of(name: str) -> Callable[[datetime], float]:
        return lambda at: truth[name][0 if at <= LOOKS[1] else 1]

    for now, answered in zip(LOOKS, seen, strict=True):
        there = FakeMetrics({name: of(name) for name in answered})
        world = replace(WORLD, metrics=lambda _, there=there: there)
        says = look(world, PLAN, WATCHING, ROWS, now).says
        if says is not Says.WAIT:
            return says
    raise AssertionError("the watch never ended")


VALUES = st.sampled_from([0.01, 0.5])
TRUTHS = st.fixed_dictionaries({name: st.tuples(VALUES, VALUES) for name in "abc"})
SEEN = st.lists(st.sets(st.sampled_from("abc")), min_size=3, max_size=3)


@settings(max_examples=200, deadline=None)
@given(TRUTHS, SEEN, st.integers(0, 2), st.sampled_from("abc"))
def test_taking_any_metric_answer_away_never_makes_a_pass(
    truth: Truth, seen: Seen, which: int, name: str
) -> None:
    fewer = [one - {name} if number == which else one for number, one in enumerate(seen)]

    before, after = ends(truth, seen), ends(truth, fewer)

    assert before is Says.PASS or after is not Says.PASS


def test_a_pass_needs_every_answer_of_the_last_look() -> None:
    good = dict.fromkeys("abc", (0.01, 0.01))
    nothing: set[str] = set()

    assert ends(good, [nothing, nothing, {"a", "b", "c"}]) is Says.PASS
    for name in "abc":
        assert ends(good, [{"a", "b", "c"}] * 2 + [{"a", "b", "c"} - {name}]) is Says.HOLD


def test_what_one_look_could_not_see_the_next_one_does() -> None:
    truth = dict.fromkeys("abc", (0.01, 0.01)) | {"a": (0.5, 0.01)}
    everything = {"a", "b", "c"}

    assert ends(truth, [set(), set(), everything]) is Says.TRIP


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(list(Health)), min_size=1, max_size=12),
    st.integers(0, 11),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_taking_a_health_answer_away_never_proves_health(
    answers: list[Health], which: int, successes: int, failures: int
) -> None:
    def verdict(said: list[Health]) -> tuple[bool | None, int]:
        counts: dict[str, int] = {}
        for number, one in enumerate(said):
            came = checked({"successes": successes, "failures": failures}, counts, one)
            counts = dict(came.counts)
            if came.verdict is not None:
                return came.verdict, number
        return None, len(said)

    fewer = list(answers)
    fewer[which % len(fewer)] = Health.UNKNOWN

    before, after = verdict(answers), verdict(fewer)

    assert before[0] is True or after[0] is not True


def test_a_canary_whose_health_nobody_answers_for_is_brought_back() -> None:
    house = House(plan(phase("canary", [["i-1"]]), phase("wave-1", [NAMES[1:]])), Hands(NAMES))
    silent = HealthReport(health=Health.UNKNOWN, why="nobody answers")
    house.hands.check = (  # type: ignore[method-assign]
        lambda target, check: silent
    )

    ended = house.go(hold_seconds=60)

    assert ended.state == "stuck"  # brought back, and nobody can say that it is well
    assert house.rows()["i-2"].state is AssetState.WAITING
