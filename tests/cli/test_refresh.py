"""`qlrf refresh` is told whom to refresh, and refuses to guess."""

import pytest
from click.testing import CliRunner

from qlrf_pipelines.cli.main import cli


def run(tmp_path, *arguments: str):
    env = {"QLRF_HOME": str(tmp_path / "home"), "QLRF_ESTATE": str(tmp_path / "estate")}
    return CliRunner().invoke(cli, ["refresh", *arguments], env=env, standalone_mode=False)


@pytest.mark.parametrize("arguments", [(), ("--all", "--tenant", "acme")])
def test_whom_to_refresh_must_be_said_once(tmp_path, arguments):
    result = run(tmp_path, *arguments)

    assert "--tenant" in str(result.exception)


def test_an_estate_that_is_not_there_is_a_contract_error(tmp_path):
    result = run(tmp_path, "--all")

    assert result.exception.exit_code == 2
    assert not (tmp_path / "home" / "postgres").exists(), "nothing was started for it"
