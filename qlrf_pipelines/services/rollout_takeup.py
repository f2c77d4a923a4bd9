"""What was claimed and never begun: the run that took it died in between, and another begins it.

Nothing was changed yet, so what the approval relied upon is looked at once more. If it still
holds, the rollout begins under the same claim; if not, the task ends, and says why.
"""

from qlrf_pipelines.domain.approval import Extent
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import Rollout
from qlrf_pipelines.domain.tasks import Claim, Record, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import EXECUTE
from qlrf_pipelines.services.claims import finish, limits
from qlrf_pipelines.services.plan_gates import Result
from qlrf_pipelines.services.recheck import Changed, Shrunk, recheck
from qlrf_pipelines.services.remediation import carried_out_by_people, last_word, note
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.rollout_rest import refusal
from qlrf_pipelines.services.rollout_task import LOCK_SECONDS, lock_name
from qlrf_pipelines.services.rollouts import begin_or_fail


def claim_of(record: Record) -> Claim | None:
    """The claim under which a task's newest digest is carried out."""
    mine = (record.task.digest, EXECUTE)
    return next((one for one in record.claims if (one.digest, one.stage) == mine), None)


def take_up(world: World, tenant: TenantId, task: str, *, holder: str) -> Rollout | None:
    """Begin what was claimed and not begun; None if nothing of it runs, which its task then says.

    Raises:
        Refused: nobody claimed it, or an asset of it is being changed by another rollout.
        Unavailable: what it relied upon cannot be asked about now; it is taken up later.
    """
    with world.locks.hold([lock_name(tenant, task)], wait_seconds=LOCK_SECONDS):
        try:
            return world.rollouts.get(tenant, task)
        except NotFound:
            pass
        record = world.tasks.get(tenant, task)
        claim = claim_of(record)
        if claim is None or record.task.state is not TaskState.EXECUTING:
            raise Refused(f"Task {task} is {record.task.state}, and nothing of it waits to begin.")
        if carried_out_by_people(record.document.content):
            why = "the run that was to hand it over to people died; plan it anew"
            _ended(world, record, TaskState.FAILED, why, by=holder)
            return None
        return _begun(world, record, claim, holder)


def _begun(world: World, record: Record, claim: Claim, holder: str) -> Rollout | None:
    no = refusal(record, now=world.clock.now())
    if no:
        _ended(world, record, TaskState.CANCELLED, no, by=holder)
        return None
    alone = claim.extent is Extent.CANARY
    part = claim.extent.value if alone else ""
    came = recheck(world, record.document, hands=hands_of(world), alone=alone)
    if isinstance(came, Changed):
        note(world, record, came, of=part)
        _ended(world, record, TaskState.FAILED, "; ".join(came.reasons), by=holder)
        return None
    if isinstance(came, Shrunk) and came.all_gone:
        note(world, record, came, of=part)
        _ended(world, record, TaskState.CANCELLED, "every asset is gone", by=holder)
        return None
    gate = last_word(world, record, extent=claim.extent)
    note(world, record, came, gate, of=part)
    if gate is not None and gate.result is Result.DENIED:
        why = f"it must not run now: {'; '.join(gate.reasons)}"
        _ended(world, record, TaskState.FAILED, why, by=holder)
        return None
    gone = came.gone if isinstance(came, Shrunk) else {}
    return begin_or_fail(world, record, limits(record, claim), skipped=gone, by=holder)


def _ended(world: World, record: Record, outcome: TaskState, why: str, *, by: str) -> None:
    task = record.task
    said = f"nothing was changed: the run that claimed it died before it began, and {why}"
    finish(world, task.tenant, task.id, outcome=outcome, by=by, detail=said)
