"""The controls as shipped: complete, honest about what they read, and pessimistic (D7)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.assessment import JudgingRules
from qlrf_pipelines.domain.compliance import Control, control_digest, framework_rows
from qlrf_pipelines.domain.datasets import SCOPES
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.facts import ASSETS, from_json
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.services.judging import gather_rows, judge, register_rules
from resources.controls import POLICIES, FolderControls

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
FRAMEWORKS = ("cis_aws", "hipaa", "iso_27001", "nist_800_53", "pci_dss", "soc2")


@cache
def shipped() -> list[Control]:
    return list(FolderControls().load())


AUTOMATED = [control for control in shipped() if control.sql is not None]


def judged(rows: list[dict[str, Any]], controls: list[Control]) -> dict[tuple[str, str], str]:
    """Verdicts by control and asset key, as the platform itself derives them."""
    full = [{"tenant": "acme", "asset_key": row["asset_id"], "stale": False} | row for row in rows]
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rules = JudgingRules(environment_tag="Environment", stale_after_seconds=1, connectors=())
        register_rules(connection, {TenantId("acme"): rules}, as_of=NOON)
        connection.register("scopes", SCOPES.schema.empty_table())
        gather_rows(connection, from_json(full))
        judge(connection, controls)
        found = connection.execute("SELECT control_id, asset_key, verdict FROM results").fetchall()
    return {(control, key): verdict for control, key, verdict in found}


def samples(control: Control) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in sorted((POLICIES / "controls" / control.id / "samples").glob("*.json")):
        for sample in json.loads(path.read_text()):
            yield path.stem, sample["asset"], sample["verdict"]


def test_there_are_at_least_twenty_controls_and_every_framework_is_served() -> None:
    controls = shipped()
    served = {row["framework"] for row in framework_rows(controls, FolderControls().frameworks())}

    assert len(controls) >= 20
    assert len([c for c in controls if c.sql is None]) >= 2
    assert served == set(FRAMEWORKS)
    assert [c.id for c in controls] == sorted(c.id for c in controls)


def test_every_requirement_named_by_a_framework_is_served_by_a_control() -> None:
    rows = framework_rows(shipped(), FolderControls().frameworks())
    served = {(row["framework"], row["requirement"]) for row in rows}

    listed = {(f.id, r.id) for f in FolderControls().frameworks() for r in f.requirements}

    assert listed == served


@pytest.mark.parametrize("control", AUTOMATED, ids=lambda c: c.id)
def test_samples_come_out_as_they_say(control: Control) -> None:
    given_samples = list(samples(control))
    rows = [{"as_of": "2026-11-01T00:00:00Z", **asset} for _, asset, _ in given_samples]

    found = judged(rows, [control])

    expected = {(control.id, asset["asset_id"]): verdict for _, asset, verdict in given_samples}
    assert found == expected
    assert {"allowed", "denied", "unproven"} <= {name for name, _, _ in given_samples}
    assert {v for n, _, v in given_samples if n == "allowed"} == {"pass"}
    assert {v for n, _, v in given_samples if n == "denied"} == {"fail"}
    assert {v for n, _, v in given_samples if n == "unproven"} == {"never_proven"}


@pytest.mark.parametrize("control", AUTOMATED, ids=lambda c: c.id)
def test_nothing_known_proves_nothing(control: Control) -> None:
    found = judged([{"asset_id": "i-1"}], [control])

    assert found == {(control.id, "i-1"): "never_proven"}


MOMENTS = st.one_of(
    st.none(), st.integers(-800, 5).map(lambda d: (NOON + timedelta(days=d)).isoformat())
)
COUNTS = st.one_of(st.none(), st.integers(0, 3))
FLAGS = st.one_of(st.none(), st.booleans())
PORT = st.one_of(st.none(), st.sampled_from([-1, 0, 1, 20, 22, 23, 443, 3389, 5432, 65535]))
RANGES = st.lists(
    st.fixed_dictionaries(
        {
            "protocol": st.one_of(st.none(), st.sampled_from(["tcp", "udp", "-1", "icmp"])),
            "from_port": PORT,
            "to_port": PORT,
        }
    ),
    max_size=3,
)
TAGS = st.dictionaries(
    st.sampled_from(["Owner", "team", "Environment", "Name"]),
    st.one_of(st.none(), st.sampled_from(["", " ", "x"])),
    max_size=3,
)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "environment": st.one_of(st.none(), st.sampled_from([str(e) for e in Environment])),
    "public_ip": st.one_of(st.none(), st.sampled_from(["", "203.0.113.7"])),
    "open_ports": st.one_of(st.none(), RANGES),
    "tags": st.one_of(st.none(), TAGS),
    "drift_verdict": st.one_of(st.none(), st.sampled_from([str(v) for v in DriftVerdict])),
    "judged_verdict": st.one_of(st.none(), st.sampled_from([str(v) for v in DriftVerdict])),
    "resolution": st.one_of(st.none(), st.sampled_from(["coordinate", "tag", "none"])),
    "environment_tag": st.one_of(st.none(), st.just("Environment")),
}


def fact(field: pa.Field) -> st.SearchStrategy[Any]:
    if field.name in SPECIAL:
        return SPECIAL[field.name]
    if pa.types.is_timestamp(field.type):
        return MOMENTS
    if pa.types.is_boolean(field.type):
        return FLAGS
    if pa.types.is_integer(field.type):
        return COUNTS
    return st.one_of(st.none(), st.just("x"))


READ = sorted({name for control in AUTOMATED for name in control.facts})
FACTS = st.fixed_dictionaries({name: fact(ASSETS.field(name)) for name in READ})


@settings(max_examples=25, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=3))
def test_losing_any_fact_never_makes_a_verdict_better(assets: list[dict[str, Any]]) -> None:
    rows: list[dict[str, Any]] = []
    for index, asset in enumerate(assets):
        base = {"as_of": NOON.isoformat(), **asset}
        rows.append(base | {"asset_id": f"{index}:"})
        rows += [base | {"asset_id": f"{index}:{name}", name: None} for name in READ]

    found = judged(rows, AUTOMATED)

    good = {"pass", "not_applicable"}
    for (control, key), verdict in found.items():
        number, _, name = key.partition(":")
        if verdict in good and name:
            before = found[control, f"{number}:"]
            assert before in good, f"{control}: {before} became {verdict} without {name}"


def test_what_was_not_observed_lately_proves_nothing() -> None:
    fresh = {"asset_id": "i-1", "imds_v2": True, "volume_count": 0}
    controls = [c for c in AUTOMATED if c.id in ("imds_v2_required", "volumes_encrypted")]

    now = judged([fresh], controls)
    later = judged([fresh | {"stale": True}], controls)
    failed = judged([{"asset_id": "i-1", "imds_v2": False, "stale": True}], controls)

    assert set(now.values()) == {"pass", "not_applicable"}
    assert set(later.values()) == {"never_proven"}
    assert failed["imds_v2_required", "i-1"] == "fail"


def test_a_digest_covers_every_word_of_a_control() -> None:
    for control in shipped():
        assert control.digest == control_digest(control)


GOOD_YAML = """\
id: my_control
title: A title
severity: high
kind: automated
description: d
remediation: r
facts: [imds_v2]
frameworks: {soc2: ["CC6.1"]}
"""
GOOD_SQL = "SELECT tenant, asset_key, CASE WHEN imds_v2 THEN 'pass' ELSE 'never_proven' END AS verdict, 'd' AS detail FROM assets"  # noqa: E501


def folder(tmp_path: Path, *, yaml: str = GOOD_YAML, sql: str | None = GOOD_SQL) -> Path:
    control = tmp_path / "controls" / "my_control"
    control.mkdir(parents=True)
    (control / "control.yaml").write_text(yaml)
    if sql is not None:
        (control / "check.sql").write_text(sql)
    frameworks = tmp_path / "frameworks"
    frameworks.mkdir()
    (frameworks / "soc2.yaml").write_text(
        "id: soc2\nname: SOC 2\nversion: '2017'\nrequirements: [{id: CC6.1, title: Access}]\n"
    )
    return tmp_path


def test_a_sound_control_is_loaded(tmp_path: Path) -> None:
    assert [c.id for c in FolderControls(folder(tmp_path)).load()] == ["my_control"]


def test_a_control_may_read_a_middle_table_of_its_own(tmp_path: Path) -> None:
    sql = f"WITH t AS ({GOOD_SQL}) SELECT tenant, asset_key, verdict, detail FROM t"

    assert FolderControls(folder(tmp_path, sql=sql)).load()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("title: A title\n", "", "title must be a text"),
        ("severity: high\n", "", "severity must be one of"),
        ("severity: high", "severity: grave", "severity must be one of"),
        ("remediation: r", "remediation: ''", "remediation must be a text"),
        ("id: my_control", "id: other", "id must be the folder's name"),
        ("kind: automated", "kind: magic", "kind must be automated or manual"),
        ("facts: [imds_v2]", "facts: [imds_v2, moon]", "unknown fact moon"),
        ("facts: [imds_v2]", "facts: []", "facts must also list imds_v2"),
        ("facts: [imds_v2]", "facts: [imds_v2, state]", "facts lists state, which check.sql does"),
        ("facts: [imds_v2]", "facts: imds_v2", "facts must be a list"),
        ('"CC6.1"', '"CC9.9"', "requirement CC9.9 of soc2 is not in frameworks/soc2.yaml"),
        ("soc2:", "sox:", "requirement CC6.1 of sox is not in frameworks/sox.yaml"),
        ("kind: automated", "kind: automated\nowner: me", "unknown field owner"),
        ("kind: automated", "kind: manual", "a manual control has no check.sql"),
        (GOOD_YAML, "just words", "must be a mapping"),
        (GOOD_YAML, "id: [", "cannot be read"),
    ],
)
def test_an_incomplete_control_is_rejected(tmp_path: Path, old: str, new: str, fault: str) -> None:
    yaml = GOOD_YAML.replace(old, new)

    with pytest.raises(Rejected, match=fault):
        FolderControls(folder(tmp_path, yaml=yaml)).load()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        (None, "needs a check.sql"),
        ("DROP TABLE assets", "must be one SELECT"),
        (f"{GOOD_SQL}; {GOOD_SQL}", "must be one SELECT"),
        (f"{GOOD_SQL};", "cannot be run"),
        ("SELEKT 1", "is not SQL"),
        ("SELECT 1 FROM", "is not SQL"),
        (GOOD_SQL.replace("imds_v2", "moon"), "cannot be run"),
        (GOOD_SQL.replace("FROM assets", "FROM inventory"), "cannot be run"),
        (GOOD_SQL.replace("AS detail", "AS why"), "must give the texts"),
        (GOOD_SQL.replace("'d'", "1"), "must give the texts"),
        (GOOD_SQL.replace("'d'", "now()::VARCHAR"), "uses now"),
        (GOOD_SQL.replace("'d'", "random()::VARCHAR"), "uses random"),
        (GOOD_SQL.replace("'d'", "current_timestamp::VARCHAR"), "answers differently"),
        (f"SELECT * FROM ({GOOD_SQL})", r"not use \*"),
        (GOOD_SQL.replace("'d'", "(SELECT content FROM read_text('/etc/hosts'))"), "cannot be run"),
    ],
)
def test_a_check_that_could_do_harm_or_change_its_mind_is_rejected(
    tmp_path: Path, sql: str | None, fault: str
) -> None:
    with pytest.raises(Rejected, match=fault):
        FolderControls(folder(tmp_path, sql=sql)).load()


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    yaml = GOOD_YAML.replace("severity: high", "severity: x").replace("title: A title\n", "")

    with pytest.raises(Rejected) as caught:
        FolderControls(folder(tmp_path, yaml=yaml, sql="SELEKT")).load()

    for fault in ("title", "severity", "is not SQL", "my_control/control.yaml"):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id: soc3\nname: S\nversion: '1'\nrequirements: []\n", "id must be the file's name"),
        ("id: soc2\nname: S\nrequirements: []\n", "version must be a text"),
        ("id: soc2\nname: S\nversion: '1'\nrequirements: [{id: a}]\n", "requirements must be"),
        (
            "id: soc2\nname: S\nversion: '1'\nrequirements: [{id: a, title: b}, {id: a, title: c}]",
            "listed twice",
        ),
        ("", "must be a mapping"),
    ],
)
def test_an_incomplete_framework_is_rejected(tmp_path: Path, text: str, fault: str) -> None:
    root = folder(tmp_path)
    (root / "frameworks" / "soc2.yaml").write_text(text)

    with pytest.raises(Rejected, match=fault):
        FolderControls(root).frameworks()


def test_no_controls_at_all_is_not_a_clean_bill(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="there is no control here"):
        FolderControls(tmp_path).load()
