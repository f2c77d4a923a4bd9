"""Fleets and estates to judge: builders with everything a test does not care about filled in."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.datasets import DATASETS
from qlrf_pipelines.domain.estate import (
    Coordinate,
    Exemption,
    GoldenImage,
    ImageVersion,
    Selector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, ImageStatus, Platform
from qlrf_pipelines.ports.lake import Lake
from tests.fakes.clock import NOON

EVERYWHERE = tuple(Environment)


def tenant(name: str = "acme", **parts: Any) -> Tenant:
    """A tenant with the default rules."""
    return Tenant(name=TenantId(name), display_name=name.title(), **parts)


def release(
    version: str,
    *refs: str,
    status: ImageStatus = ImageStatus.PRODUCTION,
    promoted_at: datetime | None = NOON - timedelta(days=30),
    environments: tuple[Environment, ...] = EVERYWHERE,
    platform: Platform = Platform.AWS,
    region: str = "us-east-1",
) -> ImageVersion:
    """A version in production everywhere for thirty days, found under these references."""
    places = tuple(
        Coordinate(platform=platform, region=region, image_ref=image_ref) for image_ref in refs
    )
    return ImageVersion(
        version=version,
        status=status,
        promoted_at=promoted_at,
        environments=environments,
        coordinates=places,
    )


def image(*versions: ImageVersion, family: str = "base", owner: str | None = None) -> GoldenImage:
    """A family of images shared by all tenants, unless it has an owner."""
    return GoldenImage(
        family=family,
        tenant=None if owner is None else TenantId(owner),
        os_name="ubuntu",
        os_version="22.04",
        arch="x86_64",
        cis_level=1,
        versions=versions,
    )


def exemption(
    *verdicts: DriftVerdict,
    name: str = "accepted",
    owner: str = "acme",
    expires_at: datetime = NOON + timedelta(days=30),
    selector: Selector | None = None,
) -> Exemption:
    """An exemption of everything with these verdicts, still live for thirty days."""
    return Exemption(
        name=name,
        tenant=TenantId(owner),
        selector=selector or Selector(environments=EVERYWHERE),
        verdicts=verdicts,
        reason="a test",
        approver="ciso@example.com",
        expires_at=expires_at,
    )


def asset(asset_id: str = "i-1", owner: str = "acme", **facts: Any) -> dict[str, Any]:
    """An inventory row: a fresh, running, well read production machine with a listed image."""
    row: dict[str, Any] = {
        "tenant": owner,
        "connector": "aws-main",
        "platform": "aws",
        "account": "111122223333",
        "region": "us-east-1",
        "kind": "instance",
        "asset_key": f"aws:111122223333:us-east-1:{asset_id}",
        "asset_id": asset_id,
        "name": asset_id,
        "environment": "production",
        "site": "us-east-1",
        "image_ref": "ami-2",
        "image_readable": True,
        "state": "running",
        "last_seen": NOON - timedelta(hours=1),
        "tags": [],
        "public_ip": "",
        "open_ports": [],
        "fresh": True,
    }
    return row | facts


def store(lake: Lake, name: str, rows: Iterable[Mapping[str, Any]], *owners: str) -> None:
    """Replace a dataset of these owners (of all owners the rows name, if none is given)."""
    table = pa.Table.from_pylist(list(rows), schema=DATASETS[name].schema)
    tenants = owners or tuple(sorted(set(table["tenant"].to_pylist())))
    lake.replace(DATASETS[name], table.to_reader(), tenants=[TenantId(t) for t in tenants])
