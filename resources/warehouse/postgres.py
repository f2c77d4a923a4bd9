"""Marts in PostgreSQL, for many readers at once: dbt builds in a workshop, readers see the shop."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import parse_dsn

from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.warehouse import Answer, BuildReport, Warehouse
from resources.warehouse import serving
from resources.warehouse.reading import HINT, check_statement

if TYPE_CHECKING:
    import pyarrow as pa

    from resources.warehouse.dbt import Target
    from resources.warehouse.sources import Source, Sources

Urls = Callable[[], AbstractContextManager[tuple[str, str]]]

_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "DATE": "date",
}
_EVERYTHING = "*"  # no tenant can have this name


class PostgresWarehouse(Warehouse):
    """`urls` opens the database and gives two URLs: of the builder's role and of the reader's.

    The builder's role owns the schemas `lake` and `marts` (or may create them); the reader's role
    may read nothing else in this database, or a tenant's statement is refused.
    """

    def __init__(
        self,
        *,
        home: Path,
        sources: "Callable[[], Sources]",
        urls: Urls,
        project_dir: Path | None = None,
        wait_seconds: float = 600,
        statement_seconds: int = 60,
    ) -> None:
        self._home = home
        self._sources = sources
        self._urls = urls
        self._project_dir = project_dir
        self._wait_seconds = wait_seconds
        self._statement_seconds = statement_seconds

    def build(self, *, tenants: Sequence[TenantId]) -> BuildReport:
        """Build and test the batch in the workshop, then exchange its rows in one transaction.

        Raises:
            Unavailable: the database is full, down, or another build runs for too long.
        """
        from resources.warehouse import dbt

        with self._urls() as (builder_url, reader_url), _translated("build the marts"):
            reader = parse_dsn(_plain(reader_url))["user"]
            with closing(_connect(builder_url)) as connection:
                serving.take_turn(connection, wait_seconds=self._wait_seconds)
                serving.prepare(connection, reader=reader)
                given = self._load(connection, tenants)
                report = dbt.run_build(
                    self._project_dir or dbt.PROJECT, self._home, postgres_target(builder_url)
                )
                if not report.broken:
                    serving.exchange(connection, tenants=tenants, reader=reader, given=given)
                return report

    def query(self, sql: str, *, tenant: TenantId | None = None) -> "pa.Table":
        """The answer as an Arrow table.

        Raises:
            Rejected: not one SELECT, or it fails.
            NotFound: nothing was published, or nothing about this tenant.
            Refused: the reader's role may read more than marts, so a tenant cannot be kept apart.
        """
        import pyarrow as pa

        answer = self.ask(sql, tenant=tenant)
        columns = list(zip(*answer.rows, strict=True)) or [()] * len(answer.columns)
        kinds = [_arrow_type(kind) for kind in answer.types]
        return pa.Table.from_arrays(
            [_array(values, kind) for values, kind in zip(columns, kinds, strict=True)],
            names=list(answer.columns),
        )

    def ask(self, sql: str, *, tenant: TenantId | None = None) -> Answer:
        """The answer as plain values.

        Raises:
            Rejected: not one SELECT, or it fails.
            NotFound: nothing was published, or nothing about this tenant.
            Refused: the reader's role may read more than marts, so a tenant cannot be kept apart.
        """
        import duckdb

        with duckdb.connect(":memory:") as parser:
            check_statement(sql, parser)
        with (
            self._urls() as (_, reader_url),
            _translated("read the marts"),
            closing(_connect(reader_url)) as connection,
            connection.cursor() as cursor,
        ):
            self._enter(cursor, tenant)
            try:
                cursor.execute("SELECT marts.ask('answer', %s)", [sql])
                cursor.execute("FETCH ALL FROM answer")
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                raise
            except psycopg2.Error as error:
                raise Rejected(f"{str(error).strip()}\n{HINT}") from error
            described = cursor.description or ()
            rows = cursor.fetchall()
            kinds = _type_names(cursor, [column.type_code for column in described])
            connection.rollback()
            return Answer(columns=tuple(c.name for c in described), types=kinds, rows=rows)

    def erase(self, tenant: TenantId) -> None:
        """Remove a tenant's rows in one transaction.

        Raises:
            Unavailable: the database is down, or another build runs for too long.
        """
        with (
            self._urls() as (builder_url, _),
            _translated("erase a tenant"),
            closing(_connect(builder_url)) as connection,
        ):
            serving.take_turn(connection, wait_seconds=self._wait_seconds)
            serving.erase(connection, tenant)

    def _enter(self, cursor: Any, tenant: TenantId | None) -> None:  # noqa: ANN401
        cursor.execute("SELECT to_regclass('marts.dim_tenant') IS NULL")
        if cursor.fetchone()[0]:
            raise NotFound("No marts were published yet; run `qlrf refresh`.")
        if tenant is not None:
            _refuse_mighty_reader(cursor)
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true), marts.enter(%s)",
            [f"{self._statement_seconds}s", _EVERYTHING if tenant is None else tenant],
        )
        cursor.execute("SET TRANSACTION READ ONLY; SET LOCAL TimeZone = 'UTC'")
        if tenant is not None:
            cursor.execute("SELECT count(*) FROM marts.dim_tenant")
            if not cursor.fetchone()[0]:
                raise NotFound(
                    f"Nothing was published about tenant {tenant}; run `qlrf refresh -t {tenant}`."
                )

    def _load(self, connection: Any, tenants: Sequence[TenantId]) -> set[str]:  # noqa: ANN401
        import duckdb

        from resources.warehouse.sources import open_sources

        given: set[str] = set()
        with (
            tempfile.TemporaryDirectory(prefix="qlrf-marts-") as folder,
            duckdb.connect(":memory:") as lake,
            connection,
            connection.cursor() as cursor,
        ):
            lake.execute("SET TimeZone = 'UTC'")
            for source in open_sources(lake, self._sources(), tenants=tenants):
                _copy(lake, cursor, source, path=Path(folder) / f"{source.name}.csv")
                given.add(source.name)
        return given


def postgres_target(url: str) -> "Target":
    """The dbt target of a builder's URL; its password stays out of the profile."""
    from resources.warehouse.dbt import Target

    parts = parse_dsn(_plain(url))
    return Target(
        name="postgres",
        output={
            "type": "postgres",
            "host": parts.get("host", "127.0.0.1"),
            "port": int(parts.get("port", 5432)),
            "user": parts["user"],
            "password": "{{ env_var('DBT_ENV_SECRET_QLRF_MARTS', '') }}",
            "dbname": parts.get("dbname", parts["user"]),
            "schema": serving.WORKSHOP,
            "threads": 2,
        },
        secrets={"DBT_ENV_SECRET_QLRF_MARTS": parts.get("password", "")},
    )


