"""A refresh runs through Dagster, is recorded there, and says what it could not see."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Connector, Estate, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.operate.refresh import RefreshOutcome, choose, refresh_in
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.settings import Settings
from tests.assets.manifest import write_manifest
from tests.fakes.cloud import FakeCloud, FakeRegion, denied, instance
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import tenant
from tests.fakes.lake import FakeLake
from tests.fakes.progress import FakeProgress
from tests.fakes.world import fake_world


def connected(name: str) -> Any:
    connector = Connector(
        tenant=TenantId(name), name="main", platform=Platform.AWS, regions=("us-east-1",)
    )
    return tenant(name, connectors=(connector,))


class House:
    """Tenants, each with an account of its own, and an instance that remembers runs."""

    def __init__(self, folder: Path, dagster: dg.DagsterInstance, *names: str) -> None:
        self.cloud = FakeCloud(
            {name: {"us-east-1": FakeRegion(instances=[instance("i-1")])} for name in names},
            connectors={(name, "main"): [name] for name in names},
        )
        self.estate = FakeEstate(Estate(tenants=tuple(connected(name) for name in names)))
        self.progress = FakeProgress()
        self.world: World = fake_world(
            estate=self.estate, clouds={Platform.AWS: self.cloud}, progress=self.progress
        )
        self.dagster = dagster
        self.manifest = write_manifest(folder)
        self.settings = Settings.from_env({"QLRF_HOME": str(folder)})

    def refresh(self, *names: str, steps: list[str] | None = None) -> RefreshOutcome:
        return refresh_in(
            self.dagster,
            self.world,
            manifest=self.manifest,
            tenants=[TenantId(name) for name in names],
            progress=self.progress,
            settings=self.settings,
            steps=steps,
        )


@pytest.fixture
def dagster() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_a_refresh_is_one_recorded_run_with_the_tenants_in_its_tags(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme", "bolt")

    outcome = house.refresh("acme", "bolt")

    [run] = dagster.get_runs()
    assert (run.run_id,) == outcome.runs
    assert run.job_name == "refresh"
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/asset_partition_range_start"] == "acme"
    assert run.tags["dagster/asset_partition_range_end"] == "bolt"
    assert run.remote_job_origin.repository_origin.code_location_origin.location_name == "qlrf"


def test_every_tenant_gets_a_row_and_every_partition_its_own_numbers(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme", "bolt")
    house.cloud.region("bolt", "us-east-1").instances.append(instance("i-2"))

    outcome = house.refresh("acme", "bolt")

    assert {row.tenant: row.assets for row in outcome.rows} == {"acme": 1, "bolt": 2}
    assert outcome.exit_code == 0
    for asset in ("inventory", "golden_images", "drift", "compliance", "risk", "patch_sla"):
        records = dagster.fetch_materializations(dg.AssetKey(asset), limit=10).records
        found = {record.partition_key: record.asset_materialization.metadata for record in records}
        assert set(found) == {"acme", "bolt"}
        assert all("batch_seconds" in metadata for metadata in found.values())


def test_tenants_that_are_not_neighbours_take_a_run_each_and_nobody_else_is_touched(
    tmp_path, dagster
):
    house = House(tmp_path, dagster, "acme", "bolt", "cargo")
    house.refresh("acme", "bolt", "cargo", steps=["golden_images"])

    outcome = house.refresh("acme", "cargo")

    assert len(outcome.runs) == 2
    assert {scope.tenant for scope, _ in house.cloud.calls} == {"acme", "cargo"}


def test_a_cloud_that_cannot_be_read_is_data_and_stops_nobody(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme", "bolt")
    house.cloud.fail("acme", "us-east-1", error=denied())

    outcome = house.refresh("acme", "bolt")

    assert outcome.exit_code == 3
    assert outcome.failures == ()
    assert {gap.tenant for gap in outcome.gaps} == {"acme"}
    assert "denied" in {gap.status for gap in outcome.gaps}
    assert {row.tenant: row.assets for row in outcome.rows}["bolt"] == 1
    materialized = dagster.get_materialized_partitions(dg.AssetKey("inventory"))
    assert materialized == {"acme", "bolt"}
    assert any("scopes_complete" in line and "acme" in line for line in outcome.checks_failed)


def test_a_broken_machine_fails_the_run_and_names_the_step(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme")
    house.world = replace(
        house.world, lake=FakeLake(failing={"golden_images": Rejected("The lake is read-only.")})
    )

    outcome = house.refresh("acme")

    assert outcome.exit_code == 1
    assert any("golden_images" in line for line in outcome.failures)
    [run] = dagster.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_tenant_nothing_could_be_listed_of_is_a_gap(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme")

    outcome = house.refresh("acme", steps=["golden_images"])

    assert [(gap.tenant, gap.reason) for gap in outcome.gaps] == [
        ("acme", "nothing was ever listed")
    ]
    assert outcome.rows[0].status == "no_data"
    assert outcome.exit_code == 3


def test_marts_that_fail_publish_nothing_and_fail_the_run(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme")
    house.world.warehouse.breaking = "model.qlrf.fct_assets"

    outcome = house.refresh("acme")

    assert outcome.exit_code == 1
    assert any("fct_assets" in line for line in outcome.failures)


def test_a_mart_whose_test_failed_was_not_published_and_is_not_called_materialized(
    tmp_path, dagster
):
    house = House(tmp_path, dagster, "acme")
    house.world.warehouse.breaking = "test.qlrf.fct_assets_keys"

    outcome = house.refresh("acme")

    assert outcome.exit_code == 1
    assert any("fct_assets_keys" in line for line in outcome.failures)
    assert any(line.startswith("fct_assets.fct_assets_keys") for line in outcome.checks_failed)
    assert dagster.get_latest_materialization_event(dg.AssetKey("fct_assets")) is None


def test_the_marts_are_built_for_the_tenants_of_the_run(tmp_path, dagster):
    house = House(tmp_path, dagster, "acme", "bolt")
    house.refresh("acme", "bolt", steps=["golden_images"])

    house.refresh("bolt")

    assert house.world.warehouse.builds == [("bolt",)]


def test_an_unknown_tenant_is_rejected_with_the_known_ones():
    world = fake_world(estate=FakeEstate(Estate(tenants=(tenant("acme"), tenant("bolt")))))

    with pytest.raises(Rejected, match=r"acme[a-z]*.*acme, bolt") as caught:
        choose(world, ["acmee"])
    assert caught.value.exit_code == 2
    assert choose(world, ["bolt", "acme"]) == ["acme", "bolt"]
    assert choose(world, None) == ["acme", "bolt"]
