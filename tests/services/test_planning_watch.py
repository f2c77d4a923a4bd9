"""How long a plan's phases are watched, and by what."""

from datetime import timedelta

from qlrf_pipelines.domain.patching import (
    Analysis,
    CanaryStep,
    Metric,
    PatchSelector,
    Strategy,
    StrategyType,
    Unit,
)
from qlrf_pipelines.domain.vocabulary import Platform
from tests.fakes.drifted import fleet, machine, policy, release, world_of
from tests.services.test_planning import planned


def errors(*, lasts: int = 45) -> Analysis:
    metric = Metric(
        name="errors",
        type="error-rate",
        query="errors",
        comparison="less-than",
        threshold=0.01,
        unit=Unit.RATIO,
        provider="prometheus",
    )
    return Analysis(metrics=(metric,), lasts=timedelta(minutes=lasts))


def test_no_phase_is_watched_for_less_than_its_analysis_takes() -> None:
    kept = policy(analysis=errors(lasts=45))

    made = planned(world_of(*fleet(4), policies=(kept,)), policy="maintenance")

    assert {phase["wait_seconds"] for phase in made.document["phases"]} == {45 * 60}


def test_a_step_without_analysis_is_watched_without_its_metrics() -> None:
    minute = timedelta(minutes=1)
    steps = (
        CanaryStep(percent=10, pause=minute, analysis=False),
        CanaryStep(percent=100, pause=minute),
    )
    strategy = Strategy(type=StrategyType.CANARY, steps=steps)
    kept = policy(analysis=errors(), strategy=strategy)

    made = planned(world_of(*fleet(4), policies=(kept,)), policy="maintenance")

    blind, *watched = made.document["phases"]
    assert blind["wait_seconds"] < 45 * 60
    assert {check["type"] for check in blind["health_checks"]} == {"cloud-status"}
    assert {t["metric"] for t in blind["rollback_triggers"]} == {"failure_share"}
    for phase in watched:
        assert "metric" in {check["type"] for check in phase["health_checks"]}
        assert "errors" in {t["metric"] for t in phase["rollback_triggers"]}
    assert made.denials == ()


def test_a_workload_is_updated_blue_green_with_a_preview() -> None:
    blue_green = Strategy(type=StrategyType.BLUE_GREEN, preview=timedelta(minutes=30))
    kept = policy(selector=PatchSelector(platforms=(Platform.KUBERNETES,)), strategy=blue_green)
    # An image is declared for the cluster; the asset's region is its namespace.
    place = {"platform": "kubernetes", "region": "prod-eu", "image_ref": "r.io/web:1.6.4"}
    world = world_of(
        machine(1, platform="kubernetes", account="prod-eu", region="shop"),
        policies=(kept,),
        releases=[release(coordinates=[place])],
    )

    found = planned(world, policy="maintenance")
    (step,) = found.document["phases"]
    (action,) = step["actions"]

    assert (action["operation"], action["image"]) == ("rolling_update", "r.io/web:1.6.4")
    assert action["parameters"] == {"strategy": "blue-green"}
    assert step["preview_seconds"] == 1800
    assert step["wait_seconds"] < 1800
    assert found.document["strategy"]["auto_promote"] == "no"
    assert found.document["predicted_duration_seconds"] > 1800 + step["wait_seconds"]
