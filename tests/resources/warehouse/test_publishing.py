"""The marts' file is exchanged whole: readers see the old or the new, whatever dies in between."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId
from resources.warehouse import publishing

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


def built(path: Path, version: int, *tenants: str, rows: int = 200) -> Path:
    """A build file of two marts that carry one version."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        for mart in ("fct_assets", "agg_drift_scope"):
            connection.execute(f"CREATE TABLE {mart} (tenant TEXT, version INTEGER, filler TEXT)")
            for tenant in tenants:
                connection.execute(
                    f"INSERT INTO {mart} SELECT ?, ?, md5(n::VARCHAR) FROM range(?) t(n)",
                    [tenant, version, rows],
                )
        connection.execute("CREATE TABLE dim_control AS SELECT ? AS control_id", [f"c{version}"])
    return path


def seen(path: Path) -> dict[str, set[tuple[str, int, int]]]:
    """Per mart: tenant, version and number of rows."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            mart: set(
                connection.execute(
                    f"SELECT tenant, version, count(*) FROM {mart} GROUP BY ALL"
                ).fetchall()
            )
            for mart in ("fct_assets", "agg_drift_scope")
        }


def test_a_batch_replaces_exactly_its_tenants_rows_even_by_none(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    publishing.exchange(built(tmp_path / "b", 1, ACME, GLOBEX), path, tenants=[ACME, GLOBEX])

    publishing.exchange(built(tmp_path / "b", 2, ACME), path, tenants=[ACME])
    assert seen(path)["fct_assets"] == {("acme", 2, 200), ("globex", 1, 200)}

    publishing.exchange(built(tmp_path / "b", 3), path, tenants=[ACME])
    assert seen(path)["fct_assets"] == {("globex", 1, 200)}
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("FROM dim_control").fetchall() == [("c3",)]


def test_a_changed_contract_keeps_other_tenants_rows(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    publishing.exchange(built(tmp_path / "b", 1, ACME, GLOBEX), path, tenants=[ACME, GLOBEX])
    newer = built(tmp_path / "b", 2, ACME)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("ALTER TABLE fct_assets ADD COLUMN fresh BOOLEAN")
        connection.execute("ALTER TABLE fct_assets DROP COLUMN filler")
        connection.execute("UPDATE fct_assets SET fresh = true")

    publishing.exchange(newer, path, tenants=[ACME])

    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            "SELECT tenant, version, fresh, count(*) FROM fct_assets GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert rows == [("acme", 2, True, 200), ("globex", 1, None, 200)]


def test_a_reader_keeps_the_snapshot_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    publishing.exchange(built(tmp_path / "b", 1, ACME), path, tenants=[ACME])
    reader = duckdb.connect()
    reader.execute(f"ATTACH '{path}' AS marts (READ_ONLY)")

    publishing.exchange(built(tmp_path / "b", 2, ACME), path, tenants=[ACME])

    assert reader.execute("SELECT DISTINCT version FROM marts.fct_assets").fetchall() == [(1,)]
    assert seen(path)["fct_assets"] == {("acme", 2, 200)}


def test_many_builds_do_not_make_the_file_grow(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    sizes = []
    for version in range(8):
        rows = built(tmp_path / "b", version, ACME, rows=30_000)
        publishing.exchange(rows, path, tenants=[ACME])
        sizes.append(path.stat().st_size)

    assert sizes[-1] <= 2 * sizes[1]


def test_an_erased_tenant_leaves_no_byte_behind(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    publishing.exchange(built(tmp_path / "b", 1, ACME, "whisper"), path, tenants=[ACME])
    assert b"whisper" in path.read_bytes()

    publishing.erase(path, TenantId("whisper"))

    assert b"whisper" not in path.read_bytes()
    assert seen(path)["agg_drift_scope"] == {("acme", 1, 200)}


def test_builders_take_turns_and_a_dead_one_gives_its_turn_back(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    inside, leave = threading.Event(), threading.Event()

    def build() -> None:
        with publishing.builders_turn(path, wait_seconds=5):
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=build)
    other.start()
    assert inside.wait(30)
    with (
        pytest.raises(Unavailable, match="Another build"),
        publishing.builders_turn(path, wait_seconds=0),
    ):
        pass
    leave.set()
    other.join()

    with publishing.builders_turn(path, wait_seconds=5):
        pass


PUBLISHER = """
import sys
from pathlib import Path
from resources.warehouse import publishing
from tests.resources.warehouse.test_publishing import built
folder = Path(sys.argv[1])
print("ready", flush=True)
for version in range(1, 10_000):
    rows = built(folder / "b", version, "acme", rows=20_000)
    print(version, flush=True)
    with publishing.builders_turn(folder / "marts.duckdb", wait_seconds=60):
        publishing.exchange(rows, folder / "marts.duckdb", tenants=["acme"])
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_whole_marts(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    rows = built(tmp_path / "b", 0, ACME, GLOBEX, rows=20_000)
    publishing.exchange(rows, path, tenants=[ACME, GLOBEX])
    dice = random.Random(7)

    for _ in range(8):
        publisher = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert publisher.stdout is not None
        for _ in range(dice.randrange(2, 4)):  # ready, then that many builds
            publisher.stdout.readline()
        # Somewhere within the exchange; where exactly is the machine's choice.
        threading.Event().wait(dice.random() * 0.15)
        os.kill(publisher.pid, signal.SIGKILL)
        publisher.wait()
        publisher.stdout.close()

        marts = seen(path)
        assert marts["fct_assets"] == marts["agg_drift_scope"]
        assert {(tenant, count) for tenant, _, count in marts["fct_assets"]} == {
            ("acme", 20_000),
            ("globex", 20_000),
        }

    last = built(tmp_path / "b", 10_001, ACME)
    publishing.exchange(last, path, tenants=[ACME])
    assert seen(path)["fct_assets"] == {("acme", 10_001, 200), ("globex", 0, 20_000)}
    assert not list(tmp_path.glob("marts.next*")), "the dead builders' leftovers are gone"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from qlrf_pipelines.domain.errors import Unavailable
from resources.warehouse import publishing
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    publishing.exchange(folder / "b", folder / "marts.duckdb", tenants=["acme"])
except Unavailable as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_unavailable_and_leaves_the_old_marts(tmp_path: Path) -> None:
    path = tmp_path / "marts.duckdb"
    publishing.exchange(built(tmp_path / "b", 1, ACME), path, tenants=[ACME])
    built(tmp_path / "b", 2, ACME, rows=300_000)

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert "cannot be written" in done.stdout
    assert seen(path)["fct_assets"] == {("acme", 1, 200)}
    assert not list(tmp_path.glob("marts.next*"))
