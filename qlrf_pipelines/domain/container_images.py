"""Container images: what a reference names, and which release of a golden image that is.

A golden image declares, per cluster, the reference that a release has there. What a workload runs
is that release if its digest is the declared one, or, where the contract gives no digest, if
repository and tag are. Else the repository leads to the family, and the tag claims the version, as
the tags of an AMI do: unless there is a digest too. A cluster runs what the digest says, whatever
the tag beside it, so a digest that no contract lists is a version that nobody knows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import Platform, Resolution

_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._/-]*(?::[0-9]+/[a-z0-9._/-]+)?)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z0-9.+_-]+:[0-9A-Fa-f]{32,}))?"
)
_HUB = "docker.io"
_LATEST = "latest"
# Enough of a digest to tell two apart.
_SHOWN = len("sha256:") + 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a reference says: where the image is, what it is called there, and what it contains."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def claim(self) -> str:
        """The version its tag claims; with a digest, words that are none."""
        tag = self.tag or ""
        if self.digest is not None:
            return "@".join(filter(None, (tag, self.digest[:_SHOWN])))
        plain = tag[1:] if tag[:1] in ("v", "V") else tag
        return plain if version_key(plain) is not None else tag


def parse_reference(text: str) -> Reference | None:
    """What a reference says, with the registry and the tag that are meant where none is given.

    A colon begins a tag only behind the last slash: before it, it begins a registry's port.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    digest = found["digest"]
    return Reference(
        repository=_whole(found["name"]),
        tag=found["tag"] or (None if digest else _LATEST),
        digest=digest.lower() if digest else None,
    )


def _whole(name: str) -> str:
    first, slash, rest = name.partition("/")
    if not slash:
        return f"{_HUB}/library/{name}"
    if not ("." in first or ":" in first or first == "localhost"):
        return f"{_HUB}/{name}"
    if first in (_HUB, f"index.{_HUB}"):
        return f"{_HUB}/{rest}" if "/" in rest else f"{_HUB}/library/{rest}"
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A release and the reference that it has in one cluster; without one it is not there."""

    family: str
    version: str
    reference: Reference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The release a reference leads to; the version may be one that no contract knows."""

    how: Resolution
    family: str
    version: str


class Claims:
    """What the golden images of a tenant claim in one cluster."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        # Should contracts disagree, the lowest counts: it is never the better verdict.
        self._pinned: dict[str, Claim] = {}
        self._tagged: dict[tuple[str, str | None], Claim] = {}
        self._families: dict[str, str] = {}
        for claim in sorted(claims, key=_order):
            reference = claim.reference
            if reference is None:
                continue
            self._families.setdefault(reference.repository, claim.family)
            if reference.digest is None:
                self._tagged.setdefault((reference.repository, reference.tag), claim)
            else:
                self._pinned.setdefault(reference.digest, claim)

    def recognise(self, text: str) -> Recognised | None:
        """The release a reference leads to; None if it belongs to no golden image here."""
        reference = parse_reference(text)
        if reference is None:
            return None
        claim = self._pinned.get(reference.digest or "")
        claim = claim or self._tagged.get((reference.repository, reference.tag))
        if claim is not None:
            return _recognised(Resolution.COORDINATE, claim.family, claim.version)
        family = self._families.get(reference.repository)
        if family is None:
            return None
        return _recognised(Resolution.TAG, family, reference.claim)


def _order(claim: Claim) -> tuple[str, str, str]:
    return claim.family, version_key(claim.version) or "", claim.version


def _recognised(how: Resolution, family: str, version: str) -> Recognised:
    return Recognised(how=how, family=family, version=version)


def declared_in(platform: Platform | None, account: str | None, region: str | None) -> str | None:
    """Where a golden image says that a release is, for an asset that is there.

    Elsewhere that is the region. A cluster's images are declared for the cluster, which is the
    account; the region is the namespace.
    """
    return account if platform is Platform.KUBERNETES else region
