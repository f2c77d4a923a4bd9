"""`qlrf plan`: what would change, on which assets, in which steps, and what the gates say of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.cli.output import emit_json, json_option, say
from qlrf_pipelines.cli.people import Who, moment, person_options
from qlrf_pipelines.cli.plan_text import plan_text, skipped_text
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Permission, may
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World
    from qlrf_pipelines.services.patch_deadlines import Deadlines
    from qlrf_pipelines.services.planning import Planned, Planning
    from qlrf_pipelines.services.planning_request import PlanRequest

_SHORT = 8


def _choice(values: Sequence[str]) -> click.Choice[str]:
    return click.Choice([str(value) for value in values])


_OPTIONS = (
    click.option("--tenant", "-t", required=True, help="The tenant whose assets change."),
    click.option("--policy", help="The patch policy to plan by."),
    click.option("--family", multiple=True, help="Only assets of this image family."),
    click.option(
        "--environment",
        multiple=True,
        type=_choice(list(Environment)),
        help="Only assets of this environment.",
    ),
    click.option("--asset", multiple=True, help="Only this asset: its id, key or name."),
    click.option(
        "--verdict",
        multiple=True,
        type=_choice(list(DriftVerdict)),
        help="Only assets of this drift verdict (default: behind and retired).",
    ),
    click.option(
        "--mode",
        type=_choice(list(Mode)),
        help="Ask for less autonomy than the tenant allows; never for more.",
    ),
    click.option("--not-before", metavar="MOMENT", callback=moment, help="When it may start."),
    click.option("--not-after", metavar="MOMENT", callback=moment, help="When it must have ended."),
    click.option("--submit", is_flag=True, help="Ask people to approve what is planned."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write the plan as JSON; with several plans, a list of them.",
    ),
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("plan")
@_options
@person_options
@json_option
def plan(settings: Settings, who: Who, **given: Any) -> int:  # noqa: ANN401  click's own values
    """Plan a change by a patch policy, or of the drifted assets you select.

    Nothing is changed by it. Exit 0: every gate passes, or only approval is wanted. Exit 1: a gate
    denies, or there is nothing to change. With --submit the plan becomes a task that others
    approve; once they have, it is carried out as a rollout.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.patch_deadlines import deadlines
    from qlrf_pipelines.services.planning import make_plans
    from qlrf_pipelines.services.rollout_history import hands_of

    if given["submit"] and not may(who.role, Permission.EXECUTE_TASKS):
        raise Refused(f"{who.name} is {who.role}; submitting takes an operator or more (--role).")
    world = wiring.live(settings)
    planning = make_plans(
        world,
        _request(who, given, now=world.clock.now()),
        engine=world.policy,
        contract=world.plan_contract,
        hands=hands_of(world),
    )
    if given["out"] is not None:
        _write(given["out"], [dict(item.document) for item in planning.plans])
    tasks = _submit(world, planning) if given["submit"] else {}
    promised = {item.digest: deadlines(world, item.plan) for item in planning.plans}
    if given["as_json"]:
        emit_json(_facts(planning, tasks, promised))
    else:
        _show(planning, tasks, promised)
    for reason in (reason for item in planning.plans for reason in item.denials):
        say(f"Denied by {reason}")
    return 1 if not planning.plans or any(item.denied for item in planning.plans) else 0


def _request(who: Who, given: dict[str, Any], *, now: datetime) -> "PlanRequest":
    from qlrf_pipelines.services.planning_request import PlanRequest

    window = _window(given["not_before"], given["not_after"])
    if window is not None and window.closes_at <= now:
        raise Rejected("The window is over already: --not-after must be in the future.")
    return PlanRequest(
        tenant=TenantId(given["tenant"]),
        requested_by=who.name,
        policy=given["policy"],
        environments=tuple(Environment(item) for item in given["environment"]),
        families=given["family"],
        assets=given["asset"],
        verdicts=tuple(DriftVerdict(item) for item in given["verdict"]),
        mode=Mode(given["mode"]) if given["mode"] else None,
        window=window,
    )


def _window(start: datetime | None, end: datetime | None) -> Span | None:
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise Rejected("A window has a beginning and an end: give --not-before and --not-after.")
    if start >= end:
        raise Rejected("The window ends before it begins: --not-after must be later.")
    return Span(opens_at=start, closes_at=end)


def _submit(world: "World", planning: "Planning") -> dict[str, dict[str, str]]:
    """The tasks of the plans no gate denies, by the plans' digests."""
    from qlrf_pipelines.services.submission import submit_plan

    made = {}
    for item in planning.plans:
        if not item.denied:
            task = submit_plan(world, item)
            made[item.digest] = {
                "id": task.id,
                "digest": task.digest,
                "state": task.state.value,
                "unattended": str(task.requirement.unattended or ""),
            }
    return made


def _facts(
    planning: "Planning",
    tasks: dict[str, dict[str, str]],
    promised: "Mapping[str, Deadlines | None]",
) -> dict[str, Any]:
    return {
        "plans": [
            {
                "plan": dict(item.document),
                "digest": item.digest,
                "context": dict(item.context),
                "denied": item.denied,
                "needs_approval": item.plan.approval,
                "actions": [_action(action) for action in item.plan.actions],
                "snapshot": dict(item.versions),
                "promised": _promised(promised[item.digest]),
                "task": tasks.get(item.digest),
            }
            for item in planning.plans
        ],
        "skipped": [asdict(item) for item in planning.skipped],
    }


def _promised(found: "Deadlines | None") -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _action(action: Any) -> dict[str, str]:  # noqa: ANN401  an Action; its why is not in the plan
    return {"asset": action.asset, "name": action.name, "why": action.why}


def _show(
    planning: "Planning",
    tasks: dict[str, dict[str, str]],
    promised: "Mapping[str, Deadlines | None]",
) -> None:
    for item in planning.plans:
        click.echo(plan_text(item, promised=promised[item.digest]))
        task = tasks.get(item.digest)
        if task is not None:
            _say_task(item, task)
    if planning.skipped:
        click.echo(skipped_text(planning.skipped))
    if not planning.plans:
        say("Nothing selected needs, or can have, a change.")


def _say_task(item: "Planned", task: dict[str, str]) -> None:
    if not item.plan.approval:
        say(f"Task {task['id']} is {task['state']}: nobody has to be asked, so it goes by itself.")
        say(f"  qlrf tasks revoke {task['id']} --as SOMEBODY --reason WHY   # until it starts")
        return
    if task["unattended"] == "canary":
        say(f"The canary of task {task['id']} goes by itself, unless somebody rejects it.")
    say(f"Task {task['id']} is {task['state']}; not {item.plan.requested_by}, but others decide:")
    say(f"  qlrf tasks show {task['id']}")
    say(f"  qlrf tasks approve {task['id']} --digest {task['digest'][:_SHORT]} --as SOMEBODY")


def _write(path: Path, documents: list[dict[str, Any]]) -> None:
    value = documents[0] if len(documents) == 1 else documents
    try:
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise Rejected(f"{path} cannot be written: {error}.") from error


COMMANDS = {"plan": plan}
