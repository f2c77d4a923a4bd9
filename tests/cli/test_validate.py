"""`qlrf validate`: exit codes, and where everything is said."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.main import cli
from qlrf_pipelines.domain.problems import InvalidEstate
from tests.fakes.contracts import EXEMPTION, TENANT, issue_estate


def qlrf(*arguments: str | Path, estate: Path | None = None) -> Result:
    env = {"QLRF_ESTATE": str(estate)} if estate else {}
    return CliRunner(env=env).invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_a_valid_estate_ends_well_with_a_table_of_counts(tmp_path: Path) -> None:
    result = qlrf("validate", issue_estate(tmp_path))

    assert result.return_value == 0
    assert "tenants" in result.stdout
    assert "is valid" in result.stderr


def test_without_a_path_the_estate_of_the_settings_is_checked(tmp_path: Path) -> None:
    result = qlrf("validate", "--json", estate=issue_estate(tmp_path))

    assert json.loads(result.stdout) == {
        "tenants": 1,
        "connectors": 1,
        "images": 1,
        "versions": 2,
        "exemptions": 1,
        "expired": 0,
        "patches": 0,
        "sites": 0,
        "recovery_plans": 0,
        "warnings": [],
    }


def test_warnings_go_to_stderr_and_change_no_exit_code(tmp_path: Path) -> None:
    old = EXEMPTION.replace("2027-03-31", "2020-03-31")

    result = qlrf("validate", issue_estate(tmp_path, exemptions__db=old))

    assert result.return_value == 0
    assert "Warning: Exemption legacy-db of tenant acme expired" in result.stderr
    assert "Warning" not in result.stdout


def test_every_problem_is_a_json_object(tmp_path: Path) -> None:
    broken = TENANT.replace("displayName", "displayNam").replace("platform: aws", "platform: gcp")

    result = qlrf("validate", "--json", issue_estate(tmp_path, tenants__acme=broken))

    found = json.loads(result.stdout)
    assert result.return_value == 2
    assert [(item["line"], item["field"]) for item in found] == [
        (5, "spec.displayNam"),
        (8, "spec.connectors[0].platform"),
    ]
    assert set(found[0]) == {"file", "line", "field", "message", "remedy"}


def test_in_words_all_problems_are_one_error_that_exits_with_2(tmp_path: Path) -> None:
    broken = TENANT.replace("displayName", "displayNam").replace("platform: aws", "platform: gcp")

    result = qlrf("validate", issue_estate(tmp_path, tenants__acme=broken))

    assert isinstance(result.exception, InvalidEstate)
    assert result.exception.exit_code == 2
    assert str(result.exception).count("tenants/acme.yaml:") == 2


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_tenants_are_listed_from_the_estate(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = qlrf("tenants", "list", *arguments, estate=issue_estate(tmp_path))

    assert "acme" in result.stdout
    assert "Acme Corporation" in result.stdout
