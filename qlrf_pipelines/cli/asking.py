"""Asking the marts for the commands that show them: the questions' common parts."""

from collections.abc import Sequence
from typing import Any

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.output import say
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.ports.warehouse import Warehouse
from qlrf_pipelines.settings import Settings

Row = dict[str, Any]


def house_of(settings: Settings, tenants: Sequence[str]) -> Warehouse:
    """The marts, if something was published about these tenants.

    Raises:
        NotFound: nothing was.
    """
    house = wiring.warehouse(settings)
    known = {row["tenant"] for row in rows_of(house, "SELECT tenant FROM dim_tenant")}
    missing = sorted(set(tenants) - known)
    if missing:
        raise NotFound(
            f"Nothing was published about tenant {', '.join(missing)}; "
            "`qlrf tenants list` shows who there is, `qlrf refresh` publishes."
        )
    return house


def rows_of(house: Warehouse, sql: str) -> list[Row]:
    """The rows of an answer, by the names of their columns."""
    answer = house.ask(sql)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def known(house: Warehouse, mart: str, column: str, value: str) -> None:
    """Refuse a value that no row of a mart has.

    Raises:
        NotFound: there is none such.
    """
    rows = rows_of(house, f"SELECT DISTINCT {column} AS name FROM {mart} ORDER BY 1")  # noqa: S608
    names = [row["name"] for row in rows]
    if value not in names:
        raise NotFound(f"There is no {column} {value}; there are: {', '.join(names) or 'none'}.")


def count(house: Warehouse, mart: str, where: str) -> int:
    """How many rows a mart has that match."""
    return int(rows_of(house, f"SELECT count(*) AS n FROM {mart}{where}")[0]["n"])  # noqa: S608


def say_cut(house: Warehouse, mart: str, where: str, *, shown: int) -> None:
    """Say that more rows match than were shown."""
    total = count(house, mart, where)
    if total > shown:
        say(f"{shown} of {total}; --limit 0 shows all.")


def matching(*conditions: str) -> str:
    """A WHERE clause of the conditions that were given."""
    given = [condition for condition in conditions if condition]
    return f" WHERE {' AND '.join(given)}" if given else ""


def among(column: str, values: Sequence[str]) -> str:
    """The condition that a column is one of these values; none if none is given."""
    return f"{column} IN ({', '.join(map(quoted, values))})" if values else ""


def first(limit: int) -> str:
    """A LIMIT clause; 0 shows all."""
    return f" LIMIT {limit}" if limit else ""


def quoted(value: str) -> str:
    """A value as SQL text."""
    return "'" + value.replace("'", "''") + "'"
