# ruff: noqa: E501
"""The estate folder: everything that is wrong is said, at once, with its line and its remedy."""

import os
from pathlib import Path

import pytest

from qlrf_pipelines.domain.problems import InvalidEstate, Problem
from resources.estate import FolderEstate
from tests.fakes.contracts import (
    EXEMPTION,
    IMAGE,
    LEAST_TENANT,
    TENANT,
    issue_estate,
    problems,
    write,
)


def the_problem(folder: Path) -> Problem:
    found = problems(folder)
    assert len(found) == 1, [str(p) for p in found]
    return found[0]


def test_every_error_of_every_file_is_reported_at_once_and_sorted(tmp_path: Path) -> None:
    folder = issue_estate(
        tmp_path,
        tenants__acme=TENANT.replace("displayName", "displayNam").replace("platform: aws", "platform: azure"),
        images__linux=IMAGE.replace("x86_64", "sparc").replace("1.6.3", "v1.6.3"),
        images__broken="kind: [",
        exemptions__db=EXEMPTION.replace("tenant: acme", "tenant: nobody").replace("  expiresAt", "  # expiresAt"),
    )  # fmt: skip

    found = [(Path(p.file).name, p.line, p.field) for p in problems(folder)]

    assert found == [
        ("db.yaml", 3, "metadata.tenant"),
        ("db.yaml", 4, "spec.expiresAt"),
        ("broken.yaml", 2, ""),
        ("linux.yaml", 5, "spec.os.arch"),
        ("linux.yaml", 14, "spec.versions[1].version"),
        ("acme.yaml", 5, "spec.displayNam"),
        ("acme.yaml", 8, "spec.connectors[0].platform"),
    ]


def test_the_message_names_file_line_field_and_remedy(tmp_path: Path) -> None:
    folder = issue_estate(tmp_path, tenants__acme=TENANT.replace("displayName", "displayNam"))

    with pytest.raises(InvalidEstate) as caught:
        FolderEstate(folder).load()

    assert str(caught.value) == (
        f"The estate {folder} has 1 problem:\n  {folder}/tenants/acme.yaml:5: spec.displayNam:"
        " is not a field of this contract; did you mean displayName."
    )
    assert caught.value.exit_code == 2


