"""The seven phases of a drill, each of which may be begun any number of times and ends once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import (
    TOUCHING,
    Drill,
    DrillEvent,
    DrillRecord,
    MoveState,
    Phase,
)
from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Answer, Instant, Ranges, good_run
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import Member, MoveKind, ReplicationStatus, Serving, Side
from qlrf_pipelines.domain.recovery_plans import DrillType, RecoveryPlan, unanswered
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_hand import PASSED, Ending, Hand, driving, failed
from qlrf_pipelines.services.drill_moves import RETRY_SECONDS, carry_out, pause
from qlrf_pipelines.services.drill_results import answers_that_count, result_of
from qlrf_pipelines.services.drill_return import fail_back
from qlrf_pipelines.services.drill_watching import (
    WORKLOAD,
    Companion,
    Idle,
    Prober,
    Writer,
    canaries,
    canary_members,
    write,
)

LOOKS = 5


def run_phase(world: World, tenant: TenantId, drill: str, phase: Phase, *, holder: str) -> Drill:
    """Take a drill through one phase if it is in it; whatever else it is in stays as it is.

    Raises:
        Refused: another process has the drill, or it is closed.
        Unavailable: our own database does not answer; ask again.
    """
    record = world.drills.get(tenant, drill)
    if record.drill.phase is not phase:
        return record.drill
    with driving(world, tenant, drill, holder=holder) as hand:
        record = hand.record()
        if record.drill.phase is not phase:
            return record.drill
        if record.drill.abort and phase in (Phase.VALIDATION, *TOUCHING):
            ending = Ending(event=DrillEvent.ABORTED, why=record.drill.abort)
            return hand.end(phase, ending).drill
        return _work(hand, record, phase)


def _work(hand: Hand, record: DrillRecord, phase: Phase) -> Drill:
    if phase is Phase.REPORTING:
        return _close(hand).drill
    ending = _PHASES[phase](hand, record)
    if ending.event is DrillEvent.PASSED and (unsigned := _unsigned(hand, phase)):
        why = f"{', '.join(unsigned)} to be signed: qlrf drills sign {hand.drill}"
        return hand.amend(lambda kept, now: drill_steps.waits(kept, now, why=why)).drill
    return hand.end(phase, ending).drill


def _unsigned(hand: Hand, phase: Phase) -> list[str]:
    signed = drill_steps.signatures(hand.record())
    mine = [step for step in hand.plan.runbook if step.phase == phase]
    return [step.name for step in mine if step.name not in signed]


def _is_tabletop(record: DrillRecord) -> bool:
    return record.drill.type is DrillType.TABLETOP


def _validate(hand: Hand, record: DrillRecord) -> Ending:
    """Look at everything, touch nothing; what cannot be seen is not assumed to be well."""
    del record
    found: dict[str, Any] = {}
    problems: list[str] = []
    for member in hand.members:
        facts, why = _looked_at(hand, member)
        found[member.name] = facts
        problems += why
    problems += _unanswerable(hand)
    if problems:
        return failed("; ".join(problems), members=found)
    return Ending(event=DrillEvent.PASSED, facts={"members": found})


def _looked_at(hand: Hand, member: Member) -> tuple[dict[str, Any], list[str]]:
    """One member's sides and replication, and what speaks against a drill of it."""
    try:
        session = _reached(hand, member)
        sides, replication = session.serving(), session.replication()
    except (Rejected, Unavailable) as error:
        return {"error": str(error)}, [f"{member.name}: {error}"]
    primary = sides.get(Side.PRIMARY, Serving.UNKNOWN)
    recovery = sides.get(Side.RECOVERY, Serving.UNKNOWN)
    facts = {
        "primary": primary.value,
        "recovery": recovery.value,
        "replication": replication.status.value,
        "lag_seconds": replication.lag_seconds,
        "lag_bytes": replication.lag_bytes,
        "detail": replication.detail,
    }
    why: list[str] = []
    if primary is not Serving.LIVE:
        why.append(f"{member.name}: the primary is {primary}, not live")
    if recovery in (Serving.LIVE, Serving.UNKNOWN):
        why.append(f"{member.name}: the recovery side is {recovery}")
    if replication.status in (ReplicationStatus.FAILED, ReplicationStatus.UNKNOWN):
        why.append(f"{member.name}: replication is {replication.status} ({replication.detail})")
    return facts, why


