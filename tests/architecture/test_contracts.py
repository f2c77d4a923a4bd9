"""Every contract is described, exemplified and equal to its type."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.vocabulary import Environment, ImageStatus, Platform
from resources.estate import FolderEstate
from tests.tools.check import CONTRACTS, check_schemas
from tests.tools.docs import SCHEMAS

FILES = sorted(CONTRACTS.glob("*.schema.json"))


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRACTS / f"{name}.schema.json").read_text())
    return found


def fields(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below another one, by its path."""
    yield path, part
    for name, inner in part.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(part.get(keyword), dict):
            yield from fields(part[keyword], f"{path}[]")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_field_is_described(file: Path) -> None:
    for path, part in fields(json.loads(file.read_text())):
        assert part.get("description"), f"{file.name}: {path} has no description"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_unknown_fields_are_errors_everywhere(file: Path) -> None:
    for path, part in fields(json.loads(file.read_text())):
        if "properties" in part:
            assert part["additionalProperties"] is False, f"{file.name}: {path} takes anything"


def test_every_contract_has_an_example_that_keeps_to_it() -> None:
    check_schemas()
    assert {file.name for file in FILES} == set(SCHEMAS)


def test_the_examples_are_an_estate() -> None:
    estate = FolderEstate(CONTRACTS / "examples").load()

    assert {image.os_name for image in estate.images} >= {"ubuntu", "windows"}
    assert estate.tenants
    assert estate.exemptions


def test_contracts_speak_the_vocabulary() -> None:
    release = schema("golden_image")["properties"]["spec"]["properties"]["versions"]["items"]
    rule = schema("tenant")["properties"]["spec"]["properties"]["environments"]["properties"]

    assert release["properties"]["status"]["enum"] == [s.value for s in ImageStatus]
    assert set(release["properties"]["coordinates"]["properties"]) == {p.value for p in Platform}
    assert rule["default"]["enum"] == [e.value for e in Environment]