# (which file, what is replaced, by what, line, field, words of the message, words of the remedy)
BREACHES = [
    ("images__linux", "version: 1.6.4", "version: 1.6", 8, "spec.versions[0].version", "is the number 1.6", "1.6.0"),
    ("images__linux", "version: 1.6.4", "version: 2", 8, "spec.versions[0].version", "is the number 2", "1.6.0"),
    ("images__linux", "version: 1.6.4", "version: v1.6.4", 8, "spec.versions[0].version", "no semantic version", "without a leading v"),
    ("images__linux", "version: 1.6.4", 'version: "1.6.4\\n"', 8, "spec.versions[0].version", "no semantic version", "three numbers"),
    ("images__linux", "version: 1.6.3", "version: 1.6.4+build", 14, "spec.versions[1].version", "line 8 already has 1.6.4", "once"),
    ("images__linux", '"22.04"', "22.04", 5, "spec.os.version", "is the number 22.04", 'quotes: "22.04"'),
    ("images__linux", "2026-10-01T00:00:00Z", "2026-10-01", 10, "spec.versions[0].promotedAt", '"2026-10-01"', "zone"),
    ("images__linux", "2026-10-01T00:00:00Z", "2026-10-01T00:00:00", 10, "spec.versions[0].promotedAt", "cannot be", "zone"),
    ("images__linux", "2026-10-01T00:00:00Z", "2026-02-30T00:00:00Z", 10, "spec.versions[0].promotedAt", "no calendar", "exists"),
    ("images__linux", "2026-10-01T00:00:00Z", "0001-01-01T00:00:00+14:00", 10, "spec.versions[0].promotedAt", "no calendar", "exists"),
    ("images__linux", "      promotedAt: 2026-10-01T00:00:00Z\n", "", 8, "spec.versions[0].promotedAt", "missing", "add it"),
    ("images__linux", "[production, staging, dr]", "[]", 11, "spec.versions[0].environments", "empty", "at least one"),
    ("images__linux", "[production, staging, dr]", "[prod]", 11, "spec.versions[0].environments[0]", '"prod"', "production"),
    ("images__linux", "ami-0aaaaaaaaaaaaaaa1", "ami-0AAAAAAA", 13, "spec.versions[0].coordinates.aws.us-east-1", "ami-0AAAAAAA", "hexadecimal"),
    ("images__linux", "{us-east-1: ami-0aaaaaaaaaaaaaaa1", "{US: ami-0aaaaaaaaaaaaaaa1", 13, "spec.versions[0].coordinates.aws.US", "key", "eu-west-1"),
    ("images__linux", "ami-0aaaaaaaaaaaaaaa0", "ami-0aaaaaaaaaaaaaaa1", 17, "spec.versions[1].coordinates.aws.us-east-1", "ql-base-linux 1.6.4 already", "one version"),
    ("images__linux", "tenant: acme", "tenant: acne", 3, "metadata.tenant", "no contract declares", "(acme)"),
    ("images__linux", "cisLevel: 1", "cisLevel: 9", 6, "spec.cisLevel", "the number 9", "1, 2, 3"),
    ("images__linux", "kind: GoldenImage", "kind: Image", 2, "kind", '"Image"', "GoldenImage"),
    ("images__linux", "kind: GoldenImage", "#", 1, "kind", "missing", "GoldenImage"),
    ("images__linux", "qlrf/v1", "qlrf/v2", 1, "apiVersion", "must be qlrf/v1", "qlrf/v1"),
    ("images__linux", "cisLevel: 1", "cisLevel: 1\n  cisLevel: 2", 7, "spec.cisLevel", "twice (first on line 6)", "keep one"),
    ("images__linux", "cisLevel: 1", "cisLevel:", 6, "spec.cisLevel", "is empty", "value"),
    ("tenants__acme", "regions: [us-east-1, eu-west-1]", "regions: some", 9, "spec.connectors[0].regions", "must be all", "`all` or a list"),
    ("tenants__acme", "regions: [us-east-1, eu-west-1]", "regions: []", 9, "spec.connectors[0].regions", "empty", "at least one"),
    ("tenants__acme", "regions: [us-east-1, eu-west-1]", "regions: [mars]", 9, "spec.connectors[0].regions[0]", '"mars"', "eu-west-1"),
    ("tenants__acme", "platform: aws", "platform: gcp", 8, "spec.connectors[0].platform", '"gcp"', "use aws or kubernetes"),
    ("tenants__acme", "role/qlrf", "user/qlrf", 12, "spec.connectors[0].assumeRoles[0]", "user/qlrf", "IAM role"),
    ("tenants__acme", "vanishShare: 0.3", "vanishShare: 0", 18, "spec.safety.vanishShare", "must be above 0", "limits"),
    ("tenants__acme", "vanishShare: 0.3", "vanishShare: 1.01", 18, "spec.safety.vanishShare", "must be at most 1", "limits"),
    ("tenants__acme", "vanishShare: 0.3", "vanishShare: .nan", 18, "spec.safety.vanishShare", "must be a number", "number"),
    ("tenants__acme", "vanishMin: 10", "vanishMin: 010", 18, "spec.safety.vanishMin", "whole number", "whole number"),
    ("tenants__acme", "production: 7", "produktion: 7", 17, "spec.drift.graceDays.produktion", "not a field", "production"),
    ("tenants__acme", "production: 7", "production: -7", 17, "spec.drift.graceDays.production", "at least 0", "limits"),
    ("tenants__acme", "{prod: production", "{Production: staging", 15, "spec.environments.map.production", "the same value", "keep one"),
    ("exemptions__db", "[behind, retired, unmanaged]", "[unknown]", 6, "spec.verdicts[0]", '"unknown"', "behind"),
    ("exemptions__db", 'exempt: "yes"', "exempt: yes", 5, "spec.selector.tags.exempt", "truth value yes", 'quotes: "yes"'),
    ("exemptions__db", "expiresAt: 2027-03-31T00:00:00Z", "expires: 2027", 4, "spec.expiresAt", "missing", "2026-10-01T00:00:00Z"),
    ("exemptions__db", "families: [ql-base-linux]", "families: []", 5, "spec.selector.families", "empty", "at least one"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "field", "message", "remedy"),
    BREACHES,
    ids=[f"{b[4]}={b[2]}" for b in BREACHES],
)
def test_a_breach_is_named_with_its_line_and_remedy(
    tmp_path: Path, file: str, old: str, new: str, line: int, field: str, message: str, remedy: str
) -> None:
    texts = {"tenants__acme": TENANT, "images__linux": IMAGE, "exemptions__db": EXEMPTION}
    assert old in texts[file]
    folder = issue_estate(tmp_path, **{file: texts[file].replace(old, new, 1)})

    found = [p for p in problems(folder) if p.field == field]

    assert len(found) == 1
    assert found[0].line == line
    assert message in found[0].message
    assert remedy in found[0].remedy


