"""A rollout in words: why an asset waits or was left out is said, and no terminal obeys it."""

from dataclasses import replace

from qlrf_pipelines.cli.rollout_text import headline, shown
from qlrf_pipelines.domain.rollout import AssetState
from qlrf_pipelines.domain.rollout_plan import read_plan
from tests.services.rollout_house import ACME, Hands, House, phase, plan

NAMES = [f"i-{number}" for number in range(25)]
DOCUMENT = plan(phase("wave-1", [NAMES]))


def a_rollout() -> House:
    house = House(DOCUMENT, Hands(NAMES))
    house.begin()
    return house


def test_why_an_asset_waits_or_was_left_out_is_said() -> None:
    house = a_rollout()
    first, second, third, *rest = house.world.rollouts.rows(ACME, house.id)
    rows = [
        replace(first, detail="the cloud does not answer; it is asked again"),
        replace(second, state=AssetState.SKIPPED, detail="it is gone"),
        replace(third, state=AssetState.FAILED, detail="\x1b[31mthe disk is full"),
        *rest,
    ]

    text = shown(house.now, rows, read_plan(DOCUMENT))

    assert f"· {first.asset}: the cloud does not answer; it is asked again" in text
    assert f"- {second.asset}: it is gone" in text
    assert f"✗ {third.asset}: \\x1b[31mthe disk is full" in text
    assert text.index(third.asset) < text.index(first.asset)
    assert rest[0].asset not in text


def test_more_than_a_screen_of_them_says_how_many_there_are() -> None:
    house = a_rollout()
    rows = [replace(row, detail="waits") for row in house.world.rollouts.rows(ACME, house.id)]

    text = shown(house.now, rows, read_plan(DOCUMENT))

    assert text.count(": waits") == 20
    assert "… and 5 more; --json shows all" in text


def test_a_reason_is_no_order_to_a_terminal() -> None:
    assert "\x1b" not in headline(replace(a_rollout().now, reason="\x1b[2Jgone"))
