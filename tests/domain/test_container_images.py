"""A reference is read as a cluster reads it, and claims no more than it can prove."""

import pytest

from qlrf_pipelines.domain.container_images import (
    Claim,
    Claims,
    Recognised,
    Reference,
    declared_in,
    parse_reference,
)
from qlrf_pipelines.domain.vocabulary import Platform, Resolution

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io/library/nginx", "latest", None),
        ("nginx:1.27", "docker.io/library/nginx", "1.27", None),
        ("docker.io/nginx:1.27", "docker.io/library/nginx", "1.27", None),
        ("index.docker.io/library/nginx:1.27", "docker.io/library/nginx", "1.27", None),
        ("acme/web:1.6.4", "docker.io/acme/web", "1.6.4", None),
        ("registry:5000/repo:tag", "registry:5000/repo", "tag", None),
        (f"registry:5000/repo:tag@{A}", "registry:5000/repo", "tag", A),
        ("registry:5000/repo", "registry:5000/repo", "latest", None),
        (f"registry:5000/repo@{A}", "registry:5000/repo", None, A),
        ("localhost/web:1", "localhost/web", "1", None),
        ("repo:5000", "docker.io/library/repo", "5000", None),
        (f"ghcr.io/a/b/c@{A.upper().replace('SHA', 'sha')}", "ghcr.io/a/b/c", None, A),
    ],
)
def test_a_port_is_no_tag_and_what_is_left_out_is_what_is_meant(
    text: str, repository: str, tag: str | None, digest: str | None
) -> None:
    assert parse_reference(text) == Reference(repository=repository, tag=tag, digest=digest)


@pytest.mark.parametrize(
    "text", ["", " ", "web 1", ":1.6.4", "web:", "web@", f"@{A}", "web@sha256:a"]
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse_reference(text) is None


def claims(*declared: tuple[str, str, str]) -> Claims:
    return Claims(
        Claim(family=family, version=version, reference=parse_reference(text))
        for family, version, text in declared
    )


def found(how: Resolution, version: str, family: str = "web") -> Recognised:
    return Recognised(how=how, family=family, version=version)


PINNED = claims(("web", "1.6.4", f"r.io/web:1.6.4@{A}"), ("web", "1.6.3", f"r.io/web@{B}"))
TAGGED = claims(("web", "1.6.4", "r.io/web:1.6.4"), ("web", "1.6.3", "r.io/web:stable"))


def test_the_declared_digest_is_the_release_whatever_the_tag_beside_it_and_the_registry() -> None:
    for text in (f"r.io/web@{A}", f"r.io/web:1.6.3@{A}", f"mirror:5000/web:9@{A}"):
        assert PINNED.recognise(text) == found(Resolution.COORDINATE, "1.6.4")


def test_where_no_digest_is_declared_repository_and_tag_are_the_release() -> None:
    assert TAGGED.recognise("r.io/web:1.6.4") == found(Resolution.COORDINATE, "1.6.4")
    assert TAGGED.recognise(f"r.io/web:1.6.4@{A}") == found(Resolution.COORDINATE, "1.6.4")
    assert TAGGED.recognise("r.io/web:stable") == found(Resolution.COORDINATE, "1.6.3")


@pytest.mark.parametrize(
    ("tag", "version"),
    [("1.5.0", "1.5.0"), ("v1.5.0", "1.5.0"), ("1.6.4", "1.6.4"), ("latest", "latest")],
)
def test_a_tag_claims_a_version_of_the_family_its_repository_belongs_to(
    tag: str, version: str
) -> None:
    assert PINNED.recognise(f"r.io/web:{tag}") == found(Resolution.TAG, version)


def test_a_digest_no_contract_lists_is_a_version_nobody_knows() -> None:
    other = f"sha256:{'c' * 64}"

    assert PINNED.recognise(f"r.io/web:1.6.4@{other}") == found(
        Resolution.TAG, "1.6.4@sha256:cccccccccccc"
    )
    assert PINNED.recognise(f"r.io/web@{other}") == found(Resolution.TAG, "sha256:cccccccccccc")


@pytest.mark.parametrize(
    "text", ["evil.io/web:1.6.4", "web:1.6.4", "r.io/web2:1.6.4", "no reference"]
)
def test_a_name_alike_in_another_repository_belongs_to_no_family(text: str) -> None:
    assert PINNED.recognise(text) is None


def test_if_contracts_disagree_the_lowest_release_counts() -> None:
    both = claims(("web", "2.0.0", f"r.io/web@{A}"), ("web", "1.10.0", f"r.io/web:x@{A}"))

    assert both.recognise(f"r.io/web@{A}") == found(Resolution.COORDINATE, "1.10.0")


def test_images_of_a_cluster_are_declared_for_the_cluster_and_others_for_their_region() -> None:
    assert declared_in(Platform.KUBERNETES, "prod", "shop") == "prod"
    assert declared_in(Platform.AWS, "111122223333", "eu-west-1") == "eu-west-1"
    assert declared_in(Platform.KUBERNETES, None, "shop") is None