@pytest.mark.parametrize("name", ["a", "ab", "Acme", "-acme", "acme-", "a_b", "a" * 64, "acmé"])
def test_a_tenant_name_outside_the_pattern_is_refused(tmp_path: Path, name: str) -> None:
    text = LEAST_TENANT.replace("acme", f'"{name}"')

    assert the_problem(write(tmp_path, tenants__t=text)).field == "metadata.name"


def test_a_name_may_not_end_in_a_line_break(tmp_path: Path) -> None:
    text = LEAST_TENANT.replace("acme", '"acme\\n"')

    assert the_problem(write(tmp_path, tenants__t=text)).field == "metadata.name"


@pytest.mark.parametrize("secret", ["AKIAIOSFODNN7EXAMPLE", "12345678901234567890", "{a: s3cr3t}"])
def test_a_plain_secret_is_refused_and_never_shown(tmp_path: Path, secret: str) -> None:
    text = TENANT.replace('"env:ACME_SECRET"', secret)

    problem = the_problem(issue_estate(tmp_path, tenants__acme=text))

    assert problem.field == "spec.connectors[0].credentials.secretAccessKey"
    assert "env:NAME" in problem.remedy
    for part in (secret, "s3cr3t"):
        assert part not in str(problem)


def test_a_secret_beside_a_syntax_error_is_not_shown(tmp_path: Path) -> None:
    text = TENANT.replace('"env:ACME_SECRET"', "[wJalrXUtnFEMI: ")

    assert not any("wJalr" in str(p) for p in problems(issue_estate(tmp_path, tenants__acme=text)))


def test_credentials_in_an_endpoint_are_refused_and_never_shown(tmp_path: Path) -> None:
    text = TENANT.replace("http://127", "http://user:hunter2@127")

    problem = the_problem(issue_estate(tmp_path, tenants__acme=text))

    assert problem.field == "spec.connectors[0].endpointUrl"
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (
            '  metrics: [{kind: prometheus, url: "https://user:hunter2@metrics.example"}]',
            "spec.metrics[0].url",
        ),
        (
            '  notifications: [{channel: webhook, url: "https://user:hunter2@hooks.example/a"}]',
            "spec.notifications[0].url",
        ),
    ],
)
def test_credentials_in_any_other_address_are_refused_and_never_shown(
    tmp_path: Path, more: str, field: str
) -> None:
    problem = the_problem(issue_estate(tmp_path, tenants__acme=f"{TENANT.rstrip()}\n{more}\n"))

    assert problem.field == field
    assert "without credentials" in str(problem)
    assert "hunter2" not in str(problem)


def test_a_selector_needs_a_part(tmp_path: Path) -> None:
    lines = EXEMPTION.splitlines()
    lines[4] = "  selector: {}"

    problem = the_problem(issue_estate(tmp_path, exemptions__db="\n".join(lines)))

    assert (problem.field, problem.line) == ("spec.selector", 5)
    assert "at least one of tags, families, environments, assets" in problem.remedy


def test_connectors_of_one_tenant_have_different_names(tmp_path: Path) -> None:
    more = "  connectors:\n    - {name: aws-main, platform: aws}"

    problem = the_problem(
        issue_estate(tmp_path, tenants__acme=TENANT.replace("  connectors:", more))
    )

    assert problem.field == "spec.connectors[1].name"
    assert "line 7" in problem.message


@pytest.mark.parametrize("kind", ["tenants", "images", "exemptions"])
def test_two_contracts_of_one_name_are_refused(tmp_path: Path, kind: str) -> None:
    texts = {"tenants": TENANT, "images": IMAGE, "exemptions": EXEMPTION}
    folder = issue_estate(tmp_path, **{f"{kind}__zz-again": texts[kind]})

    problem = next(p for p in problems(folder) if "as another" in p.message)

    assert problem.field == "metadata.name"
    assert Path(problem.file).name == "zz-again.yaml"


