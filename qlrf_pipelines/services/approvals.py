"""The approval gate's use cases; commands, jobs, sensors and the web all come through here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain import task_steps
from qlrf_pipelines.domain.approval import (
    AUTONOMY,
    DAY,
    NO_CONDITIONS,
    Conditions,
    Decision,
    DecisionKind,
    Extent,
    Requirement,
    Standing,
    by_itself,
)
from qlrf_pipelines.domain.canonical import NoCanonicalForm, canonical
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.glass import REVIEW_WITHIN, review_due
from qlrf_pipelines.domain.roles import Permission, Role, may, person
from qlrf_pipelines.domain.tasks import (
    NOT_STARTED,
    Amendment,
    Document,
    Launch,
    Record,
    Task,
    TaskState,
    task_digest,
)
from qlrf_pipelines.domain.unattended import mode_alone
from qlrf_pipelines.ports.world import World

EXECUTE = "execute"
LARGEST = 4 * 2**20
_CANARY_GOES = "the canary goes by itself; the rest is for people to approve"


def submit_task(
    world: World,
    tenant: TenantId,
    *,
    kind: str,
    title: str,
    document: Mapping[str, Any],
    requested_by: str,
    requirement: Requirement | None = None,
    context: Mapping[str, str] | None = None,
    launch: Launch | None = None,
    stage: str = EXECUTE,
    key: str = "",
) -> Task:
    """Ask for something to be approved. The same `key` again is the same task, asked once.

    Raises:
        Rejected: title, requester or document is missing, the document is not JSON or is too
            large, or the requirement can never be met.
    """
    now = world.clock.now()
    need = requirement or Requirement(expires_at=now + DAY)
    _asked_well(title=title, requested_by=requested_by, requirement=need, document=document)
    if need.expires_at <= now:
        raise Rejected(f"The request {title!r} would have expired already.")
    own = world.ids.new()
    facts = _context(context, launch)
    digest = _digest(document, facts, need)
    task = Task(
        tenant=tenant,
        id=own,
        key=key or own,
        kind=kind,
        title=title.strip(),
        state=TaskState.CREATED,
        revision=1,
        digest=digest,
        stage=stage,
        requested_by=requested_by,
        requested_at=now,
        requirement=need,
        launch=launch,
        changed_at=now,
    )
    first = Document(
        revision=1,
        digest=digest,
        content=dict(document),
        context=facts,
        made_by=requested_by,
        made_at=now,
    )
    return world.tasks.submit(tenant, task_steps.opened(task, first)).task


def _asked_well(
    *, title: str, requested_by: str, requirement: Requirement, document: Mapping[str, Any]
) -> None:
    if not title.strip():
        raise Rejected("A task needs a title that says what will be done.")
    if not person(requested_by):
        raise Rejected("A task needs to say who asks for it: nobody may approve their own.")
    if not document:
        raise Rejected("A task needs a document: an empty one says nothing to approve.")
    if not may(requirement.role, Permission.APPROVE_TASKS):
        raise Rejected(f"No {requirement.role} may approve; ask for engineers or admins.")
    if requirement.quorum < 1:
        raise Rejected("At least one person must approve.")
    if requirement.remind_every <= timedelta(0) or requirement.valid_for <= timedelta(0):
        raise Rejected("Reminders and the validity of an approval need a time above zero.")


def _context(context: Mapping[str, str] | None, launch: Launch | None) -> dict[str, str]:
    # Another job would do something else with the same document.
    return dict(context or {}) | ({"job": launch.job} if launch else {})


def _digest(
    document: Mapping[str, Any], context: Mapping[str, str], requirement: Requirement
) -> str:
    try:
        size = len(canonical(dict(document)))
        digest = task_digest(document, context, requirement)
    except NoCanonicalForm as error:
        raise Rejected(f"The document has no canonical form as JSON: {error}.") from error
    if size > LARGEST:
        raise Rejected(
            f"The document has {size} bytes, and nobody reads more than {LARGEST}: "
            "name large parts by their digests."
        )
    return digest


def revise(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    document: Mapping[str, Any],
    revised_by: str,
    context: Mapping[str, str] | None = None,
    requirement: Requirement | None = None,
    launch: Launch | None = None,
    title: str = "",
) -> Task:
    """Put another document in the place of the last one; everything is asked anew.

    The same document within the same limits changes nothing: whoever requested changes wants
    another one. With other limits it is asked for again, still as its author's. Without a
    requirement, the old one is kept with its time to decide starting again.

    Raises:
        Refused: the task has started or ended.
        Rejected: the document is not JSON or is too large.
    """

    def step(record: Record) -> Amendment | None:
        now, old = task_steps.moment(record, world.clock.now()), record.task
        last = record.document
        need = requirement or replace(
            old.requirement, expires_at=now + (old.requirement.expires_at - last.made_at)
        )
        facts = _context(context, launch or old.launch)
        fresh = Document(
            revision=old.revision + 1,
            digest=_digest(document, facts, need),
            content=dict(document),
            context=facts,
            made_by=revised_by,
            made_at=now,
        )
        if fresh.digest == old.digest:
            if need.limits == old.requirement.limits and old.state in NOT_STARTED:
                return None
            fresh = replace(fresh, made_by=last.made_by)
        changed = replace(
            old,
            requirement=need,
            launch=launch or old.launch,
            title=title.strip() or old.title,
        )
        return task_steps.revised(record, document=fresh, task=changed, now=now)

    return world.tasks.amend(tenant, task, step).task


def decide(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    kind: DecisionKind,
    digest: str,
    by: str,
    role: Role,
    reason: str = "",
    conditions: Conditions = NO_CONDITIONS,
    delegate: str = "",
) -> Record:
    """Say yes, no or something else about exactly the digest that was looked at.

    The same word of the same person about the same revision, said twice, is said once.

    Raises:
        NotFound: no such task.
        Refused: this person may not decide so, the task moved on, or it is another digest now.
        Rejected: a reason is missing, or the conditions can never be met.
    """
    if not person(by):
        raise Rejected("Somebody must decide; give a name with --as.")
    if by_itself(by):
        raise Refused(f"{by} is the platform's own name; decide under yours.")
    if kind is DecisionKind.BREAK_GLASS:
        _reviews_done(world, tenant)

    def step(record: Record) -> Amendment | None:
        if _said_already(record, kind, by, digest, conditions):
            return None
        decision = Decision(
            number=len(record.decisions) + 1,
            revision=record.task.revision,
            digest=digest,
            kind=kind,
            by=by.strip(),
            role=role,
            at=task_steps.moment(record, world.clock.now()),
            reason=reason.strip(),
            conditions=conditions,
            delegate=delegate.strip(),
        )
        return task_steps.decided(record, decision)

    return world.tasks.amend(tenant, task, step)


def let_go(world: World, tenant: TenantId, task: str) -> Record:
    """Approve, in the platform's name, what by its own document goes without people: all or canary.

    A task that is decided already stays as it is.

    Raises:
        Refused: people must decide about it.
    """

    def step(record: Record) -> Amendment | None:
        need = record.task.requirement
        mode = mode_alone(record.document.content, need.unattended)
        if record.task.state is not TaskState.AWAITING_APPROVAL:
            return None
        canary = need.unattended is Extent.CANARY
        decision = Decision(
            number=len(record.decisions) + 1,
            revision=record.task.revision,
            digest=record.task.digest,
            kind=DecisionKind.APPROVE,
            by=f"{AUTONOMY}{mode}",
            role=Role.VIEWER,
            at=task_steps.moment(record, world.clock.now()),
            reason=_CANARY_GOES if canary else "no gate of the plan asks for people",
        )
        return task_steps.decided(record, decision)

    return world.tasks.amend(tenant, task, step)


def _said_already(
    record: Record, kind: DecisionKind, by: str, digest: str, conditions: Conditions
) -> bool:
    """Whether this is a second click on the same button; a delegation may name somebody else."""
    if kind is DecisionKind.DELEGATE:
        return False
    for one in record.current:
        if one.kind is kind and person(one.by) == person(by) and one.digest == digest:
            if one.conditions == conditions:
                return True
            raise Refused(
                f"{by} has approved task {record.task.id} under other conditions; "
                "request changes to start over."
            )
    return False


def _reviews_done(world: World, tenant: TenantId) -> None:
    latest = world.clock.now() - REVIEW_WITHIN
    for task in world.tasks.list(tenant, review_due=True, limit=1000):
        record = world.tasks.get(tenant, task.id)
        broken = review_due(
            record.decisions, requester=task.requested_by, author=record.document.made_by
        )
        if broken is not None and broken.at < latest:
            raise Refused(
                f"The glass broken for task {task.id} was never reviewed: no other one is broken "
                f"before somebody does: `qlrf tasks review {task.id} --tenant {tenant}`."
            )


def cancel(world: World, tenant: TenantId, task: str, *, by: str, role: Role, reason: str) -> Task:
    """Take a request back before anything started; open to the requester and to operators.

    Raises:
        Refused: it has started or ended, or this person may not.
    """

    def step(record: Record) -> Amendment | None:
        if record.task.state is TaskState.CANCELLED:
            return None
        own = person(by) == person(record.task.requested_by)
        if not own and role.rank < Role.OPERATOR.rank:
            raise Refused(f"{by} is {role}: only the requester or an operator cancels a task.")
        now = task_steps.moment(record, world.clock.now())
        return task_steps.cancelled(record, by=by, role=role, reason=reason, now=now)

    return world.tasks.amend(tenant, task, step).task


def supersede(world: World, tenant: TenantId, task: str, *, by: str) -> Task:
    """Another task takes the place of this one; `by` names that task.

    Raises:
        Refused: it has started or ended.
    """

    def step(record: Record) -> Amendment:
        now = task_steps.moment(record, world.clock.now())
        return task_steps.superseded(record, by=by, now=now)

    return world.tasks.amend(tenant, task, step).task


def standing_of(world: World, record: Record) -> Standing:
    """What a task's decisions come to at this moment."""
    return task_steps.standing_of(record, now=world.clock.now())


def find_task(world: World, tenant: TenantId, named: str) -> Record:
    """A task by its id or the beginning of it.

    Raises:
        NotFound: none begins so, or several do.
    """
    found: Sequence[Task] = world.tasks.find(tenant, prefix=named) if named else ()
    if len(found) != 1:
        several = f" begins several: {', '.join(one.id for one in found)}" if found else " is none"
        raise NotFound(
            f"Tenant {tenant}: {named or 'an empty id'}{several} of its tasks; "
            f"see `qlrf tasks list --tenant {tenant}`."
        )
    return world.tasks.get(tenant, found[0].id)
