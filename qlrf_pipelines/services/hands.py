"""Who would carry a plan out, and what was carried out before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qlrf_pipelines.domain.change_risk import PastChanges
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import Environment, Platform

Past = Callable[[TenantId, Environment], PastChanges | None]


def nothing_known(tenant: TenantId, environment: Environment) -> PastChanges | None:  # noqa: ARG001
    """What the platform did before, where nobody kept it."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Executors by platform and version, and the past of an environment.

    A platform that is not named has no executor; `past` answers None where nothing is known.
    """

    executors: Mapping[Platform, str] = field(default_factory=dict)
    past: Past = nothing_known


NO_HANDS = Hands()
