"""No text of a statement reaches a row of another tenant, a file, or a setting."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import QlrfError, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from resources.database import roles
from resources.warehouse.postgres import PostgresWarehouse
from tests.fakes.postgres import PostgresDatabase
from tests.marts import builds

ACME = TenantId("acme")
CANARY = "globex"  # in the tenant's name, its assets' names and their keys

SOURCES = [
    "fct_assets",
    "marts.fct_assets",
    "marts.main.fct_assets",
    "main.fct_assets",
    "published.fct_assets",
    "published.main.fct_assets",
    "memory.main.fct_assets",
    "temp.fct_assets",
    "lake.inventory",
    "marts.visits",
    "dim_tenant",
    "agg_drift_scope",
    "read_parquet('{path}')",
    "read_text('{path}')",
    "read_blob('{path}')",
    "read_csv('{path}')",
    "'{path}'",
    "glob('{path}*')",
    "query('FROM published.fct_assets')",
    "query_table('fct_' || 'assets')",
    "query_table('published.fct_assets')",
    "duckdb_tables()",
    "duckdb_databases()",
    "duckdb_columns()",
    "duckdb_views()",
    "duckdb_settings()",
    "duckdb_secrets()",
    "pragma_database_list()",
    "pragma_storage_info('fct_assets')",
    "pragma_table_info('fct_assets')",
    "information_schema.tables",
    "pg_catalog.pg_class",
    "pg_stats",
    "sqlite_master",
    "rows",
    "answer",
    "sql",
    "pg_read_file('/etc/passwd')",
    "set_config('qlrf.tenant', 'globex', true)",
    "set_config('transaction_read_only', 'off', true)",
    "set_config('role', 'qlrf_marts', true)",
    "marts.enter('globex')",
    "marts.enter('*')",
    "marts.ask('other', 'SELECT * FROM marts.fct_assets')",
]
SHAPES = [
    "SELECT * FROM {0}",
    "FROM {0}",
    "SELECT count(*) AS n, min(name) FROM {0} WHERE tenant <> 'acme'",
    "SELECT * FROM {0} AS a, {1} AS b",
    "WITH x AS (SELECT * FROM {0}) SELECT * FROM x, {1}",
    "WITH x AS MATERIALIZED (SELECT * FROM {1}) SELECT *, (SELECT count(*) FROM x) FROM {0}",
    "SELECT (SELECT string_agg(name, ',') FROM {0}) FROM {1}",
    "SELECT * FROM {0} UNION ALL SELECT * FROM {1}",
    "SELECT * FROM {0} /* {1} */ -- ; SELECT",
    "SELECT * FROM fct_assets ORDER BY (SELECT max(tenant) FROM {0})",
    "DESCRIBE SELECT * FROM {0}",
    "SUMMARIZE {0}",
    "SHOW ALL TABLES",
    "ATTACH '{path}' AS other",
    "USE published",
    "DETACH marts",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "COPY (SELECT * FROM {0}) TO '/tmp/leak.csv'",
    "EXPORT DATABASE '/tmp/leak'",
    "INSTALL httpfs",
    "CALL pragma_version()",
    "SELECT 1; SELECT * FROM {0}",
    "SELECT $$;$$; COMMIT; SELECT marts.enter('globex'); SELECT * FROM marts.fct_assets",
    "SELECT 1) TO STDOUT; SELECT * FROM {0}",
    "WITH d AS (DELETE FROM {0} RETURNING *) SELECT * FROM d",
    "SELECT getenv('HOME'), current_setting('qlrf.tenant', true) FROM {0}",
]

statements = st.builds(
    lambda shape, one, two: shape.replace("{0}", one).replace("{1}", two),
    st.sampled_from(SHAPES),
    st.sampled_from(SOURCES),
    st.sampled_from(SOURCES),
)


@settings(max_examples=60, deadline=None)
@given(statement=statements)
def test_no_statement_sees_another_tenant_in_duckdb(statement: str) -> None:
    house = builds.published()
    text = statement.replace("{path}", str(house.path))

    try:
        answer = house.ask(text, tenant=ACME)
    except QlrfError as error:
        said = str(error).replace(text, "")
    else:
        said = repr(answer)

    assert CANARY not in _without_echo(said, text)


@pytest.mark.parametrize("tenant", [None, ACME])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
        "SET enable_external_access = true",
        "SET threads = 1",
        "ATTACH '/tmp/x.duckdb' AS x",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "INSERT INTO dim_control SELECT * FROM dim_control",
        "WITH gone AS (DELETE FROM dim_control RETURNING *) SELECT * FROM gone WHERE 1 = 1 / 0",
        "SELECT * FROM statement",
        "SELECT * FROM house",
    ],
)
def test_no_statement_reaches_a_file_a_setting_or_our_own_variables(
    statement: str, tenant: TenantId | None
) -> None:
    house = builds.published()

    with pytest.raises(Rejected):
        house.ask(statement, tenant=tenant)

    assert house.ask("SELECT count(*) FROM dim_control").rows == [(3,)]


@pytest.fixture
def server(tmp_path: Path, postgres: PostgresDatabase) -> PostgresWarehouse:
    """The same marts on PostgreSQL."""
    house = builds.on_postgres(tmp_path, builds.sources(builds.filled()), postgres)
    assert not house.build(tenants=builds.TENANTS).broken
    return house


@pytest.mark.slow
def test_no_statement_sees_another_tenant_in_postgres(
    server: PostgresWarehouse, postgres: PostgresDatabase
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(statement=statements)
    def no_leak(statement: str) -> None:
        try:
            answer = server.ask(statement, tenant=ACME)
        except QlrfError as error:
            said = str(error)
        else:
            said = repr(answer)

        assert CANARY not in _without_echo(said, statement)

    no_leak()
    with postgres.connected(roles.READER) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM marts.fct_assets")
        assert cursor.fetchone() == (0,), "a reader that did not enter sees nothing"
        cursor.execute("SELECT marts.enter('acme')")
        cursor.execute("SELECT DISTINCT tenant FROM marts.fct_assets")
        assert cursor.fetchall() == [("acme",)]
    assert server.ask("SELECT count(DISTINCT tenant) AS n FROM fct_assets").rows == [(2,)]


@pytest.mark.slow
def test_a_reader_that_may_read_other_tables_is_not_trusted_with_a_tenant(
    server: PostgresWarehouse, postgres: PostgresDatabase
) -> None:
    with postgres.connected(roles.OWNER) as connection, connection.cursor() as cursor:
        cursor.execute("GRANT SELECT ON evidence TO qlrf_reader")
        connection.commit()

    with pytest.raises(Refused, match="evidence"):
        server.ask("SELECT 1 AS one", tenant=ACME)


def _without_echo(said: str, statement: str) -> str:
    """An error may repeat what was asked; what it was asked is no secret."""
    for word in sorted({statement, *statement.split("'"), "marts.enter"}, key=len, reverse=True):
        if CANARY in word:
            said = said.replace(word, "")
    return said
