"""Looking at many tenants often: those of whom nothing is on its way are left alone.

A tenant is at rest from a look that found nothing going on until its tasks take another step; the
number of its newest step, read before that look, is what a sensor keeps of it.
"""

import json
from collections.abc import Callable, Iterable, Mapping

import dagster as dg

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import TenantId

Look = Callable[[TenantId, int], Iterable[dg.RunRequest]]


def requests_of(
    context: dg.SensorEvaluationContext,
    newest: Mapping[TenantId, int],
    look: Look,
    at_rest: Callable[[TenantId], bool],
    *,
    most: int,
) -> list[dg.RunRequest]:
    """What is to be asked for of every tenant that is awake, at most so much.

    `newest` are the tenants and the numbers of their newest steps; `look` is given a tenant and how
    much there is still room for. One tenant's trouble is said and does not stop the others.
    """
    resting: dict[str, int] = json.loads(context.cursor or "{}")
    kept = {name: seq for name, seq in resting.items() if newest.get(TenantId(name)) == seq}
    found: list[dg.RunRequest] = []
    for tenant, seq in newest.items():
        if tenant in kept:
            continue
        try:
            found += look(tenant, most - len(found))
            if at_rest(tenant):
                kept[tenant] = seq
        except QlrfError as error:
            context.log.warning(f"Tenant {tenant} could not be looked at: {error}")
    if kept != resting:
        context.update_cursor(json.dumps(kept, sort_keys=True))
    return found
