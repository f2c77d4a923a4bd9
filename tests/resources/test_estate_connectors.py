"""A way into a cluster is checked before it is used, and no secret is shown."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from resources.estate import FolderEstate
from tests.fakes.contracts import IMAGE, issue_estate, problems
from tests.tools.check import CONTRACTS

CLUSTER = (
    "{name: prod, platform: kubernetes, cluster: prod-eu, endpointUrl: 'https://k8s:6443', "
    "credentials: {token: 'file:/run/token'}}"
)


def with_connectors(folder: Path, *texts: str) -> Path:
    head = "apiVersion: qlrf/v1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n  connectors:\n"
    return issue_estate(folder, tenants__acme=head + "".join(f"    - {t}\n" for t in texts))


def said(folder: Path) -> list[str]:
    return [f"{p.field.removeprefix('spec.connectors')}: {p.message}" for p in problems(folder)]


def test_a_cluster_is_named_reached_and_believed_as_the_contract_says() -> None:
    estate = FolderEstate(CONTRACTS / "examples").load()
    (tenant,) = [one for one in estate.tenants if one.name == "initech"]

    _, whole, part = tenant.connectors

    assert whole == Connector(
        tenant=TenantId("initech"),
        name="kubernetes-prod",
        platform=Platform.KUBERNETES,
        endpoint_url="https://prod-eu.k8s.initech.example:6443",
        credentials={"token": "file:/run/secrets/prod-eu-token"},
        cluster="prod-eu",
        ca_file="/etc/qlrf/prod-eu-ca.pem",
    )
    assert (part.cluster, part.regions) == ("staging-eu", ("shop", "billing"))


def test_the_least_a_cluster_needs_is_a_name_an_address_and_a_token(tmp_path: Path) -> None:
    (tenant,) = FolderEstate(with_connectors(tmp_path, CLUSTER)).load().tenants

    assert tenant.connectors[0].cluster == "prod-eu"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cluster: prod-eu, ", "", "[0].cluster: is missing, and kubernetes needs it"),
        ("endpointUrl: 'https://k8s:6443', ", "", "[0].endpointUrl: is missing, and kubernetes"),
        (", credentials: {token: 'file:/run/token'}", "", "[0].credentials: is missing, and"),
        ("{token: 'file:/run/token'}", "{}", "[0].credentials.token: is missing"),
        ("https://", "http://", "[0].endpointUrl: is not https"),
        ("cluster: prod-eu", "cluster: 'prod:eu'", '[0].cluster: is "prod:eu", which it cannot be'),
        ("cluster: prod-eu", "caFile: ca.pem, cluster: p", '[0].caFile: is "ca.pem", which'),
        ("cluster: prod-eu", "assumeRoles: ['arn:aws:iam::111122223333:role/q'], cluster: p",
         "[0].assumeRoles: is no field of kubernetes"),
        ("{token: ", "{accessKeyId: 'env:A', token: ", "[0].credentials.accessKeyId: is no field"),
        ("cluster: prod-eu", "cluster: p, regions: [Shop]", '[0].regions[0]: is "Shop", which'),
    ],
)  # fmt: skip
def test_what_a_cluster_lacks_or_cannot_use_is_said(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in CLUSTER

    (found,) = said(with_connectors(tmp_path, CLUSTER.replace(old, new)))

    assert found.startswith(expected)


@pytest.mark.parametrize("more", ["cluster: prod", "caFile: /ca.pem"])
def test_aws_has_no_use_for_what_a_cluster_needs(tmp_path: Path, more: str) -> None:
    (found,) = said(with_connectors(tmp_path, f"{{name: a, platform: aws, {more}}}"))

    assert "is no field of aws" in found


def test_half_an_access_key_is_none(tmp_path: Path) -> None:
    keys = "{accessKeyId: 'env:A'}"

    (found,) = said(with_connectors(tmp_path, f"{{name: a, platform: aws, credentials: {keys}}}"))

    assert found == "[0].credentials.secretAccessKey: is missing"


def test_one_name_for_two_clusters_is_refused_and_two_ways_into_one_are_not(tmp_path: Path) -> None:
    again = CLUSTER.replace("name: prod,", "name: again, regions: [shop],")
    other = again.replace("k8s:6443", "other:6443")

    (found,) = said(with_connectors(tmp_path / "a", CLUSTER, other))
    FolderEstate(with_connectors(tmp_path / "b", CLUSTER, again)).load()

    assert found == '[1].cluster: is "prod-eu", as on line 6, with another endpointUrl'


def test_a_token_written_out_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = CLUSTER.replace("file:/run/token", "eyJhbGciOi.very-hidden")

    (problem,) = problems(with_connectors(tmp_path, text))

    assert problem.field == "spec.connectors[0].credentials.token"
    assert "very-hidden" not in str(problem)
    assert "env:NAME" in str(problem)


@pytest.mark.parametrize(
    "text", ["registry:5000/web", "web", "web:", "web@sha256:12", "web:1 2", "https://r.io/web:1"]
)
def test_a_container_image_is_declared_with_its_tag_or_its_digest(
    tmp_path: Path, text: str
) -> None:
    where = "aws: {us-east-1: ami-0aaaaaaaaaaaaaaa1, eu-west-1: ami-0bbbbbbbbbbbbbbb1}"
    image = IMAGE.replace(where, f'kubernetes: {{prod-eu: "{text}"}}')

    (problem,) = problems(issue_estate(tmp_path, images__linux=image))

    assert problem.field == "spec.versions[0].coordinates.kubernetes.prod-eu"
    assert "registry/repository:tag" in problem.remedy
