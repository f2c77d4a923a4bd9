"""Whole drills on platforms: the drill engine and a real adapter, from validation to report."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.drills import Outcome, Phase
from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.domain.recovery import Side
from qlrf_pipelines.domain.recovery_plans import (
    CanaryWrites,
    DrillType,
    ProbePace,
    ProbeRule,
    ProbeType,
)
from qlrf_pipelines.ports.probes import Probes
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan
from tests.fakes.recovery_sites import Sites
from tests.fakes.stopwatch import FakeStopwatch


class SettlingStopwatch(FakeStopwatch):
    """While time passes the platform goes on with what it was asked for."""

    def __init__(self, sites: Sites) -> None:
        super().__init__()
        self._sites = sites

    def sleep(self, seconds: float) -> None:
        self._sites.settle()
        super().sleep(seconds)


class SiteProbes(Probes):
    """Asks where clients are led; a test is asked in its own network."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    def probe(self, check: Mapping[str, object], *, timeout_seconds: float) -> HealthReport:
        served = self._sites.served_by() is Side.RECOVERY
        if check["target"] == "isolated":
            served = self._sites.made() == self._sites.expected
        health = Health.HEALTHY if served else Health.UNHEALTHY
        return HealthReport(health=health, why="as seen from outside")


@pytest.fixture(
    params=[
        "aws",
        pytest.param("vsphere", marks=pytest.mark.real),
        pytest.param("kubernetes", marks=pytest.mark.real),
    ]
)
def sites(request: pytest.FixtureRequest) -> Sites:
    if request.param == "aws":
        from tests.fakes.aws_sites import AwsSites

        return AwsSites(copied=2)
    if request.param == "vsphere":
        from tests.fakes.vcsim_sites import VcsimSites

        return VcsimSites()
    from tests.fakes.kubernetes_sites import KubernetesSites

    return KubernetesSites()


def house(sites: Sites, *probes: ProbeRule) -> DrillHouse:
    probe = ProbeRule(name="web", type=ProbeType.TCP, target="service", test_target="isolated")
    made = plan(
        groups=((sites.member,),),
        probes=(probe, *probes),
        canary=CanaryWrites(),
        # The stopwatch runs ahead of a platform that takes real moments to answer.
        pace=ProbePace(interval_seconds=1, timeout_seconds=1, within_seconds=1_000_000),
        move_seconds=1_000_000,
    )
    adapter = sites.adapter()
    overrides: dict[str, Any] = {
        "recovery": {adapter.name: adapter},
        "probes": SiteProbes(sites),
    }
    return DrillHouse(plan=made, stopwatch=SettlingStopwatch(sites), overrides=overrides)


@pytest.mark.parametrize("type_", [DrillType.FULL, DrillType.TEST_FAILOVER])
def test_a_drill_goes_from_validation_to_report_and_leaves_no_trace(
    sites: Sites, type_: DrillType
) -> None:
    before = sites.world()
    at = house(sites)

    drill = at.run(type_)

    assert (drill.phase, drill.outcome) == (Phase.CLOSED, Outcome.PASSED), drill.result
    assert drill.result is not None
    # Without canary writes nobody knows what was lost, however old or young the copies were.
    assert drill.result["rpo"]["verdict"] == "not_proven"
    assert sites.served_by() is Side.PRIMARY
    assert sites.world() == before


INSIDE = ProbeRule(
    name="inside", type=ProbeType.COMMAND, member="web", command=("check", "--deep"), expect="ok"
)


def answering(name: str, said: str) -> Sites:
    """Sites whose workloads answer a command with this."""
    if name == "aws":
        from tests.fakes.aws_sites import AwsSites

        machines = AwsSites(copied=2)
        machines.aws.execution.said = {"StandardOutputContent": said, "ResponseCode": 0}
        return machines
    from tests.fakes.kubelet import exits, fake_kubelet
    from tests.fakes.kubernetes_sites import KubernetesSites

    fake_kubelet().clear()
    fake_kubelet().ends[INSIDE.command] = exits(0, said)
    pods = KubernetesSites()
    pods.pod("ready")
    return pods


PLATFORMS = ["aws", pytest.param("kubernetes", marks=pytest.mark.real)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("type_", [DrillType.FULL, DrillType.TEST_FAILOVER])
def test_a_drill_is_proven_by_a_command_in_the_workload(platform: str, type_: DrillType) -> None:
    at = house(answering(platform, "ok"), INSIDE)
    # As above: real moments pass between two answers, in which the stopwatch runs far ahead.
    at.declare(replace(at.plan, pace=replace(at.plan.pace, timeout_seconds=100_000)))

    drill = at.run(type_)

    assert (drill.phase, drill.outcome) == (Phase.CLOSED, Outcome.PASSED), drill.result
    answers = at.world.drills.answers(at.tenant, drill.id)
    good = [a for a in answers if a.probe == "inside" and a.health is Health.HEALTHY]
    assert len(good) >= INSIDE.consecutive


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_workload_that_gives_another_answer_has_not_come_back(platform: str) -> None:
    sites = answering(platform, "read-only")
    at = house(sites, INSIDE)
    at.declare(replace(at.plan, pace=replace(at.plan.pace, within_seconds=60)))

    drill = at.run(DrillType.FULL)

    assert drill.outcome is Outcome.FAILED
    assert "inside" in str(drill.result)
    assert "'read-only', not 'ok'" in str(drill.result)
    assert sites.served_by() is Side.PRIMARY
