"""Contracts held against their JSON Schemas: what is wrong, and what to write instead.

A schema may say how to mend a field (`x-remedy`) and that its value must not be shown (`x-secret`).
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from qlrf_pipelines.domain.problems import Problem
from resources.estate_yaml import Document, Place

CONTRACTS = Path(__file__).parent.parent / "contracts"
SCHEMAS = {
    "Tenant": "tenant.schema.json",
    "GoldenImage": "golden_image.schema.json",
    "Exemption": "exemption.schema.json",
    "CanaryAnalysis": "canary_analysis.schema.json",
    "PatchPolicy": "patch_policy.schema.json",
    "Site": "site.schema.json",
    "DrPair": "dr_pair.schema.json",
    "RecoveryPlan": "recovery_plan.schema.json",
}
_TYPES = {
    "string": ("text", "give it a value"),
    "object": ("a mapping", "write it as `key: value` lines"),
    "array": ("a list", "write it as [one, two]"),
    "number": ("a number", "write a decimal number"),
    "integer": ("a whole number", "write a whole number"),
}
_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_LONGEST_ECHO = 60
_HIDDEN = "something else (not shown: it may be a secret)"

Found = tuple[Place, str, str]  # where, what is wrong, what to do


def find_breaches(document: Document) -> list[tuple[Place, Problem]]:
    """Everything in a document that its kind's schema does not allow."""
    value = document.value
    if not isinstance(value, dict):
        remedy = "begin it with apiVersion, kind, metadata and spec"
        return _problems(document, [((), "is not a contract", remedy)])
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in SCHEMAS:
        return _problems(document, [_unknown_kind(value)])
    found: dict[Place, Found] = {}  # one per place: of the wrong type, it breaks other rules too
    for error in _validator(kind).iter_errors(value):
        for item in _explain(error, document):
            found.setdefault(item[0], item)
    return _problems(document, found.values())


def _problems(document: Document, found: Iterable[Found]) -> list[tuple[Place, Problem]]:
    return [
        (place, document.problem(place, message, remedy=remedy)) for place, message, remedy in found
    ]


def _unknown_kind(value: Mapping[str, object]) -> Found:
    known = ", ".join(SCHEMAS)
    if "kind" not in value:
        return (("kind",), "is missing", f"say which it is: {known}")
    return (("kind",), f"is {_shown(value['kind'])}, which is unknown", f"use one of {known}")


@cache
def _validator(kind: str) -> Draft202012Validator:
    schema = json.loads((CONTRACTS / SCHEMAS[kind]).read_text(encoding="utf-8"))
    strict = extend(Draft202012Validator, {"pattern": _whole_pattern})  # type: ignore[no-untyped-call]
    return strict(schema)  # type: ignore[no-any-return]


def _whole_pattern(
    _validator: object, pattern: str, instance: object, schema: object
) -> Iterator[ValidationError]:
    """As `pattern`, but `$` does not also match before a last line break."""
    del schema
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError("does not match")


def _explain(error: ValidationError, document: Document) -> list[Found]:
    """One schema error in words; a missing or unknown field becomes one finding each."""
    place: Place = tuple(error.absolute_path)
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.absolute_schema_path:
        remedy = schema.get("x-remedy", "use another key")
        return [((*place, str(error.instance)), "is not a key that can stand here", remedy)]
    if error.validator == "required":
        return _missing(place, error.instance, schema)
    if error.validator == "additionalProperties":
        return _unknown(place, error.instance, schema)
    message, remedy = _wrong(error, schema, document.written.get(place))
    return [(place, message, schema.get("x-remedy", remedy))]


def _missing(place: Place, instance: Any, schema: Mapping[str, Any]) -> list[Found]:  # noqa: ANN401
    found = []
    for name in schema["required"]:
        if name not in instance:
            wanted = schema["properties"][name]
            remedy = wanted.get("x-remedy") or f"add it: {wanted['description'].rstrip('.')}"
            found.append(((*place, name), "is missing", remedy))
    return found


def _unknown(place: Place, instance: Any, schema: Mapping[str, Any]) -> list[Found]:  # noqa: ANN401
    known = list(schema["properties"])
    found = []
    for name in instance:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {close[0]}" if close else "use or remove: " + ", ".join(known)
        found.append(((*place, name), "is not a field of this contract", remedy))
    return found


def _wrong(
    error: ValidationError, schema: Mapping[str, Any], written: str | None
) -> tuple[str, str]:
    """What is wrong with a value, and the plain remedy."""
    shown = _HIDDEN if schema.get("x-secret") else _shown(error.instance, written)
    rule, wanted = str(error.validator), error.validator_value
    if rule in _LIMITS:
        return f"must be {_LIMITS[rule]} {wanted}, is {shown}", "use a number within the limits"
    explain = _RULES.get(rule)
    if explain is None:
        return f"breaks the rule {rule}", "see docs/reference/contracts.md"
    return explain(wanted, shown, error.instance, written)


def _of_type(wanted: Any, shown: str, instance: object, written: str | None) -> tuple[str, str]:  # noqa: ANN401
    name, remedy = _TYPES[wanted]
    if instance is None:
        return f"is empty and must be {name}", "give it a value or remove the field"
    if wanted == "string" and written is not None:
        remedy = f'put it in quotes: "{written}"' if shown != _HIDDEN else "put it in quotes"
    return f"must be {name}, is {shown}", remedy


def _one_of(wanted: Any, shown: str, _instance: object, _written: str | None) -> tuple[str, str]:  # noqa: ANN401
    choices = ", ".join(str(item) for item in wanted)
    return f"is {shown}, which is not one of: {choices}", f"use one of {choices}"


# rule -> (its value, the instance as shown, the instance, as written) -> message and remedy
_RULES: Mapping[str, Callable[[Any, str, object, str | None], tuple[str, str]]] = {
    "type": _of_type,
    "enum": _one_of,
    "const": lambda wanted, shown, *_: (f"must be {wanted}, is {shown}", f"write {wanted}"),
    "pattern": lambda _wanted, shown, *_: (
        f"is {shown}, which it cannot be",
        "see docs/reference/contracts.md",
    ),
    "uniqueItems": lambda *_: ("holds something twice", "list each once"),
    "minItems": lambda *_: ("is empty", "list at least one, or remove the field"),
    "minProperties": lambda *_: ("is empty", "give at least one, or remove the field"),
    "minLength": lambda *_: ("is empty", "give it a value"),
    "maxLength": lambda wanted, *_: (f"is longer than {wanted} characters", "shorten it"),
}


def _shown(value: object, written: str | None = None) -> str:
    """A value in words, as it was typed, and not too long."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the truth value {written or value}"
    if isinstance(value, int | float):
        return f"the number {written or value}"
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_ECHO else value[:_LONGEST_ECHO] + "…"
        return json.dumps(cut, ensure_ascii=False)
    return "a list" if isinstance(value, list) else "a mapping"