def test_tenants_may_use_the_same_names_for_their_own(tmp_path: Path) -> None:
    folder = issue_estate(
        tmp_path,
        tenants__globex=LEAST_TENANT.replace("acme", "globex"),
        images__globex=IMAGE.replace("tenant: acme", "tenant: globex"),
        exemptions__globex=EXEMPTION.replace("tenant: acme", "tenant: globex"),
        images__shared=IMAGE.replace(", tenant: acme", ""),
    )

    assert len(FolderEstate(folder).load().images) == 3


def test_an_image_may_not_be_two_things_to_one_tenant(tmp_path: Path) -> None:
    shared = IMAGE.replace("ql-base-linux, tenant: acme", "other-linux")

    found = problems(issue_estate(tmp_path, images__shared=shared))

    assert {p.field for p in found} == {
        "spec.versions[0].coordinates.aws.us-east-1",
        "spec.versions[0].coordinates.aws.eu-west-1",
        "spec.versions[1].coordinates.aws.us-east-1",
    }


def test_the_owner_of_the_later_claim_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    shared = IMAGE.replace("ql-base-linux, tenant: acme", "other-linux")

    found = problems(issue_estate(tmp_path, images__shared=shared))

    assert {Path(p.file).name for p in found} == {"linux.yaml"}
    assert "other-linux 1.6.4 already" in found[0].message
    assert "images/shared.yaml:13" in found[0].message


def test_what_a_tenant_overrides_cannot_contradict_it(tmp_path: Path) -> None:
    shared = IMAGE.replace(", tenant: acme", "").replace("1.6.4", "2.0.0")
    bare = shared.split("      coordinates")[0].replace(
        "ql-base-linux", "ql-base-linux, tenant: acme"
    )
    other = IMAGE.replace("ql-base-linux", "acme-linux")

    folder = issue_estate(tmp_path, images__linux=shared, images__own=bare, images__other=other)

    assert len(FolderEstate(folder).load().images) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "holds no document"),
        (b"# nothing yet\n", "holds no document"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: \x07", "does not allow"),
        (b"just text", "is not a contract"),
        (b"- a\n- b\n", "is not a contract"),
        (b"[" * 100_000, "deeper than 30"),
        (b"a: 1\na: " + b"[" * 100_000, "deeper than 30"),
        (b"? [a]\n: 1\n", "a key that is not text"),
        (b"kind: !!python/name:os.system x", "has the tag"),
        (b"a: &a [x]\nb: *a\n", "is an alias"),
        (b"a: &a [*a]\n", "is an alias"),
        (b"kind: [Tenant", "not valid YAML"),
        (b"{kind: Tenant, kind: Tenant}", "given twice"),
    ],
)
def test_bytes_of_any_kind_become_problems(tmp_path: Path, data: bytes, words: str) -> None:
    found = problems(issue_estate(tmp_path, tenants__other=data))  # type: ignore[arg-type]

    assert any(words in p.message for p in found), [str(p) for p in found]
    assert {Path(p.file).name for p in found} == {"other.yaml"}


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    problem = the_problem(tmp_path / "nowhere")

    assert problem.file == str(tmp_path / "nowhere")
    assert "QLRF_ESTATE" in problem.remedy


def test_a_folder_without_tenants_says_what_to_do(tmp_path: Path) -> None:
    shared = IMAGE.replace(", tenant: acme", "")

    problem = the_problem(write(tmp_path, images__linux=shared))

    assert "no tenant" in problem.message
    assert "contracts/examples/tenants" in problem.remedy


def test_a_file_that_cannot_be_read_is_a_problem_not_an_absence(tmp_path: Path) -> None:
    folder = issue_estate(tmp_path)
    (folder / "tenants" / "gone.yaml").symlink_to(tmp_path / "gone")
    os.mkfifo(folder / "tenants" / "pipe.yaml")

    found = problems(folder)

    assert [Path(p.file).name for p in found] == ["gone.yaml", "pipe.yaml"]
    assert all("cannot be read" in p.message for p in found)
