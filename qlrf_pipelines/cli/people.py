"""Who speaks on the command line: believed, because the machine let them in."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NamedTuple

import click

from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.roles import Role, is_platform
from qlrf_pipelines.settings import Settings


class Who(NamedTuple):
    """Who says it, and as what."""

    name: str
    role: Role


def person_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--as` and `--role`; the command is called with the settings and the argument `who`."""

    @wraps(function)
    def wrapped(*_: object, **arguments: Any) -> Any:  # noqa: ANN401
        settings: Settings = click.get_current_context().find_root().obj
        name = arguments.pop("name")
        if name is None:
            name = settings.operator or getpass.getuser()
        elif not name.strip():
            raise Rejected("--as is empty; say who, or leave it out.")
        if is_platform(name):
            raise Refused(f"{name} is the platform's own name; speak under yours (--as).")
        role = arguments.pop("role")
        who = Who(name, Role(role) if role else settings.role)
        return function(settings, who=who, **arguments)

    roles = click.Choice([role.value for role in Role])
    named = click.option("--as", "name", metavar="NAME", help="Who (default: QLRF_OPERATOR).")
    ranked = click.option("--role", type=roles, help="As what (default: QLRF_ROLE).")
    return named(ranked(wrapped))


def reason_option(text: str, *, needed: bool = True) -> Callable[..., Any]:
    """Add `--reason` to a command; where it is needed, an empty one is none."""

    def checked(_: click.Context, __: click.Parameter, reason: str) -> str:
        if needed and not reason.strip():
            raise Rejected("--reason is empty; say why.")
        return reason

    # A default, even an empty one, would be a reason.
    terms: dict[str, Any] = {"required": True} if needed else {"default": ""}
    return click.option("--reason", help=text, callback=checked, **terms)


def moment(_: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """A moment as people write it; one without a zone is taken as UTC.

    Raises:
        Rejected: it cannot be read.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        name = str(option.name).replace("_", "-")
        raise Rejected(f"--{name} {text}: write it as 2026-12-24T22:00Z.") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
