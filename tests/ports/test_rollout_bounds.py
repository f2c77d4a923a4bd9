"""What every store of tasks and rollouts refuses of a canary that goes by itself, whoever asks."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from qlrf_pipelines.domain.approval import NO_CONDITIONS, Extent
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.rollout import Change, Rollout, RolloutState
from qlrf_pipelines.domain.tasks import Amendment, Claim, Record
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.claims import claim
from tests.fakes.clock import NOON
from tests.services.rollout_house import ACME, Hands, House, goes_alone, phase

NAMES = ["i-1", "i-2", "i-3"]


@pytest.fixture(params=["fake", "postgres"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """The canary of three machines is claimed, by the platform's word alone."""
    document = goes_alone(
        phase("canary", [["i-1"]]), phase("wave-1", [["i-2"]]), phase("wave-2", [["i-3"]])
    )
    if request.param == "fake":
        yield House(document, Hands(NAMES), alone=True)
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
    yield House(document, Hands(NAMES), alone=True, **parts)
    sessions.close()


def changed(house: House, **parts: object) -> Rollout:
    def step(found: Rollout) -> Change:
        return Change(rollout=replace(found, **parts))  # type: ignore[arg-type]

    return house.world.rollouts.amend(ACME, house.id, step)


def test_how_far_it_goes_is_kept(house: House) -> None:
    kept = house.begin()

    assert kept.bound == 0
    assert house.world.rollouts.get(ACME, house.id) == kept
    [held] = house.world.tasks.get(ACME, house.id).claims
    assert held.extent is Extent.CANARY
    assert house.world.tasks.get(ACME, house.id).task.requirement.unattended is Extent.CANARY
    assert changed(house, state=RolloutState.AWAITING_APPROVAL).state == "awaiting_approval"


def test_no_whole_of_it_is_claimed_without_a_persons_word(house: House) -> None:
    def step(record: Record) -> Amendment:
        mine = Claim(digest=record.task.digest, stage="rest", holder="run-9", claimed_at=NOON)
        return Amendment(task=record.task, entries=(), claims=(mine,))

    with pytest.raises(QlrfError, match="than its canary"):
        house.world.tasks.amend(ACME, house.id, step)

    assert len(house.world.tasks.get(ACME, house.id).claims) == 1


def test_no_whole_of_it_is_begun_without_such_a_claim(house: House) -> None:
    asks_nobody = replace(house.record.task.requirement, unattended=None)
    blind = replace(house.record, task=replace(house.record.task, requirement=asks_nobody))

    with pytest.raises(QlrfError, match="than its canary"):
        rollouts.begin(house.world, blind, NO_CONDITIONS, skipped={})

    assert house.world.rollouts.list(ACME) == []


def test_it_stays_within_its_bound_until_the_rest_is_claimed(house: House) -> None:
    house.begin()
    for parts in ({"phase": 1}, {"bound": None}, {"bound": 1}, {"bound": None, "phase": 1}):
        with pytest.raises(QlrfError):
            changed(house, **parts)
    house.approve(house.record.task)
    with pytest.raises(QlrfError, match="than its canary"):
        changed(house, bound=None)

    claim(
        house.world,
        ACME,
        house.id,
        digest=house.record.task.digest,
        holder="run-2",
        stage="rest",
    )

    assert changed(house, bound=None, phase=1).bound is None
    with pytest.raises(QlrfError):
        changed(house, bound=2)
