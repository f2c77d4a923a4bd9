"""Plans as JSON and back, and the order in which members move."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.recovery_plans import ManualStep, plan_document, plan_of, waves
from qlrf_pipelines.domain.roles import Role
from tests.fakes.drilled import member, plan


def test_a_plan_is_its_document():
    given_ = plan(
        groups=((member("a"), member("b", "a")), (member("c", "a", "b"),)),
        runbook=(ManualStep(name="call", phase="failover", text="Call.", role=Role.ADMIN),),
    )

    assert plan_of(json.loads(rfc8785.dumps(plan_document(given_)))) == given_


def names(found):
    return [[m.name for m in wave] for wave in found]


def test_members_of_a_group_move_together_unless_one_needs_the_other():
    found = waves([[member("a"), member("b"), member("c", "a", "b")], [member("d", "c")]])

    assert names(found) == [["a", "b"], ["c"], ["d"]]


def test_a_part_of_a_plan_keeps_its_order():
    groups = [[member("a"), member("b", "a")], [member("c", "b")]]

    assert names(waves(groups, only=("c", "a"))) == [["a"], ["c"]]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([[member("a", "b"), member("b", "a")]], "circle"),
        ([[member("a", "a")]], "circle"),
        ([[member("a", "b")], [member("b")]], "moves later"),
        ([[member("a", "z")]], "no member"),
    ],
)
def test_what_can_never_have_its_turn_is_rejected(groups, said):
    with pytest.raises(Rejected, match=said):
        waves(groups)


@given(data=st.data())
def test_nobody_moves_before_what_it_depends_on(data):
    count = data.draw(st.integers(1, 8))
    members = [
        member(f"m{n}", *(f"m{k}" for k in data.draw(st.sets(st.integers(0, n - 1)))))
        if n
        else member("m0")
        for n in range(count)
    ]

    done: set[str] = set()
    for wave in waves([data.draw(st.permutations(members))]):
        for one in wave:
            assert done.issuperset(one.depends_on)
        done.update(one.name for one in wave)

    assert done == {one.name for one in members}
