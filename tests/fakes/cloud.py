"""A cloud made of plain rows, that fails exactly where it is told to."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.errors import Denied, QlrfError, Truncated, Unavailable
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind, Page, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import Cloud, CloudSession, LostAccount

Row = dict[str, Any]
LAUNCHED = datetime(2026, 10, 1, tzinfo=UTC)
ENDLESS = "endless"  # a failure that is none: every page comes, and none of them is the last


def instance(asset_id: str, **fields: Any) -> Row:
    """A running, well-kept instance; give only what matters to the test."""
    row: Row = {
        "asset_id": asset_id,
        "image_ref": "ami-1",
        "instance_type": "t3.small",
        "state": "running",
        "launched_at": LAUNCHED,
        "tags": {"Name": asset_id},
        "volume_ids": [],
        "group_ids": [],
        "imds_v2": True,
        "public_ip": "",
        "monitoring": True,
    }
    return row | fields


def image(image_ref: str, *, family: str | None = None, version: str | None = None) -> Row:
    """An image's metadata, tagged or not."""
    return {
        "image_ref": image_ref,
        "image_name": image_ref,
        "image_family": family,
        "image_version": version,
    }


def volume(volume_id: str, *, encrypted: bool | None = True) -> Row:
    """A volume."""
    return {"volume_id": volume_id, "encrypted": encrypted}


def group(group_id: str, *ports: tuple[str, int, int]) -> Row:
    """A security group and the (protocol, from, to) ranges it opens to the world."""
    names = ("protocol", "from_port", "to_port")
    return {
        "group_id": group_id,
        "open_ports": [dict(zip(names, p, strict=True)) for p in sorted(ports)],
    }


def patch_state(asset_id: str, **counts: int) -> Row:
    """A patch state; every count not given is zero."""
    names = PAGE_SCHEMAS[Kind.PATCH_STATE].names[1:-1]
    return {
        "asset_id": asset_id,
        **{name: counts.get(name.removeprefix("patches_"), 0) for name in names},
        "patch_scanned_at": LAUNCHED,
    }


@dataclass
class FakeRegion:
    """What one region holds, kind by kind; change the lists to move the world."""

    instances: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    volumes: list[Row] = field(default_factory=list)
    groups: list[Row] = field(default_factory=list)
    patch_states: list[Row] = field(default_factory=list)

    def rows(self, kind: Kind, ids: Sequence[str]) -> list[Row]:
        """The rows a listing of this kind would give."""
        match kind:
            case Kind.INSTANCE:
                return list(self.instances)
            case Kind.VOLUME:
                return list(self.volumes)
            case Kind.SECURITY_GROUP:
                return list(self.groups)
            case Kind.IMAGE:
                return [row for row in self.images if row["image_ref"] in ids]
            case Kind.PATCH_STATE:
                return [row for row in self.patch_states if row["asset_id"] in ids]
        raise AssertionError(f"nobody lists {kind}")


Regions = dict[str, FakeRegion]


def denied() -> Denied:
    """An answer that says no."""
    return Denied("ec2:Describe* is not permitted; grant it to the connector's role.")


def unavailable() -> Unavailable:
    """No answer."""
    return Unavailable("The API throttles; ask again later.")


def truncated() -> Truncated:
    """Half an answer."""
    return Truncated("The answer broke off; ask again.")


