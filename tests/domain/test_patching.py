# ruff: noqa: E501
"""Patch policies: the shipped ones mean what they say, and every known mistake is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.change_risk import Factor
from qlrf_pipelines.domain.patching import (
    PatchPolicy,
    StrategyType,
    Trigger,
    Unit,
    in_unit,
    windows_for,
)
from qlrf_pipelines.domain.schedules import Weekday, cron
from qlrf_pipelines.domain.vocabulary import Environment, Severity
from resources.estate import FolderEstate
from resources.estate_schema import CONTRACTS
from tests.fakes.contracts import LEAST_TENANT, policy, problems, write

METRIC = "{{name: m, type: {type}, query: q, threshold: {{value: 1, unit: {unit}}}{more}}}"


def metric(type: str, unit: str, more: str = "") -> str:
    return policy(
        more="analysis: {metrics: [" + METRIC.format(type=type, unit=unit, more=more) + "]}"
    )


def loaded(tmp_path: Path, text: str) -> PatchPolicy:
    (found,) = (
        FolderEstate(write(tmp_path, tenants__acme=LEAST_TENANT, patches__p=text)).load().patches
    )
    return found


def shipped(name: str) -> PatchPolicy:
    estate = FolderEstate(CONTRACTS / "examples").load()
    return next(item for item in estate.patches if item.name == name)


def test_the_examples_are_all_there() -> None:
    names = {item.name for item in FolderEstate(CONTRACTS / "examples").load().patches}

    assert names == {
        "critical-security",
        "monthly-maintenance",
        "kubernetes-rolling",
        "kubernetes-blue-green",
        "aws-blue-green",
    }


def test_thresholds_are_in_the_unit_the_query_answers_in() -> None:
    metrics = {m.name: m for m in shipped("kubernetes-rolling").analysis.metrics}

    assert metrics["slowest"].threshold == pytest.approx(0.2)  # 200 ms
    assert metrics["slowest"].unit is Unit.SECONDS
    assert metrics["errors"].threshold == 0.005


def test_percent_and_ratio_convert_and_time_does_not_become_a_share() -> None:
    assert in_unit(1, Unit.PERCENT, wanted=Unit.RATIO) == pytest.approx(0.01)
    assert in_unit(500, Unit.MILLISECONDS, wanted=Unit.SECONDS) == pytest.approx(0.5)
    assert in_unit(1, Unit.SECONDS, wanted=Unit.RATIO) is None


def test_monthly_maintenance_is_planned_on_the_second_saturday() -> None:
    schedule = shipped("monthly-maintenance").schedule

    assert schedule.type is Trigger.SCHEDULED
    assert schedule.cron is not None
    fires = cron(schedule.cron).next_after(
        datetime(2026, 11, 1, tzinfo=UTC), timezone=schedule.timezone
    )
    assert fires == datetime(2026, 11, 14, 7, tzinfo=UTC)


def test_each_environment_has_its_own_maintenance_window() -> None:
    strategy = shipped("monthly-maintenance").strategy

    (staging,) = windows_for(strategy, Environment.STAGING)
    (production,) = windows_for(strategy, Environment.PRODUCTION)

    assert staging.days == (Weekday.TUESDAY,)
    assert (production.days, production.lasts) == ((Weekday.SATURDAY,), timedelta(hours=6))
    assert windows_for(strategy, Environment.DR) == ()


def test_blue_green_is_blue_green_and_rolling_is_a_canary() -> None:
    assert shipped("kubernetes-blue-green").strategy.type is StrategyType.BLUE_GREEN
    assert shipped("kubernetes-blue-green").strategy.preview == timedelta(minutes=30)
    steps = shipped("kubernetes-rolling").strategy.steps
    assert [step.percent for step in steps] == [10, 25, 50, 100]


def test_what_is_left_out_has_the_documented_default(tmp_path: Path) -> None:
    found = loaded(tmp_path, policy())

    assert found.source.severity == (Severity.CRITICAL, Severity.HIGH)
    assert found.strategy.initial_percent == 10
    assert found.strategy.auto_promote is False
    assert found.health_check.initial_delay == timedelta(minutes=2)
    assert found.rollback.failure_percent == 20
    assert found.approval.auto_approve_for == (Environment.DEVELOPMENT, Environment.STAGING)
    assert found.approval.timeout == timedelta(hours=24)
    assert found.schedule.type is Trigger.MANUAL
    assert found.sla.patch_within[Severity.MEDIUM] == timedelta(days=30)


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        (
            policy(strategy="{type: immediate, maxUnavailable: 25%}"),
            "spec.strategy.maxUnavailable",
            "not of immediate",
        ),
        (policy(strategy="{type: maintenance-window}"), "spec.strategy.windows", "needs it"),
        (
            policy(strategy="{type: canary, initialPercent: 60%}"),
            "spec.strategy.initialPercent",
            "cannot be",
        ),
        (
            policy(strategy="{type: rolling, maxUnavailable: 25}"),
            "spec.strategy.maxUnavailable",
            "must be text",
        ),
        (
            policy(
                strategy="{type: canary, steps: [{percent: 50%, pause: 5m}, {percent: 50%, pause: 5m}, {percent: 100%, pause: 0s}]}"
            ),
            "spec.strategy.steps[1].percent",
            "not more",
        ),
        (
            policy(strategy="{type: canary, steps: [{percent: 50%, pause: 5m}]}"),
            "spec.strategy.steps[0].percent",
            "not 100%",
        ),
        (
            policy(
                strategy="{type: canary, initialPercent: 5%, steps: [{percent: 10%, pause: 5m}, {percent: 100%, pause: 0s}]}"
            ),
            "spec.strategy.initialPercent",
            "first step",
        ),
        (
            policy(
                strategy="{type: maintenance-window, timezone: EST5, windows: [{dayOfWeek: Sat, start: '02:00', duration: 6h}]}"
            ),
            "spec.strategy.timezone",
            "no time zone",
        ),
        (
            policy(
                strategy="{type: maintenance-window, windows: [{dayOfWeek: Caturday, start: '02:00', duration: 6h}]}"
            ),
            "spec.strategy.windows[0].dayOfWeek",
            "no weekday",
        ),
        (
            policy(
                strategy="{type: maintenance-window, windows: [{dayOfWeek: '', start: '02:00', duration: 6h}]}"
            ),
            "spec.strategy.windows[0].dayOfWeek",
            "cannot be",
        ),
        (policy(source="{type: custom-repository}"), "spec.source.repository", "needs it"),
        (
            policy(source="{type: os-vendor}", strategy="{type: blue-green}"),
            "spec.source.type",
            "no second side",
        ),
        (
            policy(
                source="{type: custom-repository, repository: 'https://packages.example.com'}",
                strategy="{type: blue-green}",
            ),
            "spec.source.type",
            "no second side",
        ),
        (
            policy(source="{type: os-vendor, goldenImage: {family: ql-base-linux}}"),
            "spec.source.goldenImage",
            "not of os-vendor",
        ),
        (
            policy(
                source="{type: golden-image, goldenImage: {family: ql-base-linux, version: '1.6'}}"
            ),
            "spec.source.goldenImage.version",
            "no semantic version",
        ),
        (
            policy(more="schedule: {type: scheduled, cron: '0 2 8-14 * 6'}"),
            "spec.schedule.cron",
            "either",
        ),
        (policy(more="schedule: {type: scheduled}"), "spec.schedule.cron", "needs it"),
        (
            policy(more="schedule: {type: manual, driftAge: 7d}"),
            "spec.schedule.driftAge",
            "not of manual",
        ),
        (metric("latency-p99", "percent"), "spec.analysis.metrics[0].threshold.unit", "is a time"),
        (
            metric("error-rate", "milliseconds"),
            "spec.analysis.metrics[0].threshold.unit",
            "is a share",
        ),
        (
            metric("custom", "count", ", queryUnit: seconds"),
            "spec.analysis.metrics[0].queryUnit",
            "converted",
        ),
        (
            policy(more="healthCheck: {interval: 30, checks: [{type: ssm-ping}]}"),
            "spec.healthCheck.interval",
            "must be text",
        ),
        (policy(more="colour: blue"), "spec.colour", "not a field"),
    ],
)
def test_every_known_mistake_is_refused_with_its_place(
    tmp_path: Path, text: str, field: str, says: str
) -> None:
    (found,) = problems(write(tmp_path, tenants__acme=LEAST_TENANT, patches__p=text))

    assert (found.field, says in found.message) == (field, True), str(found)
    assert found.line > 0
    assert found.remedy


def test_blue_green_with_a_golden_image_is_fine(tmp_path: Path) -> None:
    found = loaded(tmp_path, policy(strategy="{type: blue-green}"))

    assert found.strategy.type is StrategyType.BLUE_GREEN


def test_all_mistakes_of_a_policy_are_told_at_once(tmp_path: Path) -> None:
    text = policy(strategy="{type: rolling, previewDuration: 5m}", more="schedule: {type: weekly}")

    found = problems(write(tmp_path, tenants__acme=LEAST_TENANT, patches__p=text))

    assert [p.field for p in found] == ["spec.strategy.previewDuration", "spec.schedule.type"]


def test_a_policy_of_a_tenant_hides_a_shared_one_of_its_name(tmp_path: Path) -> None:
    own = policy().replace("{name: monthly}", "{name: monthly, tenant: acme}")
    folder = write(tmp_path, tenants__acme=LEAST_TENANT, patches__a=policy(), patches__b=own)

    estate = FolderEstate(folder).load()

    assert len(estate.patches) == 2
    assert [p.tenant for p in estate.patches_of(estate.tenants[0].name)] == ["acme"]


def test_a_tenant_sets_its_own_rules_for_changes(tmp_path: Path) -> None:
    text = LEAST_TENANT.replace(
        "spec: {}",
        "spec: {changes: {timezone: Europe/Berlin, riskWeights: {changeSize: 0.5},"
        " autonomy: {mode: risk_based, maxAssets: 10, environments: {production: {mode: plan_only}}}}}",
    )

    (tenant,) = FolderEstate(write(tmp_path, tenants__acme=text)).load().tenants

    rules = tenant.changes
    assert rules.risk.timezone == rules.timezone == "Europe/Berlin"
    assert rules.risk.weights[Factor.CHANGE_SIZE] == 0.5
    assert rules.risk.weights[Factor.SCOPE] == 0.15
    assert rules.autonomy.of(Environment.STAGING).mode is Mode.RISK_BASED
    assert rules.autonomy.of(Environment.PRODUCTION).mode is Mode.PLAN_ONLY
    assert rules.autonomy.of(Environment.PRODUCTION).max_assets == 10


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ("{timezone: Berlin}", "spec.changes.timezone"),
        (
            "{autonomy: {blockedWindows: [{days: [friyay], start: '22:00', end: '04:00'}]}}",
            "spec.changes.autonomy.blockedWindows[0].days[0]",
        ),
        ("{autonomy: {mode: yolo}}", "spec.changes.autonomy.mode"),
        ("{autonomy: {canaryPercent: 51}}", "spec.changes.autonomy.canaryPercent"),
        (
            "{riskWeights: {environment: 0, scope: 0, history: 0, changeSize: 0, timing: 0, dependencies: 0, drift: 0, rollback: 0}}",
            "spec.changes.riskWeights",
        ),
    ],
)
def test_rules_that_cannot_work_are_refused(tmp_path: Path, changes: str, field: str) -> None:
    text = LEAST_TENANT.replace("spec: {}", "spec: {changes: " + changes + "}")

    (found,) = problems(write(tmp_path, tenants__acme=text))

    assert found.field == field


def test_a_windows_baseline_is_for_windows(tmp_path: Path) -> None:
    image = (CONTRACTS / "examples/images/windows-baseline.yaml").read_text()
    wrong = image.replace("{name: windows,", "{name: ubuntu,").replace("Length: 24", "Length: 8")

    found = problems(write(tmp_path, tenants__acme=LEAST_TENANT, images__w=wrong))

    assert [p.field for p in found] == ["spec.windows", "spec.windows.laps.passwordLength"]
