"""Controls: what compliance asks of every asset, kept as data."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qlrf_pipelines.domain.compliance import Control


class ControlStore(ABC):
    """Where the controls are kept."""

    @abstractmethod
    def load(self) -> Sequence[Control]:
        """Every control, sorted by id.

        Raises:
            Rejected: a control is incomplete; the message names all that are.
        """