class FakeCloud(Cloud):
    """Accounts -> regions -> rows, in pages of `page_size`.

    `connectors` leads from (tenant, connector name) to the accounts it sees; one not listed there
    sees every account. Failures are kept by (account, region, kind, page), pages from 0, None
    matching all pages; regions of `Kind.REGION` and `Kind.ACCOUNT` are "". They stay until healed.
    """

    def __init__(
        self,
        accounts: Mapping[str, Regions] | None = None,
        *,
        page_size: int = 2,
        connectors: Mapping[tuple[str, str], Sequence[str]] | None = None,
        platform: Platform = Platform.AWS,
        kinds: Sequence[Kind] = tuple(PAGE_SCHEMAS),
        come_and_go: bool = False,
    ) -> None:
        self.platform = platform
        self.kinds = kinds
        self.come_and_go = come_and_go  # whether a region that is gone still answers, as empty
        self.accounts: dict[str, Regions] = dict(accounts or {})
        self.page_size = page_size
        self.connectors = dict(connectors or {})
        self.calls: list[tuple[Scope, tuple[str, ...]]] = []
        self._failures: dict[tuple[str, str, Kind, int | None], QlrfError | str] = {}
        self._lock = threading.Lock()

    def region(self, account: str, region: str) -> FakeRegion:
        """A region, made if it does not exist yet."""
        return self.accounts.setdefault(account, {}).setdefault(region, FakeRegion())

    def fail(
        self,
        account: str,
        region: str = "",
        kind: Kind = Kind.INSTANCE,
        *,
        page: int | None = None,
        error: QlrfError | str | None = None,
    ) -> None:
        """Break one page (or all) of a listing from now on; ENDLESS takes its end marker away."""
        self._failures[account, region, kind, page] = error or unavailable()

    def heal(self) -> None:
        """Every page can be read again."""
        self._failures.clear()

    def sessions(self, connector: Connector) -> Sequence[CloudSession | LostAccount]:
        names = self.connectors.get((connector.tenant, connector.name), tuple(self.accounts))
        return [self._session(name, connector) for name in names]

    def _session(self, account: str, connector: Connector) -> CloudSession | LostAccount:
        error = self.failure(account, "", Kind.ACCOUNT, 0)
        if isinstance(error, QlrfError):
            return LostAccount(account=account, error=error)
        return FakeSession(self, account, connector)

    def failure(self, account: str, region: str, kind: Kind, page: int) -> QlrfError | str | None:
        """What is wrong with this page."""
        one = self._failures.get((account, region, kind, page))
        return one or self._failures.get((account, region, kind, None))

    def called(self, scope: Scope, ids: Sequence[str]) -> None:
        """Remember a listing."""
        with self._lock:
            self.calls.append((scope, tuple(ids)))


class FakeSession(CloudSession):
    """One account of a fake cloud."""

    def __init__(self, cloud: FakeCloud, account: str, connector: Connector) -> None:
        self.account = account
        self.identity = f"arn:aws:iam::{account}:role/qlrf"
        self.kinds = cloud.kinds
        self._cloud = cloud
        self._connector = connector

    def regions(self, *, known: Sequence[str] = ()) -> Sequence[str]:
        error = self._cloud.failure(self.account, "", Kind.REGION, 0)
        if isinstance(error, QlrfError):
            raise error
        there = tuple(sorted(self._cloud.accounts[self.account]))
        gone = [region for region in known if region not in there]
        return self._connector.regions or (*there, *(gone if self._cloud.come_and_go else ()))

    def list_scope(self, scope: Scope, *, ids: Sequence[str] = ()) -> Iterator[Page]:
        self._cloud.called(scope, ids)
        held = self._cloud.accounts[self.account].get(scope.region, FakeRegion())
        rows = held.rows(scope.kind, ids)
        size = self._cloud.page_size
        count = max(1, -(-len(rows) // size))
        for number in range(count):
            error = self._cloud.failure(self.account, scope.region, scope.kind, number)
            if isinstance(error, QlrfError):
                raise error
            batch = _batch(scope.kind, rows[number * size : (number + 1) * size])
            yield Page(rows=batch, last=number == count - 1 and error != ENDLESS)


def _batch(kind: Kind, rows: Sequence[Row]) -> pa.RecordBatch:
    plain = [
        row | {"tags": sorted(row["tags"].items())} if row.get("tags") is not None else row
        for row in rows
    ]
    return pa.RecordBatch.from_pylist(plain, schema=PAGE_SCHEMAS[kind])
