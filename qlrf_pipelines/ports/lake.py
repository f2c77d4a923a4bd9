"""The lake: observations and scores, one open-format table per dataset, partitioned by tenant."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import Dataset
from qlrf_pipelines.domain.estate import TenantId


class Lake(ABC):
    """Whole or not at all: every write is one atomic commit; readers see the old or the new."""

    @abstractmethod
    def replace(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        *,
        tenants: Sequence[TenantId],
        day: date | None = None,
    ) -> int:
        """Replace these tenants' rows (of `day` alone, if given) with `rows`, in one commit.

        `rows` must have the dataset's schema and hold only these tenants. Returns the version.

        Raises:
            Unavailable: the storage is full, down, or lost too many commit races.
        """

    @abstractmethod
    def append(
        self, dataset: Dataset, rows: pa.RecordBatchReader, *, tenants: Sequence[TenantId]
    ) -> int:
        """Add rows of these tenants in one commit. Returns the version."""

    @abstractmethod
    def view(
        self,
        connection: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        *,
        tenants: Sequence[TenantId],
        name: str | None = None,
        version: int | None = None,
    ) -> None:
        """Create a view of these tenants' rows in the connection, named as the dataset or `name`.

        Nothing is copied: the view reads the files of one snapshot (the newest, or `version`). A
        dataset never written is an empty view with the right columns.
        """

    @abstractmethod
    def version(self, dataset: Dataset) -> int | None:
        """The newest version of a dataset; None if it was never written."""

    @abstractmethod
    def tenants(self) -> Sequence[TenantId]:
        """Every tenant that has rows in any dataset, sorted."""

    @abstractmethod
    def erase(self, tenant: TenantId) -> None:
        """Remove every row of one tenant from every dataset, and the files that held them."""

    @abstractmethod
    def upkeep(self, *, keep_hours: int) -> None:
        """Compact small files, write checkpoints and drop files no snapshot of the window needs."""
