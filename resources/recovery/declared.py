"""A member's settings, held against its adapter's own schema before anything is reached."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.recovery import Member

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
NUMBER = {"type": "number", "exclusiveMinimum": 0}
CREDENTIALS = {"type": "object", "additionalProperties": {"type": "string", "pattern": ":."}}


def fields(*required: str, **known: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": known,
        "required": list(required),
        "additionalProperties": False,
    }


CANARY = {
    "oneOf": [
        fields(
            "http",
            http=fields("primary", "recovery", primary=TEXT, recovery=TEXT, token=TEXT),
        ),
        fields(
            "sql",
            sql=fields(
                "primary",
                "recovery",
                primary=TEXT,
                recovery=TEXT,
                table={"type": "string", "pattern": r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$"},
            ),
        ),
    ]
}


def checked(member: Member, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, which are what the schema says.

    Raises:
        Rejected: they are not; the message names the member and every problem.
    """
    from jsonschema import Draft202012Validator

    problems = [
        f"{'.'.join(map(str, error.absolute_path)) or 'settings'}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(member.settings)
    ]
    if problems:
        raise Rejected(
            f"Member {member.name} of adapter {member.adapter}: {'; '.join(sorted(problems))}; "
            "correct its settings, see docs/guide/recovery-adapters.md."
        )
    return member.settings
