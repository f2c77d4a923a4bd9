"""The demonstration's contracts are contracts like any other."""

from pathlib import Path

from qlrf_pipelines.demo.estate import promote, write_estate
from qlrf_pipelines.domain.vocabulary import ImageStatus
from resources.estate import FolderEstate
from tests.fakes.clock import NOON


def test_the_contracts_are_valid_and_refer_to_secrets_instead_of_holding_them(
    tmp_path: Path,
) -> None:
    write_estate(
        tmp_path / "estate", cloud="http://127.0.0.1:1", credentials=tmp_path / "keys", now=NOON
    )

    estate = FolderEstate(tmp_path / "estate").load()

    assert [t.name for t in estate.tenants] == ["acme", "globex"]
    assert all(
        reference == f"file:{tmp_path}/keys/{name}"
        for tenant in estate.tenants
        for connector in tenant.connectors
        for reference, name in zip(connector.credentials.values(), ("key", "secret"), strict=True)
    )


def test_one_exemption_is_live_and_one_is_over(tmp_path: Path) -> None:
    write_estate(tmp_path / "estate", cloud="http://h", credentials=tmp_path / "keys", now=NOON)

    exemptions = FolderEstate(tmp_path / "estate").load().exemptions

    assert sorted(item.expires_at > NOON for item in exemptions) == [False, True]


def test_the_second_day_promotes_one_release_and_touches_nothing_else(tmp_path: Path) -> None:
    write_estate(tmp_path / "estate", cloud="http://h", credentials=tmp_path / "keys", now=NOON)
    store = FolderEstate(tmp_path / "estate")
    before = store.load()

    promote(tmp_path / "estate", now=NOON)

    after = store.load()
    changed = {
        (image.family, new.version, old.status, new.status)
        for image, was in zip(after.images, before.images, strict=True)
        for new, old in zip(image.versions, was.versions, strict=True)
        if new != old
    }
    assert changed == {("ql-base-linux", "1.7.0", ImageStatus.TESTING, ImageStatus.PRODUCTION)}
