"""A blue-green rollout on AWS from end to end: the engine asks, the executor switches machines."""

from typing import Any

from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.ports.executors import Operator
from qlrf_pipelines.services import rollouts
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor
from tests.resources.aws.two_sides import (
    TIMED_OUT,
    all_at,
    fronted,
    marks,
    sides,
    state,
    traffic,
)
from tests.services.rollout_house import ACME, Hands, House, as_engineer, plan, two_sides


class OverMoto(Hands):
    """The real executor's hands, in moto's account."""

    def __init__(self, moto: MotoAws) -> None:
        super().__init__([])
        self._url = moto.url

    def operator(self, connector: Connector, account: str) -> Operator:
        return aws_executor().operator(aws_connector(self._url), account)


def house_of(moto: MotoAws, *names: str) -> House:
    """A plan that gives these machines a new image, blue-green."""
    phase: dict[str, Any] = two_sides("wave-1", [list(names)])
    image = moto.image()
    for action in phase["actions"]:
        name = action["asset"].rsplit(":", 1)[-1]
        action |= {"asset": f"aws:{OWN}:us-east-1:{name}", "image": image}
    phase["batches"] = [[action["asset"] for action in phase["actions"]]]
    document = plan(phase, strategy={"type": "blue-green", "auto_promote": "no"})
    return House(document, OverMoto(moto))


def promoted(house: House) -> Any:
    rollouts.promote(house.world, ACME, house.id, **as_engineer(reason="it looks good"))
    return house.drive()


def test_previewed_promoted_switched_watched_and_the_old_side_ended(moto: MotoAws) -> None:
    machine = fronted(moto)
    house = house_of(moto, machine.id)

    held = house.go()
    previewed = traffic(moto, machine)
    ended = promoted(house)

    assert held.state == "held"
    assert previewed == all_at(machine, machine.id)
    (new,) = sides(moto, machine)
    assert ended.state == "completed", ended.reason
    assert traffic(moto, machine) == all_at(machine, new)
    assert (state(moto, machine.id), state(moto, new)) == ("terminated", "running")


def test_a_new_side_the_load_balancer_calls_sick_is_taken_back_and_nobody_was_without(
    moto: MotoAws,
) -> None:
    machine = fronted(moto)
    house = house_of(moto, machine.id)
    house.go()
    (new,) = sides(moto, machine)
    moto.execution.balancers.health[new] = TIMED_OUT

    ended = promoted(house)

    assert ended.state == "rolled_back", ended.reason
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert (state(moto, machine.id), state(moto, new)) == ("running", "terminated")
    assert marks(moto, machine.id) == set()
    told = moto.execution.balancers.told
    assert ("deregister_targets", machine.id) not in told


def test_a_machine_that_cannot_have_two_sides_ends_it_before_any_switch(moto: MotoAws) -> None:
    machine = fronted(moto)
    (bare,) = moto.run()
    house = house_of(moto, machine.id, bare)

    ended = house.go()

    assert ended.state == "rolled_back", ended.reason
    assert set(house.states().values()) == {"restored"}
    assert moto.execution.balancers.told == []
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert {state(moto, name) for name in (machine.id, bare)} == {"running"}
    assert {state(moto, name) for name in sides(moto, machine)} <= {"terminated"}
