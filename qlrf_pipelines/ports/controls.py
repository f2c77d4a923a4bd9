"""Controls: what compliance asks of every asset, kept as data."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qlrf_pipelines.domain.compliance import Control, Framework


class ControlStore(ABC):
    """Where the controls, and the standards they serve, are kept."""

    @abstractmethod
    def load(self) -> Sequence[Control]:
        """Every control, sorted by id.

        Raises:
            Rejected: a control is incomplete; the message names all that are.
        """

    @abstractmethod
    def frameworks(self) -> Sequence[Framework]:
        """Every framework, sorted by id.

        Raises:
            Rejected: a framework is incomplete; the message names all that are.
        """
