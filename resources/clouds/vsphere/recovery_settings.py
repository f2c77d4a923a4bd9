"""What a contract says of a member that the vSphere adapter moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.recovery import Member
from resources.recovery.declared import CANARY, CREDENTIALS, NUMBER, TEXT, checked, fields

_REACH: dict[str, Any] = {
    "server": TEXT,
    "datacenter": TEXT,
    "credentials": CREDENTIALS,
    "caFile": TEXT,
}
_NEEDED = ("server", "datacenter", "credentials")
MACHINE = fields("name", name=TEXT, source=TEXT)
SCHEMA = fields(
    "primary",
    "recovery",
    "machines",
    "failBack",
    primary=fields(*_NEEDED, **_REACH),
    recovery=fields(
        *(*_NEEDED, "pool", "network", "isolated"),
        **_REACH,
        pool=TEXT,
        folder=TEXT,
        datastore=TEXT,
        network=TEXT,
        isolated=TEXT,
    ),
    machines={"type": "array", "items": MACHINE, "minItems": 1},
    # What was written on the recovery side stays there: whoever declares a member says so.
    failBack={"const": "restart-primary"},
    verify={"enum": ["tools", "power"]},
    maxAgeSeconds=NUMBER,
    canary=CANARY,
)
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vcenter:
    """One vCenter and the datacenter in it; `trust` is a file of certificates to believe."""

    server: str
    datacenter: str
    trust: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where clones are put, and the two port groups they may be in."""

    pool: str
    folder: str
    datastore: str | None
    network: str
    isolated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VsphereSettings:
    """One member's machines by path in the inventory, each with what it is cloned from."""

    member: str
    primary: Vcenter
    recovery: Vcenter
    destination: Destination
    machines: Mapping[str, str]
    tools: bool
    max_age: float


def vsphere_settings(member: Member) -> VsphereSettings:
    """A member's settings.

    Raises:
        Rejected: they are not this adapter's.
    """
    given = checked(member, SCHEMA)
    there = given["recovery"]
    return VsphereSettings(
        member=member.name,
        primary=_vcenter(given["primary"]),
        recovery=_vcenter(there),
        destination=Destination(
            pool=there["pool"],
            folder=there.get("folder", ""),
            datastore=there.get("datastore"),
            network=there["network"],
            isolated=there["isolated"],
        ),
        machines={item["name"]: item.get("source", item["name"]) for item in given["machines"]},
        tools=given.get("verify", "tools") == "tools",
        max_age=given.get("maxAgeSeconds", DAY),
    )


def _vcenter(given: Mapping[str, Any]) -> Vcenter:
    return Vcenter(
        server=given["server"],
        datacenter=given["datacenter"],
        trust=given.get("caFile"),
    )
