"""The estate folder: the contracts tenants declared, and the registry of who is a tenant."""

from abc import ABC, abstractmethod

from qlrf_pipelines.domain.estate import Estate


class EstateStore(ABC):
    """Where the contracts are kept."""

    @abstractmethod
    def load(self) -> Estate:
        """Every contract, validated together.

        Raises:
            Rejected: one or more documents break their contract; the message names them all.
        """
