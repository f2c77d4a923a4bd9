"""What `qlrf tasks submit` asks for, made sure of before anybody is asked."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.tasks import ENDED, Record

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World

_LONGEST = 24 * 366


def hours(number: float) -> timedelta:
    """The time to decide.

    Raises:
        Rejected: that is none.
    """
    if not 0 < number <= _LONGEST:  # also what is no number
        raise Rejected(f"--expires-hours {number:g}: give hours above 0, at most {_LONGEST}.")
    return timedelta(hours=number)


class _Strict(yaml.SafeLoader):
    """What is approved is what stands there: of two values of one key, nobody chooses one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping none of whose keys stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                where = key.start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value} stands twice", problem_mark=where
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_document(path: Path) -> Mapping[str, Any]:
    """What is to be approved, from a file of YAML or JSON.

    Raises:
        Rejected: it cannot be read, or is no mapping.
    """
    try:
        said = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506  a SafeLoader
        # Through JSON: what YAML alone can say, such as a date, has no canonical form.
        found = json.loads(json.dumps(said))
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
