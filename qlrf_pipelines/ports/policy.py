"""Policies: where they are kept, who judges by them, who runs their tests."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.policy import Decision, PolicyPackage, PolicyTestResult


class PolicyEngine(ABC):
    """Judges inputs by the platform's policy packages."""

    @abstractmethod
    def bundle_digest(self) -> str:
        """SHA-256 over the source of every package in use; the same for every engine.

        Raises:
            Unavailable: the engine cannot be asked.
        """

    @abstractmethod
    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        """What a package says of an input.

        Never raises: an unknown package, an undefined, failed, late or malformed answer is a
        denying decision that says so. A decision without bundle_digest was made by no policy.
        """


class PolicyStore(ABC):
    """Where the packages are kept, with their samples and tests."""

    @abstractmethod
    def load(self) -> Sequence[PolicyPackage]:
        """Every package, sorted by id.

        Raises:
            Rejected: a package is incomplete; the message names all that are.
        """


class PolicyTests(ABC):
    """Runs the tests written in Rego beside a package."""

    @abstractmethod
    def run(self, package: PolicyPackage) -> Sequence[PolicyTestResult]:
        """How each test of the package went; one that cannot be evaluated has not passed."""
