"""Every control shows what it lets through and what it does not."""

import json
from pathlib import Path

import pytest
import yaml

from tests.architecture.tree import ROOT

FOLDERS = sorted(p for p in (ROOT / "policies" / "controls").iterdir() if p.is_dir())


def metadata(folder: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((folder / "control.yaml").read_text())
    return found


AUTOMATED = [f for f in FOLDERS if metadata(f)["kind"] != "manual"]


def test_there_are_at_least_fifteen_automated_controls() -> None:
    assert len(AUTOMATED) >= 15


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_a_control_says_what_it_is_how_bad_and_what_to_do(folder: Path) -> None:
    found = metadata(folder)

    assert found["id"] == folder.name
    for field in ("title", "severity", "description", "remediation", "frameworks"):
        assert found[field], f"{folder.name} has no {field}"


@pytest.mark.parametrize("folder", AUTOMATED, ids=lambda f: f.name)
def test_an_automated_control_has_a_check_and_samples(folder: Path) -> None:
    assert (folder / "check.sql").read_text().strip()
    for sample in ("allowed", "denied"):
        assert json.loads((folder / "samples" / f"{sample}.json").read_text())


def test_a_manual_control_has_no_check() -> None:
    for folder in set(FOLDERS) - set(AUTOMATED):
        assert not (folder / "check.sql").exists()
