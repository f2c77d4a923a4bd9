"""The doctor says what is wrong, and what to do about it."""

import os
from dataclasses import replace
from pathlib import Path

from qlrf_pipelines.domain.estate import Connector, Estate, TenantId
from qlrf_pipelines.domain.inventory import Kind
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.doctor import Verdict, _running, connectors, examine
from qlrf_pipelines.operate.processes import identify
from qlrf_pipelines.settings import Settings
from tests.fakes.cloud import FakeCloud, denied
from tests.fakes.fleet import tenant


def estate(*platforms: Platform) -> Estate:
    found = tuple(
        Connector(tenant=TenantId("acme"), name=f"c{n}", platform=platform)
        for n, platform in enumerate(platforms)
    )
    return Estate(tenants=(tenant("acme", connectors=found),))


def test_connectors_that_answer_are_one_line():
    cloud = FakeCloud({"111": {}})

    [finding] = connectors(estate(Platform.AWS, Platform.AWS), {Platform.AWS: cloud})

    assert finding.verdict is Verdict.OK
    assert "2 connectors" in finding.found


def test_each_lost_account_is_named_with_the_reason():
    cloud = FakeCloud({"111": {}})
    cloud.fail("111", kind=Kind.ACCOUNT, error=denied())

    [finding] = connectors(estate(Platform.AWS), {Platform.AWS: cloud})

    assert finding.verdict is Verdict.FAIL
    assert "acme/c0 account 111" in finding.check
    assert "not permitted" in finding.found


def test_a_platform_without_an_adapter_fails():
    [finding] = connectors(estate(Platform.VSPHERE), {})

    assert finding.verdict is Verdict.FAIL
    assert "vsphere" in finding.found


def test_a_missing_estate_fails_with_a_remedy_and_the_rest_is_still_looked_at(tmp_path: Path):
    settings = Settings.from_env(
        {
            "QLRF_HOME": str(tmp_path / "home"),
            "QLRF_ESTATE": str(tmp_path / "nowhere"),
            "QLRF_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        }
    )

    findings = {finding.check: finding for finding in examine(settings)}

    assert findings["python"].verdict is Verdict.OK
    assert findings["estate"].verdict is Verdict.FAIL
    assert "qlrf validate" in findings["estate"].remedy
    assert findings["database"].verdict is Verdict.FAIL
    assert findings["marts"].verdict is Verdict.WARN
    assert findings["clouds"].verdict is Verdict.FAIL


def test_a_process_that_died_is_named_and_so_is_how_often(tmp_path: Path):
    settings = Settings.from_env({"QLRF_HOME": str(tmp_path)})
    own = identify(os.getpid())
    assert own is not None
    told = state.PlatformState(
        supervisor=own,
        since="2026-11-01T12:00:00Z",
        url="http://127.0.0.1:3000",
        ready=True,
        children={"code": own, "daemon": replace(own, started=own.started + 1)},
        restarts={"daemon": 2},
    )
    with state.only_one(settings):
        state.write(settings, told)

        finding = _running(settings)
        state.write(settings, replace(told, children={"code": own, "daemon": own}))
        again = _running(settings)

    assert finding.verdict is Verdict.WARN
    assert "Not running right now: daemon." in finding.found
    assert "daemon 2" in finding.found
    assert "started again" in finding.remedy
    assert again.verdict is Verdict.OK
    assert "Died and started again: daemon 2." in again.found
