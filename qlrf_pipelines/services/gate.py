"""The gate: what a run is about to do is asked for, waited for, and taken once.

Everything here may be done any number of times, by any number of runs: a request is found again by
its run or its task, and the right to go on is claimed under the task's lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.approval import Approved, ChangesRequested, Pending, Requirement
from qlrf_pipelines.domain.canonical import canonical
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import NOT_STARTED, Launch, Record, Task
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import EXECUTE, revise, submit_task
from qlrf_pipelines.services.claims import Granted, Withheld, claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a job is about to do: all of it that matters is in `document` and `context`.

    `context` holds digests of what the document was decided upon: policies, inventory facts, risk
    inputs, the executor's version. If any of it is different when the run goes on, it is asked
    for again. Proposals of one `key` are one task, whichever run makes them; without a key, those
    of one run and its re-executions are, stage by stage. `left_out` names parts of the document
    that are not carried out, each with its reason: doing less than was approved needs no new
    approval.
    """

    tenant: TenantId
    kind: str
    title: str
    document: Mapping[str, Any]
    requested_by: str
    context: Mapping[str, str] = field(default_factory=dict)
    requirement: Requirement | None = None
    stage: str = EXECUTE
    key: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a recheck proposes, and the record it was decided upon, with its own steps taken."""

    proposal: Proposal
    record: Record


Recheck = Callable[[Record], Looked]
# A proposal that is another one each time it is looked at is not chased for ever.
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The run at the gate; `task` is the task it was started for, '' if it is the first one."""

    run: str
    root_run: str
    job: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    task: str = ""

    @property
    def launch(self) -> Launch:
        """How to start the run that goes on after this one."""
        return Launch(
            job=self.job,
            config=self.config,
            tags=self.tags,
            parent_run=self.run,
            root_run=self.root_run,
        )


def pass_gate(
    world: World,
    proposal: Proposal,
    attempt: Attempt,
    *,
    hold_seconds: float = 0,
    recheck: Recheck | None = None,
) -> Granted | Withheld:
    """Ask for what is about to run, or find that it was; take it if it is approved.

    With `hold_seconds`, wait here for the decision, asleep until somebody makes it. `recheck` is
    asked right before every attempt to take it, also after a wait: what it proposes is what is
    taken, or asked for anew; and nothing is taken that took a step since it was looked at, so that
    an approval that comes in between is not used unchecked.

    Raises:
        Refused: the run was started for a task of another job, or each recheck proposes another, or
            two gates of one job ask under one name.
        NotFound: the run was started for a task the tenant does not have.
        Rejected: the proposal is no request anybody could decide.
    """
    task = _asked(world, proposal, attempt)
    until = world.clock.now() + timedelta(seconds=hold_seconds)
    seen: int | None = None
    while True:
        if recheck is not None:
            task, proposal, seen = _rechecked(world, task, attempt, recheck)
        came = claim(
            world,
            task.tenant,
            task.id,
            digest=task.digest,
            holder=attempt.run,
            stage=proposal.stage,
            seen=seen,
        )
        if isinstance(came, Withheld) and came.moved:
            continue
        if isinstance(came, Granted):
            _what_was_proposed(came, proposal)
            return replace(came, left_out=proposal.left_out)
        if not _worth_waiting(came, task):
            return came
        seconds = (_wake(came, until) - world.clock.now()).total_seconds()
        if seconds <= 0:
            return came
        after = came.record.task.seq
        woken = world.tasks.wait(task.tenant, task.id, after=after, seconds=seconds)
        if not woken and world.clock.now() >= until:
            return came


def _rechecked(
    world: World, task: Task, attempt: Attempt, recheck: Recheck
) -> tuple[Task, Proposal, int]:
    """The task as it is proposed at this moment; one that had to be revised is looked at again."""
    own = replace(attempt, task=task.id)
    for _ in range(_TRIES):
        looked = recheck(world.tasks.get(task.tenant, task.id))
        again = _asked(world, looked.proposal, own)
        if again.digest == looked.record.task.digest:
            return again, looked.proposal, looked.record.task.seq
    raise Refused(
        f"Task {task.id} is about something else each time it is looked at; nothing was done. Run "
        "it again once the inventory has settled."
    )


