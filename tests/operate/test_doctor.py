"""The doctor says what is wrong, and what to do about it."""

from pathlib import Path

from qlrf_pipelines.domain.estate import Connector, Estate, TenantId
from qlrf_pipelines.domain.inventory import Kind
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.operate.doctor import Verdict, connectors, examine
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
