"""References lead to secrets where they are used, and nowhere else."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from resources.secrets import Secrets


def connector(**credentials: str) -> Connector:
    return Connector(
        tenant=TenantId("acme"), name="aws", platform=Platform.AWS, credentials=credentials
    )


def test_a_variable_and_a_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")

    found = Secrets({"KEY": "from the environment"}).of(
        connector(accessKeyId="env:KEY", secretAccessKey=f"file:{tmp_path}/secret")
    )

    assert found == {"accessKeyId": "from the environment", "secretAccessKey": "from a file"}


def test_a_rotated_secret_is_seen_at_the_next_use(tmp_path: Path) -> None:
    file, secrets = tmp_path / "secret", Secrets({})
    file.write_text("old")
    secrets.of(connector(accessKeyId=f"file:{file}"))
    file.write_text("new")

    assert secrets.of(connector(accessKeyId=f"file:{file}")) == {"accessKeyId": "new"}


@pytest.mark.parametrize("reference", ["env:MISSING", "env:EMPTY", "file:/nowhere", "file:/"])
def test_a_reference_that_leads_nowhere_is_named(reference: str) -> None:
    with pytest.raises(Rejected, match=f"aws of tenant acme.*{reference}"):
        Secrets({"EMPTY": ""}).of(connector(accessKeyId=reference))


def test_a_secret_written_where_a_reference_belongs_is_not_repeated() -> None:
    with pytest.raises(Rejected) as caught:
        Secrets({}).of(connector(secretAccessKey="wJalrXUtnFEMI"))

    assert "wJalrXUtnFEMI" not in str(caught.value)
