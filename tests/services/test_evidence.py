"""Evidence is what it was, or somebody is told what is not."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.cli.evidence import evidence, ledger_row
from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused, Tampered
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, NewEntry, chain, digest
from qlrf_pipelines.domain.facts import fact_row_text, result_row_text, rows_digest
from qlrf_pipelines.services.compliance import assess_compliance
from qlrf_pipelines.services.evidence import export_pack, verify_pack
from qlrf_pipelines.services.packs import Pack, read_pack, write_pack
from qlrf_pipelines.services.reperformance import check_pack
from qlrf_pipelines.settings import Settings
from resources.controls import FolderControls
from tests.fakes.controls import FakeControls, control
from tests.fakes.lake import FakeLake
from tests.fakes.ledger import FakeLedger
from tests.fakes.observations import NOON, a_scope, a_tenant, an_asset, keep, observed
from tests.fakes.world import fake_world
from tests.services.assessed import ACME, Files, assessed


@pytest.fixture(scope="module")
def pack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "acme.zip"
    export_pack(assessed(), ACME, path)
    return path


@pytest.fixture(scope="module")
def pack(pack_file: Path) -> Pack:
    return read_pack(pack_file)


# --- packs ---------------------------------------------------------------------------------------


def test_a_pack_verifies_by_itself(pack_file: Path) -> None:
    proof = verify_pack(pack_file)

    assert (proof.tenant, proof.entries, proof.assets) == (ACME, 4, 3)
    assert proof.verdicts == {
        "pass": 2,
        "fail": 1,
        "not_applicable": 1,
        "manual": 1,
        "never_proven": 2,
    }


def test_a_pack_with_the_shipped_controls_verifies(tmp_path: Path) -> None:
    world = assessed(controls=FolderControls())

    proof = export_pack(world, ACME, tmp_path / "acme.zip")

    assert verify_pack(tmp_path / "acme.zip") == proof


def test_a_pack_of_an_empty_tenant_verifies(tmp_path: Path) -> None:
    world = fake_world(controls=FakeControls())
    observed(world.lake, "acme", [], scopes=[a_scope("acme", status="denied", error="no")])
    assess_compliance(world, [a_tenant("acme")])

    proof = export_pack(world, ACME, tmp_path / "acme.zip")

    assert proof.verdicts["never_proven"] == 2


def test_the_same_evidence_is_the_same_bytes(tmp_path: Path, pack_file: Path) -> None:
    export_pack(assessed(), ACME, tmp_path / "again.zip")

    assert (tmp_path / "again.zip").read_bytes() == pack_file.read_bytes()


def test_an_existing_file_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "acme.zip"
    path.write_text("mine")
    world = assessed()

    with pytest.raises(Refused, match="exists"):
        export_pack(world, ACME, path)
    assert path.read_text() == "mine"
    export_pack(world, ACME, path, force=True)

    assert verify_pack(path).entries == 4
    assert [p.name for p in tmp_path.iterdir()] == ["acme.zip"]


def test_a_refresh_in_between_does_not_change_what_is_exported(tmp_path: Path) -> None:
    world = assessed()
    keep(world.lake, INVENTORY, [an_asset("acme", "i-9")], "acme")

    proof = export_pack(world, ACME, tmp_path / "acme.zip")

    assert proof.assets == 3


def test_an_inventory_edited_under_its_version_is_told(tmp_path: Path) -> None:
    world = assessed()
    assert isinstance(world.lake, FakeLake)
    held = world.lake.versions["inventory"][0]
    held[ACME] = held[ACME].slice(1)

    with pytest.raises(Tampered, match="not what was judged"):
        export_pack(world, ACME, tmp_path / "acme.zip")
    assert list(tmp_path.iterdir()) == []


def test_versions_the_lake_dropped_are_named_not_guessed(tmp_path: Path) -> None:
    world = assessed()
    assert isinstance(world.lake, FakeLake)
    world.lake.versions["inventory"].clear()
    world.lake.versions["drift"].clear()

    with pytest.raises(Refused, match="refresh the tenant"):
        export_pack(world, ACME, tmp_path / "acme.zip")


def test_controls_changed_since_then_are_named(tmp_path: Path) -> None:
    world = replace(assessed(), controls=FakeControls([control("imds_v2", sql=None)]))

    with pytest.raises(Refused, match="Controls changed"):
        export_pack(world, ACME, tmp_path / "acme.zip")


def test_a_tenant_without_assessment_has_no_pack(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export_pack(fake_world(controls=FakeControls()), ACME, tmp_path / "acme.zip")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        verify_pack(tmp_path / "none.zip")


# --- a careless forger changes bytes, a careful one mends the manifest too -----------------------


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_no_flipped_byte_goes_unseen(
    pack_file: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(pack_file.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    forged = tmp_path_factory.getbasetemp() / "flipped.zip"
    forged.write_bytes(whole)

    try:
        verify_pack(forged)
    except Tampered:
        return

    # Some bytes of a zip say nothing (a version, an offset of nothing): what is read is the same.
    assert contents(forged) == contents(pack_file)


def forged(pack: Pack, change: Callable[[Files], None]) -> Pack:
    """A pack with other files, whose manifest was made to fit."""
    files = dict(pack.files)
    change(files)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return Pack(manifest={**pack.manifest, "files": hashes}, files=files)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_byte_of_a_file_goes_unseen_though_the_manifest_fits(
    pack: Pack, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(pack.files)))
    at = data.draw(st.integers(0, len(pack.files[name]) - 1))
    flip = data.draw(st.integers(1, 255))

    def change(files: Files) -> None:
        whole = bytearray(files[name])
        whole[at] ^= flip
        files[name] = bytes(whole)

    with pytest.raises(Tampered):
        check_pack(forged(pack, change))


LINES = ("ledger.jsonl", "facts.jsonl", "results.jsonl")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LINES), st.sampled_from(["drop", "double", "swap"]), st.data())
def test_no_line_can_be_dropped_doubled_or_moved(
    pack: Pack, name: str, how: str, data: st.DataObject
) -> None:
    lines = pack.files[name].splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 2))

    def change(files: Files) -> None:
        other = list(lines)
        if how == "drop":
            del other[at]
        elif how == "double":
            other.insert(at, other[at])
        else:
            other[at], other[at + 1] = other[at + 1], other[at]
        files[name] = b"".join(other)

    with pytest.raises(Tampered):
        check_pack(forged(pack, change))


def test_no_file_can_be_taken_away_or_added(pack: Pack) -> None:
    for name in pack.files:
        with pytest.raises(Tampered):
            check_pack(forged(pack, lambda files, n=name: files.pop(n)))  # type: ignore[misc]
    with pytest.raises(Tampered, match="extra"):
        check_pack(forged(pack, lambda files: files.update({"extra.txt": b"x"})))


def test_a_manifest_that_says_something_else_is_told(pack: Pack) -> None:
    for name in ("tenant", "assessment", "as_of", "entries", "head_hash"):
        with pytest.raises(Tampered, match=name):
            check_pack(Pack(manifest={**pack.manifest, name: "other"}, files=pack.files))


def test_members_out_of_order_are_told(tmp_path: Path, pack_file: Path) -> None:
    forged_file = tmp_path / "other.zip"
    with zipfile.ZipFile(forged_file, "w") as archive:
        for name, data in reversed(contents(pack_file).items()):
            archive.writestr(zipfile.ZipInfo(name), data)

    with pytest.raises(Tampered, match="order"):
        verify_pack(forged_file)


# --- a thorough forger writes the whole chain anew: verdicts must still follow from facts --------


def rewritten(
    pack: Pack, *, facts: Any = None, results: Any = None, sql: str | None = None
) -> Pack:
    """The pack of somebody who changes what was found and makes every digest and hash fit."""
    entries = [json.loads(line) for line in pack.files["ledger.jsonl"].splitlines()]
    files = dict(pack.files)
    rows = {n: [json.loads(x) for x in pack.files[n].splitlines()] for n in LINES[1:]}
    rows["facts.jsonl"] = facts(rows["facts.jsonl"]) if facts else rows["facts.jsonl"]
    rows["results.jsonl"] = results(rows["results.jsonl"]) if results else rows["results.jsonl"]
    for name, values in rows.items():
        files[name] = b"".join(rfc8785.dumps(value) + b"\n" for value in values)
    if sql is not None:
        document = json.loads(files["controls/imds_v2.json"]) | {"sql": sql}
        files["controls/imds_v2.json"] = rfc8785.dumps(document)
        files["controls/imds_v2.sql"] = sql.encode()
    for entry in entries[1:]:
        mine = [r for r in rows["results.jsonl"] if r["control_id"] == entry["subject"]]
        document = json.loads(files[f"controls/{entry['subject']}.json"])
        entry["content"] |= {
            "control_digest": digest(document),
            "facts_digest": rows_digest(rows["facts.jsonl"], fact_row_text),
            "results_digest": rows_digest(mine, result_row_text),
            "verdicts": {
                v: sum(r["verdict"] == v for r in mine) for v in entry["content"]["verdicts"]
            },
        }
    new = [
        NewEntry(kind=e["kind"], subject=e["subject"], recorded_at=NOON, content=e["content"])
        for e in entries
    ]
    chained = chain(ACME, new, after_seq=0, after_hash=GENESIS)
    for entry, made in zip(entries, chained, strict=True):
        entry |= {"previous_hash": made.previous_hash, "hash": made.hash}
    files["ledger.jsonl"] = b"".join(rfc8785.dumps(entry) + b"\n" for entry in entries)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {**pack.manifest, "head_hash": chained[-1].hash, "files": hashes}
    return Pack(manifest=manifest, files=files)


def test_a_chain_written_anew_without_a_lie_is_what_a_pack_cannot_tell(pack: Pack) -> None:
    assert check_pack(rewritten(pack)).entries == 4


def test_a_better_verdict_does_not_follow_from_the_facts(pack: Pack) -> None:
    def all_pass(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [r | {"verdict": "pass"} if r["verdict"] == "fail" else r for r in rows]

    with pytest.raises(Tampered, match="imds_v2: its verdicts cannot be derived"):
        check_pack(rewritten(pack, results=all_pass))


def test_a_fact_made_fresh_does_not_follow_from_the_tenants_rules(pack: Pack) -> None:
    def older(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        old = (NOON - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return [row | {"last_seen": old} for row in rows]

    with pytest.raises(Tampered, match="does not follow the tenant's rules"):
        check_pack(rewritten(pack, facts=older))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT tenant, asset_key, content AS verdict, 'd' AS detail "
        "FROM assets, read_text('/etc/hosts')",
        "SELECT tenant, asset_key, 'pass' AS verdict, getenv('HOME') AS detail FROM assets",
        "SELECT 1); COPY (SELECT 1) TO '/tmp/qlrf-escaped'; SELECT (1",
        "SELECT tenant, asset_key, 'pass' AS verdict, 'd' AS detail FROM assets LIMIT 1",
        "SELECT tenant, asset_key, 'pass' AS verdict, 'd' AS detail FROM assets; SELECT 1",
        "COPY (SELECT 1) TO '/tmp/qlrf-escaped'",
    ],
)
def test_the_sql_of_a_strange_pack_reaches_nothing(pack: Pack, sql: str) -> None:
    with pytest.raises(Tampered, match="cannot be judged again"):
        check_pack(rewritten(pack, sql=sql))

    assert not Path("/tmp/qlrf-escaped").exists()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_other_file_is_no_pack(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.zip"
    path.write_bytes(data)

    with pytest.raises(Tampered):
        verify_pack(path)


def test_strange_documents_in_a_sound_container_are_told(tmp_path: Path) -> None:
    for number, ledger in enumerate([b"", b"[]\n", b"1\n", b"{}\n", b'{"seq":1}\n', b"\xff\n"]):
        path = tmp_path / f"{number}.zip"
        write_pack(path, head={"tenant": "acme"}, members={"ledger.jsonl": [ledger]})

        with pytest.raises(Tampered):
            verify_pack(path)


# --- the command ---------------------------------------------------------------------------------


def settings_of(tmp_path: Path) -> Settings:
    return Settings.from_env({"QLRF_HOME": str(tmp_path)})


def test_the_command_verifies_a_pack_offline(tmp_path: Path, pack_file: Path) -> None:
    result = CliRunner().invoke(
        evidence,
        ["verify", "--pack", str(pack_file), "--json"],
        obj=settings_of(tmp_path),
        standalone_mode=False,
    )

    assert result.return_value == 0
    (row,) = json.loads(result.stdout)
    assert (row["tenant"], row["status"], row["entries"]) == ("acme", "verified", 4)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_is_wrong_with_a_pack(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    path.write_text("not a pack")

    result = CliRunner().invoke(
        evidence, ["verify", "--pack", str(path)], obj=settings_of(tmp_path), standalone_mode=False
    )

    assert isinstance(result.exception, QlrfError)
    assert result.exception.exit_code == 1


def test_one_tenants_trouble_is_one_row() -> None:
    world = assessed()
    assert isinstance(world.ledger, FakeLedger)

    assert ledger_row(world, ACME, named=False)["status"] == "verified"
    assert ledger_row(world, TenantId("other"), named=False)["status"] == "nothing assessed"
    assert ledger_row(world, TenantId("other"), named=True)["status"] == "no evidence"
    world.ledger.kept[ACME].pop(0)
    assert ledger_row(world, ACME, named=False)["status"] == "tampered"
    world.ledger.kept.clear()
    assert ledger_row(world, ACME, named=False)["status"] == "no evidence"
