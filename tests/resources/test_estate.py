"""The estate folder: what loads, and as what."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from qlrf_pipelines.domain.estate import (
    Connector,
    Coordinate,
    DriftRule,
    EnvironmentRule,
    Exemption,
    GoldenImage,
    ImageVersion,
    SafetyRule,
    Selector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, ImageStatus, Platform
from resources.estate import FolderEstate
from tests.fakes.contracts import EXEMPTION, IMAGE, LEAST_TENANT, TENANT, issue_estate, write


def test_the_printed_tenant_loads(tmp_path: Path) -> None:
    (tenant,) = FolderEstate(issue_estate(tmp_path)).load().tenants

    names = {e.value: e for e in Environment}
    abbreviations = {"prod": "production", "stage": "staging", "dev": "development"}
    kept = {k: names[k] for k in ("production", "staging", "dr", "sandbox")}
    assert tenant == Tenant(
        name=TenantId("acme"),
        display_name="Acme Corporation",
        connectors=(
            Connector(
                tenant=TenantId("acme"),
                name="aws-main",
                platform=Platform.AWS,
                regions=("us-east-1", "eu-west-1"),
                endpoint_url="http://127.0.0.1:5555",
                credentials={"accessKeyId": "env:ACME_KEY", "secretAccessKey": "env:ACME_SECRET"},
                assume_roles=("arn:aws:iam::111122223333:role/qlrf",),
            ),
        ),
        environments=EnvironmentRule(
            tag="Environment",
            values=kept | {k: names[v] for k, v in abbreviations.items()},
            default=Environment.DEVELOPMENT,
        ),
        drift=DriftRule(
            grace_days={Environment.PRODUCTION: 7.0},
            default_grace_days=14.0,
            stale_after_hours=24.0,
        ),
        safety=SafetyRule(vanish_share=0.3, vanish_min=10),
    )


def test_the_printed_golden_image_loads(tmp_path: Path) -> None:
    (image,) = FolderEstate(issue_estate(tmp_path)).load().images

    def aws(region: str, ref: str) -> Coordinate:
        return Coordinate(platform=Platform.AWS, region=region, image_ref=ref)

    assert image == GoldenImage(
        family="ql-base-linux",
        tenant=TenantId("acme"),
        os_name="ubuntu",
        os_version="22.04",
        arch="x86_64",
        cis_level=1,
        versions=(
            ImageVersion(
                version="1.6.4",
                status=ImageStatus.PRODUCTION,
                promoted_at=datetime(2026, 10, 1, tzinfo=UTC),
                environments=(Environment.PRODUCTION, Environment.STAGING, Environment.DR),
                coordinates=(
                    aws("us-east-1", "ami-0aaaaaaaaaaaaaaa1"),
                    aws("eu-west-1", "ami-0bbbbbbbbbbbbbbb1"),
                ),
            ),
            ImageVersion(
                version="1.6.3",
                status=ImageStatus.DEPRECATED,
                promoted_at=datetime(2026, 7, 1, tzinfo=UTC),
                environments=tuple(Environment),
                coordinates=(aws("us-east-1", "ami-0aaaaaaaaaaaaaaa0"),),
            ),
        ),
    )


def test_the_printed_exemption_loads(tmp_path: Path) -> None:
    (exemption,) = FolderEstate(issue_estate(tmp_path)).load().exemptions

    assert exemption == Exemption(
        name="legacy-db",
        tenant=TenantId("acme"),
        selector=Selector(
            tags={"exempt": "yes"},
            families=("ql-base-linux",),
            environments=(Environment.PRODUCTION,),
            assets=("i-0abc",),
        ),
        verdicts=(DriftVerdict.BEHIND, DriftVerdict.RETIRED, DriftVerdict.UNMANAGED),
        reason="vendor support ends in March",
        approver="ciso@example.com",
        expires_at=datetime(2027, 3, 31, tzinfo=UTC),
    )


def test_regions_all_means_every_region(tmp_path: Path) -> None:
    folder = issue_estate(
        tmp_path, tenants__acme=TENANT.replace("[us-east-1, eu-west-1]       # or: all", "all")
    )

    assert FolderEstate(folder).load().tenants[0].connectors[0].regions == ()


def test_an_image_without_tenant_is_shared(tmp_path: Path) -> None:
    folder = issue_estate(tmp_path, images__linux=IMAGE.replace(", tenant: acme}", "}"))

    assert FolderEstate(folder).load().images[0].tenant is None


def test_without_a_map_every_environment_goes_by_its_own_name(tmp_path: Path) -> None:
    estate = FolderEstate(write(tmp_path, tenants__acme=LEAST_TENANT)).load()

    assert estate.tenants[0].environments.values == {e.value: e for e in Environment}


def test_tag_values_are_kept_in_lower_case(tmp_path: Path) -> None:
    folder = issue_estate(tmp_path, tenants__acme=TENANT.replace("{prod: prod", "{PROD: prod"))

    values = FolderEstate(folder).load().tenants[0].environments.values
    assert values["prod"] is Environment.PRODUCTION
    assert "PROD" not in values


def test_all_documents_may_live_in_one_file_anywhere(tmp_path: Path) -> None:
    folder = write(tmp_path, everything="---\n".join((TENANT, IMAGE, EXEMPTION)) + "---\n")

    estate = FolderEstate(folder).load()

    assert (len(estate.tenants), len(estate.images), len(estate.exemptions)) == (1, 1, 1)


def test_files_of_other_tools_are_passed_over(tmp_path: Path) -> None:
    folder = issue_estate(tmp_path)
    write(folder, compose="services: [", **{".github/workflows/ci": "on: push"})
    (folder / "tenants" / "README.md").write_text("not YAML: [")

    assert len(FolderEstate(folder).load().tenants) == 1


def test_mounted_configuration_made_of_links_is_read(tmp_path: Path) -> None:
    issue_estate(tmp_path / "..data")
    estate = tmp_path / "estate"
    estate.mkdir()
    for name in ("tenants", "images"):
        (estate / name).symlink_to(tmp_path / "..data" / name)
    (estate / "loop").symlink_to(estate)

    assert len(FolderEstate(estate).load().images) == 1


def test_a_change_is_seen_by_the_same_store(tmp_path: Path) -> None:
    store = FolderEstate(issue_estate(tmp_path))
    before = store.load()
    assert store.load() is before

    issue_estate(tmp_path, tenants__acme=TENANT.replace("Acme Corporation", "Acme Limited"))

    assert store.load().tenants == (replace(before.tenants[0], display_name="Acme Limited"),)
