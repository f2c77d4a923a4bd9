"""The embedded server comes when it is needed, goes when it is not, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry, verify_chain
from resources.database import cluster, roles, schema, server
from resources.database.connection import opened
from resources.database.embedded import status
from resources.database.ledger import SqlLedger
from resources.database.sessions import Sessions
from tests.resources.database.clients import (
    Client,
    client,
    keeper_pid,
    place,
    processes_of,
    settings_of,
    wait_until_nothing_lives,
)

pytestmark = pytest.mark.slow

ACME = TenantId("acme")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home whose database was made once and is stopped."""
    home = tmp_path_factory.mktemp("made") / "home"
    with client(home) as first:
        first.told()
        first.leave()
    wait_until_nothing_lives(home)
    return home


@pytest.fixture
def home(made, tmp_path):
    """A copy of that home, of this test's own; nothing of it lives when the test ends."""
    shutil.copytree(made, tmp_path / "home")
    for path in [tmp_path / "home", *(tmp_path / "home").rglob("*")]:
        owner = (made / path.relative_to(tmp_path / "home")).stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    yield tmp_path / "home"
    wait_until_nothing_lives(tmp_path / "home")
    assert processes_of(tmp_path / "home") == []


def fact(number: int) -> NewEntry:
    return NewEntry(
        kind="test", subject=str(number), recorded_at=datetime(2026, 11, 1, tzinfo=UTC), content={}
    )


def test_the_first_client_makes_it_and_it_ends_with_the_last_one(tmp_path):
    home = tmp_path / "home"
    with client(home) as one, client(home) as two:
        assert one.told()["pid"] == two.told()["pid"]

        one.leave()
        assert status(settings_of(home)).running
        two.leave()

    wait_until_nothing_lives(home)
    assert not status(settings_of(home)).running
    assert "database system is shut down" in place(home).log.read_text()


def test_clients_that_race_to_start_it_get_one_server(home):
    racers = [Client(home) for _ in range(3)]

    assert len({racer.told()["pid"] for racer in racers}) == 1
    for racer in racers:
        racer.leave()


def test_it_ends_when_its_only_client_is_killed(home):
    with client(home) as only:
        only.told()
        only.kill()

    wait_until_nothing_lives(home)
    assert "database system is shut down" in place(home).log.read_text()


def test_what_was_written_is_there_after_the_next_start_on_the_same_port(home):
    ports = []
    for number in range(2):
        sessions = Sessions(settings_of(home))
        SqlLedger(sessions).append({ACME: [fact(number)]})
        ports.append(status(settings_of(home)).port)
        sessions.close()
        wait_until_nothing_lives(home)

    sessions = Sessions(settings_of(home))
    assert verify_chain(SqlLedger(sessions).entries(ACME)) == 2
    sessions.close()
    assert ports[0] == ports[1]


@LINUX
def test_killing_the_keeper_shuts_the_server_down_clean_and_the_next_use_starts_anew(home):
    sessions = Sessions(settings_of(home))
    ledger = SqlLedger(sessions)
    ledger.append({ACME: [fact(1)]})

    os.kill(keeper_pid(home), signal.SIGKILL)
    ledger.append({ACME: [fact(2)]})

    assert verify_chain(ledger.entries(ACME)) == 2
    assert place(home).log.read_text().count("database system is shut down\n") >= 1
    sessions.close()


@LINUX
def test_killing_the_postmaster_loses_nothing_and_the_next_use_starts_anew(home):
    sessions = Sessions(settings_of(home))
    ledger = SqlLedger(sessions)
    ledger.append({ACME: [fact(1)]})

    os.kill(status(settings_of(home)).pid, signal.SIGKILL)
    ledger.append({ACME: [fact(2)]})

    assert verify_chain(ledger.entries(ACME)) == 2
    sessions.close()


@LINUX
def test_killing_keeper_postmaster_and_clients_at_once_leaves_no_process(home):
    with client(home) as one, client(home) as two:
        pids = [one.told()["pid"], keeper_pid(home), one.process.pid, two.process.pid]
        two.told()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    wait_until_nothing_lives(home)
    with client(home) as again:
        again.told()
        again.leave()


def test_a_port_somebody_took_meanwhile_is_not_fought_over(home):
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", place(home).port()))
        squatter.listen()

        with client(home) as one:
            assert one.told()["port"] != squatter.getsockname()[1]
            one.leave()


def test_a_pid_file_whose_number_another_program_has_by_now_is_no_obstacle(home):
    (place(home).data / "postmaster.pid").write_text(f"{os.getpid()}\n{place(home).data}\n0\n")

    with client(home) as one:
        one.told()
        one.leave()


@LINUX
def test_killed_while_making_the_cluster_the_next_start_makes_it_whole(tmp_path):
    home, binaries = tmp_path / "home", tmp_path / "bin"
    said, go = tmp_path / "said", tmp_path / "go"
    os.mkfifo(said)
    os.mkfifo(go)
    for fifo in (said, go):
        fifo.chmod(0o666)
    real = cluster.find_binaries()
    binaries.mkdir(mode=0o755)
    (binaries / "postgres").symlink_to(real / "postgres")
    script = binaries / "initdb"
    script.write_text(
        f"#!/bin/sh\nif [ -e {go} ]; then echo $PPID > {said}; cat {go}; fi\n"
        f'exec {real / "initdb"} "$@"\n'
    )
    script.chmod(0o755)

    with client(home, binaries=binaries) as victim:
        keeper = int(said.read_text())
        victim.kill()
        os.kill(keeper, signal.SIGKILL)
        with go.open("w"):
            go.unlink()  # the orphan goes on, whoever comes next is not stopped

    with client(home, binaries=binaries) as again:
        again.told()
        again.leave()
    wait_until_nothing_lives(home)
    assert not list(place(home).folder.glob("making-*"))
    assert not list(place(home).folder.glob("data.new"))


