"""The estate folder: YAML contracts under version control, read all at once or not at all."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.problems import InvalidEstate, Problem
from qlrf_pipelines.ports.estate import EstateStore
from resources.estate_build import build_estate
from resources.estate_contracts import Contract
from resources.estate_rules import find_conflicts
from resources.estate_schema import find_breaches
from resources.estate_yaml import Place, read_yaml

FOLDERS = ("tenants", "images", "exemptions", "patches", "recovery")
SUFFIXES = (".yaml", ".yml")
# Outside those folders other tools' YAML may live; ours is read wherever it is.
_OURS = re.compile(rb"^(\{?\s*)[\"']?apiVersion[\"']?\s*:\s*[\"']?qlrf/", re.MULTILINE)


class FolderEstate(EstateStore):
    """Contracts below one folder: in FOLDERS, or wherever they lie."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: tuple[str, Estate] | None = None

    def load(self) -> Estate:
        """Every contract, validated together; files that did not change are not read twice.

        Raises:
            Rejected: one or more documents break their contract, the folder is missing or has no
                tenant; as InvalidEstate, with every problem as a value.
        """
        files, problems = self._read_files()
        digest = _digest(files)
        if self._loaded is not None and self._loaded[0] == digest and not problems:
            return self._loaded[1]
        contracts: list[Contract] = []
        for file, data in files.items():
            found, wrong = _read_contracts(file, data)
            contracts += found
            problems += wrong
        problems += find_conflicts(contracts)
        if not problems or not files:
            problems += self._without_tenant(contracts)
        if problems:
            raise InvalidEstate(str(self._folder), problems)
        estate = build_estate(_value(c) for c in contracts)
        self._loaded = (digest, estate)
        return estate

    def _read_files(self) -> tuple[dict[str, bytes], list[Problem]]:
        if not self._folder.is_dir():
            remedy = "create it (contracts/examples is one to copy) or set QLRF_ESTATE"
            raise InvalidEstate(
                str(self._folder), [_about(self._folder, "is not a folder", remedy=remedy)]
            )
        files: dict[str, bytes] = {}
        problems: list[Problem] = []
        for path in _walk(self._folder, problems):
            try:
                if not path.is_file():  # a pipe would keep us waiting, a broken link leads nowhere
                    raise OSError(0, "it is no plain file", str(path))
                data = path.read_bytes()
            except OSError as error:
                problems.append(_unreadable(error, path))
                continue
            if path.relative_to(self._folder).parts[0] in FOLDERS or _OURS.search(data):
                files[str(path)] = data
        return files, problems

    def _without_tenant(self, contracts: Sequence[Contract]) -> list[Problem]:
        if any(contract.kind == "Tenant" for contract in contracts):
            return []
        remedy = "add tenants/<name>.yaml; contracts/examples/tenants has one to copy"
        return [_about(self._folder, "declares no tenant", remedy=remedy)]


def _walk(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Every YAML file below a folder, in a stable order; hidden names are passed over.

    Links are followed, since mounted configuration is made of them, but no folder twice. A folder
    that cannot be listed is a problem, never an empty folder.
    """
    seen = set()

    def lost(error: OSError) -> None:
        problems.append(_unreadable(error, folder))

    for here, folders, names in os.walk(folder, followlinks=True, onerror=lost):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(here) / name


def _read_contracts(file: str, data: bytes) -> tuple[list[Contract], list[Problem]]:
    reading = read_yaml(file, data)
    problems = list(reading.problems)
    if not reading.documents and not problems:
        problems.append(
            _about(Path(file), "holds no document", remedy="write a contract or delete the file")
        )
    contracts = []
    for document, unread in zip(reading.documents, reading.unread, strict=False):
        wrong: set[Place] = set(unread)
        for place, problem in find_breaches(document):
            if not _within(place, unread):
                problems.append(problem)
            wrong.add(place)
        contracts.append(Contract(document=document, wrong=frozenset(wrong)))
    return contracts, problems


def _within(place: Place, unread: set[Place]) -> bool:
    """Whether a place was not read at all, so that what the schema says of it is no news."""
    return any(place[:length] in unread for length in range(len(place) + 1))


def _value(contract: Contract) -> dict[str, Any]:
    value = contract.document.value
    return value if isinstance(value, dict) else {}


def _digest(files: Mapping[str, bytes]) -> str:
    found = hashlib.sha256()
    for file, data in files.items():
        found.update(f"{file}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()


def _about(path: Path, message: str, *, remedy: str) -> Problem:
    return Problem(file=str(path), line=0, field="", message=message, remedy=remedy)


def _unreadable(error: OSError, path: Path) -> Problem:
    message = f"cannot be read ({error.strerror or type(error).__name__})"
    return _about(Path(error.filename or path), message, remedy="make it readable or remove it")
