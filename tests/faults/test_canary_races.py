"""Whatever happens in whatever order, nothing but the canary is touched without people's word."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from qlrf_pipelines.ports.world import World
from tests.faults.canary_machine import CanaryRaces


def test_no_interleaving_touches_more_than_the_canary_without_people() -> None:
    run_state_machine_as_test(
        CanaryRaces,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_nor_does_any_in_postgres(postgres: Any) -> None:
    from resources.clock import TimeSortedIds
    from resources.database.ledger import SqlLedger
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(postgres.settings)

    class InPostgres(CanaryRaces):
        """The same, over rows."""

        def world_of_its_own(self, world: World) -> World:
            return replace(
                world,
                tasks=SqlTasks(sessions),
                rollouts=SqlRollouts(sessions),
                ledger=SqlLedger(sessions),
                ids=TimeSortedIds(),
            )

    run_state_machine_as_test(
        InPostgres,
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    sessions.close()
