"""Canary analyses: how a canary is compared, kept as data."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from qlrf_pipelines.domain.canary import Analysis


class Analyses(ABC):
    """Where canary analyses are kept."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The analyses that can be asked for by name, sorted."""

    @abstractmethod
    def named(self, name: str) -> Analysis:
        """The analysis of this name, or in this file.

        Raises:
            NotFound: there is none; the message names those there are.
            Rejected: it breaks its contract; the message says where and how to mend it.
        """