def _copy(lake: Any, cursor: Any, source: "Source", *, path: Path) -> None:  # noqa: ANN401
    described = lake.execute(f"DESCRIBE {source.sql}").fetchall()
    columns = ", ".join(f'"{name}" {_TYPES[kind]}' for name, kind, *_ in described)
    quoted = ", ".join(f'"{name}"' for name, kind, *_ in described if kind == "VARCHAR")
    # Every text is quoted, so that a text reading \N stays a text and only a null is a null.
    lake.execute(
        f"COPY ({source.sql}) TO '{path}' "
        f"(FORMAT csv, HEADER false, NULLSTR '\\N', FORCE_QUOTE ({quoted}))"
    )
    cursor.execute(f"CREATE TABLE lake.{source.name} ({columns})")
    with path.open("rb") as rows:
        cursor.copy_expert(
            f"COPY lake.{source.name} FROM STDIN (FORMAT csv, NULL '\\N', ENCODING 'UTF8')", rows
        )
    path.unlink()


def _connect(url: str) -> Any:  # noqa: ANN401  psycopg2's connection
    return psycopg2.connect(_plain(url))


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.QueryCanceled as error:
        raise Unavailable(f"PostgreSQL gave up to {what}: {str(error).strip()}") from error
    except psycopg2.Error as error:
        raise Unavailable(f"PostgreSQL could not {what}: {str(error).strip()}") from error


def _refuse_mighty_reader(cursor: Any) -> None:  # noqa: ANN401
    cursor.execute(
        "SELECT current_user, bool_or(r.rolsuper OR r.rolbypassrls), ("
        "  SELECT min(c.oid::regclass::text) FROM pg_class c"
        "  JOIN pg_namespace n ON n.oid = c.relnamespace"
        "  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        "  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'marts')"
        "  AND n.nspname NOT LIKE 'pg\\_%' AND has_table_privilege(c.oid, 'SELECT')"
        ") FROM pg_roles r WHERE pg_has_role(current_user, r.oid, 'MEMBER')"
    )
    role, powerful, table = cursor.fetchone()
    if powerful or table:
        more = f"read {table}" if table else "look past row-level security"
        raise Refused(
            f"The marts' reader role {role} may {more}, so a tenant's statement could too. "
            "Give marts a reader role that is granted nothing in this database."
        )


def _type_names(cursor: Any, codes: Sequence[int]) -> tuple[str, ...]:  # noqa: ANN401
    cursor.execute(
        "SELECT oid::bigint, format_type(oid, NULL) FROM pg_type WHERE oid = ANY (%s)",
        [list(codes)],
    )
    names = dict(cursor.fetchall())
    return tuple(names.get(code, "unknown") for code in codes)


def _arrow_type(kind: str) -> "pa.DataType | None":
    import pyarrow as pa

    known: dict[str, pa.DataType] = {
        "text": pa.string(),
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
        "timestamp without time zone": pa.timestamp("us"),
        "date": pa.date32(),
    }
    return known.get(kind)


def _array(values: Sequence[Any], kind: "pa.DataType | None") -> "pa.Array":
    import pyarrow as pa

    if kind is not None:
        return pa.array(values, kind)
    try:
        return pa.array(values)  # numeric, arrays, ...: as Arrow understands the values
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
