"""The shape of every dataset in the lake: one Arrow schema each, every column explained.

All times are UTC with microseconds. All datasets carry `tenant`, and are partitioned by it.
A null means unknown, never "none": an empty list, zero or '' is what "looked, found none" is.
"""

from collections.abc import Mapping

import pyarrow as pa

from qlrf_pipelines.domain.dataset_shape import (
    COORDINATES,
    PORTS,
    TAGS,
    TEXTS,
    TIME,
    Dataset,
)
from qlrf_pipelines.domain.dataset_shape import columns as _columns
from qlrf_pipelines.domain.drill_datasets import DRILL_PHASES, DRILLS, RESILIENCE

__all__ = [
    "CONTROL_RESULTS",
    "COORDINATES",
    "DATASETS",
    "DRIFT",
    "DRIFT_DAILY",
    "DRILLS",
    "DRILL_PHASES",
    "GOLDEN_IMAGES",
    "INVENTORY",
    "INVENTORY_CHANGES",
    "PATCH_SLA",
    "PORTS",
    "RESILIENCE",
    "RISK",
    "SCOPES",
    "TAGS",
    "TEXTS",
    "TIME",
    "VULNERABILITIES",
    "Dataset",
]

_WHERE = {
    "tenant": (pa.string(), "The tenant the row belongs to."),
    "connector": (pa.string(), "The connector that listed it."),
    "platform": (pa.string(), "aws, azure, gcp, vsphere, kubernetes or baremetal."),
    "account": (pa.string(), "The cloud account, or the cluster."),
    "region": (pa.string(), "The cloud region, or the namespace."),
}

INVENTORY = Dataset(
    name="inventory",
    grain="one row per asset ever seen and not yet forgotten; live unless tombstoned_at is set",
    key=("asset_key",),
    by_tenant=True,
    schema=_columns(
        **_WHERE,
        kind=(pa.string(), "What it is; `instance` for a machine or a workload."),
        asset_key=(pa.string(), "`platform:account:region:asset_id`, unique within a tenant."),
        asset_id=(pa.string(), "The cloud's own id, the one its API takes; `deployment/web`."),
        name=(pa.string(), "The Name tag, else the asset id."),
        environment=(pa.string(), "From the tenant's environment rule."),
        site=(pa.string(), "The Site tag, else the region."),
        image_ref=(pa.string(), "The image it runs, as the cloud names it; null if unreadable."),
        image_family=(pa.string(), "Family tag of that image; null if untagged or unreadable."),
        image_version=(pa.string(), "Version tag of that image; null if untagged or unreadable."),
        image_readable=(pa.bool_(), "Whether the image's own metadata could be read."),
        instance_type=(pa.string(), "The cloud's machine type, or a workload's kind."),
        state=(pa.string(), "running, stopped, pending, terminated or unknown."),
        launched_at=(TIME, "When the cloud started it."),
        first_seen=(TIME, "When a complete listing first showed it."),
        last_seen=(TIME, "When a complete listing last showed it."),
        tags=(TAGS, "The asset's tags, or a workload's labels and containers, sorted by key."),
        imds_v2=(pa.bool_(), "Whether the metadata service demands session tokens."),
        volume_count=(pa.int32(), "Attached volumes; 0 is proven none."),
        ebs_encrypted=(
            pa.bool_(),
            "Whether every attached volume is encrypted; null with no volume or unread volumes.",
        ),
        public_ip=(pa.string(), "Public address; '' is proven none."),
        open_ports=(PORTS, "Port ranges open to the whole world; empty is proven none."),
        monitoring=(pa.bool_(), "Whether detailed monitoring is on."),
        patch_managed=(pa.bool_(), "Whether a patch manager reports on it."),
        patches_missing=(pa.int32(), "Approved patches not installed."),
        patches_failed=(pa.int32(), "Patches whose installation failed."),
        patches_pending_reboot=(pa.int32(), "Patches installed that wait for a reboot."),
        patches_critical_missing=(pa.int32(), "Critical patches out of compliance."),
        patches_security_missing=(pa.int32(), "Security patches out of compliance."),
        patch_scanned_at=(TIME, "When the patch manager last looked."),
        fresh=(pa.bool_(), "Whether the last attempt on its scope was complete and listed it."),
        missed=(pa.int32(), "Complete listings in a row that did not show it."),
        missed_since=(TIME, "When the first of those listings was made."),
        tombstoned_at=(TIME, "When it was declared gone; null while live."),
        tombstone_reason=(pa.string(), "terminated, missed_twice or accepted."),
        change_seq=(pa.int64(), "Sequence number of the refresh that last changed it."),
        change=(pa.string(), "discovered, updated, missed, returned or tombstoned."),
        changed_at=(TIME, "When that refresh ran."),
        change_before=(pa.string(), "JSON of the fields that changed, before."),
        change_after=(pa.string(), "JSON of the fields that changed, after."),
        refresh_id=(pa.string(), "The refresh that last wrote the row."),
    ),
)

