"""The moves of a drill: kept before they are asked for, asked for until they are over.

Whoever is killed between any two lines here is followed by somebody who finds the same token, asks
again, and does nothing twice.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import DrillEvent, DrillRecord, MoveRow, MoveState
from qlrf_pipelines.domain.errors import QlrfError, Rejected, Unavailable
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.recovery import Member, Move, MoveKind
from qlrf_pipelines.services.drill_hand import Ending, Hand, failed
from qlrf_pipelines.services.drill_watching import GRACE_SECONDS, Companion

_STATES = {
    Status.RUNNING: MoveState.RUNNING,
    Status.SUCCEEDED: MoveState.SUCCEEDED,
    Status.FAILED: MoveState.FAILED,
    Status.UNKNOWN: MoveState.UNKNOWN,
}
# A member may have nothing to switch or to clean up; it must be fenced, brought over and back.
OPTIONAL = (MoveKind.SWITCH, MoveKind.CLEAN_UP)
# The way back is not left half-way because somebody wants it to be over.
BACK = (MoveKind.FAIL_BACK, MoveKind.CLEAN_UP)
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    row: MoveRow
    poll_seconds: float


def carry_out(
    hand: Hand,
    kind: MoveKind,
    members: Sequence[Member],
    *,
    beside: Companion,
    round_: int = 0,
) -> Ending | None:
    """Take members through one kind of move at the same time; None if all of them got there."""
    rows, asked = _begun(hand, kind, members, round_)
    named = {member.name: member for member in members}
    with ThreadPoolExecutor(max(1, len(members))) as pool:
        while (over := _over(rows, kind)) is None:
            if kind not in BACK and hand.record().drill.abort:
                return Ending(event=DrillEvent.ABORTED, why=hand.record().drill.abort)
            left = [row for row in rows if row.state is MoveState.RUNNING]
            if kind is MoveKind.ISOLATE:
                # Right before the fence: a pause here would let a standby catch up unnoticed.
                beside.hurry()
            futures = {
                row.token: pool.submit(_ask, hand, named[row.member], row, row.token in asked)
                for row in left
            }
            _await(list(futures.values()), beside)
            asked.update(futures)
            told = [future.result() for future in futures.values()]
            late = [_in_time(hand, one.row) for one in told]
            rows = _keep(hand, rows, late)
            if any(row.state is MoveState.RUNNING for row in rows):
                pause(hand, min(one.poll_seconds for one in told), beside)
    return None if over.event is DrillEvent.PASSED else over


def _begun(
    hand: Hand, kind: MoveKind, members: Sequence[Member], round_: int
) -> tuple[list[MoveRow], set[str]]:
    """The rows of these moves, kept; and the tokens somebody may have asked for before."""
    asked: set[str] = set()

    def wanted(record: DrillRecord) -> list[MoveRow]:
        found = []
        for member in members:
            token = drill_steps.token_of(hand.drill, member.name, kind, round_)
            fresh = MoveRow(token=token, member=member.name, kind=kind, test=hand.test)
            found.append(record.move(token) or fresh)
        return found

    before = wanted(hand.record())
    asked.update(row.token for row in before if row.state is not MoveState.PLANNED)
    fresh = [row for row in before if row.state is MoveState.PLANNED]
    if fresh:
        hand.amend(
            lambda record, now: drill_steps.move_begun(
                record, [row for row in wanted(record) if row.state is MoveState.PLANNED], now
            )
        )
    return wanted(hand.record()), asked


def _ask(hand: Hand, member: Member, row: MoveRow, asked: bool) -> _Told:
    move = Move(
        token=row.token,
        drill=hand.drill,
        kind=row.kind,
        test=row.test,
        checkpoint=row.checkpoint,
        begun=asked,
    )
    try:
        said = hand.session(member).advance(move)
    except Rejected as error:
        return _Told(row=replace(row, state=MoveState.REFUSED, detail=str(error)), poll_seconds=0)
    except Unavailable as error:
        return _Told(row=replace(row, detail=str(error)), poll_seconds=RETRY_SECONDS)
    except QlrfError as error:
        return _Told(row=replace(row, state=MoveState.FAILED, detail=str(error)), poll_seconds=0)
    told = replace(
        row, state=_STATES[said.status], detail=said.detail, checkpoint=dict(said.checkpoint)
    )
    return _Told(row=told, poll_seconds=said.poll_seconds)


def _in_time(hand: Hand, row: MoveRow) -> MoveRow:
    if row.state is not MoveState.RUNNING or row.begun is None:
        return row
    if hand.since(row.begun) <= hand.plan.move_seconds:
        return row
    why = f"not over after {hand.plan.move_seconds:.0f} s: {row.detail}"
    return replace(row, state=MoveState.FAILED, detail=why)


def _keep(hand: Hand, rows: list[MoveRow], told: list[MoveRow]) -> list[MoveRow]:
    """Keep what is new; that the same was said again is not."""
    before = {row.token: row for row in rows}
    news = [row for row in told if row != before[row.token]]
    if news:
        record = hand.amend(lambda kept, now: drill_steps.move_told(kept, news, now))
        before |= {row.token: row for row in record.moves if row.token in before}
    return list(before.values())


def _over(rows: Sequence[MoveRow], kind: MoveKind) -> Ending | None:
    """How these moves ended; None if some are still on their way."""
    states = {row.state for row in rows}
    if MoveState.RUNNING in states or MoveState.PLANNED in states:
        return None
    unknown = [row for row in rows if row.state is MoveState.UNKNOWN]
    if unknown:
        row = unknown[0]
        why = f"nobody knows whether {row.member} did {kind}: {row.detail}"
        return Ending(event=DrillEvent.UNKNOWN, why=why)
    bad = (MoveState.FAILED,) if kind in OPTIONAL else (MoveState.FAILED, MoveState.REFUSED)
    lost = [row for row in rows if row.state in bad]
    if lost:
        return failed(f"{lost[0].member} did not {kind}: {lost[0].detail}")
    return Ending(event=DrillEvent.PASSED)


def _await(futures: Sequence["Future[_Told]"], beside: Companion) -> None:
    """Wait until all have answered, with the companion at work meanwhile."""
    left = set(futures)
    while left:
        _, left = wait(left, timeout=GRACE_SECONDS)
        if left:
            beside.tick()


def pause(hand: Hand, seconds: float, beside: Companion) -> None:
    """Let time pass, with the companion at work."""
    start = hand.now()
    while True:
        beside.tick()
        remaining = seconds - hand.since(start)
        if remaining <= 0:
            return
        hand.world.stopwatch.sleep(max(0.001, min(remaining, beside.next_in() or GRACE_SECONDS)))
