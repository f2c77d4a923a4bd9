"""The warehouse: the marts analysts query."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.tenancy import TenantId

if TYPE_CHECKING:
    import pyarrow as pa  # `qlrf query` starts in half the time without it


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What building one model, or running one test, came to."""

    unique_id: str  # dbt's: model.qlrf.fct_assets, test.qlrf.unique_…
    status: str  # success, pass, warn, fail, error, skipped
    seconds: float
    failures: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What a build of the marts came to."""

    nodes: tuple[NodeResult, ...]

    @property
    def broken(self) -> tuple[NodeResult, ...]:
        """The nodes that did not come out well."""
        return tuple(n for n in self.nodes if n.status not in ("success", "pass", "warn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a statement answered, as plain values; `types` are the target's own names."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Warehouse(ABC):
    """Marts are published whole: a reader sees the marts before a build or after it."""

    @abstractmethod
    def build(self, *, tenants: Sequence[TenantId]) -> BuildReport:
        """Bring these tenants' rows in every mart up to date with the lake, test them, publish.

        Nothing is published if a model fails. Builders take turns.

        Raises:
            Unavailable: the target is full, down, or busy for too long.
        """

    @abstractmethod
    def query(self, sql: str, *, tenant: TenantId | None = None) -> "pa.Table":
        """The answer to one read-only statement; with `tenant`, over that tenant's rows alone.

        Raises:
            Rejected: not one read-only statement, or not valid SQL.
            NotFound: nothing has been published yet.
        """

    def ask(self, sql: str, *, tenant: TenantId | None = None) -> Answer:
        """The same as `query`, as plain values."""
        table = self.query(sql, tenant=tenant)
        columns = [column.to_pylist() for column in table.columns]
        return Answer(
            columns=tuple(table.column_names),
            types=tuple(str(kind) for kind in table.schema.types),
            rows=list(zip(*columns, strict=True)),
        )

    @abstractmethod
    def erase(self, tenant: TenantId) -> None:
        """Remove every row of one tenant from every mart."""
