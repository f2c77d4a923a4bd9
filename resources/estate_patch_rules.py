"""What the schema of a patch policy cannot say: parameters, units, zones and calendars that fit."""

from collections.abc import Callable, Iterator

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.patching import UNITS, Unit
from qlrf_pipelines.domain.problems import Problem
from qlrf_pipelines.domain.schedules import weekday, zone
from qlrf_pipelines.domain.versions import version_key
from resources.estate_contracts import Contract
from resources.estate_patch_sense import find_futile, firing
from resources.estate_yaml import Place

_SPEC = ("spec",)
# strategy type -> the parameters it takes beside `type`
_ROLLING = ("maxUnavailable", "maxSurge", "pauseBetweenBatches")
_PARAMETERS = {
    "immediate": (),
    "rolling": _ROLLING,
    "canary": ("initialPercent", "steps", "autoPromote"),
    "blue-green": ("previewDuration", "autoPromote"),
    "maintenance-window": ("timezone", "windows", *_ROLLING),
}
_SOURCES = {
    "os-vendor": ("severity", "classifications"),
    "golden-image": ("goldenImage", "severity", "classifications"),
    "custom-repository": ("repository", "severity", "classifications"),
}
_SCHEDULES = {
    "manual": (),
    "scheduled": ("cron", "timezone"),
    "drift-triggered": ("driftAge",),
    "cve-triggered": ("severity",),
}
_NEEDED = {"maintenance-window": "windows", "custom-repository": "repository", "scheduled": "cron"}
_MEASURES = {
    "error-rate": "share",
    "latency-p99": "time",
    "cpu-usage": "share",
    "memory-usage": "share",
}


def find_patch_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong inside one patch policy that its schema allows."""
    for part, allowed in (
        ("strategy", _PARAMETERS),
        ("source", _SOURCES),
        ("schedule", _SCHEDULES),
    ):
        yield from _parameters(contract, (*_SPEC, part), allowed)
    for part in ("strategy", "schedule"):
        yield from rejected_at(contract, (*_SPEC, part, "timezone"), zone)
    yield from rejected_at(contract, (*_SPEC, "schedule", "cron"), firing)
    for index in range(contract.count("spec", "strategy", "windows")):
        place = (*_SPEC, "strategy", "windows", index, "dayOfWeek")
        yield from rejected_at(contract, place, weekday)
    yield from _sides(contract)
    yield from _steps(contract)
    yield from _versions(contract)
    for index in range(contract.count("spec", "analysis", "metrics")):
        yield from _units(contract, (*_SPEC, "analysis", "metrics", index))
    yield from find_futile(contract)


def find_change_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong in a tenant's rules for changes that its schema allows."""
    at: Place = ("spec", "changes")
    yield from rejected_at(contract, (*at, "timezone"), zone)
    autonomy: Place = (*at, "autonomy")
    places: list[Place] = [(*at, "peakHours"), (*autonomy, "blockedWindows")]
    own = contract.get(*autonomy, "environments")
    places += [(*autonomy, "environments", e, "blockedWindows") for e in own or ()]
    for place in places:
        for index in range(contract.count(*place)):
            for day in range(contract.count(*place, index, "days")):
                yield from rejected_at(contract, (*place, index, "days", day), weekday)
    weights = contract.get(*at, "riskWeights")
    if isinstance(weights, dict) and len(weights) == 8 and not any(weights.values()):
        yield contract.document.problem(
            (*at, "riskWeights"), "weighs nothing", remedy="give one factor a weight above 0"
        )


def find_windows_problems(contract: Contract) -> Iterator[Problem]:
    """A Windows baseline on another operating system."""
    system = contract.get("spec", "os", "name")
    if contract.get("spec", "windows") is not None and system not in (None, "windows"):
        yield contract.document.problem(
            ("spec", "windows"),
            f'is for Windows, but the operating system is "{system}"',
            remedy="remove the block or write os.name: windows",
        )


