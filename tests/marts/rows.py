"""Rows of the lake with everything a test does not care about filled in."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.datasets import Dataset
from qlrf_pipelines.domain.estate import Connector, Estate, Tenant, TenantId
from qlrf_pipelines.domain.patching import (
    PatchPolicy,
    PatchSelector,
    PatchSource,
    SourceType,
    Strategy,
    StrategyType,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.lake import Lake
from tests.fakes.clock import NOON

Row = Mapping[str, Any]


def put(lake: Lake, dataset: Dataset, rows: Iterable[Row], *, tenants: Iterable[str]) -> None:
    """Replace these tenants' rows of a dataset; columns not given are null."""
    blank = dict.fromkeys(dataset.schema.names)
    table = pa.Table.from_pylist([blank | dict(row) for row in rows], schema=dataset.schema)
    lake.replace(dataset, table.to_reader(), tenants=[TenantId(t) for t in tenants])


def asset(tenant: str, number: int, **facts: Any) -> dict[str, Any]:
    """One inventory row."""
    region = facts.get("region", "us-east-1")
    return {
        "tenant": tenant,
        "connector": "main",
        "platform": "aws",
        "account": "111122223333",
        "region": region,
        "kind": "instance",
        "asset_key": key(tenant, number),
        "asset_id": f"i-{number:04d}",
        "name": f"{tenant}-{number}",
        "environment": "production",
        "site": region,
        "image_ref": "ami-1",
        "image_readable": True,
        "instance_type": "t3.micro",
        "state": "running",
        "launched_at": NOON - timedelta(days=3),
        "first_seen": NOON - timedelta(days=2),
        "last_seen": NOON,
        "tags": [("Name", f"{tenant}-{number}")],
        "imds_v2": True,
        "volume_count": 1,
        "ebs_encrypted": True,
        "public_ip": "",
        "open_ports": [],
        "fresh": True,
        "missed": 0,
        "change_seq": 1,
        "change": "discovered",
        "changed_at": NOON,
        "refresh_id": "r-0001",
        **facts,
    }


def key(tenant: str, number: int) -> str:
    """The asset key of an asset made by `asset`."""
    return f"aws:111122223333:{tenant}:i-{number:04d}"


def drift(tenant: str, number: int, verdict: str = "current", **facts: Any) -> dict[str, Any]:
    """One drift row."""
    managed = verdict != "unmanaged"
    return {
        "tenant": tenant,
        "asset_key": key(tenant, number),
        "active": True,
        "family": "base" if managed else None,
        "version": "1.6.4" if managed else None,
        "resolution": "coordinate" if managed else "none",
        "drift_verdict": verdict,
        "judged_verdict": verdict if verdict != "exempt" else "behind",
        "drift_score": {"current": 0.0, "exempt": 0.0, "behind": 30.5}.get(verdict, 90.0),
        "versions_behind": 0,
        "days_behind": 0,
        "approved_version": "1.6.4",
        "reason": f"It is {verdict}.",
        "as_of": NOON,
        **facts,
    }


def risk(tenant: str, number: int, **facts: Any) -> dict[str, Any]:
    """One risk row."""
    return {
        "tenant": tenant,
        "asset_key": key(tenant, number),
        "risk_score": 12.1,
        "risk_level": "low",
        "drift_factor": 0.1,
        "noncompliance_factor": 1 / 3,
        "exposure_factor": 0.0,
        "environment_factor": 1.5,
        "not_assessed": ["critical_vulnerabilities", "open_vulnerabilities"],
        "as_of": NOON,
        **facts,
    }


def result(tenant: str, control: str, number: int | None, verdict: str) -> dict[str, Any]:
    """One control result; without a number, of the tenant as a whole."""
    return {
        "tenant": tenant,
        "control_id": control,
        "asset_key": "" if number is None else key(tenant, number),
        "verdict": verdict,
        "detail": "because",
        "as_of": NOON,
    }


def scope(tenant: str, region: str, status: str = "complete", **facts: Any) -> dict[str, Any]:
    """One scope certificate."""
    return {
        "tenant": tenant,
        "connector": "main",
        "platform": "aws",
        "account": "111122223333",
        "region": region,
        "kind": "instance",
        "scope_id": f"main/111122223333/{region}/instance",
        "refresh_id": "r-0001",
        "started_at": NOON - timedelta(seconds=2),
        "finished_at": NOON,
        "status": status,
        "pages": 1,
        "end_marker": status == "complete",
        "listed": 2,
        "live": 2,
        "vanished": 0,
        "last_complete_at": NOON,
        **facts,
    }


