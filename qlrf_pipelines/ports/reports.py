"""Reports: a page as a file for people who want to keep one."""

from abc import ABC, abstractmethod

from qlrf_pipelines.domain.paper import Paper


class Reports(ABC):
    """Sets a report; the same paper is the same bytes, whenever and wherever it is set."""

    @abstractmethod
    def pdf(self, paper: Paper) -> bytes:
        """The report as a tagged PDF for archives.

        Every text is taken as text, whatever it looks like; what no font has is written as its
        code point, and what is too long is cut where the cut is shown.

        Raises:
            Unavailable: it could not be set.
        """
