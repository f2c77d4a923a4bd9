"""What a cloud was asked, and what it answered: scopes, pages and what they prove."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from qlrf_pipelines.domain.datasets import PORTS, TAGS, TEXTS, TIME
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import ListingStatus, Platform


class Kind(StrEnum):
    """What a scope lists. Only `instance` scopes decide whether an asset exists.

    account and region are the two look-ups that find the scopes themselves.
    """

    ACCOUNT = "account"
    REGION = "region"
    INSTANCE = "instance"
    IMAGE = "image"
    VOLUME = "volume"
    SECURITY_GROUP = "security_group"
    PATCH_STATE = "patch_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One listing: a connector, an account, a region and a kind of thing."""

    tenant: TenantId
    connector: str
    platform: Platform
    account: str
    region: str
    kind: Kind

    @property
    def id(self) -> str:
        """The scope's name within its tenant: connector/account/region/kind."""
        return f"{self.connector}/{self.account}/{self.region}/{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What one attempt to list a scope proves; only `complete` proves absence."""

    scope: Scope
    identity: str | None
    started_at: datetime
    finished_at: datetime
    status: ListingStatus
    pages: int
    end_marker: bool
    listed: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing: rows in the kind's schema below, and whether it is the last one."""

    rows: pa.RecordBatch
    last: bool


# What an adapter hands over for each kind; tenant, connector, account and region come from the
# scope. A null is "the answer did not say"; '' and [] are "it said: none".
PAGE_SCHEMAS: dict[Kind, pa.Schema] = {
    Kind.INSTANCE: pa.schema(
        [
            ("asset_id", pa.string()),
            ("image_ref", pa.string()),
            ("instance_type", pa.string()),
            ("state", pa.string()),  # AssetState
            ("launched_at", TIME),
            ("tags", TAGS),  # sorted by key
            ("volume_ids", TEXTS),
            ("group_ids", TEXTS),
            ("imds_v2", pa.bool_()),
            ("public_ip", pa.string()),
            ("monitoring", pa.bool_()),
        ]
    ),
    Kind.IMAGE: pa.schema(
        [
            ("image_ref", pa.string()),
            ("image_name", pa.string()),
            ("image_family", pa.string()),
            ("image_version", pa.string()),
        ]
    ),
    Kind.VOLUME: pa.schema([("volume_id", pa.string()), ("encrypted", pa.bool_())]),
    Kind.SECURITY_GROUP: pa.schema([("group_id", pa.string()), ("open_ports", PORTS)]),
    Kind.PATCH_STATE: pa.schema(
        [
            ("asset_id", pa.string()),
            ("patches_missing", pa.int32()),
            ("patches_failed", pa.int32()),
            ("patches_pending_reboot", pa.int32()),
            ("patches_critical_missing", pa.int32()),
            ("patches_security_missing", pa.int32()),
            ("patch_scanned_at", TIME),
        ]
    ),
}
