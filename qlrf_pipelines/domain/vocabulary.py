"""The words of the platform, one set for schema, database, lake, marts and code."""

from enum import StrEnum


class Platform(StrEnum):
    """Where an asset runs."""

    AWS = "aws"
    AZURE = "azure"
    GCP = "gcp"
    VSPHERE = "vsphere"
    KUBERNETES = "kubernetes"
    BAREMETAL = "baremetal"


class Environment(StrEnum):
    """What an asset is for."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"
    DR = "dr"
    SANDBOX = "sandbox"


class AssetState(StrEnum):
    """What the cloud says an asset is doing; running and pending count as active."""

    RUNNING = "running"
    STOPPED = "stopped"
    PENDING = "pending"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"


ACTIVE_STATES = (AssetState.RUNNING, AssetState.PENDING)


class ImageStatus(StrEnum):
    """The life of a golden image version."""

    DRAFT = "draft"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class Resolution(StrEnum):
    """How an asset's image reference was led back to a golden image."""

    COORDINATE = "coordinate"
    TAG = "tag"
    NONE = "none"


class DriftVerdict(StrEnum):
    """How far an asset is from its golden image, best to worst."""

    CURRENT = "current"
    EXEMPT = "exempt"
    BEHIND_IN_GRACE = "behind_in_grace"
    AHEAD = "ahead"
    BEHIND = "behind"
    RETIRED = "retired"
    UNMANAGED = "unmanaged"
    STALE = "stale"
    UNKNOWN = "unknown"


COVERED_VERDICTS = (DriftVerdict.CURRENT, DriftVerdict.EXEMPT, DriftVerdict.BEHIND_IN_GRACE)


class Health(StrEnum):
    """How a scope of assets stands: healthy ≥ 90 % coverage, warning ≥ 70 %, critical below."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    NO_DATA = "no_data"


class RiskLevel(StrEnum):
    """Risk bands: low < 25, medium < 50, high < 75, critical."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ControlVerdict(StrEnum):
    """What a control found on one asset; a missing fact is never_proven, never pass."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    MANUAL = "manual"
    NEVER_PROVEN = "never_proven"


class Severity(StrEnum):
    """How much a failed control matters."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class ListingStatus(StrEnum):
    """How the last attempt to list a scope ended.

    complete    every page was read and the end marker was seen
    incomplete  a page failed, or the end marker never came
    denied      our identity may not list it
    held        complete, but so much vanished at once that a human must accept it
    abandoned   no connector asks for this scope any more; its assets are kept until accepted
    """

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    DENIED = "denied"
    HELD = "held"
    ABANDONED = "abandoned"


class Change(StrEnum):
    """What happened to an asset between two refreshes."""

    DISCOVERED = "discovered"
    UPDATED = "updated"
    MISSED = "missed"
    RETURNED = "returned"
    TOMBSTONED = "tombstoned"
