"""What an engine promises, kept by the small one of the tests and by the real one alike."""

from pathlib import Path

import duckdb
import pytest

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.ports.engine import Engine
from qlrf_pipelines.settings import Settings
from resources.engine import DuckDbEngine
from tests.fakes.engine import FakeEngine


def real(home: Path, **variables: str) -> DuckDbEngine:
    return DuckDbEngine(Settings.from_env({"QLRF_HOME": str(home), **variables}))


@pytest.fixture(params=["fake", "duckdb"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return FakeEngine() if request.param == "fake" else real(tmp_path)


def test_a_session_is_private_and_ends_with_its_folder(engine: Engine) -> None:
    with engine.session() as first, engine.session() as second:
        first.connection.execute("CREATE TABLE mine AS SELECT 1")
        (first.folder / "file").write_text("x")
        with pytest.raises(duckdb.CatalogException):
            second.connection.execute("FROM mine")
        assert first.folder != second.folder

    assert not first.folder.exists()
    with pytest.raises(duckdb.ConnectionException):
        first.connection.execute("SELECT 1")


def test_a_session_is_in_utc(engine: Engine) -> None:
    with engine.session() as session:
        found = session.connection.execute("SELECT current_setting('TimeZone')").fetchall()

    assert found == [("UTC",)]


def test_a_computation_that_fits_nowhere_says_what_to_do(tmp_path: Path) -> None:
    engine = real(tmp_path, QLRF_MEMORY_LIMIT="20MB")

    with pytest.raises(Unavailable, match="QLRF_MEMORY_LIMIT"):
        compute_too_much(engine)


def test_a_limit_nobody_understands_is_rejected(tmp_path: Path) -> None:
    with (
        pytest.raises(Rejected, match="QLRF_MEMORY_LIMIT=plenty"),
        real(tmp_path, QLRF_MEMORY_LIMIT="plenty").session(),
    ):
        pass


def compute_too_much(engine: Engine) -> None:
    with engine.session() as session:
        session.connection.execute("SET max_temp_directory_size = '1MB'")
        session.connection.execute("SELECT list(i) FROM range(20000000) t(i)").fetchall()