def _unanswerable(hand: Hand) -> list[str]:
    """The probes that nobody here could ever answer: they would only be not proven, at the end."""
    why: list[str] = []
    for probe in hand.plan.asked_inside:
        named = next(m.adapter for m in hand.plan.members if m.name == probe.member)
        adapter = hand.world.recovery.get(named)
        if adapter is not None and probe.type not in adapter.answers:
            why.append(unanswered(probe.name, probe.type, adapter.name, adapter.answers))
    return why


def _reached(hand: Hand, member: Member) -> Any:  # noqa: ANN401  a session, or the error raised
    for look in range(LOOKS):
        try:
            return hand.session(member)
        except Unavailable:
            if look == LOOKS - 1:
                raise
            hand.world.stopwatch.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")


def _isolate(hand: Hand, record: DrillRecord) -> Ending:
    """Write numbers, declare the incident, and fence the primary while the writing goes on."""
    if _is_tabletop(record):
        return PASSED
    try:
        return _incident(hand, record)
    except (Rejected, Unavailable) as error:
        return failed(str(error))


def _incident(hand: Hand, record: DrillRecord) -> Ending:
    if record.declared is None:
        lost = _still_well(hand)
        if lost is not None:
            return lost
        with Writer(hand) as writer:
            if canary_members(hand):
                pause(hand, hand.plan.canary.before_seconds, writer)
            if (abort := hand.record().drill.abort) != "":
                return Ending(event=DrillEvent.ABORTED, why=abort)
            hand.note("declared", test=hand.test)
            return _fence(hand, writer)
    return _fence(hand, Idle(hand))


def _still_well(hand: Hand) -> Ending | None:
    """Between the validation and now people may have taken a day to agree."""
    problems = [why for member in hand.members for why in _looked_at(hand, member)[1]]
    if problems and not any(row.state is not MoveState.PLANNED for row in hand.record().moves):
        return failed("; ".join(problems))
    return None


def _fence(hand: Hand, beside: Companion) -> Ending:
    if hand.test:
        return PASSED
    for wave in reversed(hand.waves):
        lost = carry_out(hand, MoveKind.ISOLATE, wave, beside=beside)
        if lost is not None:
            return lost
    return PASSED


def _fail_over(hand: Hand, record: DrillRecord) -> Ending:
    """Bring the recovery side up, wave after wave, and lead clients to it."""
    if _is_tabletop(record):
        return PASSED
    kinds = (MoveKind.FAIL_OVER,) if hand.test else (MoveKind.FAIL_OVER, MoveKind.SWITCH)
    with Prober(hand, Phase.FAILOVER) as prober:
        for wave in hand.waves:
            for kind in kinds:
                lost = carry_out(hand, kind, wave, beside=prober)
                if lost is not None:
                    return lost
    return PASSED


def _validate_service(hand: Hand, record: DrillRecord) -> Ending:
    """Ask until every probe held, then read what arrived of the numbers that were written."""
    if _is_tabletop(record):
        return PASSED
    if record.last("validated") is None:
        begun = record.last("phase_started")
        lost = _proven(hand, begun.instant if begun else hand.now())
        if lost is not None:
            return lost
        hand.note("validated")
    for member in canary_members(hand):
        _read(hand, member)
    return PASSED


def _proven(hand: Hand, begun: Instant) -> Ending | None:
    waited = hand.now()
    with Prober(hand, Phase.SERVICE_VALIDATION) as prober:
        while True:
            answers = hand.world.drills.answers(hand.tenant, hand.drill)
            missing = unproven(hand.plan, answers_that_count(hand.record(), answers))
            if not missing:
                return None
            if abort := hand.record().drill.abort:
                return Ending(event=DrillEvent.ABORTED, why=abort)
            if max(hand.since(begun), hand.since(waited)) > hand.plan.pace.within_seconds:
                return failed(f"the service did not prove itself: {', '.join(missing)}")
            pause(hand, hand.plan.pace.interval_seconds, prober)