INVENTORY_CHANGES = Dataset(
    name="inventory_changes",
    grain="one row per asset and refresh in which something changed",
    key=("asset_key", "change_seq"),
    append_only=True,
    by_tenant=True,
    schema=_columns(
        **_WHERE,
        change_seq=(pa.int64(), "Sequence number of the refresh, rising within a tenant."),
        changed_at=(TIME, "When the refresh ran."),
        refresh_id=(pa.string(), "The refresh."),
        asset_key=(pa.string(), "The asset."),
        asset_id=(pa.string(), "The cloud's own id."),
        name=(pa.string(), "Its name after the change."),
        change=(pa.string(), "discovered, updated, missed, returned or tombstoned."),
        reason=(pa.string(), "Why it was tombstoned, else null."),
        before=(pa.string(), "JSON of the fields that changed, before."),
        after=(pa.string(), "JSON of the fields that changed, after."),
    ),
)

SCOPES = Dataset(
    name="scopes",
    grain="one row per listing scope: its latest certificate",
    key=("scope_id",),
    by_tenant=True,
    schema=_columns(
        **_WHERE,
        kind=(
            pa.string(),
            "instance, image, volume, security_group, patch_state, region or account.",
        ),
        scope_id=(pa.string(), "`connector/account/region/kind`."),
        refresh_id=(pa.string(), "The refresh that made the attempt."),
        identity=(pa.string(), "Who asked, as the cloud names it."),
        started_at=(TIME, "When the attempt began."),
        finished_at=(TIME, "When it ended."),
        status=(pa.string(), "complete, incomplete, denied, held or abandoned."),
        pages=(pa.int32(), "Pages read."),
        end_marker=(pa.bool_(), "Whether the last page said it was the last."),
        listed=(pa.int32(), "Things listed in this attempt."),
        live=(pa.int32(), "Live assets kept for the scope after the attempt (instances only)."),
        vanished=(pa.int32(), "Live assets a complete listing did not show (instances only)."),
        error=(pa.string(), "What went wrong; null if nothing."),
        last_complete_at=(TIME, "When a complete listing was last begun; null if never."),
    ),
)

GOLDEN_IMAGES = Dataset(
    name="golden_images",
    grain="one row per tenant, family and version the tenant may use",
    key=("family", "version"),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        family=(pa.string(), "The image family."),
        version=(pa.string(), "Semantic version."),
        version_key=(pa.string(), "Text that sorts as semantic versions do."),
        status=(pa.string(), "draft, testing, staging, production, deprecated or retired."),
        promoted_at=(TIME, "When it was promoted to production; null if unknown."),
        environments=(TEXTS, "Environments where this version is approved, if in production."),
        os_name=(pa.string(), "Operating system."),
        os_version=(pa.string(), "Operating system version."),
        arch=(pa.string(), "x86_64 or arm64."),
        cis_level=(pa.int32(), "CIS benchmark level; null if not stated."),
        shared=(pa.bool_(), "Whether the contract is shared by all tenants."),
        coordinates=(COORDINATES, "Where the version can be found."),
    ),
)

DRIFT = Dataset(
    name="drift",
    grain="one row per live asset",
    key=("asset_key",),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        asset_key=(pa.string(), "The asset."),
        active=(pa.bool_(), "Whether it counts: running or pending."),
        family=(pa.string(), "The image family it resolves to; null if none."),
        version=(pa.string(), "The version it resolves to; null if none."),
        resolution=(pa.string(), "coordinate, tag or none."),
        drift_verdict=(pa.string(), "The verdict after exemptions."),
        judged_verdict=(pa.string(), "The verdict before exemptions."),
        exemption=(pa.string(), "The exemption applied; null if none."),
        drift_score=(pa.float64(), "0 to 100, worse is higher."),
        versions_behind=(pa.int32(), "Releases between it and the approved one; null if unknown."),
        days_behind=(pa.int32(), "Whole days since the approved release; null if unknown."),
        approved_version=(pa.string(), "The version approved for its environment; null if none."),
        reason=(pa.string(), "The verdict in one sentence."),
        drifted_since=(TIME, "When it was first seen drifted without a break; null if covered."),
        as_of=(TIME, "When it was judged."),
    ),
)

