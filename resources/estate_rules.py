"""What no schema can say: rules inside one contract, and between the contracts of an estate."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from qlrf_pipelines.domain.problems import Problem
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import ImageStatus
from resources.estate_connectors import find_connector_problems
from resources.estate_contracts import Contract
from resources.estate_notifications import (
    find_listener_problems,
    find_place_problems,
    find_subscription_problems,
)
from resources.estate_patch_rules import (
    find_change_problems,
    find_patch_problems,
    find_windows_problems,
)
from resources.estate_recovery_rules import find_recovery_conflicts, find_recovery_problems
from resources.estate_yaml import Document, Place


def moment(text: object) -> datetime | None:
    """A moment with its zone, in UTC; None if there is no such moment."""
    try:
        found = datetime.fromisoformat(str(text))
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: year 1 or 9999, moved by its zone
        return None


def find_conflicts(contracts: Sequence[Contract]) -> Iterator[Problem]:
    """Everything wrong inside one contract or between several."""
    for contract in contracts:
        yield from _within(contract)
    yield from _same_names(contracts)
    yield from _unknown_tenants(contracts)
    yield from _same_coordinates([c for c in contracts if c.kind == "GoldenImage"])
    yield from find_recovery_conflicts(contracts)


def _within(contract: Contract) -> Iterator[Problem]:
    if contract.kind == "Tenant":
        places = [
            ("spec", "connectors", i, "name") for i in range(contract.count("spec", "connectors"))
        ]
        yield from _repeated(contract, places, remedy="give every connector its own name")
        yield from find_connector_problems(contract)
        yield from _folded_values(contract)
        yield from find_change_problems(contract)
        yield from find_place_problems(contract)
        yield from find_subscription_problems(contract)
    elif contract.kind == "GoldenImage":
        yield from _versions(contract)
        yield from find_windows_problems(contract)
    elif contract.kind == "PatchPolicy":
        yield from find_patch_problems(contract)
        yield from find_listener_problems(contract)
    elif contract.kind == "Exemption":
        yield from _moment_at(contract, ("spec", "expiresAt"))
    else:
        yield from find_recovery_problems(contract)


def _moment_at(contract: Contract, place: Place) -> Iterator[Problem]:
    text = contract.get(*place)
    if text is not None and moment(text) is None:
        yield contract.document.problem(
            place, f'is "{text}", which no calendar has', remedy="write a moment that exists"
        )


def _repeated(contract: Contract, places: Iterable[Place], *, remedy: str) -> Iterator[Problem]:
    seen: dict[object, int] = {}
    for place in places:
        value = contract.get(*place)
        if value is None:
            continue
        line = contract.document.line_of(place)
        if value in seen:
            message = f'is "{value}", as on line {seen[value]}'
            yield contract.document.problem(place, message, remedy=remedy)
        seen.setdefault(value, line)


def _folded_values(contract: Contract) -> Iterator[Problem]:
    seen: dict[str, tuple[str, str]] = {}
    for value, environment in contract.texts("spec", "environments", "map").items():
        first = seen.setdefault(value.lower(), (value, environment))
        if first[1] != environment:
            message = f'is {environment}, but "{first[0]}", which is the same value, is {first[1]}'
            yield contract.document.problem(
                ("spec", "environments", "map", value), message, remedy="keep one of the two"
            )


def _versions(contract: Contract) -> Iterator[Problem]:
    seen: dict[str, tuple[str, int]] = {}
    for index in range(contract.count("spec", "versions")):
        at: Place = ("spec", "versions", index)
        yield from _moment_at(contract, (*at, "promotedAt"))
        yield from _promotion(contract, at)
        version = contract.get(*at, "version")
        if not isinstance(version, str):
            continue
        place, key = (*at, "version"), version_key(version)
        if key is None:
            yield contract.document.problem(
                place,
                f'is "{version}", which is no semantic version',
                remedy="write three numbers, such as 1.6.0, without a leading v",
            )
        elif key in seen:
            other, line = seen[key]
            yield contract.document.problem(
                place,
                f'is "{version}", but line {line} already has {other}, which is the same release',
                remedy="list every version once",
            )
        else:
            seen[key] = (version, contract.document.line_of(place))


def _promotion(contract: Contract, at: Place) -> Iterator[Problem]:
    release = contract.get(*at)
    if not isinstance(release, dict) or release.get("status") != ImageStatus.PRODUCTION:
        return
    if "promotedAt" not in release:
        yield contract.document.problem(
            (*at, "promotedAt"),
            "is missing, and a production version must say when it was promoted",
            remedy="add it, such as promotedAt: 2026-10-01T00:00:00Z",
        )


def _same_names(contracts: Sequence[Contract]) -> Iterator[Problem]:
    seen: dict[tuple[str, str, str | None], Document] = {}
    for contract in contracts:
        if contract.kind is None or contract.name is None:
            continue
        identity = (contract.kind, contract.name, contract.tenant)
        first = seen.setdefault(identity, contract.document)
        if first is not contract.document:
            whose = f" of tenant {contract.tenant}" if contract.tenant else ""
            line = first.line_of(("metadata", "name"))
            yield contract.document.problem(
                ("metadata", "name"),
                f'is "{contract.name}", as another {contract.kind}{whose} in {first.file}:{line}',
                remedy="rename or remove one of the two",
            )


def _unknown_tenants(contracts: Sequence[Contract]) -> Iterator[Problem]:
    known = sorted({c.name for c in contracts if c.kind == "Tenant" and c.name})
    listed = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
    for contract in contracts:
        if contract.tenant is not None and contract.tenant not in set(known):
            yield contract.document.problem(
                ("metadata", "tenant"),
                f'is "{contract.tenant}", a tenant no contract declares',
                remedy=f"use a declared tenant ({listed or 'there is none yet'}) or declare it",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """A version says: this image is me."""

    coordinate: tuple[str, str, str]
    family: str
    version: str
    contract: Contract
    place: Place


def _same_coordinates(images: Sequence[Contract]) -> Iterator[Problem]:
    """An image must mean one version to each tenant that may see it."""
    claims: dict[str | None, list[_Claim]] = {}
    families: dict[str | None, set[str | None]] = {}
    for image in images:
        claims.setdefault(image.tenant, []).extend(_claims(image))
        families.setdefault(image.tenant, set()).add(image.name)
    shared: dict[tuple[str, str, str], list[_Claim]] = {}
    for claim in claims.pop(None, []):
        shared.setdefault(claim.coordinate, []).append(claim)
    yield from _contested([claim for group in shared.values() for claim in group])
    for tenant, own in claims.items():
        meant = {claim.coordinate: None for claim in own}  # a dict keeps their order
        seen = [c for coordinate in meant for c in shared.get(coordinate, ())]
        yield from _contested([c for c in seen if c.family not in families[tenant]] + own)


def _claims(image: Contract) -> Iterator[_Claim]:
    for index in range(image.count("spec", "versions")):
        version = image.get("spec", "versions", index, "version")
        place: Place = ("spec", "versions", index, "coordinates")
        for platform in image.get(*place) or () if version is not None else ():
            for region, ref in image.texts(*place, platform).items():
                yield _Claim(
                    coordinate=(platform, region, ref),
                    family=str(image.name),
                    version=str(version),
                    contract=image,
                    place=(*place, platform, region),
                )


def _contested(claims: Sequence[_Claim]) -> Iterator[Problem]:
    first = {claim.coordinate: claim for claim in reversed(claims)}
    for claim in claims:
        other = first[claim.coordinate]
        if (claim.family, claim.version) == (other.family, other.version):
            continue
        line = other.contract.document.line_of(other.place)
        yield claim.contract.document.problem(
            claim.place,
            f'is "{claim.coordinate[2]}", which is {other.family} {other.version} already'
            f" ({other.contract.document.file}:{line})",
            remedy="list an image under one version only",
        )
