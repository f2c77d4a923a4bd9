"""Drills reach the lake whole, are read once when closed, and are never forgotten."""

from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drill_datasets import DRILL_PHASES, DRILLS
from qlrf_pipelines.domain.drills import DrillEvent, DrillRecord, DrillStep, MoveState, Phase
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_export import export_drills
from tests.fakes import drilled
from tests.fakes.drilled import at
from tests.fakes.drills import FakeDrills
from tests.fakes.world import fake_world

ACME = TenantId("acme")
TENANTS = (Tenant(name=ACME, display_name="Acme"),)
WAY = (
    Phase.VALIDATION,
    Phase.ISOLATION,
    Phase.FAILOVER,
    Phase.SERVICE_VALIDATION,
    Phase.WORKLOAD,
    Phase.FAILBACK,
)
RESULT: dict[str, Any] = {
    "schema": 1,
    "rto": {"target": 300.0, "seconds": 12.5, "verdict": "met", "why": "measured"},
    "rpo": {"target": 30.0, "seconds": 0.5, "verdict": "met", "why": "measured", "writes": 1},
    "failback": {"seconds": 9.0, "why": "seen", "at_least": None},
    "clean": True,
}
SEEN = {"database": {"replication": "lagging", "lag_seconds": 0.25}}


def closed(drills: FakeDrills, own: str = "d-1", *, until: int = 6) -> None:
    """A drill that went all the way, or as far as `until`."""
    drills.open(ACME, drilled.first(own))
    drills.amend(ACME, own, lambda r: drill_steps.taken(r, holder="run-1", now=at(1)))
    drills.record(
        ACME,
        own,
        attempt=1,
        answers=[
            Answer(probe="port", health=Health.UNHEALTHY, instant=at(21)),
            Answer(probe="port", health=Health.HEALTHY, instant=at(23)),
        ],
        writes=[CanaryWrite(member="database", number=1, attempted=at(9), acknowledged=at(9.1))],
    )
    for number, phase in enumerate(WAY[:until]):
        now = at(10 * (number + 1))
        facts = {"members": SEEN} if phase is Phase.VALIDATION else {}
        if phase in (Phase.FAILOVER, Phase.FAILBACK):
            kind = MoveKind.FAIL_OVER if phase is Phase.FAILOVER else MoveKind.FAIL_BACK
            moved(drills, own, kind, now)
        if phase is Phase.FAILBACK:
            drills.amend(ACME, own, lambda r, now=now: drill_steps.noted(r, "clean", now))
        step(drills, own, lambda r, now=now, facts=facts: drill_steps.ended(
            r, DrillEvent.PASSED, now, **facts
        ))  # fmt: skip
    if until == 6:
        step(drills, own, lambda r: drill_steps.closed(r, at(70), result=RESULT))


def step(drills: FakeDrills, own: str, how: Any) -> DrillRecord:
    return drills.amend(ACME, own, how)


def moved(drills: FakeDrills, own: str, kind: MoveKind, now: Instant) -> None:
    row = drilled.move(kind, state=MoveState.SUCCEEDED, begun=now)

    def told(record: DrillRecord) -> DrillStep:
        return drill_steps.move_told(record, [row], now)

    drills.amend(ACME, own, told)


def rows(world: World, name: str) -> list[dict[str, Any]]:
    dataset = {one.name: one for one in (DRILLS, DRILL_PHASES)}[name]
    with world.engine.session() as session:
        world.lake.view(session.connection, dataset, tenants=[ACME])
        table = session.connection.sql(f"SELECT * FROM {name} ORDER BY 2, 3").to_arrow_table()
    return table.to_pylist()


def test_a_closed_drill_is_one_row_with_what_it_measured() -> None:
    drills = FakeDrills()
    closed(drills)
    world = fake_world(drills=drills)

    report = export_drills(world, TENANTS)

    [row] = rows(world, "drills")
    assert (row["rto_seconds"], row["rto_verdict"], row["rpo_verdict"]) == (12.5, "met", "met")
    assert (row["members"], row["members_proven"], row["left_over"]) == (1, 1, 0)
    assert (row["replication_status"], row["replication_lag_seconds"]) == ("lagging", 0.25)
    assert (row["writes"], row["writes_acknowledged"], row["writes_lost"]) == (1, 1, 1)
    assert (row["answers"], row["answers_bad"]) == (2, 1)
    assert (row["phase"], row["outcome"], row["ended_at"]) == ("closed", "passed", at(70).at)
    assert report.facts[ACME] == {"drills": 1, "open": 0, "held": 0, "passed": 1, "phases": 7}


def test_phases_are_rows_in_order_with_their_length_on_the_clock_that_never_steps() -> None:
    drills = FakeDrills()
    closed(drills)
    world = fake_world(drills=drills)

    export_drills(world, TENANTS)

    found = rows(world, "drill_phases")
    assert [(row["number"], row["phase"]) for row in found] == [
        (number, phase.value) for number, phase in enumerate((*WAY, Phase.REPORTING), 1)
    ]
    assert [row["seconds"] for row in found] == [10.0] * 7
    assert {row["event"] for row in found} == {"passed"}


def test_an_open_drill_has_proven_nothing_yet() -> None:
    drills = FakeDrills()
    closed(drills, until=3)
    world = fake_world(drills=drills)

    export_drills(world, TENANTS)

    [row] = rows(world, "drills")
    assert (row["rto_verdict"], row["rto_seconds"], row["left_over"]) == ("not_proven", None, None)
    assert (row["phase"], row["outcome"], row["ended_at"]) == ("service_validation", None, None)
    assert row["members_proven"] == 0, "it came over and did not come back yet"
    last = rows(world, "drill_phases")[-1]
    assert (last["phase"], last["ended_at"], last["seconds"], last["event"]) == (
        "service_validation",
        None,
        None,
        None,
    )


def test_a_drill_that_went_on_is_read_again_and_a_closed_one_is_not() -> None:
    drills = FakeDrills()
    closed(drills, "d-1")
    closed(drills, "d-2", until=2)
    world = fake_world(drills=drills)
    export_drills(world, TENANTS)
    step(drills, "d-2", lambda r: drill_steps.ended(r, DrillEvent.FAILED, at(40), why="no"))
    drills.answers = lambda tenant, drill: [] if drill == "d-2" else _never()  # type: ignore[method-assign]

    export_drills(world, TENANTS)

    assert {row["drill_id"]: row["phase"] for row in rows(world, "drills")} == {
        "d-1": "closed",
        "d-2": "failback",
    }
    assert len([r for r in rows(world, "drill_phases") if r["drill_id"] == "d-2"]) == 4


def _never() -> list[Answer]:
    raise AssertionError("a closed drill was read again")


def test_a_drill_the_database_lost_keeps_its_rows() -> None:
    drills = FakeDrills()
    closed(drills, "d-1")
    world = fake_world(drills=drills)
    export_drills(world, TENANTS)

    closed(empty := FakeDrills(), "d-2")
    export_drills(replace(world, drills=empty), TENANTS)

    assert [row["drill_id"] for row in rows(world, "drills")] == ["d-1", "d-2"]
    assert len(rows(world, "drill_phases")) == 14


def test_a_tenant_without_drills_writes_nothing() -> None:
    world = fake_world()

    report = export_drills(world, TENANTS)

    assert (report.version, report.facts[ACME]["drills"]) == (None, 0)
