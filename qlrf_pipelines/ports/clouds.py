"""Clouds: the places assets live."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind, Page, Scope
from qlrf_pipelines.domain.vocabulary import Platform


class CloudSession(ABC):
    """One account as one connector may see it. Safe to use from many threads."""

    account: str
    identity: str
    # What there is to list. Facts of a kind the platform does not have stay unknown, and no
    # certificate speaks of it.
    kinds: Sequence[Kind] = tuple(PAGE_SCHEMAS)

    @abstractmethod
    def regions(self, *, known: Sequence[str] = ()) -> Sequence[str]:
        """The regions to list: the connector's own, or all the account has enabled.

        `known` are those that still hold assets from before. Where regions come and go, one that
        is gone is listed once more, so that its own listing proves that nothing is left in it.

        Raises:
            Unavailable: the cloud did not answer, refused (Denied) or broke off (Truncated).
        """

    @abstractmethod
    def list_scope(self, scope: Scope, *, ids: Sequence[str] = ()) -> Iterator[Page]:
        """Every page of one scope, in order; the last one says so.

        `ids` are the image ids (kind image) or asset ids (kind patch_state) to ask for; other
        kinds list everything there is. Memory is bounded by one page.

        Raises:
            Unavailable: a page could not be read (Denied: not permitted; Truncated: broken off).
        """


class Cloud(ABC):
    """One platform's API."""

    platform: Platform

    @abstractmethod
    def sessions(self, connector: Connector) -> "Sequence[CloudSession | LostAccount]":
        """One session per account of the connector; an account that does not answer is a value.

        Raises:
            Rejected: a credential reference of the connector cannot be resolved.
        """


class LostAccount:
    """An account the connector names and that could not be entered."""

    def __init__(self, *, account: str, error: Exception) -> None:
        self.account = account  # as far as known: the role's account, or "unknown"
        self.error = error


Clouds = Mapping[Platform, Cloud]
