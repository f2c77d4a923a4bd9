"""What a control's SQL may be: one SELECT over `assets`, always with the same answer."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from qlrf_pipelines.domain.facts import ASSETS

COLUMNS = ["tenant", "asset_key", "verdict", "detail"]
# SQL's own words for the moment and the asker: written like columns, listed as no function.
_MOMENTARY = frozenset(
    (
        "current_timestamp",
        "current_time",
        "localtimestamp",
        "localtime",
        "current_user",
        "current_role",
        "current_catalog",
        "session_user",
        "user",
    )
)
_ALWAYS = frozenset({"tenant", "asset_key", "as_of"})


class SqlCheck:
    """Reads SQL in a database that has `assets`, and nothing and nowhere else to read from."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._connection.execute("SET TimeZone = 'UTC'")
        empty = ASSETS.empty_table()
        self._connection.register("no_assets", empty)
        self._connection.execute("CREATE TABLE assets AS SELECT * FROM no_assets")
        self._connection.unregister("no_assets")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        found = self._connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        ).fetchall()
        self._fickle = {name for (name,) in found} | _MOMENTARY

    def close(self) -> None:
        """Forget the database."""
        self._connection.close()

    def faults(self, sql: str, *, facts: tuple[str, ...]) -> list[str]:
        """Everything that is wrong with a control's SQL, in words; empty if nothing is."""
        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            return [f"check.sql is not SQL: {_line(error)}"]
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return [f"check.sql must be one SELECT statement, not {len(statements)} of any kind"]
        tree = self._tree(sql)
        if tree is None:
            return ["check.sql must be one SELECT statement"]
        return [*self._meaning(tree, facts), *self._binding(sql)]

    def _tree(self, sql: str) -> dict[str, Any] | None:
        found = self._connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        tree: dict[str, Any] = json.loads(found[0]) if found else {"error": True}
        return None if tree.get("error") else tree

    def _meaning(self, tree: dict[str, Any], facts: tuple[str, ...]) -> list[str]:
        nodes = list(_nodes(tree))
        faults = []
        if any(node.get("class") == "STAR" for node in nodes):
            faults.append("check.sql must name its columns, not use *")
        fickle = sorted(_functions(nodes) & self._fickle)
        if fickle:
            faults.append(
                f"check.sql uses {', '.join(fickle)}, which answers differently each time; "
                "the moment of judging is the column as_of"
            )
        used = {node["column_names"][-1] for node in nodes if node.get("column_names")}
        read = (used & set(ASSETS.names)) - _ALWAYS
        if read - set(facts):
            faults.append(f"facts must also list {', '.join(sorted(read - set(facts)))}")
        unused = (set(facts) & set(ASSETS.names)) - read - _ALWAYS
        if unused:
            faults.append(f"facts lists {', '.join(sorted(unused))}, which check.sql does not read")
        return faults

    def _binding(self, sql: str) -> list[str]:
        try:
            found = self._connection.execute(f"DESCRIBE SELECT * FROM (\n{sql}\n)").fetchall()  # noqa: S608  the control itself, locked in
        except duckdb.Error as error:
            return [f"check.sql cannot be run: {_line(error)}"]
        if [row[0] for row in found] != COLUMNS or any(row[1] != "VARCHAR" for row in found):
            return [f"check.sql must give the texts {', '.join(COLUMNS)}, in this order"]
        return []


def _nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _functions(nodes: list[dict[str, Any]]) -> set[str]:
    called = {str(node["function_name"]) for node in nodes if node.get("function_name")}
    named = {str(node["column_names"][-1]) for node in nodes if node.get("column_names")}
    return {name.lower() for name in called | named}


def _line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
