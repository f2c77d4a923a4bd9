"""The marts add up as the domain says, and losing a row never makes anything look better."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.compliance import framework_score, requirement_verdict
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, DRIFT, RISK
from qlrf_pipelines.domain.vocabulary import ControlVerdict
from resources.warehouse import dbt
from tests.fakes.controls import CONTROLS
from tests.marts import builds, rows, worlds


def test_every_dbt_unit_test_passes(tmp_path: Path) -> None:
    house = builds.on_duckdb(tmp_path, builds.sources(builds.filled()))
    target, built = dbt.duckdb_target(tmp_path), dbt.build_file(tmp_path)
    # Unit tests bring their own rows, but read the columns of the relations these stand in for.
    house._stage(built, builds.TENANTS)
    assert not dbt.run_build(dbt.PROJECT, tmp_path, target).broken

    results = dbt.run_unit_tests(dbt.PROJECT, tmp_path, target)

    assert len(results) >= 4
    assert [node for node in results if node.status != "pass"] == []


def test_an_asset_nobody_judged_is_the_worst_there_is() -> None:
    answer = builds.published().ask(
        "SELECT drift_verdict, drift_score, risk_level, risk_score, not_assessed FROM fct_assets "
        "WHERE tenant = 'globex' ORDER BY drift_score DESC LIMIT 1"
    )

    assert answer.rows == [("unknown", 100.0, "critical", 100.0, "everything")]


def test_gone_assets_are_not_in_the_marts_and_stopped_ones_do_not_count() -> None:
    house = builds.published()

    assert house.ask("SELECT count(*) FROM fct_assets WHERE tenant = 'acme'").rows == [(6,)]
    assert house.ask(
        "SELECT total, current, drifted, coverage, managed, status FROM agg_drift_scope "
        "WHERE tenant = 'acme' AND scope_type = 'tenant'"
    ).rows == [(5, 2, 3, 0.4, 0.8, "critical")]


def test_a_tenant_without_assets_is_no_data_and_listed() -> None:
    rows_found = builds.published().ask(
        "SELECT scope_type, total, coverage, managed, status FROM agg_drift_scope "
        "WHERE tenant = 'initech'"
    )

    assert rows_found.rows == [("tenant", 0, None, None, "no_data")]


def test_every_scope_type_adds_up_to_the_same_assets() -> None:
    totals = builds.published().ask(
        "SELECT tenant, scope_type, sum(total) FROM agg_drift_scope WHERE total > 0 GROUP BY ALL"
    )

    assert {(tenant, int(total)) for tenant, _, total in totals.rows} == {
        ("acme", 5),
        ("globex", 2),
    }
    assert len(totals.rows) == 12


def test_open_ports_read_like_a_firewall_rule() -> None:
    found = builds.published().ask(
        "SELECT open_ports FROM fct_assets WHERE tenant = 'acme' ORDER BY asset_key LIMIT 4"
    )

    assert [ports for (ports,) in found.rows] == ["", "", "tcp/22, tcp/8000-8100, all", None]


@pytest.mark.slow
def test_frameworks_score_as_the_domain_does_and_a_lost_result_never_helps(tmp_path: Path) -> None:
    lake = builds.filled()
    house = builds.on_duckdb(tmp_path, builds.sources(lake))
    seen = []
    for verdicts in (
        ("pass", "pass"),
        ("pass", "fail"),
        ("pass",),  # the failing one was lost
        (),  # and then the other
    ):
        results = [rows.result("globex", "imds_v2", n, v) for n, v in enumerate(verdicts)]
        results += [rows.result("globex", "volumes_encrypted", n, "pass") for n in range(2)]
        rows.put(lake, CONTROL_RESULTS, results, tenants=["globex"])
        house.build(tenants=[builds.TENANTS[1]])
        mart = house.ask(
            "SELECT requirements_met, requirements_unmet, requirements_never_proven, "
            "requirements_manual, score, coverage FROM agg_compliance_framework",
            tenant=builds.TENANTS[1],
        ).rows
        said = [ControlVerdict.MANUAL, *map(ControlVerdict, verdicts), ControlVerdict.PASS]
        said += [ControlVerdict.NEVER_PROVEN] * (2 - len(verdicts))
        score = framework_score([requirement_verdict(said)])
        expected = (score.met, score.unmet, score.unproven, score.manual)
        assert mart == [(*expected, score.score, score.coverage)]
        seen.append(score)

    assert [item.score for item in seen] == [None, 0.0, 0.0, 0.0]
    assert CONTROLS[0].sql is None, "one of the controls is a person's to judge"


@pytest.mark.slow
def test_losing_scores_never_improves_a_scope(tmp_path: Path) -> None:
    lake = builds.filled()
    house = builds.on_duckdb(tmp_path, builds.sources(lake))
    house.build(tenants=builds.TENANTS)
    before = _scopes(house)

    rows.put(lake, DRIFT, [], tenants=worlds.BOTH)
    rows.put(lake, RISK, [], tenants=worlds.BOTH)
    house.build(tenants=builds.TENANTS)

    after = _scopes(house)
    tenants = {scope for scope in before if scope[1] != "family"}
    assert all(after[scope][0] <= before[scope][0] for scope in tenants)
    assert all(after[scope][1] >= before[scope][1] for scope in tenants)


def _scopes(house: object) -> dict[tuple[str, str, str], tuple[float, float]]:
    answer = house.ask(  # type: ignore[attr-defined]
        "SELECT tenant, scope_type, scope_value, coverage, mean_score FROM agg_drift_scope "
        "WHERE total > 0"
    )
    return {(t, kind, value): (cover, score) for t, kind, value, cover, score in answer.rows}


def test_a_tenant_nobody_judged_is_no_data_in_resilience_too() -> None:
    found = builds.published().ask(
        "SELECT tenant, status, coverage, applications FROM agg_resilience "
        "WHERE scope_type = 'tenant' ORDER BY tenant"
    )

    assert found.rows == [
        ("acme", "critical", 0.5, 2),
        ("globex", "no_data", None, 0),
        ("initech", "no_data", None, 0),
    ]


def test_promises_count_active_live_assets_and_unknown_ones_are_not_kept() -> None:
    found = builds.published().ask(
        "SELECT severity, assets, met, due, breaching, breached, unknown, unknown_overdue, kept, "
        "status, first_due_at < as_of FROM agg_patch_sla WHERE tenant = 'acme' ORDER BY severity"
    )

    assert found.rows == [
        ("critical", 5, 1, 1, 1, 1, 1, 1, 0.6, "critical", True),
        ("high", 1, 0, 1, 0, 0, 0, 0, 1.0, "healthy", False),
    ]


def test_a_promise_nobody_judged_is_no_data() -> None:
    found = builds.published().ask(
        "SELECT tenant, severity, assets, kept, status FROM agg_patch_sla "
        "WHERE tenant <> 'acme' ORDER BY tenant, severity"
    )

    assert found.rows == [
        ("globex", "critical", 1, 0.0, "critical"),
        ("globex", "high", 0, None, "no_data"),
        ("initech", "critical", 0, None, "no_data"),
        ("initech", "high", 0, None, "no_data"),
    ]


def test_a_drill_without_a_verdict_has_not_proven_anything() -> None:
    found = builds.published().ask(
        "SELECT drill_id, rto_verdict, moved_something FROM fct_drills ORDER BY drill_id"
    )

    assert found.rows == [
        ("d-1", "met", True),
        ("d-2", "not_proven", False),
        ("d-3", "not_proven", False),
    ]
