"""Policy packages as folders of Rego, YAML and JSON, checked whole before any is used.

A denied sample says how it differs from an allowed one, so that a reader sees what it is about:
`{"name", "based_on", "set": {pointer: value}, "remove": [pointer], "rules": [id]}`.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.policy import PACKAGES, PolicyPackage, PolicyRule, PolicySample
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.ports.policy import PolicyStore

POLICIES = Path(__file__).resolve().parent.parent.parent / "policies"
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, yaml.YAMLError)


class FolderPolicies(PolicyStore):
    """Reads `<package>/{policy.rego,policy_test.rego,policy.yaml,samples/*.json}` of one folder."""

    def __init__(self, folder: Path = POLICIES) -> None:
        self._folder = folder

    def load(self) -> Sequence[PolicyPackage]:
        """Every package, sorted by id.

        Raises:
            Rejected: a package is incomplete; the message names all that are.
        """
        faults: list[str] = []
        found = []
        for name in PACKAGES:
            try:
                found.append(_package(self._folder / name))
            except _UNREADABLE as error:
                faults.append(f"{self._folder / name}: {type(error).__name__}: {error}")
        if faults:
            raise Rejected("Policies break their contract; mend:\n  " + "\n  ".join(faults))
        return found


def bundle_digest(sources: Iterable[str]) -> str:
    """SHA-256 over the sources of packages, whatever their order and file names."""
    parts = sorted(hashlib.sha256(source.encode()).hexdigest() for source in sources)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _package(folder: Path) -> PolicyPackage:
    about = yaml.safe_load((folder / "policy.yaml").read_text("utf-8"))
    if about["id"] != folder.name:
        raise ValueError(f"id must be the folder's name, {folder.name}")
    rules = tuple(_rule(item) for item in about["rules"])
    allowed = _allowed(folder / "samples" / "allowed.json")
    denied = _denied(folder / "samples" / "denied.json", allowed)
    known = {rule.id for rule in rules}
    for sample in denied:
        if unknown := set(sample.rules) - known:
            raise ValueError(f"sample {sample.name} names unknown rules {sorted(unknown)}")
    return PolicyPackage(
        id=folder.name,
        title=about["title"].strip(),
        judges=about["judges"].strip(),
        rules=rules,
        samples=(*allowed, *denied),
        source=(folder / "policy.rego").read_text("utf-8"),
        tests=(folder / "policy_test.rego").read_text("utf-8"),
    )


def _rule(item: Mapping[str, Any]) -> PolicyRule:
    if item["effect"] not in ("deny", "warn"):
        raise ValueError(f"effect of {item['id']} must be deny or warn")
    return PolicyRule(
        id=item["id"],
        denies=item["effect"] == "deny",
        severity=Severity(item["severity"]),
        reason=item["reason"].strip(),
    )


def _allowed(path: Path) -> tuple[PolicySample, ...]:
    found = json.loads(path.read_text("utf-8"))
    return tuple(PolicySample(name=item["name"], input=item["input"]) for item in found)


def _denied(path: Path, allowed: Sequence[PolicySample]) -> tuple[PolicySample, ...]:
    bases = {sample.name: sample.input for sample in allowed}
    return tuple(
        PolicySample(
            name=item["name"],
            input=changed(
                bases[item["based_on"]], put=item.get("set", {}), remove=item.get("remove", ())
            ),
            rules=tuple(item["rules"]),
        )
        for item in json.loads(path.read_text("utf-8"))
        if item["rules"] or _without_rules(item["name"])
    )


def _without_rules(name: str) -> bool:
    raise ValueError(f"denied sample {name} names no rule that denies it")


def changed(
    base: Mapping[str, Any], *, put: Mapping[str, Any], remove: Sequence[str]
) -> dict[str, Any]:
    """A copy with values put at, or removed from, JSON pointers; `-` appends to a list."""
    found: dict[str, Any] = copy.deepcopy(dict(base))
    for pointer, value in put.items():
        inner, key = _at(found, pointer)
        if isinstance(inner, list) and key == "-":
            inner.append(value)
        else:
            inner[int(key) if isinstance(inner, list) else key] = value
    for pointer in remove:
        inner, key = _at(found, pointer)
        del inner[int(key) if isinstance(inner, list) else key]
    return found


def _at(value: Any, pointer: str) -> tuple[Any, str]:  # noqa: ANN401  any JSON value
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in path:
        value = value[int(part) if isinstance(value, list) else part]
    return value, last
