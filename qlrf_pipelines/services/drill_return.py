"""The way back: the primary serves, the recovery side follows it, and nothing of the drill is left.

It leads out of every other phase. If it cannot be walked to its end the drill is held, loudly, with
what is live where.
"""

from qlrf_pipelines.domain.drills import DrillRecord, MoveState, Phase
from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.recovery import Member, MoveKind, ReplicationStatus, Serving
from qlrf_pipelines.services.drill_hand import PASSED, Ending, Hand, failed
from qlrf_pipelines.services.drill_moves import RETRY_SECONDS, carry_out, pause
from qlrf_pipelines.services.drill_watching import Idle

_MOVED = (MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH)


def fail_back(hand: Hand, record: DrillRecord) -> Ending:
    """Bring everything back that may have moved, last first, and prove that nothing is left."""
    touched = {
        row.member
        for row in record.moves
        if row.kind in _MOVED and row.state is not MoveState.PLANNED
    }
    written = bool(hand.world.drills.writes(hand.tenant, hand.drill))
    if not touched and not written:
        return PASSED
    lost = None if hand.test else _return(hand, record, touched)
    return lost or _tidy(hand, record) or _proof(hand)


def _round(record: DrillRecord) -> int:
    """How often a human has sent the drill back: a failback that is over is not asked again."""
    return sum(
        entry.kind == "phase_ended" and entry.phase is Phase.HELD for entry in record.entries
    )


def _return(hand: Hand, record: DrillRecord, touched: set[str]) -> Ending | None:
    for wave in reversed(hand.waves):
        members = [member for member in wave if member.name in touched]
        if not members:
            continue
        lost = carry_out(
            hand, MoveKind.FAIL_BACK, members, beside=Idle(hand), round_=_round(record)
        )
        if lost is not None:
            return lost
    live = hand.live()
    wrong = [name for name, sides in live.items() if not _is_back(sides)]
    if wrong:
        where = live[wrong[0]]
        return failed(
            f"{wrong[0]} is not back: the primary is {where['primary']}, the recovery side is "
            f"{where['recovery']}"
        )
    _once(hand, "failed_back", live=live)
    return _protected(hand, [m for m in hand.members if m.name in touched])


def _is_back(sides: dict[str, str]) -> bool:
    return sides["primary"] == Serving.LIVE and sides["recovery"] not in (
        Serving.LIVE,
        Serving.UNKNOWN,
    )


def _protected(hand: Hand, members: list[Member]) -> Ending | None:
    """Wait until the recovery side follows again; one that only lags is not called in sync."""
    begun = hand.now()
    while True:
        found = {member.name: _replication(hand, member) for member in members}
        behind = {n: s for n, s in found.items() if s is not ReplicationStatus.IN_SYNC}
        if not behind:
            _once(hand, "reprotected")
            return None
        if hand.since(begun) > hand.plan.pace.within_seconds:
            name, status = next(iter(behind.items()))
            if set(behind.values()) == {ReplicationStatus.LAGGING}:
                return None
            return failed(f"{name} serves without protection: its replication is {status}")
        pause(hand, RETRY_SECONDS, Idle(hand))


def _replication(hand: Hand, member: Member) -> ReplicationStatus:
    try:
        return hand.session(member).replication().status
    except (Rejected, Unavailable):
        return ReplicationStatus.UNKNOWN


def _tidy(hand: Hand, record: DrillRecord) -> Ending | None:
    for wave in reversed(hand.waves):
        lost = carry_out(hand, MoveKind.CLEAN_UP, wave, beside=Idle(hand), round_=_round(record))
        if lost is not None:
            return lost
    return None


def _proof(hand: Hand) -> Ending:
    """Nothing is left running and nothing orphaned, as each adapter sees it."""
    left: dict[str, list[str]] = {}
    for member in hand.members:
        try:
            found = list(hand.session(member).leftovers(hand.drill))
        except (Rejected, Unavailable) as error:
            why = f"nobody could look what {member.name} left behind: {error}"
            return failed(why, leftovers=left)
        if found:
            left[member.name] = found
    if left:
        listed = "; ".join(f"{name}: {', '.join(items)}" for name, items in left.items())
        return failed(f"the drill left something behind: {listed}", leftovers=left)
    live = hand.live()
    wrong = [name for name, sides in live.items() if not _is_back(sides)]
    if wrong:
        return failed(f"{wrong[0]} is not as it was: {live[wrong[0]]}")
    _once(hand, "clean", live=live)
    return PASSED


def _once(hand: Hand, kind: str, **facts: object) -> None:
    """Keep the first time something was so."""
    if hand.record().last(kind) is None:
        hand.note(kind, **facts)