def _worth_waiting(came: Withheld, task: Task) -> bool:
    if came.taken_by or came.record.task.digest != task.digest:
        return False
    return came.record.task.state in NOT_STARTED and isinstance(
        came.standing, Pending | Approved | ChangesRequested
    )


def _wake(came: Withheld, until: datetime) -> datetime:
    """When to look again even if nobody says anything: at the end, or as the window opens."""
    if isinstance(came.standing, Pending):
        return min(until, came.standing.until)
    opens = came.standing.conditions.not_before if isinstance(came.standing, Approved) else None
    return until if opens is None else min(until, opens)


def _asked(world: World, proposal: Proposal, attempt: Attempt) -> Task:
    """The task of this proposal as it is proposed now."""
    task = _started_for(world, proposal, attempt) or _submitted(world, proposal, attempt)
    if task.state not in NOT_STARTED:
        return task
    return revise(
        world,
        proposal.tenant,
        task.id,
        document=proposal.document,
        revised_by=proposal.requested_by,
        context=proposal.context,
        requirement=_as_strict(task.requirement, proposal.requirement),
        launch=attempt.launch,
        title=proposal.title,
    )


def _started_for(world: World, proposal: Proposal, attempt: Attempt) -> Task | None:
    """The task the run was started for, if it is the one of this gate and not of another."""
    if not attempt.task:
        return None
    record = world.tasks.get(proposal.tenant, attempt.task)
    _same_job(record, attempt)
    return record.task if record.task.stage == proposal.stage else None


def _submitted(world: World, proposal: Proposal, attempt: Attempt) -> Task:
    task = submit_task(
        world,
        proposal.tenant,
        kind=proposal.kind,
        title=proposal.title,
        document=proposal.document,
        requested_by=proposal.requested_by,
        requirement=proposal.requirement,
        context=proposal.context,
        launch=attempt.launch,
        stage=proposal.stage,
        key=proposal.key or f"{attempt.root_run}:{proposal.stage}",
    )
    if task.stage == proposal.stage:
        return task
    # The same document at another stage is the same approval, taken up by a run that goes on.
    if not _is_about(world.tasks.get(proposal.tenant, task.id), proposal):
        raise Refused(
            f"Key {proposal.key!r} is the one of task {task.id} at stage {task.stage}, and stage "
            f"{proposal.stage} cannot ask under it: give each gate's proposal a key of its own."
        )
    return task


def _what_was_proposed(came: Granted, proposal: Proposal) -> None:
    """What a run holds already is no answer to another question of the same run."""
    if not _is_about(came.record, proposal):
        raise Refused(
            f"This run carries out task {came.record.task.id}, and now proposes something else at "
            f"stage {proposal.stage}: give the proposals of two gates stages of their own."
        )


def _is_about(record: Record, proposal: Proposal) -> bool:
    return canonical(dict(record.document.content)) == canonical(dict(proposal.document))


def _same_job(record: Record, attempt: Attempt) -> None:
    launch = record.task.launch
    if launch is not None and launch.job != attempt.job:
        raise Refused(
            f"Task {record.task.id} was approved for job {launch.job}, not for {attempt.job}."
        )


def _as_strict(asked: Requirement, now: Requirement | None) -> Requirement | None:
    """The requirement to ask with again; None keeps the one that was asked with.

    A gate that is passed again computes a new deadline each time: that alone changes nothing.
    """
    if now is None:
        return None
    return None if _strictness(now) == _strictness(asked) else now


def _strictness(need: Requirement) -> tuple[object, ...]:
    return need.quorum, need.role, need.four_eyes, need.limits, need.unattended
