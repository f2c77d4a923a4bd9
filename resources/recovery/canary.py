"""Numbered writes through a member's own service, over HTTP or into its PostgreSQL table."""

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib import error, parse, request

from qlrf_pipelines.domain.errors import Denied, Truncated, Unavailable
from qlrf_pipelines.domain.recovery import Member, Side
from qlrf_pipelines.ports.recovery import Canary
from resources.secrets import Secrets

if TYPE_CHECKING:
    from psycopg2.extensions import connection, cursor

_TIMEOUT = 5
_LARGEST = 16 * 1024 * 1024
TABLE = "qlrf_canary"


def member_canary(member: Member, side: Side, *, drill: str, secrets: Secrets) -> Canary | None:
    """The canary a member declares for a side; None if it declares none.

    Raises:
        Rejected: a reference leads nowhere.
    """
    declared: Mapping[str, Any] = member.settings.get("canary") or {}
    owner = f"Canary of member {member.name}"
    if "http" in declared:
        given = declared["http"]
        token = {"token": given["token"]} if "token" in given else {}
        found = secrets.resolved(token, owner=owner)
        return HttpCanary(given[side.value], token=found.get("token"), drill=drill)
    if "sql" in declared:
        given = declared["sql"]
        found = secrets.resolved({"dsn": given[side.value]}, owner=owner)
        return SqlCanary(found["dsn"], table=given.get("table", TABLE), name=f"{owner}, {side}")
    return None


class _NoRedirects(request.HTTPRedirectHandler):
    """A redirected write is a write nobody knows the place of."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing."""


class HttpCanary(Canary):
    """POST {drill, number} writes; GET ?drill= answers with the list of numbers."""

    def __init__(self, url: str, *, token: str | None = None, drill: str = "") -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._what = f"canary {url} of drill {drill}"
        self._opener = request.build_opener(_NoRedirects)

    def write(self, drill: str, number: int) -> None:
        """One number, which the service has when it answers 2xx; see the port."""
        self._ask(json.dumps({"drill": drill, "number": number}).encode(), query="")

    def read(self, drill: str) -> Sequence[int]:
        """The numbers the service lists; see the port."""
        body = self._ask(None, query="?" + parse.urlencode({"drill": drill}))
        try:
            found = json.loads(body)
        except ValueError as broken:
            raise Truncated(f"{self._what}: the list is no JSON; it is read again.") from broken
        if not isinstance(found, list) or not all(type(item) is int for item in found):
            raise Truncated(f"{self._what}: the answer is no list of numbers; correct the service.")
        return sorted(set(found))

    def _ask(self, body: bytes | None, *, query: str) -> bytes:
        method = "GET" if body is None else "POST"
        if not self._url.startswith(("http://", "https://")):
            raise Denied(f"{self._what}: this is no address; write http:// or https://.")
        asked = request.Request(  # noqa: S310
            self._url + query, data=body, headers=self._headers, method=method
        )
        try:
            with self._opener.open(asked, timeout=_TIMEOUT) as answer:
                return _whole(answer, self._what)
        except error.HTTPError as refused:
            with refused:
                said = f"{self._what}: HTTP {refused.code}"
            if refused.code in (401, 403):
                raise Denied(f"{said}; correct the token or what it may do.") from refused
            raise Unavailable(f"{said}; it counts as not written.") from refused
        except (OSError, http.client.HTTPException) as lost:
            raise Unavailable(f"{self._what}: {lost}; nobody knows whether it was.") from lost


def _whole(answer: http.client.HTTPResponse, what: str) -> bytes:
    data = answer.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise Truncated(f"{what}: the answer is larger than {_LARGEST} bytes.")
    return data


class SqlCanary(Canary):
    """Rows (drill, number) of a table that the member's owner has made."""

    def __init__(self, dsn: str, *, table: str, name: str) -> None:
        self._dsn = dsn
        self._table = table
        self._name = name
        self._lock = threading.Lock()
        self._open: connection | None = None

    def write(self, drill: str, number: int) -> None:
        """One row, committed when this returns; see the port."""
        statement = "INSERT INTO {} (drill, number) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        self._do(statement, drill, number)

    def read(self, drill: str) -> Sequence[int]:
        """The drill's numbers; see the port."""
        rows = self._do("SELECT DISTINCT number FROM {} WHERE drill = %s ORDER BY 1", drill)
        return [int(number) for (number,) in rows]

    def _do(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg2
        from psycopg2 import sql

        table = sql.Identifier(*self._table.split("."))
        try:
            with self._lock, self._connected() as session, session.cursor() as at:
                at.execute(sql.SQL(statement).format(table), values)
                return _rows(at)
        except psycopg2.errors.InsufficientPrivilege as refused:
            raise Denied(f"{self._name}: {_said(refused)}; grant it.") from refused
        except psycopg2.Error as lost:
            self._forget()
            raise Unavailable(f"{self._name}: {_said(lost)}; it counts as not known.") from lost

    def _connected(self) -> "connection":
        import psycopg2

        if self._open is None or self._open.closed:
            try:
                self._open = psycopg2.connect(
                    self._dsn,
                    connect_timeout=_TIMEOUT,
                    tcp_user_timeout=_TIMEOUT * 1000,
                    options=f"-c statement_timeout={_TIMEOUT}s",
                )
            except psycopg2.ProgrammingError:
                # The driver quotes what it could not read, and that may be a password.
                raise Denied(f"{self._name}: the reference holds no connection string.") from None
        return self._open

    def _forget(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = None


def _rows(at: "cursor") -> list[tuple[Any, ...]]:
    return at.fetchall() if at.description else []


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
