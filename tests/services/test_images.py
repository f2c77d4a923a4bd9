"""Golden images in the lake are what the contracts say, per tenant."""

from datetime import timedelta

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.vocabulary import Environment, ImageStatus
from qlrf_pipelines.services.images import refresh_golden_images
from tests.fakes.clock import NOON
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import image, release, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

SHARED = image(
    release("1.10.0", "ami-2", environments=(Environment.PRODUCTION,)),
    release("1.9.0", "ami-1", status=ImageStatus.DEPRECATED, promoted_at=None),
)
OWN = image(release("7.0.0", "ami-7"), owner="globex")
TENANTS = (tenant("acme"), tenant("globex"))


def refreshed(estate: Estate) -> FakeLake:
    lake = FakeLake()
    refresh_golden_images(fake_world(lake=lake, estate=FakeEstate(estate)), estate.tenants)
    return lake


def test_every_version_a_tenant_may_use_has_one_row_with_all_its_coordinates() -> None:
    lake = refreshed(Estate(tenants=TENANTS, images=(SHARED,)))

    new, old = lake.rows("golden_images", "acme")
    assert (new["version"], new["environments"], new["shared"]) == ("1.10.0", ["production"], True)
    assert new["coordinates"] == [{"platform": "aws", "region": "us-east-1", "image_ref": "ami-2"}]
    assert (new["promoted_at"], old["promoted_at"]) == (NOON - timedelta(days=30), None)
    assert str(old["version_key"]) < str(new["version_key"])
    assert len(lake.rows("golden_images", "globex")) == 2


def test_a_tenants_own_family_replaces_the_shared_one_of_that_name() -> None:
    lake = refreshed(Estate(tenants=TENANTS, images=(SHARED, OWN)))

    assert [row["version"] for row in lake.rows("golden_images", "globex")] == ["7.0.0"]
    assert [row["version"] for row in lake.rows("golden_images", "acme")] == ["1.10.0", "1.9.0"]


def test_a_contract_taken_back_is_gone_after_the_next_refresh() -> None:
    estate = FakeEstate(Estate(tenants=TENANTS, images=(SHARED,)))
    world = fake_world(lake=FakeLake(), estate=estate)
    refresh_golden_images(world, TENANTS)
    estate.estate = Estate(tenants=TENANTS)

    report = refresh_golden_images(world, TENANTS)

    assert isinstance(world.lake, FakeLake)
    assert world.lake.rows("golden_images") == []
    assert report.facts[TENANTS[0].name]["families"] == 0


def test_an_estate_that_breaks_its_contracts_leaves_what_was_there() -> None:
    estate = FakeEstate(Estate(tenants=TENANTS, images=(SHARED,)))
    world = fake_world(lake=FakeLake(), estate=estate)
    refresh_golden_images(world, TENANTS)
    estate.error = Rejected("images/base.yaml line 3: unknown field.")

    with pytest.raises(Rejected):
        refresh_golden_images(world, TENANTS)

    assert isinstance(world.lake, FakeLake)
    assert len(world.lake.rows("golden_images")) == 4


def test_the_report_counts_families_versions_and_what_has_no_date() -> None:
    estate = Estate(tenants=TENANTS, images=(SHARED, OWN))
    world = fake_world(lake=FakeLake(), estate=FakeEstate(estate))

    report = refresh_golden_images(world, TENANTS)

    assert report.facts[TENANTS[0].name] == {
        "families": 1,
        "versions": 2,
        "production": 1,
        "undated": 0,
        "coordinates": 2,
        "shared_families": 1,
    }
    assert report.preview[TENANTS[0].name][0]["version"] == "1.10.0"
