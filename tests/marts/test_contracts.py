"""Every mart has an enforced contract, a stated grain, and a sentence for every column."""

from pathlib import Path

import pytest

from tests.marts import builds
from tests.tools.marts_doc import MARTS, ROOT, marts, marts_markdown


def test_the_reference_is_current() -> None:
    written = (ROOT / "docs" / "reference" / "marts.md").read_text()

    assert written == marts_markdown(), "run `make docs`"


def test_every_model_has_its_own_description_beside_it() -> None:
    models = {path.stem for path in MARTS.glob("*.sql")}

    assert models == {str(model["name"]) for model in marts()}
    assert all((MARTS / f"{name}.yml").exists() for name in models)


@pytest.mark.parametrize("model", marts(), ids=lambda model: str(model["name"]))
def test_a_mart_states_its_grain_and_every_column(model: dict[str, object]) -> None:
    columns = model["columns"]
    assert isinstance(columns, list)

    assert str(model["description"]).startswith("One row per ")
    assert [c["name"] for c in columns if not c.get("description") or not c.get("data_type")] == []
    grains = [t["unique_grain"] for t in model["data_tests"] if "unique_grain" in t]  # type: ignore[attr-defined]
    assert len(grains) == 1
    assert set(grains[0]["arguments"]["columns"]) <= {column["name"] for column in columns}


@pytest.mark.parametrize("model", marts(), ids=lambda model: str(model["name"]))
def test_what_is_published_is_what_is_documented(model: dict[str, object]) -> None:
    columns = model["columns"]
    assert isinstance(columns, list)

    published = builds.published().ask(f"SELECT * FROM {model['name']}").columns

    assert sorted(published) == sorted(column["name"] for column in columns)


def test_the_marts_the_platform_promises_are_there() -> None:
    promised = {"dim_tenant", "dim_image_version", "fct_assets", "fct_control_results"}
    promised |= {"fct_scope_certificates", "agg_drift_scope", "agg_drift_daily"}
    promised |= {"agg_compliance_framework", "fct_drills", "fct_drill_phases", "agg_resilience"}
    promised |= {"fct_patch_sla", "agg_patch_sla"}

    assert promised <= {path.stem for path in Path(MARTS).glob("*.sql")}
