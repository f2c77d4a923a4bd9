"""`qlrf query`: read-only, light to start, four ways to print an answer."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.query import query
from qlrf_pipelines.cli.texts import plain_table
from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.settings import Settings
from tests.marts import builds

COUNTS = "SELECT tenant, count(*) AS n FROM fct_assets GROUP BY tenant ORDER BY tenant"


def ask(*args: str, home: Path | None = None) -> Result:
    """Run the command over the published marts."""
    place = home or builds.published().path.parent
    settings = Settings.from_env({"QLRF_HOME": str(place)})
    return CliRunner().invoke(query, args, obj=settings, catch_exceptions=True)


def test_a_table_is_for_people() -> None:
    result = ask(COUNTS)

    assert result.stdout.splitlines() == ["tenant  n", "──────  ─", "acme    6", "globex  2"]
    assert result.stderr == "2 rows\n"


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"]])
def test_json_is_a_list_of_records(form: list[str]) -> None:
    answer = json.loads(ask(COUNTS, *form).stdout)

    assert answer == [{"tenant": "acme", "n": 6}, {"tenant": "globex", "n": 2}]


def test_a_repeated_column_name_loses_no_value() -> None:
    assert json.loads(ask("SELECT 1 AS a, 2 AS a", "--json").stdout) == [{"a": 1, "a_2": 2}]


def test_csv_has_a_header_and_times_in_utc() -> None:
    result = ask(
        "SELECT name, last_seen, coalesce(image_family, '') AS f FROM fct_assets LIMIT 1",
        "--format",
        "csv",
        "--tenant",
        "acme",
    )

    header, row = list(csv.reader(io.StringIO(result.stdout)))
    assert header == ["name", "last_seen", "f"]
    assert row[1] == "2026-11-01T12:00:00.000000Z"


def test_parquet_keeps_types(tmp_path: Path) -> None:
    out = tmp_path / "answer.parquet"

    assert ask(COUNTS, "--format", "parquet", "--out", str(out)).exit_code == 0

    assert pq.read_table(out).to_pylist() == [
        {"tenant": "acme", "n": 6},
        {"tenant": "globex", "n": 2},
    ]


def test_a_tenant_sees_its_own_rows_alone() -> None:
    assert json.loads(ask(COUNTS, "-t", "acme", "--json").stdout) == [{"tenant": "acme", "n": 6}]


def test_a_tenant_nobody_published_is_not_an_empty_answer() -> None:
    assert isinstance(ask(COUNTS, "-t", "acmee").exception, NotFound)


def test_wrong_sql_says_what_and_where_to_look() -> None:
    error = ask("SELECT nope FROM fct_assets").exception

    assert isinstance(error, Rejected)
    assert error.exit_code == 2
    assert "nope" in str(error)
    assert "qlrf query --marts" in str(error)


def test_before_the_first_refresh_it_says_to_refresh(tmp_path: Path) -> None:
    error = ask(COUNTS, home=tmp_path).exception

    assert isinstance(error, NotFound)
    assert "qlrf refresh" in str(error)


def test_the_marts_can_be_listed() -> None:
    listed = json.loads(ask("--marts", "--json").stdout)

    assert {"fct_assets", "agg_drift_scope"} <= {row["mart"] for row in listed}


def test_a_terminal_obeys_no_name_of_an_asset() -> None:
    assert "\x1b" not in plain_table(["name"], [["\x1b[31mred\nnext"]])


@pytest.mark.slow
def test_it_loads_no_heavy_package() -> None:
    code = (
        "import sys; from qlrf_pipelines.cli.main import cli;"
        "cli.main(['query', 'SELECT 1 AS one', '--tenant', 'acme'], standalone_mode=False);"
        "heavy = {'dagster', 'dbt', 'sqlalchemy', 'boto3', 'deltalake', 'pyarrow', 'rich'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    home = str(builds.published().path.parent)

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "QLRF_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "1 row\n")
