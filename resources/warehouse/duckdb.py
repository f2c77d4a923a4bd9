"""Marts in one DuckDB file, built beside it and exchanged for it whole."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.tenancy import TenantId
from qlrf_pipelines.ports.warehouse import Answer, BuildReport, Warehouse
from resources.warehouse import reading

if TYPE_CHECKING:
    import pyarrow as pa

    from resources.warehouse.sources import Sources


class DuckDbWarehouse(Warehouse):
    """Reads need this module, DuckDB and the file; dbt and the sources are loaded by a build alone.

    `home` is where `marts.duckdb` and dbt's own folder are; `sources` gives the lake, the estate
    and the controls when a build asks for them, so that a reader never opens any.
    """

    def __init__(
        self,
        *,
        home: Path,
        sources: "Callable[[], Sources]",
        project_dir: Path | None = None,
        wait_seconds: float = 600,
    ) -> None:
        self.path = home / "marts.duckdb"
        self._home = home
        self._sources = sources
        self._project_dir = project_dir
        self._wait_seconds = wait_seconds

    def build(self, *, tenants: Sequence[TenantId]) -> BuildReport:
        """Build and test the batch in a file of its own, then exchange its rows in the marts.

        Raises:
            Unavailable: the disk is full, or another build runs for too long.
        """
        from resources.warehouse import dbt, publishing

        built = dbt.build_file(self._home)
        with publishing.builders_turn(self.path, wait_seconds=self._wait_seconds):
            try:
                with publishing.disk_errors(self.path):
                    self._stage(built, tenants)
                report = dbt.run_build(
                    self._project_dir or dbt.PROJECT, self._home, dbt.duckdb_target(self._home)
                )
                _refuse_full_disk(report)
                if not report.broken:
                    publishing.exchange(built, self.path, tenants=tenants)
                return report
            finally:
                shutil.rmtree(built.parent, ignore_errors=True)

    def query(self, sql: str, *, tenant: TenantId | None = None) -> "pa.Table":
        """The answer as an Arrow table.

        Raises:
            Rejected: not one SELECT, or it fails.
            NotFound: nothing was published, or nothing about this tenant.
        """
        with reading.opened(self.path, sql, tenant=tenant) as connection:
            return connection.sql(sql).to_arrow_table()

    def ask(self, sql: str, *, tenant: TenantId | None = None) -> Answer:
        """The answer as plain values, without loading Arrow.

        Raises:
            Rejected: not one SELECT, or it fails.
            NotFound: nothing was published, or nothing about this tenant.
        """
        with reading.opened(self.path, sql, tenant=tenant) as connection:
            found = connection.execute(sql)
            described = found.description or []
            return Answer(
                columns=tuple(str(column[0]) for column in described),
                types=tuple(str(column[1]) for column in described),
                rows=found.fetchall(),
            )

    def erase(self, tenant: TenantId) -> None:
        """Publish the marts without a tenant; no row of it stays in the file.

        Raises:
            Unavailable: the disk is full, or another build runs for too long.
        """
        from resources.warehouse import publishing

        with publishing.builders_turn(self.path, wait_seconds=self._wait_seconds):
            publishing.erase(self.path, tenant)

    def _stage(self, built: Path, tenants: Sequence[TenantId]) -> None:
        import duckdb

        from resources.warehouse.sources import open_sources

        shutil.rmtree(built.parent, ignore_errors=True)
        built.parent.mkdir(parents=True)
        with duckdb.connect(str(built)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE SCHEMA lake")
            for source in open_sources(connection, self._sources(), tenants=tenants):
                # Nothing is copied where dbt's own connection can read the lake's files itself.
                kind = "VIEW" if source.durable else "TABLE"
                connection.execute(f"CREATE {kind} lake.{source.name} AS {source.sql}")


def _refuse_full_disk(report: BuildReport) -> None:
    for node in report.broken:
        if "No space left" in node.message or "IO Error" in node.message:
            raise Unavailable(
                f"The marts cannot be built: {node.message}. "
                "The marts published before are untouched; make room and refresh again."
            )
