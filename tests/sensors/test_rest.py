"""Tenants of whom nothing is on its way are left alone, and nobody is for longer than that."""

from collections.abc import Iterator

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId
from sensors.rest import requests_of

ACME, BETA, GAMMA = (TenantId(name) for name in ("acme", "beta", "gamma"))


class Tenants:
    """Tenants with steps, and who of them has work; who was looked at is written down."""

    def __init__(self) -> None:
        self.newest = {ACME: 1, BETA: 1, GAMMA: 1}
        self.busy: set[TenantId] = set()
        self.broken: set[TenantId] = set()
        self.looked: list[TenantId] = []
        self.cursor: str | None = None

    def tick(self, *, most: int = 50) -> list[str | None]:
        self.looked.clear()
        with dg.build_sensor_context(cursor=self.cursor) as context:
            found = requests_of(context, dict(self.newest), self._look, self._rests, most=most)
            self.cursor = context.cursor
        return [one.run_key for one in found]

    def _look(self, tenant: TenantId, room: int) -> Iterator[dg.RunRequest]:
        self.looked.append(tenant)
        if tenant in self.broken:
            raise Unavailable("The database does not answer.")
        if tenant in self.busy and room:
            yield dg.RunRequest(run_key=f"{tenant}:{self.newest[tenant]}")

    def _rests(self, tenant: TenantId) -> bool:
        return tenant not in self.busy


@pytest.fixture
def tenants() -> Tenants:
    return Tenants()


def test_a_tenant_at_rest_is_left_alone_until_its_tasks_take_a_step(tenants: Tenants) -> None:
    tenants.busy = {BETA}

    assert tenants.tick() == ["beta:1"]
    assert tenants.looked == [ACME, BETA, GAMMA]
    assert tenants.tick() == ["beta:1"]
    assert tenants.looked == [BETA]

    tenants.newest[ACME] = 2
    tenants.tick()
    assert tenants.looked == [ACME, BETA]


def test_one_tenants_trouble_stops_no_other_and_it_is_looked_at_again(tenants: Tenants) -> None:
    tenants.busy, tenants.broken = {ACME, GAMMA}, {ACME}

    assert tenants.tick() == ["gamma:1"]
    tenants.broken.clear()
    assert tenants.tick() == ["acme:1", "gamma:1"]


def test_who_found_no_room_stays_awake(tenants: Tenants) -> None:
    tenants.busy = {ACME, BETA}

    assert tenants.tick(most=1) == ["acme:1"]
    tenants.busy.remove(ACME)
    assert tenants.tick(most=1) == ["beta:1"]


def test_who_is_gone_is_forgotten(tenants: Tenants) -> None:
    tenants.tick()
    del tenants.newest[ACME]
    tenants.tick()
    tenants.newest[ACME] = 1

    tenants.tick()

    assert tenants.looked == [ACME]


@given(st.lists(st.tuples(st.sampled_from([ACME, BETA, GAMMA]), st.sampled_from("wsqt"))))
def test_whatever_happens_no_work_that_a_step_announced_is_missed(
    moves: list[tuple[TenantId, str]],
) -> None:
    # (w)ork comes with a step, as a claim is one; a (s)tep may mean nothing; work may (q)uit
    # without one; and in between there are (t)icks.
    tenants = Tenants()
    for tenant, move in moves:
        if move in "ws":
            tenants.newest[tenant] += 1
        if move == "w":
            tenants.busy.add(tenant)
        elif move == "q":
            tenants.busy.discard(tenant)
        elif move == "t":
            asked = tenants.tick()
            assert asked == [f"{name}:{tenants.newest[name]}" for name in sorted(tenants.busy)]
