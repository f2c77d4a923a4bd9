"""Who we are in AWS: accounts, roles, regions and credentials."""

import subprocess
import sys

import pytest

from qlrf_pipelines.domain.errors import Denied, Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.inventory import Kind, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import CloudSession, LostAccount
from resources.clouds.aws.inventory import AwsCloud
from resources.clouds.patience import Patience
from resources.secrets import Secrets
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import OWN, MotoAws, aws_cloud, aws_connector, role

FIRST, SECOND = "111111111111", "222222222222"


def instances_of(session: CloudSession) -> list[str]:
    scope = Scope(
        tenant=TenantId("acme"),
        connector="aws-main",
        platform=Platform.AWS,
        account=session.account,
        region="us-east-1",
        kind=Kind.INSTANCE,
    )
    pages = list(session.list_scope(scope))
    return [text for page in pages for text in page.rows.column("asset_id").to_pylist()]


def test_every_role_leads_into_its_own_account(moto: MotoAws) -> None:
    connector = aws_connector(moto.url, assume_roles=(role(FIRST), role(SECOND)))
    started = {account: moto.run(account=account) for account in (FIRST, SECOND)}

    sessions = aws_cloud().sessions(connector)

    assert [session.account for session in sessions] == [FIRST, SECOND]
    for session in sessions:
        assert isinstance(session, CloudSession)
        assert "assumed-role/qlrf" in session.identity
        assert instances_of(session) == started[session.account]


def test_a_role_that_fails_is_one_lost_account_and_the_others_stay(moto: MotoAws) -> None:
    with FaultyProxy(moto.url) as proxy:
        proxy.spoil("AssumeRole", Fault.DENIED, nth=0, times=1)
        connector = aws_connector(proxy.url, assume_roles=(role(FIRST), role(SECOND)))

        sessions = aws_cloud().sessions(connector)

    opened = [s for s in sessions if isinstance(s, CloudSession)]
    lost = [s for s in sessions if isinstance(s, LostAccount)]
    assert [session.account for session in opened] == [SECOND]
    assert [(account.account, type(account.error)) for account in lost] == [(FIRST, Denied)]


def test_two_roles_into_one_account_are_one_session(moto: MotoAws) -> None:
    roles = (f"arn:aws:iam::{FIRST}:role/a", f"arn:aws:iam::{FIRST}:role/b")

    sessions = aws_cloud().sessions(aws_connector(moto.url, assume_roles=roles))

    assert [session.account for session in sessions] == [FIRST]


def test_all_regions_are_the_ones_that_may_be_used(moto: MotoAws) -> None:
    known = moto.client("ec2").describe_regions(AllRegions=True)["Regions"]
    usable = {r["RegionName"] for r in known if r["OptInStatus"] != "not-opted-in"}
    (session,) = aws_cloud().sessions(aws_connector(moto.url))

    assert isinstance(session, CloudSession)
    assert set(session.regions()) == usable
    assert len(usable) < len(known)


def test_tenants_that_share_an_account_id_share_nothing_else(moto: MotoAws) -> None:
    cloud = aws_cloud()
    mine = moto.run()
    (here,) = cloud.sessions(aws_connector(moto.url, tenant=TenantId("acme")))
    (elsewhere,) = cloud.sessions(
        aws_connector("http://127.0.0.1:9", tenant=TenantId("globex"), regions=("us-east-1",))
    )

    assert isinstance(here, CloudSession)
    assert isinstance(elsewhere, LostAccount)
    assert (here.account, instances_of(here)) == (OWN, mine)
    assert type(elsewhere.error) is Unavailable


def test_a_reference_that_leads_nowhere_is_rejected_and_names_itself() -> None:
    references = {"accessKeyId": "env:ACME_KEY", "secretAccessKey": "file:/nowhere/secret"}
    connector = aws_connector("http://127.0.0.1:9", credentials=references)

    with pytest.raises(Rejected) as caught:
        AwsCloud(secrets=Secrets({}), patience=Patience(max_attempts=1)).sessions(connector)

    for part in ("aws-main", "acme", "env:ACME_KEY", "file:/nowhere/secret"):
        assert part in str(caught.value)


def test_no_credentials_at_all_is_denied_with_a_remedy(
    moto: MotoAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")

    (lost,) = aws_cloud().sessions(aws_connector(moto.url, credentials={}))

    assert isinstance(lost, LostAccount)
    assert type(lost.error) is Denied
    assert "set the connector's credentials" in str(lost.error)


def test_half_a_credential_of_the_sdk_is_denied(
    moto: MotoAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    (lost,) = aws_cloud().sessions(aws_connector(moto.url, credentials={}))

    assert isinstance(lost, LostAccount)
    assert type(lost.error) is Denied


def test_the_sdk_s_own_endpoint_and_keys_serve_a_connector_that_names_none(
    moto: MotoAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")

    (session,) = aws_cloud().sessions(aws_connector(None, credentials={}))

    assert session.account == OWN


def test_a_region_that_cannot_be_is_an_error_that_says_what_to_correct(moto: MotoAws) -> None:
    (lost,) = aws_cloud().sessions(aws_connector(moto.url, regions=("no such place",)))

    assert isinstance(lost, LostAccount)
    assert "correct the connector" in str(lost.error)


def test_no_error_carries_a_secret() -> None:
    secrets = Secrets({"KEY": "AKIAEXAMPLE", "SECRET": "s3cr3t-value"})
    (lost,) = AwsCloud(secrets=secrets, patience=Patience(max_attempts=1, read_timeout=1)).sessions(
        aws_connector("http://127.0.0.1:9")
    )

    assert isinstance(lost, LostAccount)
    for text in (str(lost.error), repr(lost.error), repr(lost.error.__cause__), repr(secrets)):
        assert "s3cr3t-value" not in text


def test_importing_the_adapter_imports_no_sdk() -> None:
    code = (
        "import sys, resources.clouds.aws.inventory;"
        "print([m for m in ('boto3', 'botocore', 'lxml', 'pandas') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"