def test_deleting_the_home_while_nothing_runs_is_a_factory_reset(home):
    shutil.rmtree(home)

    sessions = Sessions(settings_of(home))
    assert SqlLedger(sessions).head(ACME) is None
    sessions.close()


def test_only_those_who_can_read_the_secret_get_in(home):
    assert stat.S_IMODE((place(home).folder / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(place(home).data.stat().st_mode) == 0o700

    with opened(settings_of(home)) as database:
        assert place(home).secret() not in repr(database)
        for url in (database.app_url, database.owner_url, database.dagster_url):
            wrong = schema.plain(url).replace(":", ":wrong", 2).replace(":wrong//", "://", 1)
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                psycopg2.connect(wrong)


def test_every_role_gets_into_its_own_database_and_no_further(home):
    with opened(settings_of(home)) as database:
        for url in (database.marts_url, database.reader_url, database.dagster_url):
            psycopg2.connect(schema.plain(url)).close()
        reader = psycopg2.connect(schema.plain(database.reader_url))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader.cursor().execute("SELECT * FROM evidence")
        reader.close()
        for url, elsewhere in (
            (database.app_url, roles.DAGSTER_DATABASE),
            (database.dagster_url, roles.CONTROL_DATABASE),
        ):
            swapped = schema.plain(url).rsplit("/", 1)[0] + f"/{elsewhere}"
            with pytest.raises(psycopg2.OperationalError, match="permission denied"):
                psycopg2.connect(swapped)


def test_status_says_how_it_stands_and_starts_nothing(home, tmp_path):
    absent = status(settings_of(tmp_path / "nowhere"))
    assert (absent.running, absent.version, absent.problem) == (False, None, None)
    assert not (tmp_path / "nowhere").exists()
    assert status(settings_of(home)).running is False

    with opened(settings_of(home)):
        found = status(settings_of(home))

    assert found.running
    assert found.pid is not None
    assert found.size_bytes is not None
    assert found.size_bytes > 1_000_000
    assert found.version is not None


def test_a_cluster_of_another_major_version_is_not_opened(home):
    version = (place(home).data / "PG_VERSION").read_text()
    (place(home).data / "PG_VERSION").write_text("12\n")

    with pytest.raises(Unavailable, match="PostgreSQL 12"), opened(settings_of(home)):
        pass
    (place(home).data / "PG_VERSION").write_text(version)


def test_a_lost_secret_is_said_not_replaced(home):
    (place(home).folder / "secret").unlink()

    with pytest.raises(Unavailable, match="secret"), opened(settings_of(home)):
        pass


def test_a_folder_without_binaries_is_said(tmp_path):
    with pytest.raises(Unavailable, match="PG_BIN"):
        cluster.find_binaries(str(tmp_path))


def test_a_home_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="QLRF_HOME"), opened(settings_of(tmp_path / "file")):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")
def test_root_uses_it_inside_a_folder_nobody_else_may_enter(home):
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700

    with client(home) as one:
        one.told()
        assert place(home).data.stat().st_uid != 0
        one.leave()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root to be another user"
)
def test_an_ordinary_user_uses_it_without_any_help(tmp_path_factory):
    folder = Path("/tmp") / f"qlrf-ordinary-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    # May pass through folders on the way to this interpreter, and write nowhere else.
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    as_nobody += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

    try:
        with client(folder / "home", prefix=as_nobody) as one:
            one.told()
            assert place(folder / "home").data.stat().st_uid == 65534
            one.leave()
        wait_until_nothing_lives(folder / "home")
    finally:
        shutil.rmtree(folder)


WATCHED = """
import os, sys
from pathlib import Path
from resources.database import cluster, server
data = Path(sys.argv[1])
alive = os.open(data.parent / "alive", os.O_RDWR | os.O_CREAT)
import fcntl; fcntl.flock(alive, fcntl.LOCK_EX)
process = server.serve(data, binaries=cluster.find_binaries(), port=server.free_port(),
                       launch=cluster.launch_as(), keep=(alive,), by_kernel=False)
assert server.wait_ready(process, data)
print("ready", flush=True)
process.wait()
"""


def test_where_the_kernel_does_not_tell_a_watchdog_does(home):
    keeper = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(place(home).data)],
        stdout=subprocess.PIPE,
        stderr=place(home).log.open("ab"),
        cwd=Path(__file__).parents[3],
    )
    assert keeper.stdout.readline() == b"ready\n"

    keeper.kill()
    keeper.communicate()

    wait_until_nothing_lives(home)
    assert "database system is shut down" in place(home).log.read_text()


def test_many_threads_of_one_process_open_it_once(home):
    sessions = Sessions(settings_of(home))
    with ThreadPoolExecutor(8) as pool:
        heads = list(pool.map(lambda _: SqlLedger(sessions).head(ACME), range(16)))

    assert heads == [None] * 16
    sessions.close()
    assert server.free_port() > 0
