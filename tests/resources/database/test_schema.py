"""The schema comes to its newest version by itself, once, and only where that is safe."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from qlrf_pipelines.domain.errors import Denied, Refused, Rejected, Unavailable
from resources.database import cluster, roles, schema, server
from resources.database.connection import opened
from resources.database.tables import METADATA
from tests.fakes.postgres import shared_server


@pytest.fixture
def empty():
    shared = shared_server()
    database = shared.database(template=False)
    yield database
    shared.drop(database)


def test_the_newest_revision_is_the_one_the_program_asks_for():
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_an_empty_database_is_migrated_from_any_folder(empty, tmp_path):
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        with opened(empty.settings), opened(empty.settings):
            pass
    finally:
        os.chdir(before)

    with empty.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        assert cursor.fetchall() == [(schema.HEAD,)]


def test_many_that_open_an_empty_database_at_once_migrate_it_once(empty):
    def enter(_: int) -> None:
        with opened(empty.settings):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter, range(4)))


def test_the_tables_are_as_the_program_believes(postgres):
    engine = sa.create_engine(postgres.url(roles.OWNER), poolclass=sa.NullPool)
    made = sa.MetaData()
    made.reflect(engine)

    for table in METADATA.tables.values():
        found = made.tables[table.name]
        assert [(c.name, type(c.type).__name__.upper(), c.nullable) for c in found.columns] == [
            (c.name, str(c.type).split()[0].replace("DATETIME", "TIMESTAMP"), c.nullable)
            for c in table.columns
        ]
        assert [c.name for c in found.primary_key] == [c.name for c in table.primary_key]


def test_without_an_owner_an_old_schema_is_refused_with_what_to_do(empty):
    without = replace(empty.settings, database_owner_url="")

    with pytest.raises(Refused, match="QLRF_DATABASE_OWNER_URL"), opened(without):
        pass


def test_without_an_owner_the_newest_schema_is_enough(postgres):
    with opened(replace(postgres.settings, database_owner_url="")) as database:
        assert database.owner_url == ""


def test_a_schema_from_the_future_is_refused(postgres):
    with postgres.connected(roles.OWNER) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(Refused, match="9999"), opened(postgres.settings):
        pass


def _as(database, role: str):
    return replace(database.settings, database_url=database.url(role))


def test_a_superuser_is_refused_as_the_application(postgres):
    with pytest.raises(Refused, match="superuser"), opened(_as(postgres, cluster.SUPERUSER)):
        pass


def test_the_owner_is_refused_as_the_application(postgres):
    with pytest.raises(Refused, match="owns"), opened(_as(postgres, roles.OWNER)):
        pass


@pytest.mark.parametrize(
    ("grant", "why"),
    [
        ("ALTER ROLE {} BYPASSRLS", "bypass"),
        ("GRANT qlrf_owner TO {}", "owner"),
        ("GRANT postgres TO {}", "superuser"),
    ],
)
def test_a_role_that_may_become_more_is_refused(postgres, grant, why):
    role = f"sly_{postgres.name}"
    with postgres.connected(cluster.SUPERUSER) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN")
        cursor.execute(f"GRANT CONNECT ON DATABASE {postgres.name} TO {role}")
        cursor.execute(grant.format(role))
        connection.commit()

    with pytest.raises(Refused, match=why), opened(_as(postgres, role)):
        pass


def test_a_table_whose_policies_are_not_forced_is_refused(postgres):
    with postgres.connected(roles.OWNER) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE evidence NO FORCE ROW LEVEL SECURITY")
        connection.commit()

    with pytest.raises(Refused, match="evidence"), opened(postgres.settings):
        pass


def test_a_role_nobody_knows_is_denied(postgres):
    with (
        pytest.raises((Denied, Unavailable), match="nobody-knows"),
        opened(_as(postgres, "nobody-knows")),
    ):
        pass


@pytest.mark.parametrize("url", ["mysql://x@127.0.0.1/y", "nonsense", "postgresql://a:b@c:x/d"])
def test_a_url_that_is_not_postgres_is_rejected_without_repeating_it(postgres, url):
    with (
        pytest.raises(Rejected, match="QLRF_DATABASE_URL") as rejected,
        opened(replace(postgres.settings, database_url=url)),
    ):
        pass

    assert url not in str(rejected.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_way_to_write_a_postgres_url_becomes_the_drivers(postgres, scheme):
    url = postgres.url().replace("postgresql+psycopg2", scheme)

    with opened(replace(postgres.settings, database_url=url)) as database:
        assert database.app_url == postgres.url()


def test_a_database_says_no_password_when_shown(postgres):
    url = postgres.url().replace("@", ":hunter2@")

    with opened(replace(postgres.settings, database_url=url)) as database:
        assert "hunter2" in database.app_url
        assert "hunter2" not in repr(database)


def test_a_server_that_is_not_there_is_unavailable(tmp_path, postgres):
    away = f"postgresql://qlrf_app@127.0.0.1:{server.free_port()}/qlrf"

    with (
        pytest.raises(Unavailable, match="does not answer"),
        opened(replace(postgres.settings, database_url=away)),
    ):
        pass
