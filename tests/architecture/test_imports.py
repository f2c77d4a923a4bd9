"""Heavy packages are imported where they are used, not on the way to something else."""

import subprocess
import sys

import pytest

CLOUDS = ("boto3", "botocore", "azure.mgmt", "google.cloud", "pyVmomi", "kubernetes", "moto")
MODELS = ("anthropic", "openai")


def loaded_by(statement: str) -> set[str]:
    """The modules a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.slow
def test_loading_the_definitions_loads_no_cloud_model_or_quality_package() -> None:
    loaded = loaded_by("import qlrf_pipelines.definitions")

    assert sorted(loaded & {*CLOUDS, *MODELS, "great_expectations"}) == []


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("from qlrf_pipelines.cli import main", ("dagster", "duckdb", "pyarrow", "rich")),
        ("import qlrf_pipelines.wiring", ("dagster", "duckdb", "pyarrow", "sqlalchemy", *CLOUDS)),
        ("import qlrf_pipelines.cli.validate", ("dagster", "duckdb", "pyarrow", "jsonschema")),
        ("import qlrf_pipelines.cli.tenants", ("dagster", "duckdb", "pyarrow", "sqlalchemy")),
        ("import qlrf_pipelines.cli.query", ("dagster", "deltalake", "sqlalchemy")),
        (
            "from qlrf_pipelines import settings, wiring\n"
            "wiring.recovery(settings.Settings.from_env({}))",
            ("dagster", "duckdb", "pyarrow", "sqlalchemy", "urllib3", *CLOUDS),
        ),
        ("import resources.estate", ("dagster", "duckdb", "pyarrow")),
    ],
)
def test_a_light_door_stays_light(statement: str, heavy: tuple[str, ...]) -> None:
    assert sorted(loaded_by(statement) & set(heavy)) == []
