"""Controls and frameworks as folders of YAML and SQL, checked whole before any is used."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from qlrf_pipelines.domain.compliance import Control, Framework, Requirement, control_digest
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.facts import ASSETS
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.ports.controls import ControlStore
from resources.control_sql import SqlCheck

POLICIES = Path(__file__).resolve().parent.parent / "policies"
_ID = re.compile(r"[a-z][a-z0-9_]*")
_TEXTS = ("id", "title", "description", "remediation")
_FIELDS = {*_TEXTS, "severity", "kind", "facts", "frameworks"}
_FRAMEWORK_TEXTS = ("id", "name", "version")


class FolderControls(ControlStore):
    """Reads `controls/<id>/{control.yaml,check.sql}` and `frameworks/<id>.yaml` of one folder."""

    def __init__(self, folder: Path = POLICIES) -> None:
        self._controls = folder / "controls"
        self._frameworks = folder / "frameworks"

    def load(self) -> Sequence[Control]:
        """Every control, sorted by id.

        Raises:
            Rejected: a control or a framework is incomplete; the message names all that are.
        """
        known = {f.id: {r.id for r in f.requirements} for f in self.frameworks()}
        faults: list[str] = []
        folders = sorted(p for p in self._controls.glob("*") if p.is_dir())
        if not folders:
            faults.append(f"{self._controls}: there is no control here")
        with closing(SqlCheck()) as check:
            read = [_Reader(folder, check=check, known=known) for folder in folders]
            for reader in read:
                faults += reader.faults
        _reject(faults, "Controls")
        return [reader.control() for reader in read]

    def frameworks(self) -> Sequence[Framework]:
        """Every framework, sorted by id.

        Raises:
            Rejected: a framework is incomplete; the message names all that are.
        """
        faults: list[str] = []
        found = []
        for path in sorted(self._frameworks.glob("*.yaml")):
            document = _document(path, faults)
            wrong = _framework_faults(path, document)
            faults += wrong
            if not wrong:
                found.append(_framework(document))
        _reject(faults, "Frameworks")
        return found


class _Reader:
    """One control's folder: what it says, and what is wrong with it."""

    def __init__(self, folder: Path, *, check: SqlCheck, known: Mapping[str, set[str]]) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self._document = _document(folder / "control.yaml", self.faults)
        script = folder / "check.sql"
        self._sql = script.read_text("utf-8") if script.is_file() else None
        if not self.faults:
            wrong = [*self._wording(), *self._mapping(known), *self._checking(check)]
            self.faults = [f"{folder / 'control.yaml'}: {fault}" for fault in wrong]

    def control(self) -> Control:
        """The control, once nothing is wrong with it."""
        document = self._document
        made = Control(
            id=document["id"],
            title=document["title"].strip(),
            severity=Severity(document["severity"]),
            description=document["description"].strip(),
            remediation=document["remediation"].strip(),
            facts=tuple(document["facts"]),
            frameworks={name: tuple(ids) for name, ids in document["frameworks"].items()},
            sql=self._sql,
            digest="",
        )
        return replace(made, digest=control_digest(made))

    def _wording(self) -> list[str]:
        document = self._document
        faults = [f"unknown field {name}; remove it" for name in sorted(set(document) - _FIELDS)]
        faults += [f"{name} must be a text" for name in _TEXTS if not _is_text(document.get(name))]
        if document.get("id") != self.folder.name or not _ID.fullmatch(self.folder.name):
            faults.append(f"id must be the folder's name, {self.folder.name}, in a-z, 0-9 and _")
        if document.get("severity") not in list(Severity):
            faults.append(f"severity must be one of {', '.join(Severity)}")
        if document.get("kind") not in ("automated", "manual"):
            faults.append("kind must be automated or manual")
        return faults

    def _mapping(self, known: Mapping[str, set[str]]) -> list[str]:
        frameworks = self._document.get("frameworks")
        if not isinstance(frameworks, dict) or not all(map(_is_texts, frameworks.values())):
            return ["frameworks must lead from framework ids to lists of requirements"]
        return [
            f"requirement {requirement} of {name} is not in frameworks/{name}.yaml"
            for name, requirements in frameworks.items()
            for requirement in requirements
            if requirement not in known.get(name, set())
        ]

    def _checking(self, check: SqlCheck) -> list[str]:
        facts: Any = self._document.get("facts")
        if not _is_texts(facts):
            return ["facts must be a list of columns of assets"]
        faults = [f"unknown fact {name}" for name in facts if name not in ASSETS.names]
        if self._document.get("kind") == "manual":
            return [*faults, *(["a manual control has no check.sql"] if self._sql else [])]
        if self._sql is None:
            return [*faults, "an automated control needs a check.sql"]
        return [*faults, *check.faults(self._sql, facts=tuple(facts))]


def _framework_faults(path: Path, document: Mapping[str, Any]) -> list[str]:
    if not document:
        return [f"{path}: it says nothing"]
    faults = [f"{n} must be a text" for n in _FRAMEWORK_TEXTS if not _is_text(document.get(n))]
    if document.get("id") != path.stem:
        faults.append(f"id must be the file's name, {path.stem}")
    faults += [
        f"unknown field {name}; remove it"
        for name in sorted(set(document) - {*_FRAMEWORK_TEXTS, "requirements"})
    ]
    requirements = document.get("requirements")
    if not isinstance(requirements, list) or not all(map(_is_requirement, requirements)):
        faults.append("requirements must be a list of {id, title}")
    elif len({item["id"] for item in requirements}) < len(requirements):
        faults.append("a requirement is listed twice")
    return [f"{path}: {fault}" for fault in faults]


def _framework(document: Mapping[str, Any]) -> Framework:
    return Framework(
        id=document["id"],
        name=document["name"],
        version=document["version"],
        requirements=tuple(
            Requirement(id=item["id"], title=item["title"]) for item in document["requirements"]
        ),
    )


def _document(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.append(f"{path}: cannot be read: {error}")
        return {}
    if not isinstance(found, dict):
        faults.append(f"{path}: must be a mapping of fields")
        return {}
    return found


def _reject(faults: Sequence[str], what: str) -> None:
    if faults:
        raise Rejected(f"{what} break their contract; mend:\n  " + "\n  ".join(faults))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_requirement(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"id", "title"}
        and all(map(_is_text, value.values()))
    )
