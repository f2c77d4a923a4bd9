"""Marts in memory: what a build publishes is what the test laid out beforehand."""

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from qlrf_pipelines.domain.errors import NotFound, QlrfError, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.warehouse import BuildReport, NodeResult, Warehouse


class FakeWarehouse(Warehouse):
    """`upcoming` holds each mart as the next build shall find it; `builds` remembers who was built.

    `failing` is raised by the next build; `breaking` names a node the next build reports as failed,
    and then publishes nothing.
    """

    def __init__(
        self,
        *,
        upcoming: Mapping[str, pa.Table] | None = None,
        failing: QlrfError | None = None,
        breaking: str | None = None,
    ) -> None:
        self.upcoming: dict[str, pa.Table] = dict(upcoming or {"fct_assets": _NO_ASSETS})
        self.published: dict[str, pa.Table] = {}
        self.failing = failing
        self.breaking = breaking
        self.builds: list[tuple[TenantId, ...]] = []
        self.erased: list[TenantId] = []

    def build(self, *, tenants: Sequence[TenantId]) -> BuildReport:
        if self.failing is not None:
            error, self.failing = self.failing, None
            raise error
        self.builds.append(tuple(tenants))
        broken, self.breaking = self.breaking, None
        if broken is None:
            for name, rows in self.upcoming.items():
                before = self.published.get(name, rows.schema.empty_table())
                self.published[name] = pa.concat_tables(
                    [_without(before, tenants), _only(rows, tenants)]
                )
        nodes = [_node(f"model.qlrf.{name}", "success") for name in self.upcoming]
        return BuildReport(nodes=(*nodes, *([_node(broken, "fail")] if broken else [])))

    def query(self, sql: str, *, tenant: TenantId | None = None) -> pa.Table:
        if not self.published:
            raise NotFound("No marts were published yet; run `qlrf refresh`.")
        with duckdb.connect(":memory:") as connection:
            try:
                statements = connection.extract_statements(sql)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise Rejected("Only one SELECT statement can be asked.")
                for name, rows in self.published.items():
                    connection.register(name, rows if tenant is None else _only(rows, [tenant]))
                return connection.sql(sql).to_arrow_table()
            except duckdb.Error as error:
                raise Rejected(str(error)) from error

    def erase(self, tenant: TenantId) -> None:
        self.erased.append(tenant)
        self.published = {n: _without(rows, [tenant]) for n, rows in self.published.items()}


_NO_ASSETS = pa.schema(
    [("tenant", pa.string()), ("asset_key", pa.string()), ("drift_verdict", pa.string())]
).empty_table()


def _node(unique_id: str, status: str) -> NodeResult:
    return NodeResult(
        unique_id=unique_id, status=status, seconds=0.0, failures=int(status == "fail"), message=""
    )


def _only(rows: pa.Table, tenants: Sequence[TenantId]) -> pa.Table:
    return rows.filter(pc.is_in(rows["tenant"], pa.array(list(tenants), pa.string())))


def _without(rows: pa.Table, tenants: Sequence[TenantId]) -> pa.Table:
    keep = pc.invert(pc.is_in(rows["tenant"], pa.array(list(tenants), pa.string())))
    return rows.filter(keep)
