# ruff: noqa: E501
"""Patch policies: what could never happen is refused, and what could is not."""

from pathlib import Path

import pytest

from resources.estate import FolderEstate
from tests.fakes.contracts import LEAST_TENANT, policy, problems, write

METRIC = "{{name: m, type: {type}, query: q, threshold: {{value: 1, unit: {unit}}}{more}}}"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        (
            policy(more="schedule: {type: scheduled, cron: '0 2 31 2 *'}"),
            "spec.schedule.cron",
            "never fires",
        ),
        (
            policy(
                strategy="{type: maintenance-window, windows: [{dayOfWeek: sat, start: '02:00', duration: 0s}]}"
            ),
            "spec.strategy.windows[0].duration",
            "never opens",
        ),
        (
            policy(
                strategy="{type: maintenance-window, windows: [{dayOfWeek: sat, start: '02:00', duration: 8d}]}"
            ),
            "spec.strategy.windows[0].duration",
            "never closes",
        ),
        (
            policy(
                strategy="{type: maintenance-window, windows: [{dayOfWeek: sat, start: '02:00', duration: 4h, environments: [staging]}]}"
            ),
            "spec.strategy.windows",
            "none for production",
        ),
        (
            policy(
                source="{type: golden-image, goldenImage: {family: ql-base-linux, version: 1.0.0, minVersion: 2.0.0}}"
            ),
            "spec.source.goldenImage.version",
            "below the minVersion",
        ),
        (
            policy(
                source="{type: os-vendor, severity: [low]}",
                more="schedule: {type: cve-triggered, severity: [critical]}",
            ),
            "spec.schedule.severity",
            "installs none",
        ),
        (
            policy(
                source="{type: os-vendor, severity: [low]}", more="schedule: {type: cve-triggered}"
            ),
            "spec.schedule",
            "critical and high",
        ),
        (
            policy(more="approval: {timeout: 0s}"),
            "spec.approval.timeout",
            "in time",
        ),
        (
            policy(more="hooks: {prePatch: [{type: webhook, target: somewhere}]}"),
            "spec.hooks.prePatch[0].target",
            "no http",
        ),
        (
            policy(more="hooks: {prePatch: [{type: script, target: 'true', timeout: 0s}]}"),
            "spec.hooks.prePatch[0].timeout",
            "never answer",
        ),
        (
            policy(more="healthCheck: {checks: [{type: http}]}"),
            "spec.healthCheck.checks[0]",
            "without a target",
        ),
        (
            policy(more="healthCheck: {checks: [{type: http, target: 'file:///etc/passwd'}]}"),
            "spec.healthCheck.checks[0].target",
            "no http",
        ),
        (
            policy(more="healthCheck: {checks: [{type: tcp, target: '22'}]}"),
            "spec.healthCheck.checks[0].target",
            "no host and port",
        ),
        (
            policy(more="healthCheck: {checks: [{type: ssm-ping}]}").replace(
                "[production]}", "[production], platforms: [azure, gcp]}"
            ),
            "spec.healthCheck.checks[0].type",
            "aws alone know",
        ),
        (
            policy(more="hooks: {prePatch: [{type: lambda, target: drain}]}").replace(
                "[production]}", "[production], platforms: [kubernetes]}"
            ),
            "spec.hooks.prePatch[0].type",
            "aws alone know",
        ),
        (
            policy().replace("[production]}", "[production], tags: {a: b}, excludeTags: {a: b}}"),
            "spec.selector.excludeTags.a",
            "very tag",
        ),
        (
            policy(
                more="analysis: {metrics: ["
                + ", ".join([METRIC.format(type="error-rate", unit="ratio", more="")] * 2)
                + "]}"
            ),
            "spec.analysis.metrics[1].name",
            "another metric",
        ),
    ],
)
def test_what_could_never_happen_is_refused_with_its_place(
    tmp_path: Path, text: str, field: str, says: str
) -> None:
    (found,) = problems(write(tmp_path, tenants__acme=LEAST_TENANT, patches__p=text))

    assert (found.field, says in found.message) == (field, True), str(found)
    assert found.line > 0
    assert found.remedy


def test_what_could_happen_is_not_refused(tmp_path: Path) -> None:
    hooks = "hooks: {prePatch: [{type: script, target: drain}, {type: webhook, target: 'https://x.example/ab'}]}"
    checks = "healthCheck: {checks: [{type: http, target: 'http://{address}:8080/health'}, {type: tcp, target: '{address}:22'}, {type: exec, target: 'true'}]}"
    window = "{type: maintenance-window, windows: [{dayOfWeek: sat, start: '02:00', duration: 7d}]}"

    load(tmp_path, policy(strategy=window, more=checks))
    load(tmp_path, policy(more=hooks))
    load(tmp_path, policy(more="schedule: {type: scheduled, cron: '0 2 29 2 *'}"))
    load(
        tmp_path,
        policy(more=checks).replace("[production]}", "[production], platforms: [kubernetes]}"),
    )


def load(tmp_path: Path, text: str) -> None:
    FolderEstate(write(tmp_path, tenants__acme=LEAST_TENANT, patches__p=text)).load()
