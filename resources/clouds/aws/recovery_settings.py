"""What a contract says of a member that the AWS adapter moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.recovery import Member
from resources.recovery.declared import CANARY, CREDENTIALS, NUMBER, TEXT, TEXTS, checked, fields

NETWORK = fields("subnet", "securityGroups", subnet=TEXT, securityGroups=TEXTS)
INSTANCE = fields("id", "type", id=TEXT, type=TEXT)
RECORD = fields(
    "zone",
    "name",
    "type",
    zone=TEXT,
    name=TEXT,
    type={"enum": ["A", "CNAME"]},
    ttl=NUMBER,
    values=TEXTS,
    address={"enum": ["private", "public"]},
    weighted=fields("primary", "recovery", primary=TEXT, recovery=TEXT),
)
SCHEMA = fields(
    "primaryRegion",
    "recoveryRegion",
    "instances",
    "network",
    "isolated",
    "failBack",
    primaryRegion=TEXT,
    recoveryRegion=TEXT,
    instances={"type": "array", "items": INSTANCE, "minItems": 1},
    network=NETWORK,
    isolated=NETWORK,
    # What was written on the recovery side stays there: whoever declares a member says so.
    failBack={"const": "restart-primary"},
    record=RECORD,
    sourceTag=TEXT,
    deviceTag=TEXT,
    timeTag=TEXT,
    architecture={"enum": ["x86_64", "arm64"]},
    rootDevice=TEXT,
    instanceProfile=TEXT,
    copyFromPrimary={"type": "boolean"},
    maxAgeSeconds=NUMBER,
    credentials=CREDENTIALS,
    assumeRole=TEXT,
    endpointUrl=TEXT,
    canary=CANARY,
)
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Where instances are put."""

    subnet: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """The DNS record that says where the service is; `weighted` are two set identifiers."""

    zone: str
    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    public: bool
    weighted: tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSettings:
    """One member's machines, where they come back, and how they are found by."""

    member: str
    primary: str
    recovery: str
    types: Mapping[str, str]
    network: Network
    isolated: Network
    record: RecordSettings | None
    source_tag: str
    device_tag: str
    time_tag: str
    architecture: str
    root_device: str
    profile: str | None
    copy: bool
    max_age: float

    @property
    def instances(self) -> Sequence[str]:
        """The declared instances, as the primary region calls them."""
        return list(self.types)


def aws_settings(member: Member) -> AwsSettings:
    """A member's settings.

    Raises:
        Rejected: they are not this adapter's.
    """
    given = checked(member, SCHEMA)
    return AwsSettings(
        member=member.name,
        primary=given["primaryRegion"],
        recovery=given["recoveryRegion"],
        types={item["id"]: item["type"] for item in given["instances"]},
        network=_network(given["network"]),
        isolated=_network(given["isolated"]),
        record=_record(given["record"]) if "record" in given else None,
        source_tag=given.get("sourceTag", "instance-id"),
        device_tag=given.get("deviceTag", "device"),
        time_tag=given.get("timeTag", "timestamp"),
        architecture=given.get("architecture", "x86_64"),
        root_device=given.get("rootDevice", "/dev/xvda"),
        profile=given.get("instanceProfile"),
        copy=given.get("copyFromPrimary", False),
        max_age=given.get("maxAgeSeconds", DAY),
    )


def _network(given: Mapping[str, Any]) -> Network:
    return Network(subnet=given["subnet"], groups=tuple(given["securityGroups"]))


def _record(given: Mapping[str, Any]) -> RecordSettings:
    weighted = given.get("weighted")
    return RecordSettings(
        zone=given["zone"],
        name=given["name"].rstrip(".").lower() + ".",
        type=given["type"],
        ttl=int(given.get("ttl", 60)),
        values=tuple(given.get("values", ())),
        public=given.get("address") == "public",
        weighted=(weighted["primary"], weighted["recovery"]) if weighted else None,
    )
