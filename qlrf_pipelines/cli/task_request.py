"""What `qlrf tasks submit` asks for, made sure of before anybody is asked."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.tasks import ENDED, Record
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World

_LONGEST = 24 * 366


def declared(world: "World", settings: Settings, tenant: str) -> None:
    """Make sure that there is such a tenant, where an estate says which there are.

    Raises:
        NotFound: no contract declares it.
        Rejected: it has no name.
    """
    if not tenant.strip():
        raise Rejected("--tenant names nobody; see `qlrf tenants list`.")
    if not settings.estate.is_dir():
        return  # approvals need no estate, and nothing else knows the tenants then
    if tenant not in {one.name for one in world.estate.load().tenants}:
        raise NotFound(f"No contract declares tenant {tenant}; see `qlrf tenants list`.")


def hours(number: float) -> timedelta:
    """The time to decide.

    Raises:
        Rejected: that is none.
    """
    if not 0 < number <= _LONGEST:  # also what is no number
        raise Rejected(f"--expires-hours {number:g}: give hours above 0, at most {_LONGEST}.")
    return timedelta(hours=number)


def read_document(path: Path) -> Mapping[str, Any]:
    """What is to be approved, from a file of YAML or JSON.

    Raises:
        Rejected: it cannot be read, or is no mapping.
    """
    try:
        # Through JSON: what YAML alone can say, such as a date, has no canonical form.
        found = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except TypeError as error:
        raise Rejected(
            f"{path} holds what JSON cannot say ({error}); put dates in quotes."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise Rejected(f"{path} cannot be read as YAML or JSON: {error}.") from error
    if not isinstance(found, dict):
        raise Rejected(f"{path} must hold a mapping at its top, such as `change: …`.")
    return found


def same_request(record: Record, document: Mapping[str, Any]) -> None:
    """Make sure that the task found by its key is about what is asked for now, and still waits.

    Raises:
        Refused: it is about something else, or was decided.
    """
    task = record.task
    known = f"Task {task.id} of tenant {task.tenant} has the key {task.key} already"
    if task.state in ENDED:
        raise Refused(f"{known}, and is {task.state}; give another key to ask again.")
    if dict(record.document.content) != dict(document):
        raise Refused(
            f"{known}, and is about another document: give another key, or revise it with "
            f"`qlrf tasks revise {task.id} --document FILE`."
        )


def still_a_plan(world: "World", record: Record, document: Mapping[str, Any]) -> None:
    """Make sure that a plan is replaced by a plan of the same tenant, as its contract has it.

    Raises:
        Rejected: it is none, so that nobody could ever carry it out.
    """
    task = record.task
    if record.document.content.get("kind") != "Plan" or world.plan_contract is None:
        return
    wrong = list(world.plan_contract.breaches(document))
    if document.get("tenant") != task.tenant:
        wrong.append(f"tenant: is not {task.tenant}")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Rejected(
            f"Task {task.id} is about a plan, and the document is none of tenant {task.tenant}: "
            f"{wrong[0][:200]}{more}. Plan it anew with `qlrf plan … --submit`, or edit "
            f"the document of `qlrf tasks show {task.id} --json`."
        )
