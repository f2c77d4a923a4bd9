"""The second half of the story: from drift to an approval, and from the approval to its end.

The clock jumps over the minutes a rollout watches its phases; everything else is the product as
it is: the job `remediation` in the same Dagster instance, the AWS executor over HTTP, the gates,
the database and the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from qlrf_pipelines import wiring
from qlrf_pipelines.demo.estate import point_at
from qlrf_pipelines.demo.hurry import HurriedClock, HurriedRollouts
from qlrf_pipelines.demo.stage import TENANTS, Stage, demo_settings, instance_of
from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import Rollout
from qlrf_pipelines.domain.rollout_plan import HOOK_ROW
from qlrf_pipelines.domain.rollout_rules import tally
from qlrf_pipelines.domain.tasks import NOT_STARTED, Task, TaskState
from qlrf_pipelines.jobs.approval import DIGEST_TAG, STAGE_TAG, TASK_TAG, TENANT_TAG
from qlrf_pipelines.jobs.remediation import remediation
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.evidence import verify_ledger
from qlrf_pipelines.settings import Settings

REQUESTER, APPROVER = "rita", "ann"
GOOD = {"tenant": "acme", "environment": "staging", "verdicts": ["behind_in_grace"]}
BAD = {"tenant": "globex", "environment": "production", "verdicts": ["behind"]}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Everything the clock jumps over happens within one run.
_PATIENT = {"config": {"hold_seconds": 86400.0}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How one rollout of the demonstration ended; `machines` are its assets by name and image."""

    tenant: str
    task: str
    digest: str
    state: str
    reason: str
    assets: Mapping[str, int]
    machines: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The second half of the story, ready to be shown."""

    good: Changed
    bad: Changed
    evidence: tuple[Mapping[str, Any], ...]
    coverage: tuple[Mapping[str, Any], ...]

    @property
    def as_it_must(self) -> bool:
        """Whether the good rollout completed and the bad one was brought back."""
        return (self.good.state, self.bad.state) == ("completed", "rolled_back")


def ask(world: World, instance: dg.DagsterInstance, wanted: Mapping[str, Any]) -> Task:
    """Run the job up to its gate: a plan that waits for somebody to approve it.

    Raises:
        Refused: a gate denies the plan, or nothing needs a change.
    """
    config = {"ops": {"plan_remediation": {"config": {**wanted, "requested_by": REQUESTER}}}}
    _run(world, instance, config=config, tags={})
    return waiting(world, wanted)


def waiting(world: World, wanted: Mapping[str, Any]) -> Task:
    """The demonstration's task that has not begun.

    Raises:
        NotFound: there is none.
    """
    tenant = TenantId(str(wanted["tenant"]))
    for task in world.tasks.list(tenant, states=NOT_STARTED):
        document = world.tasks.get(tenant, task.id).document.content
        if document.get("environment") == wanted["environment"]:
            return task
    raise NotFound("Nothing of the demonstration waits for approval; run `qlrf demo` first.")


def carry_out(settings: Settings, progress: Progress) -> Change:
    """Approve what waits and walk the rest: canary, waves, a bad canary and its way back.

    Raises:
        NotFound: nothing waits; run the first half before.
        Refused: a gate says no.
    """
    chosen = demo_settings(settings)
    live = wiring.live(chosen, progress=progress)
    waiting(live, GOOD)
    with wiring.simulator() as cloud, instance_of(chosen) as instance:
        cloud.move()
        cloud.heal()
        point_at(chosen.estate, cloud.url)
        clock = HurriedClock(live.clock)
        teller = _Teller(live, progress)
        hurried = HurriedRollouts(live.rollouts, clock, teller.see)
        world = replace(live, clock=clock, rollouts=hurried)
        good = _through(world, instance, waiting(live, GOOD), progress)
        progress.said("Now a bad one: new machines of globex will not pass their status checks.")
        cloud.sicken()
        bad = _through(world, instance, ask(world, instance, BAD), progress)
        stage = Stage(settings=chosen, instance=instance, progress=progress)
        outcome = stage.refresh(live)
    return Change(
        good=good,
        bad=bad,
        evidence=tuple(_evidence(live, tenant) for tenant in TENANTS),
        coverage=tuple({"tenant": r.tenant, "coverage": r.coverage} for r in outcome.rows),
    )


def _through(world: World, instance: dg.DagsterInstance, task: Task, progress: Progress) -> Changed:
    """Approve exactly the digest that waits, as somebody else than who asked, and carry it out."""
    said = f"{APPROVER} approves digest {task.digest[:12]} of {REQUESTER}'s plan: {task.title}"
    progress.said(said)
    if task.state is TaskState.AWAITING_APPROVAL:
        decide(
            world,
            task.tenant,
            task.id,
            kind=DecisionKind.APPROVE,
            digest=task.digest,
            by=APPROVER,
            role=Role.ENGINEER,
        )
    _run(world, instance, config={"ops": {"execute_plan": _PATIENT}}, tags=_tags(world, task))
    return _ended(world, task)


def _tags(world: World, task: Task) -> dict[str, str]:
    launch = world.tasks.get(task.tenant, task.id).task.launch
    group = {
        "dagster/parent_run_id": launch.parent_run if launch else "",
        "dagster/root_run_id": launch.root_run if launch else "",
    }
    own = {
        TENANT_TAG: str(task.tenant),
        TASK_TAG: task.id,
        DIGEST_TAG: task.digest,
        STAGE_TAG: task.stage,
    }
    return own | {name: value for name, value in group.items() if value}


def _run(
    world: World,
    instance: dg.DagsterInstance,
    *,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    done = remediation.execute_in_process(
        run_config={**_QUIET, **config},
        tags=dict(tags),
        instance=instance,
        resources={"world": world},
        raise_on_error=False,
    )
    if not done.success:
        failed = [e for e in done.all_events if e.is_step_failure]
        why = failed[0].step_failure_data.error_display_string if failed else "it did not succeed"
        raise Refused(f"Run {done.run_id} of job remediation failed: {why.strip()[:600]}")


def _ended(world: World, task: Task) -> Changed:
    found = world.rollouts.get(task.tenant, task.id)
    rows = [
        row
        for row in world.rollouts.rows(task.tenant, task.id)
        if not row.asset.startswith(HOOK_ROW)
    ]
    machines = tuple(
        {
            "machine": row.asset.rsplit(":", 1)[-1],
            "now": row.now_id or "-",
            "state": row.state.value,
            "what": row.detail,
        }
        for row in rows
    )
    return Changed(
        tenant=str(task.tenant),
        task=task.id,
        digest=task.digest,
        state=found.state.value,
        reason=found.reason,
        assets=tally(rows),
        machines=machines,
    )


def _evidence(world: World, tenant: TenantId) -> dict[str, Any]:
    proof = verify_ledger(world, tenant)
    kinds = [entry.kind for entry in world.ledger.entries(tenant)]
    return {
        "tenant": tenant,
        "entries": proof.entries,
        "approvals": kinds.count("approval_approve"),
        "machines changed": kinds.count("rollout_asset_changed"),
        "brought back": kinds.count("rollout_asset_undone"),
        "chain and results": "verified",
    }


class _Teller:
    """Tells each step of a rollout once."""

    def __init__(self, world: World, progress: Progress) -> None:
        self._world = world
        self._progress = progress
        self._last: tuple[str, ...] = ()

    def see(self, rollout: Rollout) -> None:
        """One step was kept."""
        now = (rollout.id, rollout.state.value, rollout.reason)
        if now == self._last or not rollout.reason:
            return
        self._last = now
        self._progress.said(f"  {rollout.tenant} {rollout.state.value}: {rollout.reason}")
