"""What every store of rollouts promises, in memory and in Postgres."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from qlrf_pipelines.domain.approval import NO_CONDITIONS
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.rollout import AssetState, Change, Rollout, RolloutState, entry
from qlrf_pipelines.services import rollouts
from tests.fakes.clock import NOON
from tests.services.rollout_house import ACME, Hands, House, as_engineer, key, phase, plan

NAMES = ["i-1", "i-2", "i-3"]
BETA = TenantId("beta")


@pytest.fixture(params=["fake", "postgres"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    document = plan(phase("wave-1", [["i-1"], ["i-2", "i-3"]], wait=0))
    if request.param == "fake":
        yield House(document, Hands(NAMES))
        return
    from resources.database.ledger import SqlLedger
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    parts = {
        "tasks": SqlTasks(sessions),
        "ledger": SqlLedger(sessions),
        "rollouts": SqlRollouts(sessions),
    }
    yield House(document, Hands(NAMES), **parts)
    sessions.close()


def test_a_rollout_and_its_rows_are_found_as_they_were_kept(house: House) -> None:
    limits = {"max_batch": 2, "not_before": NOON, "not_after": NOON + timedelta(hours=2)}

    kept = house.begin(skipped={key("i-2"): "terminated"}, **limits)

    assert house.world.rollouts.get(ACME, house.id) == kept
    assert kept.max_batch == 2
    assert kept.not_after == NOON + timedelta(hours=2)
    assert house.states() == {"i-1": "waiting", "i-2": "skipped", "i-3": "waiting"}
    assert [row.order for row in house.world.rollouts.rows(ACME, house.id)] == [0, 1, 2]


def test_begun_twice_it_is_the_same_one(house: House) -> None:
    first = house.begin()

    assert house.begin() == first
    assert house.facts().count("rollout_begun") == 1


def test_what_nobody_claimed_is_not_carried_out(house: House) -> None:
    task = house.record.task
    unclaimed = replace(house.record, task=replace(task, digest="e" * 64))

    with pytest.raises(QlrfError, match="claimed by no run"):
        rollouts.begin(house.world, unclaimed, NO_CONDITIONS, skipped={})
    assert house.world.rollouts.list(ACME) == []


def test_a_step_is_kept_with_its_rows_and_its_evidence(house: House) -> None:
    house.begin()
    row = replace(
        house.rows()["i-1"],
        state=AssetState.CHANGING,
        begun=True,
        before={"image": "ami-old", "volumes": ["vol-1"], "n": 1.5},
        checkpoint={"step": 2},
        detail="ünder way",
        until=NOON,
    )

    def step(found: Rollout) -> Change:
        return Change(rollout=found, rows=(row,), entries=(entry(found, "test", NOON),))

    after = house.world.rollouts.amend(ACME, house.id, step)

    assert house.rows()["i-1"] == row
    assert after.seq == house.world.rollouts.get(ACME, house.id).seq
    assert house.facts()[-1] == "rollout_test"
    assert verify_chain(house.world.ledger.entries(ACME)) > 0


def test_a_step_that_raises_leaves_everything_as_it_was(house: House) -> None:
    before = house.begin()

    def step(found: Rollout) -> Change:
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        house.world.rollouts.amend(ACME, house.id, step)
    assert house.now == before


def test_an_earlier_attempt_writes_nothing_any_more(house: House) -> None:
    house.begin()

    def taken(found: Rollout) -> Change:
        return Change(rollout=replace(found, attempt=found.attempt + 1, holder="run-2"))

    house.world.rollouts.amend(ACME, house.id, taken)

    with pytest.raises(Refused, match="attempt 1"):
        house.world.rollouts.amend(ACME, house.id, taken, attempt=0)


def test_an_asset_is_locked_by_one_rollout_until_it_is_free(house: House) -> None:
    house.begin()
    other = house.claimed(plan(phase("wave-1", [["i-3"]], wait=0), id="p-2"))

    with pytest.raises(Refused, match="i-3 is being changed by rollout"):
        rollouts.begin(house.world, other, NO_CONDITIONS, skipped={})
    assert [r.id for r in house.world.rollouts.list(ACME)] == [house.id]
    house.drive()

    assert rollouts.begin(house.world, other, NO_CONDITIONS, skipped={}).id == other.task.id


def test_rollouts_are_listed_newest_first_by_state_and_by_page(house: House) -> None:
    house.begin()
    house.drive()
    second = house.claimed(plan(phase("wave-1", [["i-2"]], wait=0), id="p-2"))
    rollouts.begin(house.world, second, NO_CONDITIONS, skipped={})
    stored = house.world.rollouts

    assert [r.id for r in stored.list(ACME)] == [second.task.id, house.id]
    assert [r.id for r in stored.list(ACME, states=[RolloutState.COMPLETED])] == [house.id]
    assert [r.id for r in stored.list(ACME, before=second.task.id)] == [house.id]
    assert [r.id for r in stored.find(ACME, prefix=house.id)] == [house.id]


def test_a_tenant_sees_its_own_rollouts(house: House) -> None:
    house.begin()

    assert house.world.rollouts.list(BETA) == []
    assert house.world.rollouts.rows(BETA, house.id) == []
    with pytest.raises(NotFound, match="has no rollout"):
        house.world.rollouts.get(BETA, house.id)


def test_who_waits_is_told_of_a_step_and_of_no_step(house: House) -> None:
    before = house.begin()
    stored = house.world.rollouts

    assert not stored.wait(ACME, house.id, after=before.seq, seconds=0.05)
    rollouts.pause(house.world, ACME, house.id, **as_engineer())
    assert stored.wait(ACME, house.id, after=before.seq, seconds=30)


def test_a_whole_rollout_over_the_store_ends_as_it_should(house: House) -> None:
    ended = house.go()

    assert ended.state == "completed"
    assert house.hands.changed() == set(NAMES)
    assert house.task_state() == "completed"
    assert verify_chain(house.world.ledger.entries(ACME)) > 0


def test_what_has_work_is_on_its_way_and_awake_or_over_and_still_holds_an_asset(
    house: House,
) -> None:
    stored = house.world.rollouts
    house.begin()

    def work(**later: float) -> list[str]:
        return [r.id for r in stored.with_work(ACME, now=NOON + timedelta(**later))]

    def become(**parts: object) -> None:
        stored.amend(ACME, house.id, lambda found: Change(rollout=replace(found, **parts)))

    assert work() == [house.id]
    become(wake_at=NOON + timedelta(minutes=5))
    assert work() == []
    assert work(minutes=5) == [house.id]
    become(wake_at=None, state=RolloutState.HELD)
    assert work(hours=1) == []
    row = house.rows()[NAMES[0]]
    for begun, found in ((True, [house.id]), (False, [])):
        there = replace(row, state=AssetState.CHANGING, begun=begun)
        stored.amend(ACME, house.id, lambda now, r=there: Change(rollout=now, rows=(r,)))
        assert work() == found
    become(state=RolloutState.COMPLETED)
    assert work() == [house.id]
    assert stored.with_work(BETA, now=NOON) == []
    stored.amend(ACME, house.id, lambda found: Change(rollout=found, free=True))
    assert work() == []
