"""Executors: whoever changes assets on one platform, a step at a time, never the same twice."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import HealthReport, Operation, Progress, Target
from qlrf_pipelines.domain.vocabulary import Platform


class Operator(ABC):
    """The hands in one account, as one connector may use them. Safe to use from many threads."""

    @abstractmethod
    def capture(self, target: Target) -> Mapping[str, Any]:
        """The asset as it is, as JSON: all that `restore` needs to bring it back. Reads only.

        Raises:
            NotFound: there is no such asset.
            Unavailable: the cloud did not answer, or refused (Denied).
        """

    @abstractmethod
    def advance(self, operation: Operation) -> Progress:
        """Look at what is there, take at most one step of the operation, and say how far it is.

        The same token never does the same thing twice, also if the caller died in the middle of
        an earlier call. What cannot be told apart from done is `unknown`, never done again.

        Raises:
            Rejected: this platform has no such operation for such an asset; nothing was done.
            Unavailable: the cloud did not answer; ask again with the same token.
        """

    @abstractmethod
    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        """What the cloud itself says of an asset: `cloud-status`, `ssm-ping` or `exec`.

        An answer that cannot be had is `unknown`, with the reason.
        """

    @abstractmethod
    def address(self, target: Target) -> str | None:
        """Where the asset can be reached from here; None if it has no address."""


class Executor(ABC):
    """One platform's executor; `version` changes when the same plan would do something else."""

    platform: Platform
    version: str

    @abstractmethod
    def operator(self, connector: Connector, account: str) -> Operator:
        """The operator of one account of a connector.

        Raises:
            NotFound: the connector does not lead to that account.
            Rejected: a credential reference of the connector cannot be resolved.
            Unavailable: the account could not be entered.
        """


Executors = Mapping[Platform, Executor]
