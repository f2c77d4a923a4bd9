"""Golden images: what the contracts promise, laid out as one row per tenant and version."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.datasets import GOLDEN_IMAGES
from qlrf_pipelines.domain.estate import Estate, GoldenImage, ImageVersion, Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import ImageStatus
from qlrf_pipelines.ports.world import World

_PREVIEW = 5
# Tenants per Arrow batch: shared images are repeated for each of them, but never all at once.
_TENANTS_PER_BATCH = 50


def refresh_golden_images(world: World, tenants: Sequence[Tenant]) -> StepReport:
    """Bring the dataset golden_images of these tenants up to date with the contracts.

    Raises:
        Rejected: the estate breaks its contracts; what was there before stays.
        Unavailable: the lake is full or down.
    """
    began = time.perf_counter()
    estate = world.estate.load()
    names = [tenant.name for tenant in tenants]
    reader = pa.RecordBatchReader.from_batches(GOLDEN_IMAGES.schema, _batches(estate, names))
    version = world.lake.replace(GOLDEN_IMAGES, reader, tenants=names)
    return StepReport(
        dataset=GOLDEN_IMAGES.name,
        version=version,
        seconds=time.perf_counter() - began,
        facts={name: _facts(estate.images_of(name)) for name in names},
        preview={name: _preview(estate.images_of(name)) for name in names},
    )


def rows_of(tenant: TenantId, images: Sequence[GoldenImage]) -> list[dict[str, Any]]:
    """The rows of golden_images for one tenant, who may use these images."""
    return [
        {
            "tenant": tenant,
            "family": image.family,
            "version": release.version,
            "version_key": version_key(release.version),
            "status": release.status,
            "promoted_at": release.promoted_at,
            "environments": list(release.environments),
            "os_name": image.os_name,
            "os_version": image.os_version,
            "arch": image.arch,
            "cis_level": image.cis_level,
            "shared": image.tenant is None,
            "coordinates": [
                {"platform": c.platform, "region": c.region, "image_ref": c.image_ref}
                for c in release.coordinates
            ],
        }
        for image in images
        for release in image.versions
    ]


def _batches(estate: Estate, names: Sequence[TenantId]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(names), _TENANTS_PER_BATCH):
        some = names[start : start + _TENANTS_PER_BATCH]
        rows = [row for name in some for row in rows_of(name, estate.images_of(name))]
        yield pa.RecordBatch.from_pylist(rows, schema=GOLDEN_IMAGES.schema)


def _facts(images: Sequence[GoldenImage]) -> Mapping[str, Fact]:
    releases = [release for image in images for release in image.versions]
    production = [r for r in releases if r.status is ImageStatus.PRODUCTION]
    return {
        "families": len(images),
        "versions": len(releases),
        "production": len(production),
        "undated": sum(1 for release in production if release.promoted_at is None),
        "coordinates": sum(len(release.coordinates) for release in releases),
        "shared_families": sum(1 for image in images if image.tenant is None),
    }


def _preview(images: Sequence[GoldenImage]) -> list[Mapping[str, Fact]]:
    approved = [
        (image, release)
        for image in images
        for release in image.versions
        if release.status is ImageStatus.PRODUCTION
    ]
    return [_line(image, release) for image, release in approved[:_PREVIEW]]


def _line(image: GoldenImage, release: ImageVersion) -> Mapping[str, Fact]:
    return {
        "family": image.family,
        "version": release.version,
        "environments": ", ".join(release.environments),
        "promoted_at": str(release.promoted_at) if release.promoted_at else None,
        "coordinates": len(release.coordinates),
    }
