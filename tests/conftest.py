"""Every test starts in an environment without settings, and time bends to no deadline."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "qlrf", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("qlrf")

REQUIRE_PEERS = bool(os.environ.get("QLRF_REQUIRE_PEERS"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("QLRF_", "AWS_", "DAGSTER_")) and name != "QLRF_REQUIRE_PEERS":
            monkeypatch.delenv(name)
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    # Where every peer was to be had, a test that skips for want of one is a test that did not run.
    if REQUIRE_PEERS and report.skipped and item.get_closest_marker("real"):
        report.outcome = "failed"
        report.longrepr = f"skipped although every peer is required: {call.excinfo}"
    return report
