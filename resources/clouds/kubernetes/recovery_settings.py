"""What a contract says of a member that the Kubernetes adapter moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.recovery import Member, Side
from resources.recovery.declared import CANARY, CREDENTIALS, TEXT, checked, fields

_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
PLACE = fields(
    "server",
    "namespace",
    "credentials",
    server={"type": "string", "pattern": "^https://[^/]+$"},
    namespace=_NAME,
    credentials=CREDENTIALS,
    caFile=TEXT,
)
WORKLOAD = fields(
    "kind",
    "primary",
    "recovery",
    "replicas",
    kind={"enum": ["Deployment", "StatefulSet"]},
    primary=_NAME,
    recovery=_NAME,
    replicas={"type": "integer", "minimum": 1},
)
SELECTOR = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}
SERVICE = {
    **fields(
        "name",
        "at",
        name=_NAME,
        at={"enum": ["primary", "recovery"]},
        selector=SELECTOR,
        externalName=TEXT,
    ),
    "oneOf": [{"required": ["selector"]}, {"required": ["externalName"]}],
}
SCHEMA = fields(
    "primary",
    "recovery",
    "workloads",
    primary=PLACE,
    recovery=PLACE,
    workloads={"type": "array", "items": WORKLOAD, "minItems": 1},
    service=SERVICE,
    canary=CANARY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One namespace of one cluster; `trust` is a file of certificates to believe."""

    server: str
    namespace: str
    trust: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs the service at one side: its kind, and what it is called."""

    kind: str
    name: str

    @property
    def path(self) -> str:
        """Where it is below a namespace's apps."""
        return f"{self.kind.lower()}s/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The Service clients use, where it is, and its spec when the recovery side serves."""

    name: str
    at: Side
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """One member's workloads at both sides, and how many replicas the recovery side gets."""

    member: str
    primary: Place
    recovery: Place
    at_primary: tuple[Workload, ...]
    at_recovery: Mapping[Workload, int]
    service: ServiceSettings | None


def kubernetes_settings(member: Member) -> KubernetesSettings:
    """A member's settings.

    Raises:
        Rejected: they are not this adapter's.
    """
    given = checked(member, SCHEMA)
    workloads = given["workloads"]
    return KubernetesSettings(
        member=member.name,
        primary=_place(given["primary"]),
        recovery=_place(given["recovery"]),
        at_primary=tuple(Workload(kind=w["kind"], name=w["primary"]) for w in workloads),
        at_recovery={
            Workload(kind=w["kind"], name=w["recovery"]): w["replicas"] for w in workloads
        },
        service=_service(given["service"]) if "service" in given else None,
    )


def _place(given: Mapping[str, Any]) -> Place:
    return Place(server=given["server"], namespace=given["namespace"], trust=given.get("caFile"))


def _service(given: Mapping[str, Any]) -> ServiceSettings:
    spec = {key: given[key] for key in ("selector", "externalName") if key in given}
    return ServiceSettings(name=given["name"], at=Side(given["at"]), spec=spec)
