"""What the schemas of sites, pairs and recovery plans cannot say."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.problems import Problem
from qlrf_pipelines.domain.recovery import Member
from qlrf_pipelines.domain.recovery_plans import ProbeType, unanswered, waves
from resources.estate_contracts import Contract
from resources.estate_yaml import Place
from resources.recovery.answering import ANSWERS

# probe type -> the parameters it needs, and those it may have beside them
_PROBES = {
    "http": (("target",), ("testTarget",)),
    "tcp": (("target",), ("testTarget",)),
    "sql": (("member", "statement"), ("expect",)),
    "command": (("member", "command"), ("expect",)),
}
_INSIDE = (ProbeType.SQL, ProbeType.COMMAND)
_SECRET = re.compile(r"password|secret|token|credential|private_?key|access_?key", re.IGNORECASE)
_REFERENCE = re.compile(r"(env|file|aws-sm):\S+")
_SITES = ("primarySite", "recoverySite")


def find_recovery_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong inside one pair or recovery plan that its schema allows."""
    if contract.kind == "DrPair":
        yield from _same_site(contract)
    elif contract.kind == "RecoveryPlan":
        yield from _same_site(contract)
        members = _members(contract)
        yield from _repeated(contract, [place for place, _ in members])
        for part in ("probes", "runbook"):
            count = contract.count("spec", part)
            yield from _repeated(contract, [("spec", part, i) for i in range(count)])
        yield from _order(contract, members)
        yield from _probes(contract, {name for _, name in members})
        yield from _unanswerable(contract, members)
        yield from _canary(contract, {name for _, name in members})
        for place, _ in members:
            yield from _open_secrets(contract, (*place, "settings"))


def find_recovery_conflicts(contracts: Sequence[Contract]) -> Iterator[Problem]:
    """Sites nobody declared, and plans over pairs nobody declared."""
    sites = {(c.tenant, c.name) for c in contracts if c.kind == "Site"}
    pairs = [c for c in contracts if c.kind == "DrPair"]
    known = {(c.tenant, *_sites_of(c)) for c in pairs}
    for contract in pairs:
        for name in _SITES:
            site = contract.get("spec", name)
            if isinstance(site, str) and (contract.tenant, site) not in sites:
                yield contract.document.problem(
                    ("spec", name),
                    f'is "{site}", a site the tenant does not declare',
                    remedy="declare it as a Site, or check its name",
                )
    yield from _twice(pairs)
    for contract in contracts:
        if contract.kind != "RecoveryPlan" or None in _sites_of(contract):
            continue
        if (contract.tenant, *_sites_of(contract)) not in known:
            primary, recovery = _sites_of(contract)
            yield contract.document.problem(
                ("spec", "recoverySite"),
                f'is "{recovery}", which no DrPair of the tenant pairs with "{primary}"',
                remedy="declare the pair, or check both names",
            )


def _sites_of(contract: Contract) -> tuple[str | None, str | None]:
    return contract.get("spec", _SITES[0]), contract.get("spec", _SITES[1])


def _twice(pairs: Sequence[Contract]) -> Iterator[Problem]:
    seen: dict[tuple[str | None, ...], Contract] = {}
    for pair in pairs:
        identity = (pair.tenant, *_sites_of(pair))
        first = seen.setdefault(identity, pair)
        if first is not pair and None not in identity:
            yield pair.document.problem(
                ("spec", "recoverySite"),
                f"makes the same pair as {first.name}",
                remedy="keep one of the two",
            )


def _same_site(contract: Contract) -> Iterator[Problem]:
    primary, recovery = _sites_of(contract)
    if primary is not None and primary == recovery:
        yield contract.document.problem(
            ("spec", "recoverySite"),
            f'is "{recovery}", the primary site itself',
            remedy="name the other site: nothing recovers into what was lost",
        )


def _members(contract: Contract) -> list[tuple[Place, str]]:
    found: list[tuple[Place, str]] = []
    for group in range(contract.count("spec", "groups")):
        at: Place = ("spec", "groups", group, "members")
        for index in range(contract.count(*at)):
            name = contract.get(*at, index, "name")
            if isinstance(name, str):
                found.append(((*at, index), name))
    return found


