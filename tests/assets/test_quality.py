"""A check that fails names the tenants and the rows."""

from datetime import timedelta

import pyarrow as pa
import pytest

from assets_defs.checks import judge
from assets_defs.observation import expired_exemptions, open_scopes, stale_scopes
from assets_defs.patch_sla import broken_promises
from assets_defs.quality import QUALITIES, Quality
from assets_defs.recovery_checks import held, unproven
from qlrf_pipelines.domain import datasets
from qlrf_pipelines.domain.datasets import Dataset
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.patch_sla import SlaStatus
from qlrf_pipelines.domain.vocabulary import DriftVerdict
from qlrf_pipelines.ports.world import World
from tests.fakes.clock import NOON
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import asset, exemption, tenant
from tests.fakes.world import fake_world

ACME, BOLT = TenantId("acme"), TenantId("bolt")
QUALITY = {quality.asset: quality for quality in QUALITIES}


def given_rows(world: World, dataset: Dataset, rows: list[dict]) -> None:
    table = pa.Table.from_pylist(rows, schema=dataset.schema)
    names = sorted({row["tenant"] for row in rows})
    world.lake.replace(dataset, table.to_reader(), tenants=names)


def drift_row(asset_key: str, **parts: object) -> dict:
    return {
        "tenant": ACME,
        "asset_key": asset_key,
        "active": True,
        "resolution": "none",
        "drift_verdict": "unmanaged",
        "drift_score": 90.0,
        "as_of": NOON,
    } | parts


def judged(world: World, quality: Quality, *tenants: TenantId) -> dict[str, object]:
    return {result.check_name: result for result in judge(world, quality, tenants or [ACME])}


@pytest.mark.parametrize("quality", QUALITIES, ids=lambda quality: quality.asset)
def test_an_empty_dataset_breaks_no_expectation(quality):
    results = judged(fake_world(), quality)

    assert set(results) == set(quality.groups)
    assert all(result.passed for result in results.values())


def test_good_rows_pass_every_check():
    world = fake_world()
    given_rows(world, datasets.INVENTORY, [asset("i-1"), asset("i-2", owner="bolt")])

    results = judged(world, QUALITY["inventory"], ACME, BOLT)

    assert all(result.passed for result in results.values())
    assert results["keys_unique"].metadata["rows"].value == 2


def test_a_key_that_occurs_twice_is_named():
    world = fake_world()
    given_rows(world, datasets.DRIFT, [drift_row("aws:1"), drift_row("aws:1"), drift_row("aws:2")])

    result = judged(world, QUALITY["drift"])["keys_unique"]

    assert not result.passed
    assert "aws:1" in result.metadata["first_rows"].value
    assert "aws:2" not in result.metadata["first_rows"].value


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"drift_verdict": "splendid"}, "words_known"),
        ({"drift_score": 101.0}, "numbers_in_range"),
        ({"drift_score": float("nan")}, "numbers_in_range"),
        ({"drift_score": None}, "columns_filled"),
        ({"as_of": NOON + timedelta(hours=1)}, "no_future_times"),
    ],
)
def test_each_fault_fails_its_own_check_and_names_tenant_and_row(fault, check):
    world = fake_world()
    given_rows(world, datasets.DRIFT, [drift_row("aws:good"), drift_row("aws:bad", **fault)])

    results = judged(world, QUALITY["drift"])

    assert [name for name, result in results.items() if not result.passed] == [check]
    named = results[check].metadata["first_rows"].value
    assert "aws:bad" in named
    assert "aws:good" not in named
    assert results[check].metadata["tenants"].value == "acme"


def test_no_more_than_twenty_rows_are_named():
    world = fake_world()
    rows = [drift_row(f"aws:{number:02d}", drift_score=-1.0) for number in range(30)]
    given_rows(world, datasets.DRIFT, rows)

    named = judged(world, QUALITY["drift"])["numbers_in_range"].metadata["first_rows"].value

    assert named.count("aws:") == 20


def test_another_tenants_faults_are_not_seen():
    world = fake_world()
    given_rows(world, datasets.DRIFT, [drift_row("aws:1", tenant=BOLT, drift_score=-1.0)])

    assert all(result.passed for result in judged(world, QUALITY["drift"], ACME).values())