DRIFT_DAILY = Dataset(
    name="drift_daily",
    grain="one row per tenant, day, scope_type and scope_value; the day's last refresh",
    key=("day", "scope_type", "scope_value"),
    append_only=True,
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        day=(pa.date32(), "The UTC day."),
        scope_type=(pa.string(), "tenant, environment, platform, region, site or family."),
        scope_value=(pa.string(), "Which one."),
        total=(pa.int64(), "Active assets."),
        current=(pa.int64(), "Active assets that are current, exempt or in grace."),
        drifted=(pa.int64(), "total - current."),
        managed=(pa.float64(), "Share of active assets that resolve to a family; null if none."),
        coverage=(pa.float64(), "current / total, 0 to 1; null without assets."),
        status=(pa.string(), "healthy, warning, critical or no_data."),
        mean_score=(pa.float64(), "Mean drift score of active assets; null without assets."),
        as_of=(TIME, "When it was measured."),
    ),
)

CONTROL_RESULTS = Dataset(
    name="control_results",
    grain="one row per tenant, control and live asset; asset_key '' where the control has no asset",
    key=("control_id", "asset_key"),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        control_id=(pa.string(), "The control."),
        asset_key=(pa.string(), "The asset; '' for the tenant as a whole."),
        verdict=(pa.string(), "pass, fail, not_applicable, manual or never_proven."),
        detail=(pa.string(), "What was found, or which fact is missing."),
        as_of=(TIME, "When it was judged."),
    ),
)

RISK = Dataset(
    name="risk",
    grain="one row per live asset",
    key=("asset_key",),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        asset_key=(pa.string(), "The asset."),
        risk_score=(pa.float64(), "0 to 100, worse is higher."),
        risk_level=(pa.string(), "low, medium, high or critical."),
        drift_factor=(pa.float64(), "0 to 100, the drift score."),
        critical_vulnerabilities_factor=(pa.float64(), "0 to 100; null if not assessed."),
        open_vulnerabilities_factor=(pa.float64(), "0 to 100; null if not assessed."),
        noncompliance_factor=(pa.float64(), "0 to 100, severity-weighted share not passed."),
        exposure_factor=(pa.float64(), "0 to 100, what the world can reach."),
        environment_factor=(pa.float64(), "Multiplier of the environment."),
        not_assessed=(TEXTS, "Factors left out because the tenant connected no source."),
        as_of=(TIME, "When it was judged."),
    ),
)

PATCH_SLA = Dataset(
    name="patch_sla",
    grain="one row per live asset, patch policy that may be about it, and severity it promises",
    key=("asset_key", "policy", "severity"),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        asset_key=(pa.string(), "The asset."),
        policy=(pa.string(), "The patch policy."),
        severity=(pa.string(), "critical, high, medium or low; of a golden image its strictest."),
        measured_by=(
            pa.string(),
            "What tells it: critical_patches, security_patches, patches (of any kind) or drift.",
        ),
        active=(pa.bool_(), "Whether it counts: running or pending."),
        status=(pa.string(), "met, due, breaching, breached or unknown."),
        missing=(pa.int32(), "Patches missing; null if unknown or measured by drift."),
        since=(
            TIME,
            "When it was first seen without proof of being patched, without a break; null if met.",
        ),
        within_seconds=(pa.int64(), "How long the policy allows."),
        due_at=(TIME, "since and what the policy allows; null if met."),
        reason=(pa.string(), "The status in one sentence."),
        as_of=(TIME, "When it was judged."),
    ),
)

VULNERABILITIES = Dataset(
    name="vulnerabilities",
    grain="one row per asset of a tenant that connected a vulnerability feed",
    key=("asset_key",),
    schema=_columns(
        tenant=(pa.string(), "The tenant the row belongs to."),
        asset_key=(pa.string(), "The asset."),
        critical=(pa.int32(), "Open critical vulnerabilities; null if unknown."),
        open=(pa.int32(), "All open vulnerabilities; null if unknown."),
        as_of=(TIME, "When the feed was read."),
    ),
)

DATASETS: Mapping[str, Dataset] = {
    item.name: item
    for item in (
        INVENTORY,
        INVENTORY_CHANGES,
        SCOPES,
        GOLDEN_IMAGES,
        DRIFT,
        DRIFT_DAILY,
        CONTROL_RESULTS,
        RISK,
        PATCH_SLA,
        VULNERABILITIES,
        DRILLS,
        DRILL_PHASES,
        RESILIENCE,
    )
}
