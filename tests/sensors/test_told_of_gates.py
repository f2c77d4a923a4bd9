"""Any job with a gate reaches people: the run ends, the sensors remind and tell."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.jobs.approval import Approval, await_approval, executing
from qlrf_pipelines.jobs.approved_change import approved_change
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.gate import Proposal
from qlrf_pipelines.services.news import ENTRIES
from sensors.approvals import expiry_sweep
from sensors.notifications import PAGES, notifications
from tests.fakes.approvals import ACME, need
from tests.services.gated import Gate


@dg.op
def plan() -> Proposal:
    return Proposal(
        tenant=ACME,
        kind="restart",
        title="Restart the web tier",
        document={"restart": ["i-1", "i-2"]},
        requested_by="rita",
        requirement=need(),
    )


@dg.op
def execute(
    context: dg.OpExecutionContext, approval: Approval, world: dg.ResourceParam[World]
) -> None:
    with executing(context, world, approval):
        context.log.info("restarted")


@dg.job
def restart_web() -> None:
    """A job of somebody else's, with a document of its own."""
    execute(await_approval(plan()))


class Station:
    """A gate, an instance that remembers runs, and sensors with their cursors."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.gate = instance, Gate()
        self.cursors: dict[str, str | None] = {}

    def run(self, job: dg.JobDefinition, **parts: Any) -> dg.ExecuteInProcessResult:
        resources = {"world": self.gate.world}
        return job.execute_in_process(instance=self.instance, resources=resources, **parts)

    def tick(self, sensor: dg.SensorDefinition) -> str:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor.name),
            resources={"world": self.gate.world},
        ) as context:
            result = sensor(context)
            self.cursors[sensor.name] = context.cursor
        assert isinstance(result, dg.SkipReason)
        return result.skip_message or ""

    @property
    def told(self) -> list[str]:
        return [message.title for message, _, _ in self.gate.notifier.taken]


@pytest.fixture
def station() -> Iterator[Station]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Station(instance)


def test_a_run_that_waits_for_people_reaches_them_and_reminds_them(station: Station) -> None:
    assert station.run(restart_web).success
    (task,) = station.gate.world.tasks.list(ACME)

    assert station.tick(notifications) == "1 messages sent, 0 given up."
    station.gate.clock.advance(hours=8)
    station.tick(expiry_sweep)
    station.tick(notifications)
    station.tick(notifications)

    assert station.told == [
        f"Task {task.id} of acme asks for approval",
        f"Task {task.id} of acme still asks for approval (reminder 1)",
    ]


def test_a_week_of_other_evidence_does_not_delay_a_request(station: Station) -> None:
    now = station.gate.clock.now()
    facts = [
        NewEntry(kind="control_verdict", subject=f"c-{number}", recorded_at=now, content={})
        for number in range(5 * ENTRIES)
    ]
    station.gate.world.ledger.append({ACME: facts})
    station.run(restart_web)

    assert station.tick(notifications) == "1 messages sent, 0 given up."


def test_a_ledger_of_years_is_read_in_turns_and_to_its_end(station: Station) -> None:
    now = station.gate.clock.now()
    facts = [
        NewEntry(kind="control_verdict", subject="c-1", recorded_at=now, content={})
        for _ in range(PAGES * ENTRIES)
    ]
    station.gate.world.ledger.append({ACME: facts})
    station.run(restart_web)

    said = [station.tick(notifications).partition(",")[0] for _ in range(2)]

    assert said == ["0 messages sent", "1 messages sent"]


def test_a_request_nobody_decided_is_told_to_have_expired(station: Station) -> None:
    change = {
        "tenant": "acme",
        "title": "Open port 443",
        "requested_by": "rita",
        "document": {"port": 443},
    }
    station.run(approved_change, run_config={"ops": {"plan_change": {"config": change}}})
    station.tick(notifications)
    station.gate.clock.advance(hours=24)
    station.tick(expiry_sweep)
    station.tick(notifications)

    assert [title.partition(" of acme ")[2] for title in station.told] == [
        "asks for approval",
        "has expired: nobody decided in time",
    ]
