"""Every live asset gets one verdict per control, or nothing is written."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.compliance import framework_rows, framework_score, requirement_verdict
from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.facts import (
    ASSETS,
    fact_row_text,
    from_json,
    result_row_text,
    rows_digest,
    to_json,
)
from qlrf_pipelines.domain.vocabulary import ControlVerdict
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.compliance import assess_compliance
from qlrf_pipelines.services.judging import facts_digests, gather_rows, tally_kept
from tests.fakes.controls import CONTROLS, FRAMEWORKS, FakeControls, control
from tests.fakes.lake import FakeLake
from tests.fakes.observations import NOON, a_scope, a_tenant, an_asset, observed
from tests.fakes.world import fake_world

GOOD = "SELECT tenant, asset_key, 'pass' AS verdict, 'd' AS detail FROM assets"


def world_of(*controls: Any) -> World:
    return fake_world(controls=FakeControls(controls or CONTROLS))


def results(world: World, tenant: str) -> dict[tuple[str, str], str]:
    assert isinstance(world.lake, FakeLake)
    rows = world.lake.rows("control_results", tenant)
    return {
        (str(r["control_id"]), str(r["asset_key"]).rsplit(":", 1)[-1]): str(r["verdict"])
        for r in rows
    }


def test_each_live_asset_is_judged_by_each_control() -> None:
    world = world_of()
    gone = an_asset("acme", "i-3", imds_v2=True, tombstoned_at=NOON)
    observed(
        world.lake,
        "acme",
        [
            an_asset("acme", "i-1", imds_v2=True, volume_count=0),
            an_asset("acme", "i-2", imds_v2=False),
            gone,
        ],
    )

    report = assess_compliance(world, [a_tenant("acme")])

    assert results(world, "acme") == {
        ("access_review", ""): "manual",
        ("imds_v2", "i-1"): "pass",
        ("imds_v2", "i-2"): "fail",
        ("volumes_encrypted", "i-1"): "not_applicable",
        ("volumes_encrypted", "i-2"): "never_proven",
    }
    facts = report.facts[a_tenant("acme").name]
    assert facts["assets"] == 2
    assert (facts["pass"], facts["fail"], facts["never_proven"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("scopes", "verdict"),
    [
        ([a_scope("acme")], "not_applicable"),
        ([], "never_proven"),
        ([a_scope("acme", status="incomplete")], "never_proven"),
        ([a_scope("acme"), a_scope("acme", "eu-west-1", status="denied")], "never_proven"),
        ([a_scope("acme"), a_scope("acme", "eu-west-1", status="held")], "never_proven"),
        ([a_scope("acme", connector="other")], "never_proven"),
        ([a_scope("acme", last_complete_at=None)], "never_proven"),
        ([a_scope("acme", last_complete_at=NOON - timedelta(days=3))], "never_proven"),
        ([a_scope("acme", kind="image")], "never_proven"),
        ([a_scope("acme"), a_scope("acme", "all", kind="region", status="denied")], "never_proven"),
        ([a_scope("acme"), a_scope("acme", "z", kind="volume", status="denied")], "not_applicable"),
    ],
)
def test_an_empty_tenant_is_proven_empty_or_not_known(
    scopes: list[dict[str, Any]], verdict: str
) -> None:
    world = world_of()
    observed(world.lake, "acme", [], scopes=scopes)

    assess_compliance(world, [a_tenant("acme")])

    found = results(world, "acme")
    assert found == {
        ("access_review", ""): "manual",
        ("imds_v2", ""): verdict,
        ("volumes_encrypted", ""): verdict,
    }


def test_a_tenant_without_connectors_is_not_proven_empty() -> None:
    world = world_of()

    assess_compliance(world, [dataclasses.replace(a_tenant("acme"), connectors=())])

    assert results(world, "acme")["imds_v2", ""] == "never_proven"


def test_an_asset_drift_never_judged_keeps_its_row() -> None:
    sql = (
        "SELECT tenant, asset_key, CASE WHEN drift_verdict = 'current' THEN 'pass' "
        "ELSE 'never_proven' END AS verdict, 'd' AS detail FROM assets"
    )
    world = world_of(control("approved", sql=sql, facts=["drift_verdict"]))
    keys = [an_asset("acme", name) for name in ("i-1", "i-2")]
    judged = {"tenant": "acme", "asset_key": keys[0]["asset_key"], "drift_verdict": "current"}
    observed(world.lake, "acme", keys, drift=[judged])

    assess_compliance(world, [a_tenant("acme")])

    assert results(world, "acme") == {
        ("approved", "i-1"): "pass",
        ("approved", "i-2"): "never_proven",
    }


@pytest.mark.parametrize(
    ("sql", "offence"),
    [
        (GOOD + " WHERE asset_id = 'i-1'", "says nothing of 1 of 2 assets"),
        (GOOD + " WHERE false", "says nothing of 2 of 2 assets"),
        (GOOD + " UNION ALL " + GOOD, "judges 2 times too often"),
        (GOOD + " WHERE asset_id = 'i-1' UNION ALL " + GOOD + " WHERE asset_id = 'i-1'", "nothing"),
        (GOOD + " UNION ALL SELECT 'acme', 'i-9', 'pass', 'd'", "1 things that are no live asset"),
        (GOOD + " UNION ALL SELECT 'acme', '', 'pass', 'd'", "1 things that are no live asset"),
        (GOOD + " UNION ALL SELECT 'globex', asset_key, 'pass', 'd' FROM assets", "no live asset"),
        (GOOD.replace("tenant", "NULL AS tenant"), "no live asset"),
        (GOOD.replace("'pass'", "'fine'"), "verdicts that are none of"),
        (GOOD.replace("'pass'", "NULL"), "verdicts that are none of"),
        (GOOD.replace("'d'", "NULL"), "verdicts without a detail"),
        (GOOD.replace("'d'", "asset_id::INTEGER::VARCHAR"), "Control odd cannot be run"),
        (GOOD.replace("assets", "moons"), "Control odd cannot be run"),
    ],
)
def test_a_control_that_does_not_say_one_sound_thing_of_each_asset_is_refused(
    sql: str, offence: str
) -> None:
    world = world_of(control("fine", sql=GOOD), control("odd", sql=sql))
    observed(world.lake, "acme", [an_asset("acme", "i-1"), an_asset("acme", "i-2")])

    with pytest.raises(Refused, match=offence) as caught:
        assess_compliance(world, [a_tenant("acme")])

    assert "odd" in str(caught.value)
    assert results(world, "acme") == {}
    assert world.ledger.head(a_tenant("acme").name) is None


def test_an_asset_that_is_there_twice_is_refused() -> None:
    world = world_of()
    observed(world.lake, "acme", [an_asset("acme", "i-1"), an_asset("acme", "i-1")])

    with pytest.raises(Refused, match="more than once"):
        assess_compliance(world, [a_tenant("acme")])


def test_tenants_are_judged_apart_and_in_one_go() -> None:
    world = world_of()
    for name, token in (("acme", True), ("globex", False)):
        observed(world.lake, name, [an_asset(name, "i-1", imds_v2=token)])

    report = assess_compliance(world, [a_tenant("acme"), a_tenant("globex")])

    assert results(world, "acme")["imds_v2", "i-1"] == "pass"
    assert results(world, "globex")["imds_v2", "i-1"] == "fail"
    assert set(report.facts) == {"acme", "globex"}
    assert report.version == world.lake.version(_dataset("control_results"))


def test_a_large_batch_is_written_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qlrf_pipelines.services.compliance._CHUNK_RESULTS", 10)
    world = world_of()
    names = [f"tenant-{n}" for n in range(7)]
    for name in names:
        observed(world.lake, name, [an_asset(name, f"i-{n}", imds_v2=True) for n in range(3)])

    assess_compliance(world, [a_tenant(name) for name in names])

    assert all(len(results(world, name)) == 7 for name in names)
    heads = [world.ledger.head(a_tenant(name).name) for name in names]
    versions = {head.content["versions"]["control_results"] for head in heads if head}
    assert len(versions) == 7


def test_the_ledger_gets_the_scopes_once_and_every_control() -> None:
    world = world_of()
    denied = a_scope("acme", "eu-west-1", status="denied", error="AccessDenied")
    observed(
        world.lake,
        "acme",
        [an_asset("acme", "i-1", imds_v2=True)],
        scopes=[a_scope("acme"), denied],
    )

    assess_compliance(world, [a_tenant("acme")])

    entries = list(world.ledger.entries(a_tenant("acme").name))
    assert verify_chain(entries) == 4
    scopes, *controls = entries
    assert scopes.kind == "scope_certificates"
    assert [c["status"] for c in scopes.content["certificates"]] == ["denied", "complete"]
    assert [e.subject for e in controls] == ["access_review", "imds_v2", "volumes_encrypted"]
    content = controls[1].content
    assert content["verdicts"] == {
        "pass": 1,
        "fail": 0,
        "not_applicable": 0,
        "manual": 0,
        "never_proven": 0,
    }
    assert content["control_digest"] == CONTROLS[1].digest
    assert content["scopes_digest"] == scopes.content["scopes_digest"]
    assert content["refresh_id"] == "r-7"
    assert content["versions"] == {"inventory": 0, "drift": 0, "scopes": 0, "control_results": 0}


def test_results_come_before_evidence_so_a_full_lake_leaves_none() -> None:
    lake = FakeLake(failing={"control_results": Unavailable("disk full")})
    world = fake_world(controls=FakeControls(), lake=lake)
    observed(lake, "acme", [an_asset("acme", "i-1")])

    with pytest.raises(Unavailable):
        assess_compliance(world, [a_tenant("acme")])

    assert world.ledger.head(a_tenant("acme").name) is None


def test_assessing_again_is_another_entry_and_the_same_results() -> None:
    world = world_of()
    observed(world.lake, "acme", [an_asset("acme", "i-1", imds_v2=True)])

    assess_compliance(world, [a_tenant("acme")])
    first = results(world, "acme")
    assess_compliance(world, [a_tenant("acme")])

    assert results(world, "acme") == first
    assert verify_chain(world.ledger.entries(a_tenant("acme").name)) == 8


def test_no_tenants_is_nothing_to_do() -> None:
    world = world_of()

    report = assess_compliance(world, [])

    assert report.facts == {}


TEXT = st.one_of(st.none(), st.text(max_size=6))
ROW: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "asset_key": st.text(min_size=1, max_size=5),
        "name": TEXT,
        "imds_v2": st.one_of(st.none(), st.booleans()),
        "volume_count": st.one_of(st.none(), st.integers(0, 9)),
        "drift_score": st.one_of(st.none(), st.floats(0, 100)),
        "last_seen": st.one_of(
            st.none(),
            st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
                lambda moment: moment.replace(tzinfo=UTC).isoformat()
            ),
        ),
        "tags": st.one_of(st.none(), st.dictionaries(st.text(max_size=3), TEXT, max_size=3)),
        "open_ports": st.one_of(
            st.none(),
            st.lists(
                st.fixed_dictionaries(
                    {"protocol": TEXT, "from_port": st.none(), "to_port": st.integers(0, 9)}
                ),
                max_size=2,
            ),
        ),
    }
)
ROWS = st.lists(ROW, min_size=1, max_size=4, unique_by=lambda row: row["asset_key"])


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_the_facts_digest_is_the_same_in_sql_and_in_python(rows: list[dict[str, Any]]) -> None:
    table = from_json([{"tenant": "acme", **row} for row in rows])

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        gather_rows(connection, table)
        found = facts_digests(connection)

    plain = [to_json(row) for row in table.to_pylist()]
    assert found == {"acme": (len(rows), rows_digest(plain, fact_row_text))}


RESULT = st.fixed_dictionaries(
    {
        "asset_key": st.text(max_size=5),
        "verdict": st.sampled_from([str(v) for v in ControlVerdict]),
        "detail": st.text(max_size=6),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(RESULT, min_size=1, max_size=5, unique_by=lambda row: row["asset_key"]))
def test_the_result_digest_is_the_same_in_sql_and_in_python(rows: list[dict[str, str]]) -> None:
    full = [{"tenant": "acme", "control_id": "c", **row} for row in rows]

    found = digest_in_sql(full)

    assert found == rows_digest(rows, result_row_text)


def test_digests_of_many_pages_are_the_same_in_sql_and_in_python() -> None:
    rows = [
        {"asset_key": f"i-{n * 7919 % 2501}", "verdict": "pass", "detail": f"é{n}"}
        for n in range(2501)
    ]

    found = digest_in_sql([{"tenant": "acme", "control_id": "c", **row} for row in rows])

    assert found == rows_digest(rows, result_row_text)


def digest_in_sql(rows: list[dict[str, str]]) -> str:
    with duckdb.connect(":memory:") as connection:
        connection.register("control_results", pa.Table.from_pylist(rows))
        (row,) = tally_kept(connection)
    return str(row["digest"])


def test_facts_survive_being_written_down() -> None:
    row = an_asset("acme", "i-1", drift_score=20.5, open_ports=[]) | {"as_of": NOON}
    table = pa.Table.from_pylist([{n: row.get(n) for n in ASSETS.names}], schema=ASSETS)

    written = [to_json(item) for item in table.to_pylist()]

    assert from_json(written) == table


def test_a_requirement_stands_as_its_worst_verdict() -> None:
    v = ControlVerdict

    assert requirement_verdict([v.PASS, v.NOT_APPLICABLE]) is v.PASS
    assert requirement_verdict([v.PASS, v.NEVER_PROVEN]) is v.NEVER_PROVEN
    assert requirement_verdict([v.NEVER_PROVEN, v.FAIL]) is v.FAIL
    assert requirement_verdict([v.PASS, v.MANUAL]) is v.MANUAL
    assert requirement_verdict([]) is v.NEVER_PROVEN


def test_what_was_never_proven_counts_against_a_framework() -> None:
    v = ControlVerdict

    score = framework_score([v.PASS, v.FAIL, v.NEVER_PROVEN, v.NEVER_PROVEN, v.MANUAL])

    assert (score.met, score.unmet, score.unproven, score.manual) == (1, 1, 2, 1)
    assert score.score == 0.25
    assert score.coverage == 0.4
    assert framework_score([]).score is None


@given(st.lists(st.sampled_from(list(ControlVerdict)), min_size=1), st.integers(0, 20))
def test_losing_a_proof_never_raises_a_framework(found: list[ControlVerdict], at: int) -> None:
    lost = list(found)
    lost[at % len(lost)] = ControlVerdict.NEVER_PROVEN

    before, after = framework_score(found), framework_score(lost)

    if found[at % len(found)] in (ControlVerdict.PASS, ControlVerdict.FAIL):
        assert (after.score or 0) <= (before.score or 0)
        assert (after.coverage or 0) <= (before.coverage or 0)


def test_framework_rows_join_controls_and_requirements() -> None:
    rows = framework_rows(CONTROLS, FRAMEWORKS)

    assert [row["control_id"] for row in rows] == ["access_review", "imds_v2", "volumes_encrypted"]
    assert rows[0]["requirement_title"] == "Logical access is protected."
    assert rows[0]["kind"] == "manual"


def _dataset(name: str) -> Any:
    from qlrf_pipelines.domain.datasets import DATASETS

    return DATASETS[name]
