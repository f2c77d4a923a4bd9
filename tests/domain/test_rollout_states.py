"""Every pair of state and event, of rollouts and of their assets."""

import pytest

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import (
    ASSET_NEXT,
    ENDED,
    NEXT,
    AssetEvent,
    AssetRow,
    AssetState,
    Rollout,
    RolloutEvent,
    RolloutState,
    advance,
    advance_asset,
    token,
)
from tests.fakes.clock import NOON


def rollout(state: RolloutState = RolloutState.RUNNING) -> Rollout:
    return Rollout(
        tenant=TenantId("acme"),
        id="t-1",
        digest="d" * 64,
        environment="staging",
        state=state,
        total=1,
        started_at=NOON,
        changed_at=NOON,
    )


def asset(state: AssetState = AssetState.WAITING, **parts: object) -> AssetRow:
    given = {"asset": "aws:1:r:i-1", "order": 0, "phase": 0, "batch": 0, "state": state}
    return AssetRow(**(given | parts))  # type: ignore[arg-type]


@pytest.mark.parametrize("event", RolloutEvent)
@pytest.mark.parametrize("state", RolloutState)
def test_a_rollout_goes_where_its_table_says_or_nowhere(
    state: RolloutState, event: RolloutEvent
) -> None:
    if (state, event) in NEXT:
        assert advance(rollout(state), event) is NEXT[state, event]
    else:
        with pytest.raises(Refused, match=state.value):
            advance(rollout(state), event)


@pytest.mark.parametrize("event", AssetEvent)
@pytest.mark.parametrize("state", AssetState)
def test_an_asset_goes_where_its_table_says_or_nowhere(
    state: AssetState, event: AssetEvent
) -> None:
    if (state, event) in ASSET_NEXT:
        assert advance_asset(asset(state), event) is ASSET_NEXT[state, event]
    else:
        with pytest.raises(Refused, match=state.value):
            advance_asset(asset(state), event)


def test_only_four_ways_end_a_rollout_and_one_of_them_is_good() -> None:
    assert {state.value for state in ENDED} == {"completed", "rolled_back", "failed", "cancelled"}
    good = {before for (before, _), after in NEXT.items() if after is RolloutState.COMPLETED}
    assert good == {RolloutState.RUNNING, RolloutState.WATCHING}


def test_what_is_rolled_back_or_stuck_never_becomes_completed() -> None:
    seen, found = {RolloutState.ROLLING_BACK}, [RolloutState.ROLLING_BACK]
    while found:
        state = found.pop()
        after = {to for (before, _), to in NEXT.items() if before is state} - seen
        seen |= after
        found += after

    assert RolloutState.COMPLETED not in seen


def test_an_unknown_asset_is_never_done_without_being_asked_again_under_its_token() -> None:
    after = {event for (state, event) in ASSET_NEXT if state is AssetState.UNKNOWN}
    assert after == {AssetEvent.ASKED_AGAIN, AssetEvent.UNDO_BEGUN}


def test_a_token_names_one_step_of_one_try_in_one_direction() -> None:
    rows = [
        asset(AssetState.CHANGING),
        asset(AssetState.CHANGING, step=1),
        asset(AssetState.CHANGING, tries=1),
        asset(AssetState.RESTORING),
        asset(AssetState.CHANGING, asset="aws:1:r:i-2"),
    ]

    tokens = [token(rollout(), row) for row in rows]

    assert len(set(tokens)) == len(rows)
    assert tokens[0] == token(rollout(), asset(AssetState.CHANGING, now_id="i-9"))
