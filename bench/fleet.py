"""A fleet of any size in a real lake: made by SQL, so that making it costs little."""

from datetime import UTC, datetime, timedelta

from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, INVENTORY
from qlrf_pipelines.domain.estate import (
    Coordinate,
    Estate,
    Exemption,
    GoldenImage,
    ImageVersion,
    Selector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, ImageStatus, Platform
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.images import refresh_golden_images

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
FAMILIES, VERSIONS = 5, 8
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1")

_ASSETS = """
SELECT 't-' || lpad((n // {per_tenant})::VARCHAR, 5, '0') AS tenant, 'aws-main' AS connector,
  'aws' AS platform, '111122223333' AS account, region, 'instance' AS kind,
  'aws:111122223333:' || region || ':' || asset_id AS asset_key, asset_id, 'web-' || n AS name,
  (['production', 'production', 'staging', 'development', 'dr', 'sandbox'])[1 + h % 6]
    AS environment,
  region AS site,
  CASE WHEN h % 97 = 0 THEN 'ami-unlisted'
       ELSE 'ami-' || (h // 7 % {families}) || '-'
            || ({versions} - 1 - h // 13 % 4 - h // 17 % 4 * (h // 29 % 8 // 7))
            || '-' || region END AS image_ref,
  CASE WHEN h % 194 = 0 THEN 'family-1' END AS image_family,
  CASE WHEN h % 194 = 0 THEN '1.3.5' END AS image_version, h % 89 <> 0 AS image_readable,
  'm6i.large' AS instance_type,
  CASE WHEN h % 12 = 0 THEN 'stopped' ELSE 'running' END AS state,
  TIMESTAMPTZ '2026-10-01 00:00:00+00' AS launched_at,
  TIMESTAMPTZ '2026-10-01 00:00:00+00' AS first_seen,
  CASE WHEN h % 61 = 0 THEN TIMESTAMPTZ '2026-10-30 00:00:00+00'
       ELSE TIMESTAMPTZ '2026-11-01 11:00:00+00' END AS last_seen,
  map(['Name', 'Environment', 'Team'], ['web-' || n, 'prod', 'team-' || h % 20]) AS tags,
  h % 3 > 0 AS imds_v2, 2::INTEGER AS volume_count, h % 5 > 0 AS ebs_encrypted,
  CASE WHEN h % 4 = 0 THEN '203.0.113.' || h % 250 ELSE '' END AS public_ip,
  CASE WHEN h % 10 = 0 THEN [{{'protocol': 'tcp', 'from_port': 22, 'to_port': 22}}]
       WHEN h % 10 = 1 THEN [{{'protocol': 'tcp', 'from_port': 443, 'to_port': 443}}]
       ELSE [] END::STRUCT(protocol VARCHAR, from_port INTEGER, to_port INTEGER)[] AS open_ports,
  true AS monitoring, true AS patch_managed, 0::INTEGER AS patches_missing,
  0::INTEGER AS patches_failed, 0::INTEGER AS patches_pending_reboot,
  0::INTEGER AS patches_critical_missing, 0::INTEGER AS patches_security_missing,
  TIMESTAMPTZ '2026-11-01 00:00:00+00' AS patch_scanned_at, true AS fresh, 0::INTEGER AS missed,
  NULL::TIMESTAMPTZ AS missed_since, NULL::TIMESTAMPTZ AS tombstoned_at,
  NULL::VARCHAR AS tombstone_reason, 1::BIGINT AS change_seq, 'discovered' AS change,
  TIMESTAMPTZ '2026-10-01 00:00:00+00' AS changed_at, '{{}}' AS change_before,
  '{{}}' AS change_after, 'r-0001' AS refresh_id
FROM (SELECT n, h, 'i-' || format('{{:017x}}', h) AS asset_id,
             (['us-east-1', 'us-west-2', 'eu-west-1', 'ap-south-1'])
               [1 + h // 3 % 2 + 2 * (n // {per_tenant} % 2)] AS region
      FROM (SELECT n, (hash(n) // 2)::BIGINT AS h FROM range({first}, {last}) r(n)))
"""

_RESULTS = """
SELECT tenant, c.control_id, asset_key,
  CASE hash(asset_key || c.control_id) % 8 WHEN 0 THEN 'fail' WHEN 1 THEN 'not_applicable'
       WHEN 2 THEN 'never_proven' ELSE 'pass' END AS verdict,
  'looked at the facts' AS detail, TIMESTAMPTZ '2026-11-01 11:00:00+00' AS as_of
FROM inventory CROSS JOIN (SELECT unnest({controls}) AS control_id) c
"""


def estate(tenants: int) -> Estate:
    """So many tenants sharing five families of eight versions; each tenth tenant has exemptions."""
    named = tuple(
        Tenant(name=TenantId(f"t-{number:05d}"), display_name=f"Tenant {number}")
        for number in range(tenants)
    )
    families = tuple(_family(number) for number in range(FAMILIES))
    exemptions = tuple(_exemption(tenant.name) for tenant in named[::10])
    return Estate(tenants=named, images=families, exemptions=exemptions)


def _family(number: int) -> GoldenImage:
    return GoldenImage(
        family=f"family-{number}",
        tenant=None,
        os_name="ubuntu",
        os_version="22.04",
        arch="x86_64",
        cis_level=1,
        versions=tuple(_version(number, minor) for minor in range(VERSIONS)),
    )


def _version(family: int, minor: int) -> ImageVersion:
    status = ImageStatus.RETIRED if minor == 0 else ImageStatus.DEPRECATED
    return ImageVersion(
        version=f"1.{minor}.0",
        status=ImageStatus.PRODUCTION if minor >= VERSIONS - 2 else status,
        promoted_at=NOW - timedelta(days=5 + 20 * (VERSIONS - 1 - minor)),
        environments=tuple(Environment)
        if minor < VERSIONS - 1
        else (Environment.PRODUCTION, Environment.STAGING),
        coordinates=tuple(
            Coordinate(
                platform=Platform.AWS, region=region, image_ref=f"ami-{family}-{minor}-{region}"
            )
            for region in REGIONS
        ),
    )


def _exemption(tenant: TenantId) -> Exemption:
    return Exemption(
        name="accepted",
        tenant=tenant,
        selector=Selector(environments=(Environment.SANDBOX,), families=("family-1",)),
        verdicts=(DriftVerdict.BEHIND, DriftVerdict.RETIRED),
        reason="bench",
        approver="ciso@example.com",
        expires_at=NOW + timedelta(days=30),
    )


def fill(world: World, *, tenants: int, per_tenant: int, controls: list[str]) -> None:
    """Write inventory, golden images and control results, a million assets at a time."""
    known = world.estate.load().tenants
    refresh_golden_images(world, known)
    step = max(1, 1_000_000 // per_tenant)
    for start in range(0, tenants, step):
        names = [tenant.name for tenant in known[start : start + step]]
        with world.engine.session() as session:
            assets = _ASSETS.format(
                per_tenant=per_tenant,
                families=FAMILIES,
                versions=VERSIONS,
                first=start * per_tenant,
                last=(start + len(names)) * per_tenant,
            )
            rows = session.connection.sql(assets)
            world.lake.replace(INVENTORY, rows.to_arrow_reader(65_536), tenants=names)
            world.lake.view(session.connection, INVENTORY, tenants=names)
            rows = session.connection.sql(_RESULTS.format(controls=controls))
            world.lake.replace(CONTROL_RESULTS, rows.to_arrow_reader(65_536), tenants=names)
