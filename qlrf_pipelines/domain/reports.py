"""What one step of a refresh came to, per tenant: the numbers operators see beside the asset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qlrf_pipelines.domain.estate import TenantId

Fact = int | float | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One dataset written for a batch of tenants.

    `facts` has an entry for every tenant of the batch (counts, coverage, gaps); `preview` holds a
    few rows per tenant, for people to look at.
    """

    dataset: str
    version: int | None
    seconds: float
    facts: Mapping[TenantId, Mapping[str, Fact]]
    preview: Mapping[TenantId, Sequence[Mapping[str, Fact]]] = field(default_factory=dict)
