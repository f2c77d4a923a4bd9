"""Numbered writes over HTTP and into a table: there, or an error, never in between."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

from qlrf_pipelines.domain.errors import Denied, Rejected, Truncated, Unavailable
from qlrf_pipelines.domain.recovery import Member, Side
from resources.database import roles, schema
from resources.recovery.canary import HttpCanary, SqlCanary, member_canary
from resources.recovery.declared import CANARY, checked, fields
from resources.secrets import Secrets
from tests.fakes.postgres import PostgresDatabase

DRILL = "drill-1"


class Service(BaseHTTPRequestHandler):
    """A service that keeps numbers, as long as it is told to answer."""

    numbers: list[dict[str, Any]]
    status = 200
    listed: bytes | None = None
    token = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.status == 200 and self._allowed():
            self.numbers.append(body)
        self._answer(b"{}")

    def do_GET(self) -> None:
        drill = parse_qs(urlsplit(self.path).query)["drill"][0]
        found = [row["number"] for row in self.numbers if row["drill"] == drill]
        self._answer(json.dumps(found).encode() if self.listed is None else self.listed)

    def _answer(self, body: bytes) -> None:
        self.send_response(self.status if self._allowed() else 401)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _allowed(self) -> bool:
        return not self.token or self.headers["Authorization"] == f"Bearer {self.token}"

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def a_service(**options: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and what it has."""
    kept: list[dict[str, Any]] = []
    handler = type("Handler", (Service,), {"numbers": kept, **options})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/canary", kept
    finally:
        server.shutdown()
        server.server_close()


def test_numbers_written_over_http_are_read_back_per_drill() -> None:
    with a_service() as (url, _):
        canary = HttpCanary(url)
        for number in (2, 1, 1):
            canary.write(DRILL, number)
        canary.write("other", 7)

        assert canary.read(DRILL) == [1, 2]


@pytest.mark.parametrize("status", [302, 404, 409, 500, 503])
def test_a_service_that_says_anything_but_yes_has_not_written(status: int) -> None:
    with a_service(status=status) as (url, _):
        with pytest.raises(Unavailable):
            HttpCanary(url).write(DRILL, 1)
        with pytest.raises(Unavailable):
            HttpCanary(url).read(DRILL)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'["1"]', b"[true]", b"[1.5]", b"[1"])
def test_an_answer_that_is_no_list_of_numbers_is_not_an_empty_one(body: bytes) -> None:
    with a_service(listed=body) as (url, _), pytest.raises(Truncated):
        HttpCanary(url).read(DRILL)


def test_a_service_that_is_away_is_not_one_without_numbers() -> None:
    canary = HttpCanary("http://127.0.0.1:9/canary")

    with pytest.raises(Unavailable):
        canary.read(DRILL)
    with pytest.raises(Unavailable):
        canary.write(DRILL, 1)


def test_a_token_is_sent_and_a_wrong_one_is_said_so() -> None:
    with a_service(token="right") as (url, kept):
        HttpCanary(url, token="right").write(DRILL, 1)
        with pytest.raises(Denied, match="token"):
            HttpCanary(url, token="wrong").write(DRILL, 2)

    assert [row["number"] for row in kept] == [1]


@pytest.fixture
def dsn(postgres: PostgresDatabase) -> str:
    found = schema.plain(postgres.url(roles.OWNER))
    connection = psycopg2.connect(found)
    with connection, connection.cursor() as at:
        at.execute(
            "CREATE TABLE public.qlrf_canary"
            " (drill text, number bigint, PRIMARY KEY (drill, number))"
        )
    connection.close()
    return found


def test_numbers_written_into_a_table_are_read_back_per_drill(dsn: str) -> None:
    canary = SqlCanary(dsn, table="public.qlrf_canary", name="canary")
    for number in (2, 1, 1):
        canary.write(DRILL, number)
    canary.write("other", 7)

    again = SqlCanary(dsn, table="public.qlrf_canary", name="canary")

    assert again.read(DRILL) == [1, 2]
    assert again.read("nobody") == []


def test_a_canary_goes_on_after_its_connection_was_cut(
    dsn: str, postgres: PostgresDatabase
) -> None:
    canary = SqlCanary(dsn, table="public.qlrf_canary", name="canary")
    canary.write(DRILL, 1)
    with postgres.connected(roles.OWNER) as other, other.cursor() as at:
        at.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    with pytest.raises(Unavailable):
        canary.write(DRILL, 2)
    canary.write(DRILL, 3)

    assert canary.read(DRILL) == [1, 3]


def test_a_missing_table_is_not_an_empty_one(dsn: str) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        SqlCanary(dsn, table="nowhere", name="canary").read(DRILL)


def test_a_secret_that_cannot_be_read_as_an_address_is_not_repeated() -> None:
    with pytest.raises(Denied) as raised:
        SqlCanary("p4ssw0rd", table="qlrf_canary", name="canary").read(DRILL)

    assert "p4ssw0rd" not in str(raised.value)


def member(canary: dict[str, Any]) -> Member:
    return Member(name="web", adapter="aws", settings={"canary": canary})


def test_each_side_has_the_address_the_member_declares_for_it() -> None:
    with a_service() as (home, at_home), a_service() as (away, over_there):
        declared = member({"http": {"primary": home, "recovery": away}})
        for side, number in ((Side.PRIMARY, 1), (Side.RECOVERY, 2)):
            canary = member_canary(declared, side, drill=DRILL, secrets=Secrets({}))
            assert canary is not None
            canary.write(DRILL, number)

    assert [row["number"] for row in at_home] == [1]
    assert [row["number"] for row in over_there] == [2]


def test_a_connection_string_is_a_reference_and_is_looked_up_when_it_is_used(dsn: str) -> None:
    sql = {"primary": "env:HOME_DSN", "recovery": "env:NOWHERE", "table": "public.qlrf_canary"}
    secrets = Secrets({"HOME_DSN": dsn})

    canary = member_canary(member({"sql": sql}), Side.PRIMARY, drill=DRILL, secrets=secrets)

    assert canary is not None
    assert canary.read(DRILL) == []
    with pytest.raises(Rejected, match="NOWHERE"):
        member_canary(member({"sql": sql}), Side.RECOVERY, drill=DRILL, secrets=secrets)


@pytest.mark.parametrize(
    "canary",
    [
        {},
        {"http": {"primary": "http://a"}},
        {"sql": {"primary": "env:A", "recovery": "env:B", "table": 'x"; drop table y'}},
        {"http": {"primary": "http://a", "recovery": "http://b"}, "sql": {}},
    ],
)
def test_a_canary_that_is_declared_wrongly_is_rejected(canary: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="Member web"):
        checked(member(canary), fields("canary", canary=CANARY))