def max_gap(plan: RecoveryPlan) -> float:
    """The longest time between two answers that still are in a row."""
    return 2 * (plan.pace.interval_seconds + plan.pace.timeout_seconds)


def unproven(plan: RecoveryPlan, answers: Sequence[Answer]) -> list[str]:
    """The probes that do not hold at the end of these answers, with their last words."""
    missing: list[str] = []
    for probe in plan.probes:
        mine = [answer for answer in answers if answer.probe == probe.name]
        run = good_run(mine, consecutive=probe.consecutive, max_gap_seconds=max_gap(plan))
        if run is None:
            missing.append(f"{probe.name} ({mine[-1].why if mine else 'never asked'})")
    return missing


def _read(hand: Hand, member: Member) -> None:
    """Keep which numbers arrived; not being able to read them proves nothing, and says so."""
    for entry in hand.record().entries:
        if entry.kind == "recovered" and entry.facts["member"] == member.name:
            return
    why = "it has no data to write numbers into"
    for _ in range(LOOKS):
        try:
            canary = hand.session(member).canary(Side.RECOVERY, drill=hand.drill)
            if canary is None:
                break
            numbers = [n for n in canary.read(hand.drill) if n < WORKLOAD]
            pairs = [list(pair) for pair in Ranges.of(numbers).pairs]
            hand.note("recovered", member=member.name, ranges=pairs, why="")
            return
        except (Rejected, Unavailable) as error:
            why = str(error)
            hand.world.stopwatch.sleep(RETRY_SECONDS)
    hand.note("recovered", member=member.name, ranges=None, why=why)


def _exercise(hand: Hand, record: DrillRecord) -> Ending:
    """Work on the recovery side as clients do: write, read it back, and answer once more."""
    if _is_tabletop(record):
        return PASSED
    try:
        written = sum(_written(hand, member, canary) for member, canary in
                      canaries(hand, Side.RECOVERY))  # fmt: skip
    except (Rejected, Unavailable) as error:
        return failed(f"the recovery side takes no work: {error}")
    with Prober(hand, Phase.WORKLOAD) as prober:
        bad = [a for a in prober.round() if a.health is not Health.HEALTHY]
    if bad:
        return failed(f"after the workload probe {bad[0].probe} says: {bad[0].why}")
    return Ending(event=DrillEvent.PASSED, facts={"written": written})


def _written(hand: Hand, member: Member, canary: Any) -> int:  # noqa: ANN401  a Canary
    kept = hand.world.drills.writes(hand.tenant, hand.drill)
    mine = [one.number for one in kept if one.member == member.name and one.number >= WORKLOAD]
    first = max(mine, default=WORKLOAD) + 1
    numbers = range(first, first + hand.plan.canary.workload)
    heard = [number for number in numbers if write(hand, member, canary, number)]
    lost = set(numbers) - set(canary.read(hand.drill))
    if lost or len(heard) < len(numbers):
        raise Unavailable(
            f"{member.name} kept {len(numbers) - len(lost)} of {len(numbers)} numbers."
        )
    return len(heard)


def _close(hand: Hand) -> DrillRecord:
    """Write down what the drill proved, and nothing more."""
    world = hand.world
    record = hand.record()
    result = result_of(
        record,
        answers=world.drills.answers(hand.tenant, hand.drill),
        writes=world.drills.writes(hand.tenant, hand.drill),
        now=hand.now(),
        max_gap_seconds=max_gap(hand.plan),
    )

    def step(kept: DrillRecord, now: Instant) -> Any:  # noqa: ANN401
        if kept.drill.phase is not Phase.REPORTING:
            return None
        return drill_steps.closed(kept, now, result=result)

    return hand.amend(step)


_PHASES: Mapping[Phase, Callable[[Hand, DrillRecord], Ending]] = {
    Phase.VALIDATION: _validate,
    Phase.ISOLATION: _isolate,
    Phase.FAILOVER: _fail_over,
    Phase.SERVICE_VALIDATION: _validate_service,
    Phase.WORKLOAD: _exercise,
    Phase.FAILBACK: fail_back,
}