def daily(tenant: str, scope_type: str, scope_value: str, **facts: Any) -> dict[str, Any]:
    """One row of the daily scores."""
    return {
        "tenant": tenant,
        "day": NOON.date(),
        "scope_type": scope_type,
        "scope_value": scope_value,
        "total": 2,
        "current": 1,
        "drifted": 1,
        "managed": 1.0,
        "coverage": 0.5,
        "status": "critical",
        "mean_score": 15.25,
        "as_of": NOON,
        **facts,
    }


def image(tenant: str, version: str, **facts: Any) -> dict[str, Any]:
    """One golden image version."""
    return {
        "tenant": tenant,
        "family": "base",
        "version": version,
        "version_key": version,
        "status": "production",
        "promoted_at": NOON - timedelta(days=30),
        "environments": ["production", "staging"],
        "os_name": "ubuntu",
        "os_version": "22.04",
        "arch": "x86_64",
        "shared": False,
        "coordinates": [{"platform": "aws", "region": "us-east-1", "image_ref": "ami-1"}],
        **facts,
    }


def drill(tenant: str, own: str, **facts: Any) -> dict[str, Any]:
    """One drill, closed, that proved everything."""
    return {
        "tenant": tenant,
        "drill_id": own,
        "application": "orders",
        "plan": "orders-full",
        "plan_digest": "ab" * 32,
        "pair": "london-dublin",
        "primary_site": "london",
        "recovery_site": "dublin",
        "environment": "staging",
        "tier": 1,
        "drill_type": "full",
        "phase": "closed",
        "outcome": "passed",
        "requested_by": "rita",
        "requested_at": NOON - timedelta(hours=2),
        "declared_at": NOON - timedelta(hours=1),
        "ended_at": NOON,
        "members": 1,
        "members_proven": 1,
        "rto_target": 300.0,
        "rto_seconds": 12.25,
        "rto_verdict": "met",
        "rto_reason": "measured",
        "rpo_target": 30.0,
        "rpo_seconds": 1 / 3,
        "rpo_verdict": "met",
        "rpo_reason": "measured",
        "writes": 50,
        "writes_acknowledged": 49,
        "writes_lost": 0,
        "left_over": 0,
        "ledger_seq": 7,
        "as_of": NOON,
        **facts,
    }


def drill_phase(tenant: str, own: str, number: int, phase: str, **facts: Any) -> dict[str, Any]:
    """One phase that passed."""
    return {
        "tenant": tenant,
        "drill_id": own,
        "number": number,
        "phase": phase,
        "started_at": NOON,
        "ended_at": NOON + timedelta(seconds=5),
        "seconds": 5.25,
        "event": "passed",
        "reason": "",
        "attempts": 1,
        "as_of": NOON,
        **facts,
    }


def resilience(tenant: str, scope_type: str, scope_value: str, **facts: Any) -> dict[str, Any]:
    """One scope that is ready."""
    counts = dict.fromkeys(
        ("applications", "ready", "plans", "plans_ready", "drills", "members", "members_proven"), 1
    )
    zero = dict.fromkeys(
        (
            "plans_never_drilled",
            "plans_due",
            "plans_overdue",
            "drills_failed",
            "open_drills",
            "held_drills",
            "targets_missed",
            "targets_not_proven",
        ),
        0,
    )
    return {
        "tenant": tenant,
        "scope_type": scope_type,
        "scope_value": scope_value,
        **counts,
        **zero,
        "coverage": 1.0,
        "status": "healthy",
        "readiness": "ready",
        "reason": "",
        "targets": 2,
        "targets_met": 2,
        "failure_upper": 0.95,
        "as_of": NOON,
        **facts,
    }


def patch_sla(
    tenant: str, number: int, status: str, *, days: int | None = None, **facts: Any
) -> dict[str, Any]:
    """One promise on one asset, due in so many days."""
    due_at = None if days is None else NOON + timedelta(days=days)
    return {
        "tenant": tenant,
        "asset_key": key(tenant, number),
        "policy": "monthly",
        "severity": "critical",
        "measured_by": "critical_patches",
        "active": True,
        "status": status,
        "since": None if due_at is None else due_at - timedelta(days=7),
        "within_seconds": 7 * 86_400,
        "due_at": due_at,
        "reason": f"It is {status}.",
        "as_of": NOON,
        **facts,
    }


MONTHLY = PatchPolicy(
    name="monthly",
    tenant=None,
    description="",
    selector=PatchSelector(),
    source=PatchSource(type=SourceType.OS_VENDOR),
    strategy=Strategy(type=StrategyType.ROLLING),
)


def estate(*names: str) -> Estate:
    """An estate of tenants with one connector each, and a patch policy for all of them."""
    return Estate(
        patches=(MONTHLY,),
        tenants=tuple(
            Tenant(
                name=TenantId(name),
                display_name=name.title(),
                connectors=(Connector(tenant=TenantId(name), name="main", platform=Platform.AWS),),
            )
            for name in names
        ),
    )
