"""The contract of plans: what a fake may say, and what the real one finds."""

import json
from pathlib import Path

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.ports.contracts import PlanContract
from resources.estate_schema import CONTRACTS
from resources.plan_contract import SchemaPlanContract
from tests.fakes.plan_contract import FakePlanContract

EXAMPLE = json.loads((CONTRACTS / "examples/plans/drift-plan.json").read_text())


@pytest.mark.parametrize("contract", [FakePlanContract(), SchemaPlanContract()])
def test_a_plan_that_keeps_the_contract_has_no_breaches(contract: PlanContract) -> None:
    assert list(contract.breaches(EXAMPLE)) == []


@pytest.mark.parametrize(
    "name", sorted(set(EXAMPLE) - {"policy", "predicted_duration_seconds", "notifications"})
)
def test_every_field_that_is_lost_is_a_breach(name: str) -> None:
    rest = {key: value for key, value in EXAMPLE.items() if key != name}

    (found,) = SchemaPlanContract().breaches(rest)

    assert f"'{name}' is a required property" in found


def test_a_breach_says_where_it_is() -> None:
    wrong = EXAMPLE | {"window": {"required": True, "opens_at": "tomorrow"}, "colour": "blue"}

    found = SchemaPlanContract().breaches(wrong)

    assert {line.partition(":")[0] for line in found} == {"$", "$.window.opens_at"}


def test_a_contract_that_cannot_be_read_is_no_contract_kept(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        SchemaPlanContract(tmp_path / "missing.json").breaches(EXAMPLE)
