"""The ledger, where it is kept, says when somebody changed the past."""

from dataclasses import replace

import pytest

from qlrf_pipelines.cli.evidence import ledger_row
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS
from qlrf_pipelines.domain.errors import NotFound, Refused, Tampered
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.services.compliance import assess_compliance
from qlrf_pipelines.services.evidence import verify_ledger
from tests.fakes.clock import NOON
from tests.fakes.controls import FakeControls
from tests.fakes.lake import FakeLake
from tests.fakes.ledger import FakeLedger
from tests.fakes.observations import a_tenant, keep
from tests.fakes.world import fake_world
from tests.services.assessed import ACME, assessed


def test_an_untouched_ledger_verifies() -> None:
    world = assessed()

    proof = verify_ledger(world, ACME)

    assert (proof.entries, proof.assets) == (4, 3)
    assert proof.verdicts["pass"] == 2
    assert proof.head_hash == world.ledger.head(ACME).hash  # type: ignore[union-attr]


def test_a_changed_entry_is_told() -> None:
    world = assessed()
    assert isinstance(world.ledger, FakeLedger)
    kept = world.ledger.kept[ACME]
    kept[1] = replace(kept[1], content={**kept[1].content, "results": 99})

    with pytest.raises(Tampered, match="entry 2 was altered"):
        verify_ledger(world, ACME)


def test_results_edited_in_the_lake_are_told() -> None:
    world = assessed()
    assert isinstance(world.lake, FakeLake)
    rows = world.lake.rows("control_results", "acme")
    for row in rows:
        row["verdict"] = "pass" if row["verdict"] == "fail" else row["verdict"]

    keep(world.lake, CONTROL_RESULTS, rows, "acme")

    with pytest.raises(Tampered, match="results of control imds_v2 in the lake"):
        verify_ledger(world, ACME)


def test_results_removed_from_the_lake_are_told() -> None:
    world = assessed()

    keep(world.lake, CONTROL_RESULTS, [], "acme")

    with pytest.raises(Tampered, match="in the lake"):
        verify_ledger(world, ACME)


def test_an_interrupted_assessment_is_told_apart_from_tampering() -> None:
    world = assessed()
    world.clock.advance(hours=1)  # type: ignore[attr-defined]
    broken = fake_world(
        lake=world.lake, clock=world.clock, ledger=FakeLedger(), controls=FakeControls()
    )
    assess_compliance(broken, [a_tenant("acme")])

    with pytest.raises(Refused, match="have no evidence"):
        verify_ledger(world, ACME)


def test_results_whose_whole_ledger_is_gone_are_told() -> None:
    world = assessed()
    assert isinstance(world.ledger, FakeLedger)
    world.ledger.kept.clear()

    with pytest.raises(Refused, match="have no evidence"):
        verify_ledger(world, ACME)


def test_a_tenant_nothing_was_assessed_for_is_not_verified() -> None:
    with pytest.raises(NotFound, match="no evidence"):
        verify_ledger(fake_world(controls=FakeControls()), ACME)


def test_a_chain_of_approvals_alone_is_verified_and_told_when_it_was_changed() -> None:
    world = fake_world(controls=FakeControls())
    said = NewEntry(kind="approval_approve", subject="t-1", recorded_at=NOON, content={"by": "ann"})
    world.ledger.append({ACME: [said, said]})

    proof = verify_ledger(world, ACME)

    assert (proof.entries, proof.as_of, proof.assets) == (2, None, None)
    assert proof.head_hash == world.ledger.head(ACME).hash  # type: ignore[union-attr]
    assert ledger_row(world, ACME, named=True)["status"] == "verified"
    assert isinstance(world.ledger, FakeLedger)
    kept = world.ledger.kept[ACME]
    kept[0] = replace(kept[0], content={"by": "bob"})
    with pytest.raises(Tampered, match="entry 1 was altered"):
        verify_ledger(world, ACME)
