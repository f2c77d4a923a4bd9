"""A tenant of machines that lag behind their golden image, ready to be planned."""

from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.autonomy import AutonomyRule, AutonomyRules, Mode
from qlrf_pipelines.domain.datasets import GOLDEN_IMAGES
from qlrf_pipelines.domain.estate import ChangeRules, Estate
from qlrf_pipelines.domain.patching import (
    PatchPolicy,
    PatchSelector,
    PatchSource,
    SourceType,
    Strategy,
    StrategyType,
)
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from tests.fakes.estate import FakeEstate
from tests.fakes.observations import a_tenant, an_asset, keep, observed
from tests.fakes.world import fake_world

AT_REST = {"qlrf:criticality": "low", "qlrf:dependents": "0", "qlrf:external-dependents": "no"}


def machine(number: int, environment: str = "production", **facts: Any) -> dict[str, Any]:
    return (
        an_asset(
            "acme",
            f"i-{number:04}",
            name=f"web-{number}",
            account="111122223333",
            region="us-east-1",
            environment=environment,
            state="running",
            image_ref="ami-0aaaaaaaaaaaaaaa0",
            tags=sorted(AT_REST.items()),
        )
        | facts
    )


def drifted(asset: dict[str, Any], verdict: str = "behind", **parts: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "asset_key": asset["asset_key"],
        "active": True,
        "family": "ql-base-linux",
        "version": "1.6.3",
        "resolution": "coordinate",
        "drift_verdict": verdict,
        "judged_verdict": verdict,
        "drift_score": 40.0,
        "versions_behind": 1,
        "days_behind": 20,
        "approved_version": "1.6.4",
        "reason": "1 version behind 1.6.4",
    } | parts


def release(version: str = "1.6.4", **parts: Any) -> dict[str, Any]:
    return {
        "tenant": "acme",
        "family": "ql-base-linux",
        "version": version,
        "status": "production",
        "environments": [e.value for e in Environment],
        "coordinates": [
            {"platform": "aws", "region": "us-east-1", "image_ref": "ami-0aaaaaaaaaaaaaaa1"}
        ],
    } | parts


def world_of(
    *assets: dict[str, Any],
    drift: list[dict[str, Any]] | None = None,
    policies: tuple[PatchPolicy, ...] = (),
    changes: ChangeRules | None = None,
    releases: list[dict[str, Any]] | None = None,
) -> World:
    tenant = replace(a_tenant("acme"), changes=changes or ChangeRules())
    world = fake_world(estate=FakeEstate(Estate(tenants=(tenant,), patches=policies)))
    rows = [drifted(asset) for asset in assets] if drift is None else drift
    observed(world.lake, "acme", assets, drift=rows)
    keep(world.lake, GOLDEN_IMAGES, [release()] if releases is None else releases, "acme")
    return world


def policy(**parts: Any) -> PatchPolicy:
    usual: dict[str, Any] = {
        "name": "maintenance",
        "tenant": None,
        "description": "",
        "selector": PatchSelector(environments=(Environment.PRODUCTION,)),
        "source": PatchSource(type=SourceType.GOLDEN_IMAGE),
        "strategy": Strategy(type=StrategyType.CANARY),
    }
    return PatchPolicy(**(usual | parts))


def rules(mode: Mode, **parts: Any) -> ChangeRules:
    return ChangeRules(autonomy=AutonomyRules(default=AutonomyRule(mode=mode, **parts)))


def fleet(count: int, environment: str = "production") -> list[dict[str, Any]]:
    return [machine(number, environment) for number in range(count)]
