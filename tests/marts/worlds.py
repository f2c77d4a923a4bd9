"""Two tenants with a little of everything, in a lake."""

from qlrf_pipelines.domain.datasets import (
    CONTROL_RESULTS,
    DRIFT,
    DRIFT_DAILY,
    DRILL_PHASES,
    DRILLS,
    GOLDEN_IMAGES,
    INVENTORY,
    PATCH_SLA,
    RESILIENCE,
    RISK,
    SCOPES,
)
from qlrf_pipelines.ports.lake import Lake
from tests.fakes.clock import NOON
from tests.marts import rows

BOTH = ("acme", "globex")
VERDICTS = ("current", "exempt", "behind", "unmanaged", "stale")


def fill(lake: Lake) -> None:
    """Acme has five active assets, a stopped one and a forgotten one; Globex has two."""
    acme = [rows.asset("acme", n) for n in range(5)]
    acme[1] |= {"environment": "staging", "region": "eu-west-1", "site": "Dublin"}
    acme[2] |= {
        "open_ports": [
            {"protocol": "tcp", "from_port": 22, "to_port": 22},
            {"protocol": "tcp", "from_port": 8000, "to_port": 8100},
            {"protocol": "-1", "from_port": None, "to_port": None},
        ],
        "public_ip": "203.0.113.7",
        "tags": [("Name", 'a "quoted", \\N name'), ("Ünïcode", "line\nbreak"), ("empty", "")],
        "fresh": False,
    }
    acme[3] |= {"open_ports": None, "public_ip": None, "imds_v2": None, "tags": None}
    acme.append(rows.asset("acme", 5, state="stopped"))
    acme.append(rows.asset("acme", 6, tombstoned_at=NOON, tombstone_reason="terminated"))
    globex = [rows.asset("globex", n, name="CANARY-globex") for n in range(2)]
    put = rows.put
    put(lake, INVENTORY, acme + globex, tenants=BOTH)
    put(
        lake,
        DRIFT,
        [rows.drift("acme", n, verdict) for n, verdict in enumerate(VERDICTS)]
        + [rows.drift("acme", 5, "current", active=False)]
        + [rows.drift("globex", 0)],  # the second one was not judged
        tenants=BOTH,
    )
    put(
        lake,
        RISK,
        [rows.risk("acme", n, risk_score=10.1 * n) for n in range(6)]
        + [rows.risk("globex", 0, not_assessed=[])],
        tenants=BOTH,
    )
    found = [
        rows.result("acme", "imds_v2", n, "never_proven" if n == 3 else "pass") for n in range(6)
    ]
    found += [rows.result("acme", "volumes_encrypted", n, "pass") for n in range(6)]
    found += [rows.result("acme", "access_review", None, "manual")]
    found += [rows.result("globex", "imds_v2", 0, "fail")]
    put(lake, CONTROL_RESULTS, found, tenants=BOTH)
    put(
        lake,
        SCOPES,
        [
            rows.scope("acme", "us-east-1"),
            rows.scope("acme", "eu-west-1", "denied", error="no"),
            rows.scope("globex", "us-east-1"),
        ],
        tenants=BOTH,
    )
    put(
        lake,
        GOLDEN_IMAGES,
        [
            rows.image("acme", "1.6.4"),
            rows.image("acme", "1.6.3", environments=[], cis_level=1),
            rows.image("globex", "1.6.4", promoted_at=None),
        ],
        tenants=BOTH,
    )
    put(lake, DRIFT_DAILY, [rows.daily(t, "tenant", t) for t in BOTH], tenants=BOTH)
    fill_patches(lake)
    fill_drills(lake)


def fill_patches(lake: Lake) -> None:
    """Acme's critical patches stand in every way there is; Globex lacks one of a gone machine."""
    high = {"severity": "high", "measured_by": "security_patches"}
    found = [
        rows.patch_sla("acme", 0, "met", missing=0),
        rows.patch_sla("acme", 1, "due", days=4, missing=1),
        rows.patch_sla("acme", 2, "breaching", days=1, missing=2),
        rows.patch_sla("acme", 3, "breached", days=-3, missing=3),
        rows.patch_sla("acme", 4, "unknown", days=-1),
        rows.patch_sla("acme", 5, "breached", days=-9, missing=1, active=False),
        rows.patch_sla("acme", 6, "breached", days=-9, missing=1),
        rows.patch_sla("acme", 2, "due", days=5, missing=1, **high),
    ]
    found += [rows.patch_sla("globex", 0, "unknown", days=6)]
    rows.put(lake, PATCH_SLA, found, tenants=BOTH)


def fill_drills(lake: Lake) -> None:
    """Acme drilled twice, the second time without a verdict; Globex has a pair and no drill."""
    put = rows.put
    held = {"phase": "held", "outcome": "failed", "rto_verdict": None, "ended_at": None}
    put(
        lake,
        DRILLS,
        [
            rows.drill("acme", "d-1"),
            rows.drill("acme", "d-2", **held),
            rows.drill("globex", "d-3", drill_type="tabletop", rto_verdict="not_proven"),
        ],
        tenants=BOTH,
    )
    put(
        lake,
        DRILL_PHASES,
        [
            rows.drill_phase("acme", "d-1", 1, "validation"),
            rows.drill_phase("acme", "d-1", 2, "isolation", seconds=None, reason="a | b"),
            rows.drill_phase("acme", "d-2", 1, "held", event=None, ended_at=None),
        ],
        tenants=BOTH,
    )
    bad = {
        "ready": 0,
        "coverage": 0.5,
        "status": "critical",
        "readiness": "never_drilled",
        "reason": "no drill that moved anything was ever closed",
    }
    put(
        lake,
        RESILIENCE,
        [
            rows.resilience("acme", "tenant", "acme", applications=2, **bad | {"ready": 1}),
            rows.resilience("acme", "application", "orders"),
            rows.resilience("acme", "application", "billing", **bad),
            rows.resilience("acme", "plan", "orders-full", rto_seconds=12.25, rto_verdict="met"),
            rows.resilience(
                "acme",
                "site",
                "paris",
                coverage=None,
                status="no_data",
                readiness="no_data",
                paired=False,
            ),
        ],
        tenants=BOTH,
    )
