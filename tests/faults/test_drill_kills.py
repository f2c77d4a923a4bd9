"""A drill may be killed at any step: the next process ends it, and nothing is done twice."""

from collections import Counter

import pytest

from qlrf_pipelines.domain.drills import Outcome, Phase
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import CanaryWrites
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import member, plan
from tests.fakes.killed import Killed, KillingDrills
from tests.fakes.ledger import FakeLedger

QUICK = CanaryWrites(members=("database",), interval_seconds=1, before_seconds=3, workload=2)
MOVES = [MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH, MoveKind.FAIL_BACK,
         MoveKind.CLEAN_UP]  # fmt: skip


def house() -> DrillHouse:
    ledger = FakeLedger()
    store = KillingDrills(ledger)
    found = DrillHouse(
        plan=plan(groups=((member(), member("web", "database")),), canary=QUICK),
        overrides={"drills": store, "ledger": ledger},
    )
    found.database.lag = 2
    found.database.polls = {MoveKind.FAIL_OVER: 1, MoveKind.FAIL_BACK: 1}
    return found


def steps() -> int:
    """How many changes a drill that nobody kills asks for."""
    undisturbed = house()
    own = undisturbed.start()
    undisturbed.world.drills.kill(0, after=False)
    undisturbed.drive(own)
    return undisturbed.world.drills.seen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_step_a_drill_is_ended_by_the_next_process(after):
    for at in range(1, steps() + 1):
        own_house = house()
        own = own_house.start()
        own_house.world.drills.kill(at, after=after)
        with pytest.raises(Killed):
            own_house.drive(own, "run-1")
        own_house.world.drills.kill(0, after=False)

        drill = own_house.drive(own, "run-2")

        assert drill.phase is Phase.CLOSED, at
        assert drill.outcome is Outcome.PASSED, at
        assert own_house.is_as_before(), at
        for one in own_house.members.values():
            assert Counter(one.moved) == Counter(MOVES), at
        assert verify_chain(own_house.world.ledger.entries(ACME))
        check_rpo(own_house, drill)


def check_rpo(found: DrillHouse, drill) -> None:
    """What was acknowledged and is not there is what is reported, killed or not."""
    rpo = drill.result["rpo"]["members"][0]
    writes = [w for w in found.world.drills.writes(ACME, drill.id) if w.number < 10**9]
    acknowledged = {w.number for w in writes if w.acknowledged}
    [entry] = [e for e in found.record(drill.id).entries if e.kind == "recovered"]
    arrived = {n for a, b in entry.facts["ranges"] for n in range(a, b + 1)}
    kept = 0
    for number in sorted(acknowledged):
        if number not in arrived:
            break
        kept += 1
    assert rpo["lost"] == len(acknowledged) - kept
    assert rpo["unsure"] == len(writes) - len(acknowledged)


@pytest.mark.parametrize("kind", [MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.FAIL_BACK])
def test_a_process_that_was_taken_over_changes_nothing_more(kind):
    found = house()
    own = found.start()
    held = []
    move = found.database.move

    def overtaken(asked):
        if asked.kind is kind and not held:
            held.append(asked)
            found.world.drills.amend(ACME, own, lambda r: _taken(r, found))
        return move(asked)

    found.database.move = overtaken

    with pytest.raises(drills.Refused, match="taken over"):
        found.drive(own, "run-1")

    assert found.drive(own, "run-2").outcome is Outcome.PASSED
    assert found.is_as_before()


def _taken(record, found):
    from qlrf_pipelines.domain import drill_steps

    return drill_steps.taken(record, holder="run-2", now=found.stopwatch.now())
