"""What of a patch policy could never happen: windows, calendars, checks, hooks and selections."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.problems import Problem
from qlrf_pipelines.domain.schedules import Cron, cron, duration
from qlrf_pipelines.domain.versions import version_key
from resources.estate_contracts import Contract
from resources.estate_yaml import Place

_SPEC: Place = ("spec",)
_WEEK = timedelta(days=7)
# Any moment will do: what does not fire within a cycle of the calendar after it never fires.
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_HOOKS = ("preRollout", "prePatch", "postPatch", "postRollout", "onFailure")
# Only the hands of these platforms know it.
_ON = {
    "ssm-ping": ("aws",),
    "ssm-document": ("aws",),
    "lambda": ("aws",),
    "script": ("aws", "kubernetes"),
    "exec": ("aws", "kubernetes"),
}
_COUNTED = ("os-vendor", "custom-repository")
_USUAL = ("critical", "high")


def find_futile(contract: Contract) -> Iterator[Problem]:
    """Everything in one patch policy that can never do what it says."""
    yield from _selector(contract)
    yield from _versions(contract)
    yield from _windows(contract)
    yield from _severities(contract)
    yield from _metrics(contract)
    yield from _checks(contract)
    yield from _hooks(contract)
    yield from _no_time(contract, (*_SPEC, "approval", "timeout"), "nobody could approve in time")


def firing(text: str) -> Cron:
    """A calendar that fires at least once.

    Raises:
        Rejected: it cannot be read, or no calendar has such a day.
    """
    found = cron(text)
    if found.next_after(_SOME_DAY, timezone="UTC") is None:
        raise Rejected(f'"{text}" never fires: no year has such a day.')
    return found


def _problem(contract: Contract, place: Place, message: str, remedy: str) -> Problem:
    return contract.document.problem(place, message, remedy=remedy)


def _selector(contract: Contract) -> Iterator[Problem]:
    wanted = contract.texts(*_SPEC, "selector", "tags")
    for name, value in contract.texts(*_SPEC, "selector", "excludeTags").items():
        if wanted.get(name) == value:
            yield _problem(
                contract,
                (*_SPEC, "selector", "excludeTags", name),
                "excludes the very tag that is asked for, so no asset is selected",
                "remove it from tags or from excludeTags",
            )


def _versions(contract: Contract) -> Iterator[Problem]:
    place: Place = (*_SPEC, "source", "goldenImage")
    given, least = contract.get(*place, "version"), contract.get(*place, "minVersion")
    if not (isinstance(given, str) and isinstance(least, str)):
        return
    version, lowest = version_key(given), version_key(least)
    if version is not None and lowest is not None and version < lowest:
        yield _problem(
            contract,
            (*place, "version"),
            f"is {given}, which is below the minVersion {least}",
            "make them agree, or remove one",
        )


def _windows(contract: Contract) -> Iterator[Problem]:
    place: Place = (*_SPEC, "strategy", "windows")
    served: set[str] = set()
    count = contract.count(*place)
    for index in range(count):
        at: Place = (*place, index, "duration")
        yield from _no_time(contract, at, "the window never opens")
        lasts = contract.get(*at)
        if isinstance(lasts, str) and duration(lasts) > _WEEK:
            yield _problem(
                contract,
                at,
                f"is {lasts}, and a window that opens every week never closes then",
                "write at most 7d",
            )
        own = contract.get(*place, index, "environments")
        served |= set(_texts(own) if own is not None else _texts(_environments(contract)))
    missing = [one for one in _texts(_environments(contract)) if one not in served]
    if count and missing:
        yield _problem(
            contract,
            place,
            f"has none for {', '.join(missing)}, which the selector names: nothing would ever be"
            " changed there",
            "add a window for it, or select other environments",
        )


def _environments(contract: Contract) -> Any:  # noqa: ANN401
    return contract.get(*_SPEC, "selector", "environments")


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _severities(contract: Contract) -> Iterator[Problem]:
    """Patches that start a policy and are none of its own would start it again and again."""
    if contract.get(*_SPEC, "source", "type") not in _COUNTED:
        return
    if contract.get(*_SPEC, "schedule", "type") != "cve-triggered":
        return
    place: Place = (*_SPEC, "schedule", "severity")
    own = _texts(contract.get(*_SPEC, "source", "severity")) or _USUAL
    others = [one for one in _texts(contract.get(*place)) or _USUAL if one not in own]
    if others:
        yield _problem(
            contract,
            place if contract.get(*place) is not None else place[:-1],
            f"starts it for {' and '.join(others)} patches, and source.severity installs none",
            "name only severities of the source",
        )


def _metrics(contract: Contract) -> Iterator[Problem]:
    place: Place = (*_SPEC, "analysis", "metrics")
    seen: set[str] = set()
    for index in range(contract.count(*place)):
        name = contract.get(*place, index, "name")
        if isinstance(name, str) and name in seen:
            yield _problem(
                contract,
                (*place, index, "name"),
                f'is "{name}", as another metric is',
                "give every metric its own name",
            )
        elif isinstance(name, str):
            seen.add(name)


def _checks(contract: Contract) -> Iterator[Problem]:
    place: Place = (*_SPEC, "healthCheck", "checks")
    for index in range(contract.count(*place)):
        kind, target = (contract.get(*place, index, part) for part in ("type", "target"))
        at: Place = (*place, index)
        yield from _elsewhere(contract, (*at, "type"), kind)
        if kind in ("http", "tcp", "exec") and target is None:
            yield _problem(
                contract, at, f"is {kind} without a target", "say what is asked with target"
            )
        elif kind == "http" and isinstance(target, str):
            yield from _no_url(contract, (*at, "target"), target)
        elif kind == "tcp" and isinstance(target, str) and not _is_socket(target):
            yield _problem(
                contract,
                (*at, "target"),
                f'is "{target}", which is no host and port',
                'write both, as "{address}:22"',
            )


def _hooks(contract: Contract) -> Iterator[Problem]:
    for when in _HOOKS:
        place: Place = (*_SPEC, "hooks", when)
        for index in range(contract.count(*place)):
            kind, target = (contract.get(*place, index, part) for part in ("type", "target"))
            yield from _elsewhere(contract, (*place, index, "type"), kind)
            yield from _no_time(contract, (*place, index, "timeout"), "it could never answer")
            if kind == "webhook" and isinstance(target, str):
                yield from _no_url(contract, (*place, index, "target"), target)


def _elsewhere(contract: Contract, place: Place, kind: object) -> Iterator[Problem]:
    platforms = _texts(contract.get(*_SPEC, "selector", "platforms"))
    knowing = _ON.get(str(kind))
    if knowing is not None and platforms and not set(platforms) & set(knowing):
        yield _problem(
            contract,
            place,
            f"is {kind}, which {' and '.join(knowing)} alone know, and the selector has"
            f" {' and '.join(platforms)}",
            "use another type, or select other platforms",
        )


def _no_url(contract: Contract, place: Place, target: str) -> Iterator[Problem]:
    scheme, found, rest = target.partition("://")
    host = rest.partition("/")[0]
    if scheme.lower() in ("http", "https") and found and host and not target.split()[1:]:
        return
    yield _problem(
        contract,
        place,
        f'is "{target}", which is no http or https URL',
        'write one, as "https://example.com/health"',
    )


def _is_socket(target: str) -> bool:
    host, _, port = target.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _no_time(contract: Contract, place: Place, so: str) -> Iterator[Problem]:
    text = contract.get(*place)
    if isinstance(text, str) and not duration(text):
        yield _problem(contract, place, f"is {text}, so {so}", "give it some time")