def _repeated(contract: Contract, places: Sequence[Place]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for place in places:
        name = contract.get(*place, "name")
        if not isinstance(name, str):
            continue
        line = contract.document.line_of((*place, "name"))
        if name in seen:
            yield contract.document.problem(
                (*place, "name"), f'is "{name}", as on line {seen[name]}', remedy="rename one"
            )
        seen.setdefault(name, line)


def _order(contract: Contract, members: Sequence[tuple[Place, str]]) -> Iterator[Problem]:
    """Members that can never have their turn."""
    if len({name for _, name in members}) != len(members):
        return
    groups: dict[str | int, list[Member]] = {}
    for place, name in members:
        needs = contract.get(*place, "dependsOn")
        names = tuple(one for one in needs if isinstance(one, str)) if needs else ()
        groups.setdefault(place[2], []).append(
            Member(name=name, adapter="", settings={}, depends_on=names)
        )
    try:
        waves(list(groups.values()))
    except Rejected as error:
        message, _, remedy = str(error).rstrip(".").partition("; ")
        yield contract.document.problem(("spec", "groups"), f"is wrong: {message}", remedy=remedy)


def _probes(contract: Contract, members: set[str]) -> Iterator[Problem]:
    for index in range(contract.count("spec", "probes")):
        place: Place = ("spec", "probes", index)
        kind, given = contract.get(*place, "type"), contract.get(*place)
        if kind not in _PROBES or not isinstance(given, dict):
            continue
        needed, allowed = _PROBES[kind]
        for name in needed:
            if name not in given:
                yield contract.document.problem(
                    (*place, name), f"is missing, and a probe of type {kind} needs it",
                    remedy="add it",
                )  # fmt: skip
        every = {name for pair in _PROBES.values() for part in pair for name in part}
        for name in given:
            if name in every - {*needed, *allowed}:
                yield contract.document.problem(
                    (*place, name), f"is no parameter of a probe of type {kind}",
                    remedy="remove it or change the type",
                )  # fmt: skip
        yield from _named(contract, (*place, "member"), members)


def _unanswerable(contract: Contract, members: Sequence[tuple[Place, str]]) -> Iterator[Problem]:
    """Probes that the adapter of their member can never answer; other adapters' are theirs."""
    adapters = {name: contract.get(*place, "adapter") for place, name in members}
    for index in range(contract.count("spec", "probes")):
        place: Place = ("spec", "probes", index)
        kind, member = contract.get(*place, "type"), contract.get(*place, "member")
        adapter = adapters.get(member) if isinstance(member, str) else None
        known = ANSWERS.get(adapter) if isinstance(adapter, str) else None
        if known is None or kind not in _INSIDE or kind in known:
            continue
        message, _, remedy = unanswered(
            str(contract.get(*place, "name")), ProbeType(kind), str(adapter), known
        ).partition("; ")
        yield contract.document.problem((*place, "type"), f'is "{kind}": {message}', remedy=remedy)


def _canary(contract: Contract, members: set[str]) -> Iterator[Problem]:
    for index in range(contract.count("spec", "canary", "members")):
        yield from _named(contract, ("spec", "canary", "members", index), members)


def _named(contract: Contract, place: Place, members: set[str]) -> Iterator[Problem]:
    name = contract.get(*place)
    if isinstance(name, str) and name not in members:
        listed = ", ".join(sorted(members)) or "there is none yet"
        yield contract.document.problem(
            place, f'is "{name}", which is no member', remedy=f"use a member ({listed})"
        )


def _open_secrets(contract: Contract, place: Place) -> Iterator[Problem]:
    """A secret written where only a reference may stand."""
    value = contract.get(*place)
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        at: Place = (*place, key)
        if isinstance(inner, Mapping):
            yield from _open_secrets(contract, at)
        elif _SECRET.search(str(key)) and not _is_reference(inner):
            yield contract.document.problem(
                at,
                "may be a secret (not shown), and secrets are not written into contracts",
                remedy="write a reference: env:NAME or file:/path",
            )


def _is_reference(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None