def rejected_at(
    contract: Contract, place: Place, read: Callable[[str], object]
) -> Iterator[Problem]:
    """The problem a text has with being read, if it has one."""
    text = contract.get(*place)
    if not isinstance(text, str):
        return
    try:
        read(text)
    except Rejected as error:
        message, _, remedy = str(error).rstrip(".").partition("; ")
        yield contract.document.problem(
            place, f"is wrong: {message}", remedy=remedy or "see docs/guide/planning.md"
        )


def _parameters(
    contract: Contract, place: Place, allowed: dict[str, tuple[str, ...]]
) -> Iterator[Problem]:
    kind, given = contract.get(*place, "type"), contract.get(*place)
    if not isinstance(kind, str) or kind not in allowed or not isinstance(given, dict):
        return
    for name in given:
        takers = [other for other, names in allowed.items() if name in names]
        if takers and kind not in takers:
            yield contract.document.problem(
                (*place, name),
                f"is a parameter of {' and '.join(takers)}, not of {kind}",
                remedy="remove it or change the type",
            )
    needed = _NEEDED.get(kind)
    if needed is not None and needed not in given:
        yield contract.document.problem(
            (*place, needed), f"is missing, and {kind} needs it", remedy="add it"
        )


def _sides(contract: Contract) -> Iterator[Problem]:
    """Blue-green needs a second side, which only an image makes: a patch has none."""
    place: Place = (*_SPEC, "source", "type")
    kind = contract.get(*place)
    blue_green = contract.get(*_SPEC, "strategy", "type") == "blue-green"
    if blue_green and kind in _SOURCES and kind != "golden-image":
        yield contract.document.problem(
            place,
            f"is {kind}, which patches machines in place: blue-green has no second side then",
            remedy="use golden-image, or the strategy rolling or canary",
        )


def _steps(contract: Contract) -> Iterator[Problem]:
    place: Place = (*_SPEC, "strategy", "steps")
    count = contract.count(*place)
    before = 0
    for index in range(count):
        text = contract.get(*place, index, "percent")
        if not isinstance(text, str):
            return
        percent = int(text[:-1])
        if percent <= before:
            yield contract.document.problem(
                (*place, index, "percent"),
                f"is {text}, which is not more than the step before it",
                remedy="list the shares rising to 100%",
            )
        before = percent
    if count and before != 100:
        yield contract.document.problem(
            (*place, count - 1, "percent"), "is the last and not 100%", remedy="end with 100%"
        )
    first, initial = contract.get(*place, 0, "percent"), contract.get(*place[:-1], "initialPercent")
    if count and initial is not None and initial != first:
        yield contract.document.problem(
            (*place[:-1], "initialPercent"),
            f"is {initial}, but the first step is {first}",
            remedy="make them equal, or remove it",
        )


def _versions(contract: Contract) -> Iterator[Problem]:
    for name in ("version", "minVersion"):
        place = (*_SPEC, "source", "goldenImage", name)
        text = contract.get(*place)
        if isinstance(text, str) and version_key(text) is None:
            yield contract.document.problem(
                place, f'is "{text}", which is no semantic version', remedy="write one, as 1.6.0"
            )


def _units(contract: Contract, place: Place) -> Iterator[Problem]:
    unit = contract.get(*place, "threshold", "unit")
    if not isinstance(unit, str):
        return
    measures = UNITS[Unit(unit)][0]
    kind = contract.get(*place, "type")
    wanted = _MEASURES.get(str(kind))
    if wanted is not None and measures != wanted:
        yield contract.document.problem(
            (*place, "threshold", "unit"),
            f"is {unit}, but {kind} is a {wanted}",
            remedy="use " + " or ".join(u for u, (m, _) in UNITS.items() if m == wanted),
        )
    answers = contract.get(*place, "queryUnit")
    if isinstance(answers, str) and UNITS[Unit(answers)][0] != measures:
        yield contract.document.problem(
            (*place, "queryUnit"),
            f"is {answers}, into which {unit} cannot be converted",
            remedy="use " + " or ".join(u for u, (m, _) in UNITS.items() if m == measures),
        )