def scope(status: str = "complete", **parts: object) -> dict:
    return {
        "tenant": ACME,
        "connector": "main",
        "platform": "aws",
        "kind": "instance",
        "scope_id": "main/1/us-east-1/instance",
        "status": status,
        "last_complete_at": NOON,
    } | parts


def test_an_open_scope_is_named_with_its_reason():
    world = fake_world()
    given_rows(world, datasets.SCOPES, [scope("denied", error="ec2:DescribeInstances denied")])

    [row] = open_scopes(world, [ACME])

    assert (row["tenant"], row["scope_id"]) == ("acme", "main/1/us-east-1/instance")
    assert row["reason"] == "ec2:DescribeInstances denied"


def test_a_tenant_nothing_was_ever_listed_of_is_no_complete_tenant():
    world = fake_world()
    given_rows(world, datasets.SCOPES, [scope()])

    rows = open_scopes(world, [ACME, BOLT])

    assert [(row["tenant"], row["reason"]) for row in rows] == [("bolt", "nothing was ever listed")]


@pytest.mark.parametrize(("hours", "stale"), [(23, 0), (25, 1)])
def test_a_scope_is_stale_after_the_hours_its_tenant_allows(hours, stale):
    world = fake_world(estate=FakeEstate(Estate(tenants=(tenant(),))))
    given_rows(world, datasets.SCOPES, [scope(last_complete_at=NOON - timedelta(hours=hours))])

    assert len(stale_scopes(world, [ACME])) == stale


def test_an_exemption_past_its_end_is_named():
    live = exemption(DriftVerdict.BEHIND, name="live")
    over = exemption(DriftVerdict.BEHIND, name="over", expires_at=NOON - timedelta(days=1))
    world = fake_world(estate=FakeEstate(Estate(tenants=(tenant(),), exemptions=(live, over))))

    assert [row["exemption"] for row in expired_exemptions(world, [ACME])] == ["over"]


def test_promises_that_are_broken_or_unknown_are_named_with_how_many_assets():
    world = fake_world()
    blank = dict.fromkeys(datasets.PATCH_SLA.schema.names)
    promise = {"tenant": ACME, "policy": "monthly", "severity": "critical", "active": True}
    rows = [
        blank | promise | {"asset_key": name, "status": status, "due_at": NOON} | parts
        for name, status, parts in (
            ("a", "breached", {"reason": "2 missing or failed."}),
            ("b", "breached", {"due_at": NOON + timedelta(days=1)}),
            ("c", "breached", {"active": False}),
            ("d", "due", {}),
            ("e", "unknown", {}),
        )
    ]
    given_rows(world, datasets.PATCH_SLA, rows)

    [broken] = broken_promises(world, [ACME], SlaStatus.BREACHED)
    [unknown] = broken_promises(world, [ACME], SlaStatus.UNKNOWN)

    assert (broken["assets"], broken["first_due"], broken["example"]) == (2, NOON, "a")
    assert broken["reason"] == "2 missing or failed."
    assert (unknown["assets"], unknown["example"]) == (1, "e")
    assert broken_promises(world, [BOLT], SlaStatus.BREACHED) == []
    assert broken_promises(world, [], SlaStatus.BREACHED) == []


def test_an_application_that_proved_nothing_and_a_held_drill_are_named():
    world = fake_world()
    blank = dict.fromkeys(datasets.RESILIENCE.schema.names)
    rows = [
        blank | {"tenant": ACME, "scope_type": kind, "scope_value": name, "readiness": word}
        for kind, name, word in (
            ("application", "orders", "ready"),
            ("application", "billing", "overdue"),
            ("plan", "billing-full", "overdue"),
        )
    ]
    given_rows(world, datasets.RESILIENCE, rows)
    blank = dict.fromkeys(datasets.DRILLS.schema.names)
    drills = [
        blank | {"tenant": ACME, "drill_id": own, "phase": phase}
        for own, phase in (("d-1", "closed"), ("d-2", "held"))
    ]
    given_rows(world, datasets.DRILLS, drills)

    assert [row["application"] for row in unproven(world, [ACME])] == ["billing"]
    assert [row["drill_id"] for row in held(world, [ACME])] == ["d-2"]
    assert unproven(world, [BOLT]) == held(world, [BOLT]) == []
