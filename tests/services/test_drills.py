"""Who may ask for a drill, sign its steps and release it, and that there is one at a time."""

import pytest

from qlrf_pipelines.domain.drills import DrillEvent, Outcome, Phase
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrillType, ManualStep
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan


def test_two_drills_of_one_application_are_not_run_at_once():
    house = DrillHouse()
    house.start()

    with pytest.raises(Refused, match="one at a time"):
        house.start()


def test_taking_production_away_takes_another_permission_than_a_drill():
    house = DrillHouse(plan=plan(environment=Environment.PRODUCTION))

    with pytest.raises(Refused, match="production"):
        house.start(DrillType.FULL, role=Role.ENGINEER)
    own = house.start(DrillType.TEST_FAILOVER, role=Role.OPERATOR)
    drills.abort_drill(house.world, ACME, own, by="o", role=Role.OPERATOR, reason="only a try")
    house.drive(own)
    own = house.start(DrillType.FULL, role=Role.ADMIN)

    need = drills.proposal_of(house.world, ACME, own).requirement
    assert (need.quorum, need.role, need.four_eyes, need.break_glass) == (
        2,
        Role.ADMIN,
        True,
        False,
    )


def test_a_viewer_starts_nothing():
    with pytest.raises(Refused, match="operator"):
        DrillHouse().start(role=Role.VIEWER)


def test_a_phase_with_a_manual_step_waits_for_the_signature_in_no_process():
    step = ManualStep(name="call", phase="workload", text="Call the bank.", role=Role.ENGINEER)
    house = DrillHouse(plan=plan(runbook=(step,)))
    own = house.start()

    waiting = house.drive(own)
    with pytest.raises(NotFound):
        drills.sign_step(house.world, ACME, own, step="no", by="eve", role=Role.ENGINEER)
    with pytest.raises(Refused, match="engineer"):
        drills.sign_step(house.world, ACME, own, step="call", by="o", role=Role.OPERATOR)
    drills.sign_step(house.world, ACME, own, step="call", by="eve", role=Role.ENGINEER)
    drill = house.drive(own, "run-2")

    assert (waiting.phase, waiting.outcome) == (Phase.WORKLOAD, None)
    assert "call" in waiting.waiting
    assert drill.outcome is Outcome.PASSED


def test_a_partial_drill_names_its_members():
    house = DrillHouse()

    with pytest.raises(Rejected, match="name them"):
        house.start(DrillType.PARTIAL)
    with pytest.raises(Rejected, match="no member"):
        house.start(DrillType.PARTIAL, only=("web",))


def test_a_held_drill_is_released_by_an_admin_who_brought_it_back_by_hand():
    house = DrillHouse()
    house.database.fails = {MoveKind.FAIL_BACK}
    own = house.start()
    house.drive(own)

    def release(role):
        return drills.answer_held(
            house.world, ACME, own, DrillEvent.RELEASED, by="eve", role=role, reason="by hand"
        )

    with pytest.raises(Refused, match="admin"):
        release(Role.ENGINEER)
    release(Role.ADMIN)

    assert house.drive(own).outcome is Outcome.FAILED
